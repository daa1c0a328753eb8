// Package kernels implements the layers that take most of the time on a CPU, convolutions and batch
// normalisation in training, in C and makes XLA call them.
//
// XLA:CPU's code for these convolutions is two to eight times slower than the processor allows. It
// can call oneDNN's, but the resulting programs cannot be kept on disk. And it compiles a dozen
// small functions for each normalisation. The kernels here (conv.c, norm.c) reach the limits of the
// processor and its memory, need no compiling at run time, and sum in an order that does not depend
// on the machine or the number of threads. Package plain defines what each kernel computes.
//
// XLA calls the kernels through its foreign function interface ([nb201/internal/ffi]). [Register] registers the
// functions (calls.c) with a plugin. [Replace] replaces operations of a program by calls before the
// program is compiled, since gomlx has no operation for such calls; forms.go has the closed list of
// operations that are replaced. Compiled programs on disk refer to kernels by name, so a kernel
// whose arguments change needs a new name.
package kernels

/*
#cgo CFLAGS: -std=c11 -O3 -pthread -I${SRCDIR}/../ffi
#cgo LDFLAGS: -lm
#include "conv.h"
#include "calls.h"
*/
import "C"

import (
	"unsafe"

	"nb201/internal/stablehlo"
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
	counts = map[string]int{}
	replaced = stablehlo.Replace(program, func(o *stablehlo.Operation, _ string) (r stablehlo.Replacement, ok bool) {
		kernel, config, ok := findKernel(o)
		if ok {
			r.Operation = o.Call(kernel, config, stablehlo.RowMajor(o.In...), stablehlo.RowMajor(o.Out...))
			counts[kernel]++
		}
		return r, ok
	})
	return replaced, counts
}
