package cudakernels

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
)

// convolution3x3 is a convolution as go-xla writes it.
const convolution3x3 = `          %69 = "stablehlo.convolution"(%67, %68) {
            batch_group_count = 1 : i64,
            dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[o, 0, 1, i]->[b, 0, 1, f]>,
            feature_group_count = 1 : i64,
            lhs_dilation = array<i64: 1, 1>,
            padding = dense<[[1, 1], [1, 1]]> : tensor<2x2xi64>,
            precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>],
            rhs_dilation = array<i64: 1, 1>,
            window_reversal = array<i1: false, false>,
            window_strides = array<i64: 1, 1>
          } : (tensor<5x16x16x32xf32>, tensor<32x3x3x32xf32>) -> tensor<5x16x16x32xf32>
`

// edit replaces parts of a program.
func edit(t testing.TB, program string, pairs ...string) string {
	edited := strings.NewReplacer(pairs...).Replace(program)
	if len(pairs) > 0 && edited == program {
		t.Fatalf("%q changes nothing", pairs)
	}
	return edited
}

// TestReplace changes how a convolution is written, or what it is. It must be replaced by a call of
// the right kernel, or stay as it is.
func TestReplace(t *testing.T) {
	gradient := []string{
		"[b, 0, 1, f]x[o, 0, 1, i]->[b, 0, 1, f]", "[f, 0, 1, b]x[i, 0, 1, o]->[f, 0, 1, b]",
		"tensor<32x3x3x32xf32>) -> tensor<5x16x16x32xf32>", "tensor<5x16x16x32xf32>) -> tensor<32x3x3x32xf32>",
	}
	for _, c := range []struct {
		name  string
		pairs []string
		want  string // a kernel without its precision, "" for none
	}{
		{"convolution", nil, "conv"},
		{"gradient of the input", []string{"x[o, 0, 1, i]", "x[i, 0, 1, o]"}, "input_gradient"},
		{"gradient of the weights", gradient, "weight_gradient"},
		{"1x1", []string{"32x3x3x32", "32x1x1x32", "[[1, 1], [1, 1]]", "[[0, 0], [0, 0]]"}, "conv"},
		{"16 channels", []string{"x32xf32", "x16xf32", "32x3x3x32xf32", "16x3x3x16xf32"}, "conv"},
		{"64 channels of 4x4", []string{"5x16x16x32xf32", "5x4x4x64xf32", "32x3x3x32xf32", "64x3x3x64xf32"}, "conv"},
		{"one image", []string{"5x16x", "1x16x"}, "conv"},
		{"properties", []string{") {\n", ") <{\n", "          } :", "          }> :"}, "conv"},
		{"default precision", []string{"            precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>],\n", ""}, "conv"},
		{"splat padding", []string{"dense<[[1, 1], [1, 1]]>", "dense<1>"}, "conv"},

		{"a gradient with a name", append([]string{"%69 =", "%a ="}, gradient...), ""},
		{"a gradient behind another operation", append([]string{"%69 =", "%1 = \"stablehlo.iota\"() %69 ="}, gradient...), ""},
		{"a gradient of another size", append([]string{"tensor<5x16x16x32xf32>, tensor<32x3x3x32xf32>)", "tensor<5x16x16x32xf32>, tensor<5x8x8x32xf32>)"}, gradient[:2]...), ""},
		{"high precision", []string{"precision DEFAULT", "precision HIGHEST"}, ""},
		{"1x1 with the padding of 3x3", []string{"32x3x3x32", "32x1x1x32"}, ""},
		{"3x3 without padding", []string{"[[1, 1], [1, 1]]", "[[0, 0], [0, 0]]"}, ""},
		{"5x5", []string{"32x3x3x32", "32x5x5x32"}, ""},
		{"padding on one side", []string{"[[1, 1], [1, 1]]", "[[1, 1], [0, 2]]"}, ""},
		{"24 channels", []string{"x32xf32", "x24xf32", "32x3x3x32xf32", "24x3x3x24xf32"}, ""},
		{"other channels of the output", []string{"tensor<32x3x3x32xf32>", "tensor<16x3x3x32xf32>", "-> tensor<5x16x16x32xf32>", "-> tensor<5x16x16x16xf32>"}, ""},
		{"8x8", []string{"5x16x16x32", "5x12x12x32"}, ""},
		{"maps that are not square", []string{"5x16x16x32", "5x16x8x32"}, ""},
		{"another output", []string{"-> tensor<5x16x16x32xf32>", "-> tensor<4x16x16x32xf32>"}, ""},
		{"stride 2", []string{"window_strides = array<i64: 1, 1>", "window_strides = array<i64: 2, 2>"}, ""},
		{"a spread input", []string{"lhs_dilation = array<i64: 1, 1>", "lhs_dilation = array<i64: 2, 2>"}, ""},
		{"spread weights", []string{"rhs_dilation = array<i64: 1, 1>", "rhs_dilation = array<i64: 2, 2>"}, ""},
		{"reversed weights", []string{"false, false", "true, true"}, ""},
		{"groups", []string{"feature_group_count = 1", "feature_group_count = 2"}, ""},
		{"HWIO", []string{"x[o, 0, 1, i]", "x[0, 1, i, o]"}, ""},
		{"NCHW", []string{"[b, 0, 1, f]x", "[b, f, 0, 1]x"}, ""},
		{"bfloat16", []string{"xf32>", "xbf16>"}, ""},
		{"float64", []string{"xf32>", "xf64>"}, ""},
		{"no images", []string{"5x16x", "0x16x"}, ""},
		{"an unknown number of images", []string{"5x16x", "?x16x"}, ""},
		{"too many images", []string{"5x16x", "2147483647x16x"}, ""},
		{"a vector", []string{"tensor<5x16x16x32xf32>, ", "tensor<5xf32>, "}, ""},
		{"an attribute more", []string{"batch_group_count = 1 : i64,", "batch_group_count = 1 : i64, other = 1 : i64,"}, ""},
		{"another operation", []string{"stablehlo.convolution", "stablehlo.correlation"}, ""},
		{"a comment", []string{"          %69", "// %69"}, ""},
	} {
		for _, precision := range []Precision{FP32, TF32} {
			program := edit(t, convolution3x3, c.pairs...)
			text, counts := Replace([]byte("before\n"+program+"after\n"), precision)
			if c.want == "" {
				if string(text) != "before\n"+program+"after\n" || len(counts) != 0 {
					t.Errorf("%s: %v, and the operation has become\n%s", c.name, counts, text)
				}
				continue
			}
			kernel := fmt.Sprintf("nb201.cuda.%s_%s", c.want, precision)
			if !maps.Equal(counts, map[string]int{kernel: 1}) || strings.Count(string(text), fmt.Sprintf("call_target_name = %q", kernel)) != 1 ||
				strings.Contains(string(text), "stablehlo.convolution") || !strings.HasPrefix(string(text), "before\n") || !strings.HasSuffix(string(text), "\nafter\n") {
				t.Errorf("%s: %v, and the operation has become\n%s", c.name, counts, text)
			}
			if strings.Count(string(text), "%69 = ") != 1 || !strings.Contains(string(text), fmt.Sprintf("version = %d : i64", Version)) {
				t.Errorf("%s: no result %%69, or no version\n%s", c.name, text)
			}
		}
	}
}

// TestParts checks the text of a gradient of weights: a call that computes parts, and their sum.
func TestParts(t *testing.T) {
	text, _ := Replace([]byte(edit(t, convolution3x3, "[b, 0, 1, f]x[o, 0, 1, i]->[b, 0, 1, f]", "[f, 0, 1, b]x[i, 0, 1, o]->[f, 0, 1, b]",
		"tensor<32x3x3x32xf32>) -> tensor<5x16x16x32xf32>", "tensor<5x16x16x32xf32>) -> tensor<32x3x3x32xf32>")), FP32)
	for _, want := range []string{
		"%zero_69 = \"stablehlo.constant\"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>\n",
		"%parts_69 = \"stablehlo.custom_call\"(%67, %68) {\n",
		"operand_layouts = [dense<[2, 1, 3, 0]> : tensor<4xindex>, dense<[2, 1, 3, 0]> : tensor<4xindex>],\n",
		"result_layouts = [dense<[4, 3, 2, 1, 0]> : tensor<5xindex>]\n",
		"          %69 = \"stablehlo.reduce\"(%parts_69, %zero_69) ({\n",
		"}) {dimensions = array<i64: 0>} : (tensor<3x32x3x3x32xf32>, tensor<f32>) -> tensor<32x3x3x32xf32>\n", // 5 images, 2 to a block
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestCompiled compares sources.sha256, which `make cuda-kernels` writes, with the sources and the
// compiled kernels.
func TestCompiled(t *testing.T) {
	sums, err := os.ReadFile("sources.sha256")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(sums), "\n"), "\n")
	for i, name := range []string{"conv.cu", "shapes.h", "kernels.fatbin"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%x  %s", sha256.Sum256(content), name); i >= len(lines) || lines[i] != want {
			t.Errorf("%s is not what kernels.fatbin was compiled from or to; run `make cuda-kernels`", name)
		}
	}
}

// TestWithoutDriver: a machine without a GPU has no compute capability.
func TestWithoutDriver(t *testing.T) {
	if got := CapabilityOf(-1); got != 0 {
		t.Errorf("GPU -1 has compute capability %d", got)
	}
}

// FuzzReplace looks for a text that makes Replace panic, or in which it changes anything but
// operations.
func FuzzReplace(f *testing.F) {
	f.Add(convolution3x3)
	f.Add(edit(f, convolution3x3, "[b, 0, 1, f]x[o, 0, 1, i]->[b, 0, 1, f]", "[f, 0, 1, b]x[i, 0, 1, o]->[f, 0, 1, b]",
		"tensor<32x3x3x32xf32>) -> tensor<5x16x16x32xf32>", "tensor<5x16x16x32xf32>) -> tensor<32x3x3x32xf32>"))
	f.Fuzz(func(t *testing.T, program string) {
		text, counts := Replace([]byte(program), FP32)
		if len(counts) == 0 && string(text) != program {
			t.Errorf("%q has become %q", program, text)
		}
	})
}
