package network

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/internal/backend"
)

func openBackend(t *testing.T) compute.Backend {
	t.Helper()
	cpu, err := backend.ParseDevice("cpu")
	if err != nil {
		t.Fatal(err)
	}
	b, err := backend.OpenDevice(cpu, false)
	if err != nil {
		t.Fatal(err) // `make setup` installs the plugin
	}
	t.Cleanup(b.Backend.Finalize)
	return b.Backend
}

// TestLayers holds the layers of either device against the reference, in float32.
func TestLayers(t *testing.T) {
	b := openBackend(t)
	for _, k := range []int{1, 3} {
		for _, stride := range []int{1, 2} {
			if k == 1 && stride == 2 {
				continue // the search space has none
			}
			x, w := []int{5, 8, 8, 3}, []int{k, k, 3, 4}
			dy := []int{5, 8 / stride, 8 / stride, 4}
			name := fmt.Sprintf("%dx%d stride %d ", k, k, stride)
			compare(t, b, name+"convolution", [][]int{x, w}, func(l layers, in []*Node) []*Node {
				return []*Node{l.conv(in[0], in[1], stride)}
			})
			compare(t, b, name+"gradients", [][]int{x, dy, w}, func(l layers, in []*Node) []*Node {
				return []*Node{l.convInputGrad(in[0], in[1], in[2], stride), l.convWeightGrad(in[0], in[1], in[2], stride)}
			})
		}
	}
	// Long sums, and channels enough for what the backend has for them.
	x, dy, w := []int{130, 16, 16, 32}, []int{130, 8, 8, 16}, []int{3, 3, 32, 16}
	compare(t, b, "gradient of a batch", [][]int{x, dy, w}, func(l layers, in []*Node) []*Node {
		return []*Node{MulScalar(l.convWeightGrad(in[0], in[1], in[2], 2), 1.0/64)}
	})
	compare(t, b, "sum of a neighbourhood", [][]int{{5, 8, 4, 3}}, func(l layers, in []*Node) []*Node {
		return []*Node{l.boxSum(in[0])}
	})
	compare(t, b, "batch normalisation", [][]int{{5, 8, 8, 3}, {3}, {3}, {5, 8, 8, 3}}, func(l layers, in []*Node) []*Node {
		y, mean, variance, back := l.batchNorm(in[0], in[1], in[2])
		dx, dScale, dShift := back(in[3])
		return []*Node{y, mean, variance, dx, dScale, dShift}
	})
}

func compare(t *testing.T, b compute.Backend, name string, inputs [][]int, build func(layers, []*Node) []*Node) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var values []any
	for _, dims := range inputs {
		flat := make([]float32, shapes.Make(dtypes.Float32, dims...).Size())
		for i := range flat {
			flat[i] = float32(random.NormFloat64())
		}
		values = append(values, tensors.FromFlatDataAndDimensions(flat, dims...))
	}
	run := func(l layers) []*tensors.Tensor {
		t.Helper()
		g := NewGraph(b, name)
		defer g.Finalize()
		var in []*Node
		for i, dims := range inputs {
			in = append(in, Parameter(g, fmt.Sprintf("input%d", i), shapes.Make(dtypes.Float32, dims...)))
		}
		if err := g.Compile(build(l, in)...); err != nil {
			t.Fatal(err)
		}
		return g.Run(values...)
	}
	want := run(reference{})
	for _, l := range []layers{onCPU{}, onGPU{}} {
		got := run(l)
		for i := range want {
			a, b := tensors.MustCopyFlatData[float32](want[i]), tensors.MustCopyFlatData[float32](got[i])
			for j := range a {
				if d := math.Abs(float64(a[j] - b[j])); !(d <= 1e-5*(1+math.Abs(float64(a[j])))) || len(a) != len(b) {
					t.Errorf("%s: %T: output %d[%d] is %v, by reference %v", name, l, i, j, b[j], a[j])
					break
				}
			}
		}
	}
}

func TestLayoutRoundTrip(t *testing.T) {
	l := NewLayout(testNetwork(t))
	vectors := map[Vector]int{Parameters: l.Parameters, Statistics: l.Statistics}
	next := map[Vector]int{}
	for _, s := range l.Slots {
		if s.Vector == Host {
			continue
		}
		if s.Offset != next[s.Vector] {
			t.Fatalf("%s lies at %d, want %d", s.Name, s.Offset, next[s.Vector])
		}
		next[s.Vector] += s.Len()
		tensor, back := make([]int, s.Len()), make([]int, s.Len())
		for i := range tensor {
			tensor[i] = i + 1
		}
		vector := make([]int, vectors[s.Vector])
		ToDevice(s, vector, tensor)
		FromDevice(s, back, vector)
		for i := range tensor {
			if back[i] != tensor[i] {
				t.Fatalf("%s[%d] comes back as %d", s.Name, i, back[i])
			}
		}
	}
	if next[Parameters] != l.Parameters || next[Statistics] != l.Statistics {
		t.Errorf("the slots fill %v of %v", next, vectors)
	}
}

func testNetwork(t *testing.T) cell.Network {
	t.Helper()
	arch, err := cell.ByIndex(1462)
	if err != nil {
		t.Fatal(err)
	}
	return cell.Network{Arch: arch, Channels: 4, Cells: 2, Classes: 7, Size: 16}
}

// countingPools counts the poolings of a network.
type countingPools struct {
	onGPU
	count *int
}

func (c countingPools) boxSum(x *Node) *Node {
	*c.count++
	return c.onGPU.boxSum(x)
}

// TestZeroMaps holds that nothing is made of the zero maps of `none` that XLA would work
// out, for minutes, when it compiles.
func TestZeroMaps(t *testing.T) {
	b := openBackend(t)
	for arch, want := range map[string]int{
		// Each pooling pools a map forward, its counts, and a gradient back.
		"|none~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|avg_pool_3x3~1|avg_pool_3x3~2|": 0,
		"|none~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|":         0,
		"|none~0|+|avg_pool_3x3~0|none~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|":         6 * 2 * 3, // 6 cells
		// All but the first cell of a stage take what a cell of zeros makes.
		"|avg_pool_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|": 3 * 2,
	} {
		net := testNetwork(t)
		var err error
		if net.Arch, err = cell.Parse(arch); err != nil {
			t.Fatal(err)
		}
		count := 0
		m := New(net, dtypes.Float32, false)
		m.layers = countingPools{count: &count}
		g := NewGraph(b, arch)
		vector := func(name string, n int) *Node { return Parameter(g, name, shapes.Make(dtypes.Float32, n)) }
		images := Parameter(g, "images", shapes.Make(dtypes.Float32, 2, net.Size, net.Size, 3))
		logits, _, backward := m.Train(vector("params", m.Parameters), vector("stats", m.Statistics), images)
		backward(OnesLike(logits))
		g.Finalize()
		if count != want {
			t.Errorf("%s: %d sums of neighbourhoods, want %d", arch, count, want)
		}
	}
}
