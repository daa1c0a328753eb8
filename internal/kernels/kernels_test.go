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

// TestReplace changes a program here and there, so that kernels no longer fit: the
// operation must then stay as it is. What kernels compute is tested in internal/programs.
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
		replaced := string(Replace([]byte("before\n" + program + "after\n")))
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
