// Package kernels has this program's own code for the layers that cost the most on a CPU,
// convolutions and batch normalisation in training, and has XLA call it.
//
// XLA:CPU's own code for these convolutions is two to eight times slower than the
// processor allows; oneDNN's, which it can call, ends in programs that cannot be kept on
// disk; and it compiles a dozen small functions for each normalisation. Ours (conv.c,
// norm.c) reaches what the processor and its memory can do, takes no time to compile, and
// sums in an order that depends on no machine or number of threads. Package plain defines
// what each kernel computes.
//
// XLA calls it through its foreign function interface (ffi.h): Register gives the
// functions (calls.c) to a plugin, and Replace puts calls of them in the place of operations
// in a program before it is compiled, since gomlx has no operation for such calls. Which
// operations these are is a closed list (forms.go). Compiled programs on disk name kernels:
// one that takes other arguments needs another name.
package kernels

/*
#cgo CFLAGS: -std=c11 -O3 -pthread
#cgo LDFLAGS: -lm
#include "conv.h"
#include "ffi.h"
*/
import "C"

import (
	"fmt"
	"strings"
	"unsafe"
)

// Version numbers what the kernels compute, for records and checkpoints. Raise it with every
// change that may change a bit of a result: the order or grouping of a sum, the precision of
// a step, which operations are replaced. TestBits in internal/programs fails when bits change
// and Version does not.
const Version = 1

// Instructions is the instruction set that the kernels use on this processor, avx2, or ""
// when the processor lacks it and there are no kernels.
func Instructions() string {
	if C.conv_can() {
		return "avx2"
	}
	return ""
}

// Register gives the kernels to the plugin for the CPU with a list of PJRT extensions, on a
// processor that has Instructions. It reports whether the plugin has the interface for it;
// failed is a PJRT_Error, which the caller frees, or nil.
func Register(extensions unsafe.Pointer) (registered bool, failed unsafe.Pointer) {
	var taken C.int
	failed = C.kernels_register(extensions, &taken)
	return taken != 0, failed
}

// Replace puts calls of kernels in the place of the operations of a program, StableHLO as
// go-xla writes it, for which there are kernels, and leaves the others. counts are the numbers
// of calls by the name of the kernel.
func Replace(program []byte) (replaced []byte, counts map[string]int) {
	text, done := string(program), 0
	counts = map[string]int{}
	for at := 0; ; at++ {
		next := strings.Index(text[at:], `"stablehlo.`)
		if next < 0 {
			break
		}
		at += next
		if line := text[strings.LastIndexByte(text[:at], '\n')+1 : at]; strings.Contains(line, "//") {
			continue // a comment
		}
		o, length, ok := parse(text[at:])
		if !ok {
			continue
		}
		if kernel, config, ok := o.kernel(); ok {
			replaced = append(append(replaced, text[done:at]...), o.call(kernel, config)...)
			done = at + length
			counts[kernel]++
		}
	}
	return append(replaced, text[done:]...), counts
}

// call is the call of a kernel in the place of an operation.
func (o *operation) call(kernel, config string) string {
	return fmt.Sprintf(`"stablehlo.custom_call"(%s) {
  api_version = 4 : i32,
  backend_config = {%s},
  call_target_name = %q,
  has_side_effect = false,
  operand_layouts = [%s],
  result_layouts = [%s]
} : (%s) -> %s`, o.operands, config, kernel, layouts(o.in), layouts(o.out), o.inTypes, o.outTypes)
}

// layouts says that arrays of these shapes lie in memory row by row.
func layouts(shapes [][]int64) string {
	var all []string
	for _, shape := range shapes {
		var order []string
		for axis := len(shape) - 1; axis >= 0; axis-- {
			order = append(order, fmt.Sprint(axis))
		}
		all = append(all, fmt.Sprintf("dense<[%s]> : tensor<%dxindex>", strings.Join(order, ", "), len(shape)))
	}
	return strings.Join(all, ", ")
}
