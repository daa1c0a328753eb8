// Package kernels implements the layers that take most of the time on a CPU, convolutions and batch
// normalisation in training, in C and makes XLA call them.
//
// XLA:CPU's code for these convolutions is two to eight times slower than the processor allows. It
// can call oneDNN's, but the resulting programs cannot be kept on disk. And it compiles a dozen
// small functions for each normalisation. The kernels here (conv.c, norm.c) reach the limits of the
// processor and its memory, need no compiling at run time, and sum in an order that does not depend
// on the machine or the number of threads. Package plain defines what each kernel computes.
//
// XLA calls the kernels through its foreign function interface (ffi.h). [Register] registers the
// functions (calls.c) with a plugin. [Replace] replaces operations of a program by calls before the
// program is compiled, since gomlx has no operation for such calls; forms.go has the closed list of
// operations that are replaced. Compiled programs on disk refer to kernels by name, so a kernel
// whose arguments change needs a new name.
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

// Version is the version of what the kernels compute, for records and checkpoints. Raise it with
// every change that may change a bit of a result: the order or grouping of a sum, the precision of
// a step, which operations are replaced. TestBits in internal/programs fails if bits change and
// Version does not.
const Version = 2

// Instructions returns the instruction set that the kernels use on this processor, "avx2", or "" if
// the processor lacks it, in which case there are no kernels.
func Instructions() string {
	if C.conv_can() {
		return "avx2"
	}
	return ""
}

// Register registers the kernels with the plugin for the CPU that has this list of PJRT extensions.
// Call it only if [Instructions] is not "". It reports whether the plugin has the interface for
// kernels; failed is a PJRT_Error, which the caller frees, or nil.
func Register(extensions unsafe.Pointer) (registered bool, failed unsafe.Pointer) {
	var taken C.int
	failed = C.kernels_register(extensions, &taken)
	return taken != 0, failed
}

// Replace replaces the operations of a program for which there are kernels by calls, and leaves the
// others. The program is StableHLO as go-xla writes it. counts maps names of kernels to numbers of
// calls.
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
		if kernel, config, ok := o.findKernel(); ok {
			replaced = append(append(replaced, text[done:at]...), o.call(kernel, config)...)
			done = at + length
			counts[kernel]++
		}
	}
	return append(replaced, text[done:]...), counts
}

// call returns the text of a kernel's call that replaces the operation.
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

// layouts returns the text that declares arrays of these shapes to be in row-major order.
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
