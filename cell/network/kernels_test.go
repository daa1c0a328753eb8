package network

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building

	"nb201/internal/backend/devicetest"
)

// TestOnCPU builds each kind of layer in the network. Every operation that has a kernel must
// become a call of it, the kernel must accept the call, and the results must be those of
// reference.
func TestOnCPU(t *testing.T) {
	compiled := devicetest.Kernels(t)
	f := form{"fp32", onCPU{}, dtypes.Float32, 1e-5, 1.0 / (1 << 22)} // sums of up to 576 products
	// expect compares a layer with reference, and its program with counts of kernels.
	expect := func(name string, want map[string]int, inputs [][]int, build func(layers, []*Node) []*Node) {
		t.Helper()
		before := len(compiled())
		if off := f.compare(t, name, inputs, build); !(off <= 1) {
			t.Errorf("%s: off by %.2g times the bound", name, off)
		}
		got := map[string]int{}
		for _, p := range compiled()[before:] {
			maps.Copy(got, p.Kernels)
			for _, left := range []string{"stablehlo.convolution", "stablehlo.batch_norm", "stablehlo.reverse"} {
				if bytes.Contains(p.Text, []byte(left)) {
					t.Errorf("%s: a %s is left", name, left)
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s calls %v, not %v", name, got, want)
		}
	}
	for _, s := range []struct{ taps, stride, size, in, out int }{
		{3, 1, 8, 3, 16}, {3, 1, 8, 3, 8}, // the stem
		{3, 1, 8, 16, 16}, {3, 1, 4, 64, 64}, // cells
		{3, 1, 8, 8, 8}, {3, 1, 4, 24, 40}, // cells of the size search space
		{3, 2, 8, 16, 32}, {3, 2, 8, 56, 8}, // reductions
		{1, 1, 4, 16, 32}, {1, 1, 4, 40, 24},
	} {
		name := fmt.Sprintf("%+v: ", s)
		x, w := []int{2, s.size, s.size, s.in}, []int{s.taps, s.taps, s.in, s.out}
		dy := []int{2, s.size / s.stride, s.size / s.stride, s.out}
		expect(name+"convolution", map[string]int{"nb201.conv": 1}, [][]int{x, w}, func(l layers, in []*Node) []*Node {
			return []*Node{l.conv(in[0], in[1], s.stride)}
		})
		expect(name+"gradient of the weights", map[string]int{"nb201.conv_weights": 1}, [][]int{x, dy, w}, func(l layers, in []*Node) []*Node {
			return []*Node{l.convWeightGrad(in[0], in[1], in[2], s.stride)}
		})
		if s.in == 3 {
			continue // nothing needs the gradient of images
		}
		expect(name+"gradient of the input", map[string]int{"nb201.conv": 1, "nb201.reverse": 1, "nb201.transpose": 1}, [][]int{x, dy, w}, func(l layers, in []*Node) []*Node {
			return []*Node{l.convInputGrad(in[0], in[1], in[2], s.stride)}
		})
	}
	for _, s := range []struct{ size, channels int }{{8, 16}, {4, 64}, {8, 8}, {4, 56}} {
		x, vector := []int{2, s.size, s.size, s.channels}, []int{s.channels}
		expect(fmt.Sprintf("%+v: batch normalisation", s), map[string]int{"nb201.batch_norm": 1, "nb201.batch_norm_gradient": 1}, [][]int{x, vector, vector, x}, func(l layers, in []*Node) []*Node {
			return batchNorm(l, in[0], in)
		})
	}
}
