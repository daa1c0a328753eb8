package network

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/internal/backend"
	"nb201/internal/backend/devicetest"
)

// form is an implementation of the layers in some arithmetic, with bounds on the difference
// of its outputs from those of reference in float64: relative * (1 + the output's magnitude)
// + ofSum * the result of reference for the inputs' magnitudes. For sums of products, that
// result is the sum of the products' magnitudes.
type form struct {
	name            string
	layers          layers
	dtype           dtypes.DType
	relative, ofSum float64
}

var (
	// fp32OnGPU is float32 summed by cuDNN, which may use Winograd's algorithm. That rounds some
	// tens of times more than direct sums (2^-24 per term, many of which cancel out). A variance
	// computed as E[x^2] - E[x]^2 rounds 50 times more if the mean is 7 deviations. TF32, which
	// rounds operands by up to 2^-11, exceeds the bounds.
	fp32OnGPU = form{"fp32", onGPU{}, dtypes.Float32, 1e-4, 1.0 / (1 << 19)}
	// tf32OnGPU rounds both operands: a product is off by up to 2^-10.
	tf32OnGPU = form{"tf32", onGPU{}, dtypes.Float32, 1e-4, 1.0 / (1 << 10)}
)

// TestLayers compares the layers of the device with reference.
func TestLayers(t *testing.T) {
	// A convolution in bfloat16 rounds a float32 sum by 2^-8, twice if the sum has two parts. A
	// sum of neighbours may be rounded after each of eight additions.
	bf16 := form{"bf16", onGPU{}, dtypes.BFloat16, 1.0 / (1 << 7), 1.0 / (1 << 6)}
	forms := []form{bf16}
	if devicetest.OnGPU(t) {
		forms = append(forms, fp32OnGPU)
	} else {
		bf16.layers = onCPUInBFloat16{}
		forms = append(forms, bf16, form{"fp32", onCPU{}, dtypes.Float32, 1e-5, 0}, form{"fp32", onGPU{}, dtypes.Float32, 1e-5, 0})
	}
	for _, f := range forms {
		t.Run(fmt.Sprintf("%s/%T", f.name, f.layers), f.test)
	}
	if level := backend.FallbackLevel(); level != 0 {
		t.Errorf("the programs were compiled with fewer flags or kernels than nb201 asks for: level %d", level)
	}
	t.Logf("nb201's kernels for GPUs: %q", devicetest.Open(t).GPUKernels)
}

// TestLayersTF32 is TestLayers with TF32.
func TestLayersTF32(t *testing.T) {
	if devicetest.TF32(t) {
		tf32OnGPU.test(t)
	}
}

func (f form) test(t *testing.T) {
	off := f.off(t)
	for _, name := range slices.Sorted(maps.Keys(off)) {
		if !(off[name] <= 1) {
			t.Errorf("%s: off by %.2g times the bound", name, off[name])
		}
		t.Logf("%s: off by %.2g of the bound at most", name, off[name])
	}
}

// off returns the largest difference of each layer's outputs, as a share of the bound.
func (f form) off(t *testing.T) map[string]float64 {
	t.Helper()
	off := map[string]float64{}
	compare := func(name string, inputs [][]int, build func(layers, []*Node) []*Node) {
		off[name] = f.compare(t, name, inputs, build)
	}
	for _, k := range []int{1, 3} {
		for _, stride := range []int{1, 2} {
			if k == 1 && stride == 2 {
				continue // the search space has none
			}
			x, w := []int{5, 8, 8, 3}, []int{k, k, 3, 4}
			dy := []int{5, 8 / stride, 8 / stride, 4}
			name := fmt.Sprintf("%dx%d stride %d ", k, k, stride)
			compare(name+"convolution", [][]int{x, w}, func(l layers, in []*Node) []*Node {
				return []*Node{l.conv(in[0], in[1], stride)}
			})
			compare(name+"gradients", [][]int{x, dy, w}, func(l layers, in []*Node) []*Node {
				return []*Node{l.convInputGrad(in[0], in[1], in[2], stride), l.convWeightGrad(in[0], in[1], in[2], stride)}
			})
		}
	}
	// Long sums, and enough channels for the backend's special cases.
	x, dy, w := []int{130, 16, 16, 32}, []int{130, 8, 8, 16}, []int{3, 3, 32, 16}
	compare("gradient of a batch", [][]int{x, dy, w}, func(l layers, in []*Node) []*Node {
		return []*Node{MulScalar(l.convWeightGrad(in[0], in[1], in[2], 2), 1.0/64)}
	})
	for _, m := range f.kernelMaps(t) {
		for _, k := range []int{1, 3} {
			x, w := []int{m.images, m.size, m.size, m.channels}, []int{k, k, m.channels, m.channels}
			toOne := 1 / math.Sqrt(float64(k*k*m.channels))
			name := fmt.Sprintf("%dx%d stride 1 on %v ", k, k, x)
			compare(name+"convolution", [][]int{x, w}, func(l layers, in []*Node) []*Node {
				return []*Node{MulScalar(l.conv(in[0], in[1], 1), toOne)}
			})
			compare(name+"gradients", [][]int{x, x, w}, func(l layers, in []*Node) []*Node {
				dw := MulScalar(l.convWeightGrad(in[0], in[1], in[2], 1), 1/math.Sqrt(float64(m.images*m.size*m.size)))
				return []*Node{MulScalar(l.convInputGrad(in[0], in[1], in[2], 1), toOne), dw}
			})
		}
	}
	compare("sum of a neighbourhood", [][]int{{5, 8, 4, 3}}, func(l layers, in []*Node) []*Node {
		return []*Node{l.boxSum(in[0])}
	})
	if f.dtype == dtypes.BFloat16 {
		return off // the network normalises in float32
	}
	compare("batch normalisation", [][]int{{5, 8, 8, 3}, {3}, {3}, {5, 8, 8, 3}}, func(l layers, in []*Node) []*Node {
		return batchNorm(l, in[0], in)
	})
	// A mean of 7 deviations, which has been seen in trained networks, and a number of channels
	// for which the CPU has a kernel.
	compare("batch normalisation far from 0", [][]int{{5, 8, 8, 16}, {16}, {16}, {5, 8, 8, 16}}, func(l layers, in []*Node) []*Node {
		return batchNorm(l, AddScalar(in[0], 7), in)
	})
	return off
}

// kernelMaps lists the maps for which there are kernels for GPUs in float32 (internal/cudakernels),
// with numbers of images that their blocks do not divide; and a few maps for other forms.
func (f form) kernelMaps(t *testing.T) []kernelMap {
	if f.dtype != dtypes.Float32 || !devicetest.OnGPU(t) {
		return []kernelMap{{3, 4, 64}}
	}
	return []kernelMap{{3, 32, 16}, {3, 16, 16}, {3, 16, 32}, {5, 8, 32}, {3, 8, 64}, {17, 4, 64}}
}

type kernelMap struct{ images, size, channels int }

// batchNorm lists all outputs for x, where in[1:] are scale, shift and dy.
func batchNorm(l layers, x *Node, in []*Node) []*Node {
	y, mean, variance, back := l.batchNorm(x, in[1], in[2])
	dx, dScale, dShift := back(in[3])
	return []*Node{y, mean, variance, dx, dScale, dShift}
}

// compare runs build on normally distributed inputs, with f's layers and with reference, and
// returns the largest difference of the outputs as a share of the bound.
func (f form) compare(t *testing.T, name string, inputs [][]int, build func(layers, []*Node) []*Node) (off float64) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var values []any
	for _, dims := range inputs {
		flat := make([]float32, shapes.Make(dtypes.Float32, dims...).Size())
		for i := range flat {
			flat[i] = float32(random.NormFloat64())
			if f.dtype == dtypes.BFloat16 { // so that the inputs themselves are not rounded
				flat[i] = math.Float32frombits(math.Float32bits(flat[i]) &^ 0xffff)
			}
		}
		values = append(values, tensors.FromFlatDataAndDimensions(flat, dims...))
	}
	run := func(l layers, dtype dtypes.DType, prepare func(*Node) *Node) (outputs [][]float64) {
		t.Helper()
		g := NewGraph(devicetest.Open(t).Backend, name)
		defer g.Finalize()
		var in []*Node
		for i, dims := range inputs {
			in = append(in, prepare(ConvertDType(Parameter(g, fmt.Sprintf("input%d", i), shapes.Make(dtypes.Float32, dims...)), dtype)))
		}
		out := build(inHWIO{l}, in)
		for i := range out {
			out[i] = ConvertDType(out[i], dtypes.Float64)
		}
		if err := g.Compile(out...); err != nil {
			t.Fatal(err)
		}
		for _, o := range g.Run(values...) {
			outputs = append(outputs, tensors.MustCopyFlatData[float64](o))
		}
		return outputs
	}
	as := func(x *Node) *Node { return x }
	want, magnitudes := run(reference{}, dtypes.Float64, as), run(reference{}, dtypes.Float64, Abs)
	got := run(f.layers, f.dtype, as)
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Fatalf("%s: output %d has %d values, by reference %d", name, i, len(got[i]), len(want[i]))
		}
		for j, w := range want[i] {
			share := math.Abs(got[i][j]-w) / (f.relative*(1+math.Abs(w)) + f.ofSum*math.Abs(magnitudes[i][j]))
			if !(share <= 1) && !(off > 1) {
				t.Logf("%s: %s output %d[%d] is %v, by reference %v", name, f.name, i, j, got[i][j], w)
			}
			off = max(off, share)
		}
	}
	return off
}

// inHWIO wraps layers so that they accept and return weights in HWIO, whatever their order.
type inHWIO struct{ layers }

func (l inHWIO) from(w *Node) *Node { return transposed(w, hwio, l.weights()) }

func transposed(w *Node, from, to weightOrder) *Node {
	var axes []int
	for _, axis := range to {
		axes = append(axes, from.position(axis))
	}
	return TransposeAllAxes(w, axes...)
}

func (l inHWIO) conv(x, w *Node, stride int) *Node { return l.layers.conv(x, l.from(w), stride) }

func (l inHWIO) convInputGrad(x, dy, w *Node, stride int) *Node {
	return l.layers.convInputGrad(x, dy, l.from(w), stride)
}

func (l inHWIO) convWeightGrad(x, dy, w *Node, stride int) *Node {
	return transposed(l.layers.convWeightGrad(x, dy, l.from(w), stride), l.weights(), hwio)
}

// rounded wraps layers so that convolutions round their operands to 11 bits, as TF32 does.
type rounded struct{ layers }

func (r rounded) round(x *Node) *Node {
	scaled := MulScalar(x, 1<<13+1)
	return Sub(scaled, Sub(scaled, x))
}

func (r rounded) conv(x, w *Node, stride int) *Node {
	return r.layers.conv(r.round(x), r.round(w), stride)
}

func (r rounded) convInputGrad(x, dy, w *Node, stride int) *Node {
	return r.layers.convInputGrad(x, r.round(dy), r.round(w), stride)
}

func (r rounded) convWeightGrad(x, dy, w *Node, stride int) *Node {
	return r.layers.convWeightGrad(r.round(x), r.round(dy), w, stride)
}

// In every convolution, TF32 exceeds the bounds of float32 on a GPU, and keeps its own.
func TestBounds(t *testing.T) {
	devicetest.CPUOnly(t, "a GPU may round more")
	fp32, tf32 := fp32OnGPU, tf32OnGPU
	fp32.layers, tf32.layers = rounded{onCPU{}}, rounded{onCPU{}}
	for name, share := range fp32.off(t) {
		if found := strings.Contains(name, "stride") || name == "gradient of a batch"; (share > 1) != found {
			t.Errorf("%s: off by %.2g of float32's bound", name, share)
		}
	}
	tf32.test(t)
}

// A network uses the layers for its device. devicetest.Open checks that backend.OnGPU, which
// callers ask, recognises a GPU.
func TestNew(t *testing.T) {
	for _, test := range []struct {
		features dtypes.DType
		gpu      bool
		want     layers
	}{
		{dtypes.Float32, false, onCPU{}}, {dtypes.Float32, true, onGPU{}},
		{dtypes.BFloat16, false, onCPUInBFloat16{}}, {dtypes.BFloat16, true, onGPU{}},
		{dtypes.Float64, false, reference{}}, {dtypes.Float64, true, reference{}},
	} {
		if got := New(testNetwork(t), test.features, Device{GPU: test.gpu}).layers; got != test.want {
			t.Errorf("%s, GPU %t: %T, want %T", test.features, test.gpu, got, test.want)
		}
	}
}

func TestLayoutRoundTrip(t *testing.T) {
	for _, order := range []weightOrder{hwio, ohwi} {
		t.Run(order.String(), func(t *testing.T) { roundTrip(t, newLayout(testNetwork(t), order)) })
	}
}

func roundTrip(t *testing.T, l *Layout) {
	t.Helper()
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
		if s.Role == cell.ConvWeight { // the weight of output 2, input 1, last row, first column
			at, dims, d := [4]int{2, 1, s.Shape[2] - 1, 0}, s.Shape, 0
			for i, axis := range map[string][4]int{"hwio": {2, 3, 1, 0}, "ohwi": {0, 2, 3, 1}}[l.Weights] {
				if s.Dims[i] != dims[axis] {
					t.Fatalf("%s has %v on the device", s.Name, s.Dims)
				}
				d = d*dims[axis] + at[axis]
			}
			if torch := ((at[0]*dims[1]+at[1])*dims[2]+at[2])*dims[3] + at[3]; vector[s.Offset+d] != tensor[torch] {
				t.Fatalf("%s: %d lies where %d should", s.Name, vector[s.Offset+d], tensor[torch])
			}
		}
	}
	if next[Parameters] != l.Parameters || next[Statistics] != l.Statistics {
		t.Errorf("the slots fill %v of %v", next, vectors)
	}
}

func testNetwork(t *testing.T) cell.Network {
	t.Helper()
	arch, err := cell.Topology{}.ByIndex(1462)
	if err != nil {
		t.Fatal(err)
	}
	return cell.Network{Arch: arch, Channels: 4, Cells: 2, Classes: 7, Size: 16}
}

// countingPools counts the poolings of a network.
type countingPools struct {
	layers
	count *int
}

func (c countingPools) boxSum(x *Node) *Node {
	*c.count++
	return c.layers.boxSum(x)
}

// TestZeroMaps checks that nothing is computed from the zero maps of `none`: XLA would fold
// it into constants, which takes minutes of compiling.
func TestZeroMaps(t *testing.T) {
	b := devicetest.Open(t).Backend
	for arch, want := range map[string]int{
		// Each pooling pools a map forward, its counts, and a gradient back.
		"|none~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|avg_pool_3x3~1|avg_pool_3x3~2|": 0,
		"|none~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|":         0,
		"|none~0|+|avg_pool_3x3~0|none~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|":         6 * 2 * 3, // 6 cells
		// All but the first cell of a stage read the output of a cell of zeros.
		"|avg_pool_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|": 3 * 2,
	} {
		net := testNetwork(t)
		var err error
		if net.Arch, err = cell.Parse(arch); err != nil {
			t.Fatal(err)
		}
		count := 0
		m := New(net, dtypes.Float32, Device{})
		m.layers = countingPools{m.layers, &count}
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
