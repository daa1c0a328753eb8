package kernels

import (
	"strings"
	"testing"
)

const convolution3x3 = `          %69 = "stablehlo.convolution"(%67, %68) {
            batch_group_count = 1 : i64,
            dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>,
            feature_group_count = 1 : i64,
            lhs_dilation = array<i64: 1, 1>,
            padding = dense<[[1, 1], [1, 1]]> : tensor<2x2xi64>,
            precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>],
            rhs_dilation = array<i64: 1, 1>,
            window_reversal = array<i1: false, false>,
            window_strides = array<i64: 1, 1>
          } : (tensor<256x16x16x3xf32>, tensor<3x3x3x16xf32>) -> tensor<256x16x16x16xf32>
`

// TestReplace changes operations so that no kernel fits; they must then stay as they are. What the
// kernels compute is tested in internal/programs.
func TestReplace(t *testing.T) {
	norm := `%1, %2, %3 = "stablehlo.batch_norm_training"(%x, %s, %b) {
  epsilon = 1.0e-05 : f32,
  feature_index = 3 : i64
} : (tensor<2x4x4x16xf32>, tensor<16xf32>, tensor<16xf32>) -> (tensor<2x4x4x16xf32>, tensor<16xf32>, tensor<16xf32>)
`
	for _, c := range []struct{ name, program, old, new, want string }{
		{"convolution", convolution3x3, "", "", "nb201.conv"},
		{"groups", convolution3x3, "feature_group_count = 1", "feature_group_count = 3", ""},
		{"other channels", convolution3x3, "16xf32>", "20xf32>", ""},
		{"8 channels", convolution3x3, "16xf32>", "8xf32>", "nb201.conv"},
		{"40 channels", convolution3x3, "16xf32>", "40xf32>", "nb201.conv"},
		{"float64", convolution3x3, "xf32>", "xf64>", ""},
		{"bfloat16", convolution3x3, "xf32>", "xbf16>", ""},
		{"mixed", convolution3x3, "tensor<3x3x3x16xf32>", "tensor<3x3x3x16xbf16>", ""},
		{"5x5", convolution3x3, "tensor<3x3x3x16xf32>", "tensor<5x5x3x16xf32>", ""},
		{"padding", convolution3x3, "[[1, 1], [1, 1]]", "[[0, 2], [1, 1]]", ""},
		{"dilation", convolution3x3, "rhs_dilation = array<i64: 1, 1>", "rhs_dilation = array<i64: 2, 2>", ""},
		{"reversed", convolution3x3, "false, false", "true, true", ""},
		{"axes", convolution3x3, "[b, 0, 1, f]x", "[f, 0, 1, b]x", ""},
		{"batch normalisation", norm, "", "", "nb201.batch_norm"},
		{"another feature axis", norm, "feature_index = 3", "feature_index = 1", ""},
		{"batch normalisation of 24 channels", norm, "16xf32>", "24xf32>", "nb201.batch_norm"},
		{"few channels", norm, "16xf32>", "10xf32>", ""},
		{"slice", `%1 = "stablehlo.slice"(%0) {
  limit_indices = array<i64: 8>,
  start_indices = array<i64: 3>,
  strides = array<i64: 1>
} : (tensor<10xf32>) -> tensor<5xf32>`, "", "", "nb201.slice"},
		{"slice of integers", `%1 = "stablehlo.slice"(%0) {
  limit_indices = array<i64: 8>,
  start_indices = array<i64: 3>,
  strides = array<i64: 1>
} : (tensor<10xi32>) -> tensor<5xi32>`, "", "", ""},
		{"reverse", `%1 = "stablehlo.reverse"(%0) { dimensions = array<i64: 0, 1> } : (tensor<3x3x4x5xf32>) -> tensor<3x3x4x5xf32>`, "", "", "nb201.reverse"},
		{"another reverse", `%1 = "stablehlo.reverse"(%0) { dimensions = array<i64: 0> } : (tensor<3x3x4x5xf32>) -> tensor<3x3x4x5xf32>`, "", "", ""},
		{"another operation", `%1 = "stablehlo.add"(%0, %0) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>`, "", "", ""},
	} {
		program := strings.ReplaceAll(c.program, c.old, c.new)
		if c.old == "" {
			program = c.program
		}
		text, _ := Replace([]byte("before\n" + program + "after\n"))
		replaced := string(text)
		if c.want == "" && replaced != "before\n"+program+"after\n" {
			t.Errorf("%s: the operation has become\n%s", c.name, replaced)
		}
		if c.want != "" && (!strings.Contains(replaced, `call_target_name = "`+c.want+`"`) || strings.Contains(replaced, "stablehlo.conv")) {
			t.Errorf("%s: the operation is not replaced\n%s", c.name, replaced)
		}
		if !strings.HasPrefix(replaced, "before\n") || !strings.HasSuffix(replaced, "after\n") {
			t.Errorf("%s: what is around it has changed", c.name)
		}
	}
}

// TestClosed changes how an operation is written. The list of what is replaced is closed: the same
// operation written in another way is recognised or left alone, and any other is left alone.
func TestClosed(t *testing.T) {
	const (
		attributes = "#stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>"
		precision  = "            precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>],\n"
		slice      = `%1 = "stablehlo.slice"(%0) {limit_indices = array<i64: 8>, start_indices = array<i64: 3>, strides = array<i64: 1>} : (tensor<10xf32>) -> tensor<5xf32>`
		norm       = `%1:3 = "stablehlo.batch_norm_training"(%x, %s, %b) <{epsilon = 1.0e-05 : f32, feature_index = 3 : i64}> : (tensor<2x4x4x16xf32>, tensor<16xf32>, tensor<16xf32>) -> (tensor<2x4x4x16xf32>, tensor<16xf32>, tensor<16xf32>)`
		gradient   = `%1:3 = "stablehlo.batch_norm_grad"(%x, %s, %m, %v, %dy) {epsilon = 1.0e-05 : f32, feature_index = 3 : i64} : (tensor<2x4x4x16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<2x4x4x16xf32>) -> (tensor<2x4x4x16xf32>, tensor<16xf32>, tensor<16xf32>)`
		turned     = `%1 = "stablehlo.transpose"(%0) { permutation = array<i64: 0, 1, 3, 2> } : (tensor<3x3x4x5xf32>) -> tensor<3x3x5x4xf32>`
	)
	edit := func(program string, pairs ...string) string {
		edited := strings.NewReplacer(pairs...).Replace(program)
		if edited == program {
			t.Fatalf("%q changes nothing", pairs)
		}
		return edited
	}
	for _, c := range []struct {
		name, program string
		replaced      bool
	}{
		// The same operation.
		{"properties", edit(convolution3x3, ") {\n", ") <{\n", "          } :", "          }> :"), true},
		{"properties and attributes", edit(convolution3x3, ") {\n", ") <{batch_group_count = 1 : i64}> {\n", "            batch_group_count = 1 : i64,\n", ""), true},
		{"less space", edit(convolution3x3, "array<i64: 1, 1>", "array<i64:1,1>", "[[1, 1], [1, 1]]", "[[1,1],[1,1]]"), true},
		{"one line", strings.Join(strings.Fields(convolution3x3), " "), true},
		{"another order", edit(convolution3x3, "batch_group_count", "feature_group_count", "feature_group_count", "batch_group_count"), true},
		{"splat padding", edit(convolution3x3, "dense<[[1, 1], [1, 1]]>", "dense<1>"), true},
		{"default precision", edit(convolution3x3, precision, ""), true},
		{"a result of several", edit(convolution3x3, "%67", "%67#1"), true},
		{"slice", slice, true},
		{"normalisation", norm, true},
		{"its gradient", gradient, true},
		{"another epsilon", edit(norm, "1.0e-05", "0.5"), true},
		{"transpose", turned, true},
		{"a location behind it", slice + " loc(#loc1)", true},

		// Other operations.
		{"an invented attribute", edit(convolution3x3, "window_strides", "wrap_around = true,\n            window_strides"), false},
		{"an invented attribute beside properties", edit(convolution3x3, ") {\n", ") <{\n", "          } :", "          }> {mhlo.layout = 1 : i64} :"), false},
		{"an attribute without a value", edit(convolution3x3, "window_strides", "unordered,\n            window_strides"), false},
		{"an attribute twice", edit(convolution3x3, "window_strides", "batch_group_count = 1 : i64,\n            window_strides"), false},
		{"a slice's invented attribute", edit(slice, "strides =", "cyclic = true, strides ="), false},
		{"a normalisation's invented attribute", edit(norm, "epsilon", "momentum = 0.1 : f32, epsilon"), false},
		{"precision HIGHEST", edit(convolution3x3, "DEFAULT", "HIGHEST"), false},
		{"precision HIGHEST of one operand", edit(convolution3x3, "DEFAULT>, ", "HIGHEST>, "), false},
		{"no strides", edit(convolution3x3, ",\n            window_strides = array<i64: 1, 1>", ""), false},
		{"groups of a batch", edit(convolution3x3, "batch_group_count = 1", "batch_group_count = 2"), false},
		{"groups of features", edit(convolution3x3, "feature_group_count = 1", "feature_group_count = 2"), false},
		{"dilation of the input", edit(convolution3x3, "lhs_dilation = array<i64: 1, 1>", "lhs_dilation = array<i64: 2, 2>"), false},
		{"dilation of the weights", edit(convolution3x3, "rhs_dilation = array<i64: 1, 1>", "rhs_dilation = array<i64: 1, 2>"), false},
		{"strides that the shapes do not have", edit(convolution3x3, "window_strides = array<i64: 1, 1>", "window_strides = array<i64: 2, 2>"), false},
		{"shapes that the strides do not make", edit(convolution3x3, "-> tensor<256x16x16x16xf32>", "-> tensor<256x8x8x16xf32>"), false},
		{"a window that is turned", edit(convolution3x3, "false, false", "true, false"), false},
		{"another splat padding", edit(convolution3x3, "dense<[[1, 1], [1, 1]]>", "dense<2>"), false},
		{"padding at one end", edit(convolution3x3, "dense<[[1, 1], [1, 1]]>", "dense<[[2, 0], [2, 0]]>"), false},
		{"another type of padding", edit(convolution3x3, "tensor<2x2xi64>", "tensor<2x2xi32>"), false},
		{"one axis", edit(convolution3x3, "dimension_numbers = "+attributes, "dimension_numbers = #stablehlo.conv<[b, 0, f]x[0, i, o]->[b, 0, f]>"), false},
		{"other axes of the weights", edit(convolution3x3, "x[0, 1, i, o]->", "x[0, 1, o, i]->"), false},
		{"other axes of the output", edit(convolution3x3, "->[b, 0, 1, f]>", "->[f, 0, 1, b]>"), false},
		{"5x5 weights", edit(convolution3x3, "tensor<3x3x3x16xf32>", "tensor<5x5x3x16xf32>"), false},
		{"1x1 weights with the padding of 3x3", edit(convolution3x3, "tensor<3x3x3x16xf32>", "tensor<1x1x3x16xf32>"), false},
		{"weights of other channels", edit(convolution3x3, "tensor<3x3x3x16xf32>", "tensor<3x3x4x16xf32>"), false},
		{"an output of other images", edit(convolution3x3, "-> tensor<256x", "-> tensor<128x"), false},
		{"an unknown number of images", edit(convolution3x3, "256x", "?x"), false},
		{"no images", edit(convolution3x3, "256x", "0x"), false},
		{"a layout in a type", edit(convolution3x3, "tensor<256x16x16x3xf32>", "tensor<256x16x16x3xf32, #layout>"), false},
		{"another type", edit(convolution3x3, "tensor<256x16x16x3xf32>", "memref<256x16x16x3xf32>"), false},
		{"three operands", edit(convolution3x3, "(%67, %68)", "(%67, %68, %69)"), false},
		{"a region", edit(convolution3x3, "(%67, %68) {", "(%67, %68) ({ ^bb0: }) {"), false},
		{"a comment", "// " + strings.Join(strings.Fields(convolution3x3), " "), false},
		{"an end that is missing", edit(convolution3x3, "} : (", "} ("), false},
		{"a text that ends early", convolution3x3[:len(convolution3x3)-12], false},
		{"a slice of strides", edit(slice, "strides = array<i64: 1>", "strides = array<i64: 2>"), false},
		{"a slice to another limit", edit(slice, "array<i64: 8>", "array<i64: 9>"), false},
		{"a slice past the end", edit(slice, "array<i64: 8>", "array<i64: 12>", "array<i64: 3>", "array<i64: 7>"), false},
		{"a slice before the start", edit(slice, "array<i64: 8>", "array<i64: 4>", "array<i64: 3>", "array<i64: -1>"), false},
		{"a slice of two axes", edit(slice, "<i64: 8>", "<i64: 8, 1>", "<i64: 3>", "<i64: 3, 0>", "<i64: 1>", "<i64: 1, 1>", "<10xf32>", "<10x1xf32>", "<5xf32>",
			"<5x1xf32>"), false},
		{"no epsilon", edit(norm, "epsilon = 1.0e-05 : f32, ", ""), false},
		{"epsilon in hexadecimal", edit(norm, "1.0e-05", "0x3727C5AC"), false},
		{"epsilon of 0", edit(norm, "1.0e-05", "0.0"), false},
		{"epsilon in float64", edit(norm, "e-05 : f32", "e-05 : f64"), false},
		{"another feature axis", edit(norm, "feature_index = 3", "feature_index = 0"), false},
		{"another mean", edit(norm, "tensor<16xf32>)", "tensor<32xf32>)"), false},
		{"another gradient", edit(gradient, "tensor<2x4x4x16xf32>)", "tensor<2x4x8x16xf32>)"), false},
		{"a vector for a gradient", edit(gradient, "tensor<16xf32>, tensor<2x4x4x16xf32>)", "tensor<16xf32>, tensor<16xf32>)"), false},
		{"another transpose", edit(turned, "0, 1, 3, 2", "1, 0, 2, 3"), false},
		{"a transpose to another shape", edit(turned, "-> tensor<3x3x5x4xf32>", "-> tensor<3x3x4x5xf32>"), false},
		{"an operation with a longer name", edit(slice, "stablehlo.slice", "stablehlo.slice_of"), false},
		{"another dialect", edit(slice, "stablehlo.slice", "chlo.slice"), false},
	} {
		text, counts := Replace([]byte("before\n" + c.program))
		if replaced := len(counts) > 0; replaced != c.replaced || replaced != strings.Contains(string(text), "call_target_name") {
			t.Errorf("%s: %v, and the program is\n%s", c.name, counts, text)
		}
		if !c.replaced && string(text) != "before\n"+c.program {
			t.Errorf("%s: the program has become\n%s", c.name, text)
		}
	}
}

// FuzzReplace looks for a text that makes Replace panic, or in which it changes anything but
// operations.
func FuzzReplace(f *testing.F) {
	f.Add(convolution3x3)
	f.Add(`"stablehlo.slice"(%0) <{a = array<i64: 8`)
	f.Add(`"stablehlo.`)
	f.Fuzz(func(t *testing.T, program string) {
		text, counts := Replace([]byte(program))
		if len(counts) == 0 && string(text) != program {
			t.Errorf("%q has become %q", program, text)
		}
	})
}
