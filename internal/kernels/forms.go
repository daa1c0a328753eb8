package kernels

/*
#include <stdlib.h>
#include "calls.h"
*/
import "C"

import (
	"math"
	"slices"
	"strconv"
	"unsafe"

	"nb201/internal/stablehlo"
)

// form describes a form of an operation that a kernel computes.
type form struct {
	kernel    string
	operation string
	// attributes maps all attributes of the operation to their values as go-xla writes them,
	// with * for a number.
	attributes map[string]string
	// given is the only attribute that is passed to the kernel.
	given attribute
	// agrees reports whether the attributes (strides, padding, limits) mean what the kernel
	// derives from the shapes. nil: always.
	agrees func(o *stablehlo.Operation, numbers map[string]string) bool
}

// attribute describes a kernel's attribute: its name, the name of the operation's attribute that
// has its number, and its type, f32 or i64.
type attribute struct{ name, from, kind string }

// forms lists everything that is replaced. An operation with any other attribute, or any other
// value, is left to XLA, whatever it means. The kernel itself decides which shapes it accepts
// (calls.c).
var forms = []form{
	// The numbers are taps, stride and spread.
	convolution("nb201.conv", 3, 1, 1),
	convolution("nb201.conv", 3, 2, 1),
	convolution("nb201.conv", 3, 1, 2),
	convolution("nb201.conv", 1, 1, 1),
	convolution("nb201.conv_weights", 3, 1, 1),
	convolution("nb201.conv_weights", 3, 2, 1),
	convolution("nb201.conv_weights", 1, 1, 1),
	{
		kernel: "nb201.batch_norm", operation: "batch_norm_training",
		attributes: map[string]string{"epsilon": "* : f32", "feature_index": "3 : i64"},
		given:      attribute{"epsilon", "epsilon", "f32"},
	},
	{
		kernel: "nb201.batch_norm_gradient", operation: "batch_norm_grad",
		attributes: map[string]string{"epsilon": "* : f32", "feature_index": "3 : i64"},
		given:      attribute{"epsilon", "epsilon", "f32"},
	},
	{
		kernel: "nb201.slice", operation: "slice",
		attributes: map[string]string{"start_indices": "array<i64: *>", "limit_indices": "array<i64: *>", "strides": "array<i64: 1>"},
		given:      attribute{"start", "start_indices", "i64"},
		agrees: func(o *stablehlo.Operation, numbers map[string]string) bool {
			start, err1 := strconv.ParseInt(numbers["start_indices"], 10, 64)
			limit, err2 := strconv.ParseInt(numbers["limit_indices"], 10, 64)
			return err1 == nil && err2 == nil && limit-start == o.Out[0][0]
		},
	},
	{kernel: "nb201.reverse", operation: "reverse", attributes: map[string]string{"dimensions": "array<i64: 0, 1>"}},
	{kernel: "nb201.transpose", operation: "transpose", attributes: map[string]string{"permutation": "array<i64: 0, 1, 3, 2>"}},
}

// convolution returns the form of a convolution, or of the gradient of its weights. The weights are
// taps x taps. The input is spread with spread-1 zeros between its pixels, as it is in the gradient
// of a convolution of that stride.
func convolution(kernel string, taps, stride, spread int64) form {
	axes, start := "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]", taps/2
	// The end pads again what the last, incomplete stride cut off.
	attributes := stablehlo.Convolution(axes, stride, spread, 1, start, start+spread-1)
	weights := kernel == "nb201.conv_weights"
	if weights { // dy takes the place of the weights, with its pixels a stride apart
		axes = "[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]"
		attributes = stablehlo.Convolution(axes, 1, 1, stride, start, taps-start-stride)
	}
	agrees := func(o *stablehlo.Operation, _ map[string]string) bool {
		x, w, y := o.In[0], o.In[1], o.Out[0]
		if weights {
			w, y = y, w
		}
		return w[0] == taps && y[1]*stride == x[1]*spread
	}
	return form{kernel: kernel, operation: "convolution", attributes: attributes, agrees: agrees}
}

// findKernel returns the name of the kernel for an operation, and the text of its attribute in a
// call. ok is false if there is no such kernel.
func findKernel(o *stablehlo.Operation) (name, config string, ok bool) {
	for _, f := range forms {
		if o.Name != f.operation {
			continue
		}
		numbers, matches := o.Match(f.attributes)
		if !matches {
			continue
		}
		var value any
		text := numbers[f.given.from]
		switch f.given.kind {
		case "f32":
			n, err := strconv.ParseFloat(text, 32)
			if err != nil || !(n > 0) || math.IsInf(n, 0) {
				continue
			}
			value = float32(n)
		case "i64":
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				continue
			}
			value = n
		}
		if f.given.kind != "" {
			config = f.given.name + " = " + text + " : " + f.given.kind
		}
		if accepts(f.kernel, value, o.In, o.Out) && (f.agrees == nil || f.agrees(o, numbers)) {
			return f.kernel, config, true
		}
	}
	return "", "", false
}

// accepts reports whether a kernel accepts operands and results of these shapes, and an attribute, a
// float32, an int64 or nil. It calls the kernel's own check (calls.c).
func accepts(kernel string, attribute any, in, out [][]int64) bool {
	var kind C.int
	var value unsafe.Pointer
	switch n := attribute.(type) {
	case float32:
		single := C.float(n)
		kind, value = C.FFI_F32, unsafe.Pointer(&single)
	case int64:
		integer := C.int64_t(n)
		kind, value = C.FFI_S64, unsafe.Pointer(&integer)
	}
	if len(in)+len(out) > C.FFI_MOST_ARRAYS {
		return false
	}
	var shapes [C.FFI_MOST_ARRAYS]C.struct_ffi_shape
	for i, shape := range slices.Concat(in, out) {
		if len(shape) > C.FFI_MOST_AXES {
			return false
		}
		shapes[i].rank = C.int64_t(len(shape))
		for axis, n := range shape {
			shapes[i].dims[axis] = C.int64_t(n)
		}
	}
	name := C.CString(kernel)
	defer C.free(unsafe.Pointer(name))
	return bool(C.kernels_fit(name, C.int(len(in)), C.int(len(out)), &shapes[0], kind, value))
}
