package kernels

/*
#include <stdlib.h>
#include "ffi.h"
*/
import "C"

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unsafe"
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
	agrees func(o *operation, numbers map[string]string) bool
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
		agrees: func(o *operation, numbers map[string]string) bool {
			start, err1 := strconv.ParseInt(numbers["start_indices"], 10, 64)
			limit, err2 := strconv.ParseInt(numbers["limit_indices"], 10, 64)
			return err1 == nil && err2 == nil && limit-start == o.out[0][0]
		},
	},
	{kernel: "nb201.reverse", operation: "reverse", attributes: map[string]string{"dimensions": "array<i64: 0, 1>"}},
	{kernel: "nb201.transpose", operation: "transpose", attributes: map[string]string{"permutation": "array<i64: 0, 1, 3, 2>"}},
}

// convolution returns the form of a convolution, or of the gradient of its weights. The weights are
// taps x taps. The input is spread with spread-1 zeros between its pixels, as it is in the gradient
// of a convolution of that stride.
func convolution(kernel string, taps, stride, spread int64) form {
	pair := func(n int64) string { return "array<i64: " + decimal(n) + ", " + decimal(n) + ">" }
	start := taps / 2
	end := start + spread - 1 // pads again what the last, incomplete stride cut off
	attributes := map[string]string{
		"dimension_numbers":   "#stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>",
		"window_strides":      pair(stride),
		"lhs_dilation":        pair(spread),
		"rhs_dilation":        pair(1),
		"window_reversal":     "array<i1: false, false>",
		"feature_group_count": "1 : i64",
		"batch_group_count":   "1 : i64",
		"precision_config":    "[#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]",
	}
	weights := kernel == "nb201.conv_weights"
	if weights { // dy takes the place of the weights, with its pixels a stride apart
		attributes["dimension_numbers"] = "#stablehlo.conv<[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]>"
		attributes["window_strides"], attributes["rhs_dilation"] = pair(1), pair(stride)
		end = taps - start - stride
	}
	padding := "[" + decimal(start) + ", " + decimal(end) + "]"
	attributes["padding"] = "dense<[" + padding + ", " + padding + "]> : tensor<2x2xi64>"
	agrees := func(o *operation, _ map[string]string) bool {
		x, w, y := o.in[0], o.in[1], o.out[0]
		if weights {
			w, y = y, w
		}
		return w[0] == taps && y[1]*stride == x[1]*spread
	}
	return form{kernel: kernel, operation: "convolution", attributes: attributes, agrees: agrees}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// findKernel returns the name of the kernel for an operation, and the text of its attribute in a
// call. ok is false if there is no such kernel.
func (o *operation) findKernel() (name, config string, ok bool) {
	for _, f := range forms {
		numbers, matches := f.match(o)
		if !matches {
			continue
		}
		var kind C.int
		var value unsafe.Pointer
		text := numbers[f.given.from]
		switch f.given.kind {
		case "f32":
			n, err := strconv.ParseFloat(text, 32)
			if err != nil || !(n > 0) || math.IsInf(n, 0) {
				continue
			}
			single := C.float(n)
			kind, value = C.FFI_F32, unsafe.Pointer(&single)
		case "i64":
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				continue
			}
			integer := C.int64_t(n)
			kind, value = C.FFI_S64, unsafe.Pointer(&integer)
		}
		if f.given.kind != "" {
			config = f.given.name + " = " + text + " : " + f.given.kind
		}
		if o.acceptedBy(f.kernel, kind, value) && (f.agrees == nil || f.agrees(o, numbers)) {
			return f.kernel, config, true
		}
	}
	return "", "", false
}

// match reports whether an operation has the form's name and exactly its attributes. numbers maps
// names of attributes to the numbers in the place of *.
func (f *form) match(o *operation) (numbers map[string]string, ok bool) {
	if o.name != f.operation {
		return nil, false
	}
	numbers, found := map[string]string{}, 0
	for name, want := range f.attributes {
		value, has := o.attributes[name]
		if !has {
			if name == "precision_config" { // if it is missing, it is DEFAULT
				continue
			}
			return nil, false
		}
		found++
		before, after, open := strings.Cut(strings.Join(strings.Fields(want), ""), "*")
		number, begins := strings.CutPrefix(unsplat(value), before)
		number, ends := strings.CutSuffix(number, after)
		if !begins || !ends || !open && number != "" {
			return nil, false
		}
		numbers[name] = number
	}
	return numbers, found == len(o.attributes)
}

// acceptedBy reports whether a kernel accepts the operands and results of an operation, and an
// attribute of a type (0: none) with the value that value points to. It calls the kernel's own
// check (calls.c).
func (o *operation) acceptedBy(kernel string, attribute C.int, value unsafe.Pointer) bool {
	if len(o.in)+len(o.out) > C.FFI_MOST_ARRAYS {
		return false
	}
	var shapes [C.FFI_MOST_ARRAYS]C.struct_ffi_shape
	for i, shape := range append(o.in[:len(o.in):len(o.in)], o.out...) {
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
	return bool(C.kernels_fit(name, C.int(len(o.in)), C.int(len(o.out)), &shapes[0], attribute, value))
}

var splat = regexp.MustCompile(`^dense<(-?[0-9]+)>:tensor<2x2xi64>$`)

// unsplat expands a padding that is written as a single number.
func unsplat(value string) string {
	return splat.ReplaceAllString(value, "dense<[[$1,$1],[$1,$1]]>:tensor<2x2xi64>")
}
