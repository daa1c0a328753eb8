// Package kernels implements the layers that take most of the time on a CPU, convolutions and batch
// normalisation in training, in C and makes XLA call them.
//
// XLA:CPU's code for these convolutions is two to eight times slower than the processor allows. It
// can call oneDNN's, but the resulting programs cannot be kept on disk. And it compiles a dozen
// small functions for each normalisation. The kernels here need no compiling at run time, and sum in an order
// that does not depend on the machine or the number of threads. Some compute a layer (conv.c, norm.c,
// calls.c), and others several layers in one pass over memory (fused.c, mix.c), with fewer products in 3x3
// convolutions (convolution.c, winograd.c). Package plain defines what each kernel computes.
//
// Their inner loops (conv_loops.h and others) are written once, with vectors of floats (lanes.h), and
// compiled for each instruction set: plain.c, avx2.c, avx512.c. sets.c chooses one when the program starts.
//
// XLA calls the kernels through its foreign function interface ([nb201/internal/ffi]). [Register] registers the
// functions (calls.c) with a plugin. [Replace] replaces operations of a program by calls before the
// program is compiled, since gomlx has no operation for such calls; forms.go has the closed list of
// operations that are replaced. A kernel that computes several layers takes the place of a function that the
// program calls (call.go). Compiled programs on disk refer to kernels by name, and are
// found by the program's text. So a kernel that computes something else from the same arguments needs a new name.
package kernels

/*
#cgo CFLAGS: -std=c11 -O3 -pthread -I${SRCDIR}/../ffi
#cgo LDFLAGS: -lm
#include <stdlib.h>
#include "calls.h"
#include "sets.h"
*/
import "C"

import (
	"os"
	"slices"
	"unsafe"

	"nb201/internal/stablehlo"
	"nb201/internal/usage"
)

// Version is the version of what the kernels compute, for records and checkpoints. Raise it with
// every change that may change a bit of a result: the order or grouping of a sum, the precision of
// a step, which operations are replaced. TestBits in internal/programs fails if bits change and
// Version does not.
const Version = 3

// MixTerms and MixSources are the most terms of a call of nb201.mix, and the most maps that they may read (mix.h).
const (
	MixTerms   = C.MIX_TERMS
	MixSources = C.MIX_SOURCES
)

// Variable is the environment variable that names the instruction set to use instead of the best that the
// processor has: plain, avx2 or avx512. It is read when the program starts.
const Variable = "NB201_KERNELS"

// Instructions returns the instruction set that the kernels use in this process: "avx512", "avx2", or
// "plain" for what every processor has.
func Instructions() string { return C.GoString(C.kernels_chosen().name) }

// Has reports whether this processor has an instruction set that [Variable] can name.
func Has(instructions string) bool {
	name := C.CString(instructions)
	defer C.free(unsafe.Pointer(name))
	return bool(C.kernels_has(name))
}

// CheckVariable returns a usage error if [Variable] names no instruction set, or one that this processor
// lacks.
func CheckVariable() error {
	name := os.Getenv(Variable)
	switch {
	case name == "", Has(name):
		return nil
	case slices.Contains([]string{"plain", "avx2", "avx512"}, name):
		return usage.Errorf("%s: this processor does not have %s; use %s, or unset the variable", Variable, name, Instructions())
	}
	return usage.Errorf("%s: %q is none of plain, avx2 and avx512", Variable, name)
}

// Register registers the kernels with the plugin for the CPU that has this list of PJRT extensions. It
// reports whether the plugin has the interface for kernels; failed is a PJRT_Error, which the caller frees,
// or nil.
func Register(extensions unsafe.Pointer) (registered bool, failed unsafe.Pointer) {
	var taken C.int
	failed = C.kernels_register(extensions, &taken)
	return taken != 0, failed
}

// Replace replaces the operations of a program for which there are kernels by calls, and leaves the
// others. It replaces the calls of functions that are named by [Call.Symbol], too. The program is StableHLO as go-xla writes it. counts maps names of kernels to numbers of
// calls.
func Replace(program []byte) (replaced []byte, counts map[string]int) {
	counts = map[string]int{}
	replaced = stablehlo.Replace(program, func(o *stablehlo.Operation, _ string) (r stablehlo.Replacement, ok bool) {
		kernel, config, ok := findKernel(o)
		if o.Name == "call" {
			kernel, config, ok = findCall(o)
		}
		if ok {
			r.Operation = o.Call(kernel, config, stablehlo.RowMajor(o.In...), stablehlo.RowMajor(o.Out...))
			counts[kernel]++
		}
		return r, ok
	})
	return replaced, counts
}

// RemoveFunctions removes the functions that stand for kernels ([Call]) from a program, so that XLA refuses
// a call of one that is left.
func RemoveFunctions(program []byte) []byte { return stablehlo.RemoveFunctions(program, prefix) }
