package programs

import (
	"strings"
	"testing"

	"nb201/internal/kernels"
)

const (
	floatConvolution = `%2 = "stablehlo.convolution"(%0, %1) {
  batch_group_count = 1 : i64,
  dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>,
  feature_group_count = 1 : i64,
  lhs_dilation = array<i64: 1, 1>,
  padding = dense<[[1, 1], [1, 1]]> : tensor<2x2xi64>,
  precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>],
  rhs_dilation = array<i64: 1, 1>,
  window_reversal = array<i1: false, false>,
  window_strides = array<i64: 1, 1>
} : (tensor<2x8x8x16xf32>, tensor<3x3x16x16xf32>) -> tensor<2x8x8x16xf32>
`
	oneSlice = `%3 = "stablehlo.slice"(%4) {
  limit_indices = array<i64: 8>,
  start_indices = array<i64: 3>,
  strides = array<i64: 1>
} : (tensor<10xf32>) -> tensor<5xf32>
`
)

// A process whose networks get no kernels warns once; one whose networks get some never does.
func TestWithoutKernels(t *testing.T) {
	old := strings.ReplaceAll(floatConvolution, "f32>", "bf16>")
	for _, test := range []struct{ name, missing, program, want string }{
		{"kernels", "", floatConvolution + oneSlice, ""},
		{"no interface", "the plugin has no interface for them", floatConvolution, "the plugin has no interface for them"},
		{"no interface in bfloat16", "the plugin has no interface for them", old + oneSlice, "the plugin has no interface for them"},
		{"no network", "the plugin has no interface for them", oneSlice, ""},
		{"a text that no kernel takes", "", strings.ReplaceAll(floatConvolution, "window_strides", "strides"), "no kernel fits the convolutions"},
		{"convolutions that no kernel takes", "", strings.ReplaceAll(floatConvolution, "window_strides", "strides") + oneSlice, "no kernel fits the convolutions"},
		{"bfloat16", "", old + oneSlice, ""},
		{"bfloat16 that no kernel takes", "", old, "no kernel fits the convolutions"},
	} {
		p := &plugin{kernels: &Kernels{Version: 1, Instructions: "avx2", Missing: test.missing}}
		said := captured(t, func() {
			p.withKernels([]byte(test.program))
			p.withKernels([]byte(test.program))
		})
		if lines := strings.Count(said, "\n"); (test.want != "") != (lines == 1) || lines > 1 || !strings.Contains(said, test.want) {
			t.Errorf("%s: it says %q", test.name, said)
		}
	}
}

// The process's plugin has the kernels, if this processor and the plugin allow.
func TestCPUKernels(t *testing.T) {
	withKernels(t)
	k, ok := CPUKernels()
	if want := (Kernels{Version: kernels.Version, Instructions: kernels.Instructions()}); !ok || k != want {
		t.Errorf("%+v, %v, want %+v", k, ok, want)
	}
}

// A record names the kernels that were used, or "none".
func TestKernelsName(t *testing.T) {
	for want, k := range map[string]Kernels{
		"3 avx2": {Version: 3, Instructions: "avx2"},
		"none":   {Version: 3, Instructions: "avx2", Missing: "the plugin has no interface for them"},
	} {
		if k.String() != want {
			t.Errorf("%+v is %q", k, k)
		}
	}
}
