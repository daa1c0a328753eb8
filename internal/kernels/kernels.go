// Package kernels has this program's own code for the layers that cost the most on a CPU,
// convolutions and batch normalisation in training, and has XLA call it.
//
// XLA:CPU's own code for these convolutions is two to eight times slower than the
// processor allows; oneDNN's, which it can call, ends in programs that cannot be kept on
// disk; and it compiles a dozen small functions for each normalisation. Ours (conv.c,
// norm.c) reaches what the processor and its memory can do, takes no time to compile, and
// sums in an order that depends on no machine or number of threads.
//
// XLA calls it through its foreign function interface (ffi.h): Register gives the
// functions (calls.c) to a plugin, and Replace puts calls of them in the place of operations
// in a program before it is compiled, since gomlx has no operation for such calls. Compiled
// programs on disk name kernels: one that takes other arguments needs another name.
package kernels

/*
#cgo CFLAGS: -std=c11 -O3 -pthread
#cgo LDFLAGS: -lm
#include "conv.h"
#include "ffi.h"
#include "norm.h"
*/
import "C"

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unsafe"
)

// Register gives the kernels to the plugin for the CPU with a list of PJRT extensions.
// It tells whether the plugin has taken them, which it has not where the processor or the
// plugin lacks something; failed is a PJRT_Error, which the caller frees, or nil.
func Register(extensions unsafe.Pointer) (registered bool, failed unsafe.Pointer) {
	var taken C.int
	failed = C.kernels_register(extensions, &taken)
	return taken != 0, failed
}

// Replace puts calls of kernels in the place of the operations of a program, StableHLO as
// go-xla writes it, for which there are kernels, and leaves the others.
func Replace(program []byte) []byte {
	return replaceable.ReplaceAllFunc(program, func(text []byte) []byte {
		o := parse(string(text))
		name, config := o.kernel()
		if name == "" {
			return text
		}
		return fmt.Appendf(nil, `"stablehlo.custom_call"(%s) {
  api_version = 4 : i32,
  backend_config = {%s},
  call_target_name = %q,
  has_side_effect = false,
  operand_layouts = [%s],
  result_layouts = [%s]
} : (%s) -> %s`, o.arguments, config, name, layouts(o.in), layouts(o.out), o.inTypes, o.outTypes)
	})
}

var (
	replaceable = regexp.MustCompile(`"stablehlo\.(convolution|batch_norm_training|batch_norm_grad|slice|reverse|transpose)"\(([^)]*)\) \{([^}]*)\} : \(([^)]*)\) -> (\([^)]*\)|tensor<[^>]*>)`)
	float32Type = regexp.MustCompile(`tensor<([0-9x]+)xf32>`)
	anyType     = regexp.MustCompile(`tensor<[^>]*>`)
)

// operation is an operation of a program.
type operation struct {
	name, arguments   string
	attributes        map[string]string
	inTypes, outTypes string
	in, out           [][]int // the shapes of what it takes and makes; nil unless all are of float32
}

// parse reads an operation that replaceable has found.
func parse(text string) *operation {
	m := replaceable.FindStringSubmatch(text)
	o := &operation{name: m[1], arguments: m[2], attributes: map[string]string{}, inTypes: m[4], outTypes: m[5]}
	for line := range strings.Lines(m[3]) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
			o.attributes[name] = strings.TrimSuffix(value, ",")
		}
	}
	o.in, o.out = shapesOf(o.inTypes), shapesOf(o.outTypes)
	return o
}

func shapesOf(types string) (shapes [][]int) {
	all := float32Type.FindAllStringSubmatch(types, -1)
	if len(all) != len(anyType.FindAllString(types, -1)) {
		return nil
	}
	for _, m := range all {
		var shape []int
		for dimension := range strings.SplitSeq(m[1], "x") {
			n, _ := strconv.Atoi(dimension)
			shape = append(shape, n)
		}
		shapes = append(shapes, shape)
	}
	return shapes
}

// kernel is the name of the kernel for an operation and its attributes; "" where there is
// none.
func (o *operation) kernel() (name, config string) {
	if o.in == nil || o.out == nil {
		return "", ""
	}
	switch o.name {
	case "batch_norm_training", "batch_norm_grad":
		x := o.in[0]
		if x[len(x)-1]%C.NORM_BLOCK != 0 || o.attributes["feature_index"] != fmt.Sprintf("%d : i64", len(x)-1) {
			return "", ""
		}
		name = "nb201.batch_norm"
		if o.name == "batch_norm_grad" {
			name += "_gradient"
		}
		return name, "epsilon = " + o.attributes["epsilon"]
	case "convolution":
		switch o.attributes["dimension_numbers"] {
		case "#stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>":
			if o.isConvolution(o.in[0], o.in[1], o.out[0], "window_strides", 1) {
				return "nb201.conv", ""
			}
		case "#stablehlo.conv<[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]>":
			if o.isConvolution(o.in[0], o.out[0], o.in[1], "rhs_dilation", 0) {
				return "nb201.conv_weights", ""
			}
		}
	case "slice":
		start, ok := strings.CutPrefix(o.attributes["start_indices"], "array<i64: ")
		if len(o.in[0]) == 1 && ok && o.attributes["strides"] == "array<i64: 1>" {
			return "nb201.slice", "start = " + strings.TrimSuffix(start, ">") + " : i64"
		}
	case "reverse":
		if len(o.in[0]) == 4 && o.attributes["dimensions"] == "array<i64: 0, 1>" {
			return "nb201.reverse", ""
		}
	case "transpose":
		if len(o.in[0]) == 4 && o.attributes["permutation"] == "array<i64: 0, 1, 3, 2>" {
			return "nb201.transpose", ""
		}
	}
	return "", ""
}

// isConvolution tells whether a convolution is one that kernels are for, or the gradient of
// its weights, in shape: of input x, weights w and output y, with 1x1 or 3x3 taps. stride
// names the attribute that is a stride of 2, for which the padding at the end is endOf2.
func (o *operation) isConvolution(x, w, y []int, stride string, endOf2 int) bool {
	start := w[0] / 2 // of the padding
	outStep, inStep, end := 1, 1, start
	switch {
	case y[1] < x[1]:
		outStep, end = 2, endOf2
	case y[1] > x[1]:
		inStep, end = 2, 2
	}
	want := map[string]string{
		"padding":             fmt.Sprintf("dense<[[%[1]d, %[2]d], [%[1]d, %[2]d]]> : tensor<2x2xi64>", start, end),
		"lhs_dilation":        fmt.Sprintf("array<i64: %[1]d, %[1]d>", inStep),
		"window_strides":      "array<i64: 1, 1>",
		"rhs_dilation":        "array<i64: 1, 1>",
		"window_reversal":     "array<i1: false, false>",
		"feature_group_count": "1 : i64",
		"batch_group_count":   "1 : i64",
	}
	want[stride] = fmt.Sprintf("array<i64: %[1]d, %[1]d>", outStep)
	for name, value := range want {
		if o.attributes[name] != value {
			return false
		}
	}
	return (w[0] == 3 || w[0] == 1 && outStep == 1 && inStep == 1) && w[1] == w[0] && y[3]%C.CONV_BLOCK == 0 && y[1]*outStep == x[1]*inStep && y[2]*outStep == x[2]*inStep
}

// layouts says that arrays of these shapes lie in memory row by row.
func layouts(shapes [][]int) string {
	var all []string
	for _, shape := range shapes {
		var order []string
		for axis := len(shape) - 1; axis >= 0; axis-- {
			order = append(order, strconv.Itoa(axis))
		}
		all = append(all, fmt.Sprintf("dense<[%s]> : tensor<%dxindex>", strings.Join(order, ", "), len(shape)))
	}
	return strings.Join(all, ", ")
}
