package network

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/internal/backend/devicetest"
	"nb201/internal/golden"
)

// numbers are floats as nan.py writes them.
type numbers []string

func (n numbers) values(t *testing.T) (values []float64) {
	t.Helper()
	for _, text := range n {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	return values
}

// onMaps lists the results of an operation on each special value.
type onMaps []struct{ Output, Gradient numbers }

// nanVectors holds the vectors of nan.json for a type.
type nanVectors struct {
	ReLU struct {
		Output    numbers
		Gradients []numbers // by the special value that is the gradient of the output
	}
	AvgPool3x3         onMaps  `json:"avg_pool_3x3"`
	AvgPool2x2         onMaps  `json:"avg_pool_2x2"`
	GlobalMean         onMaps  `json:"global_mean"`
	BatchNorm          onMaps  `json:"batch_norm"`
	EvaluatedBatchNorm numbers `json:"evaluated_batch_norm"` // of 1, by its running variance
}

// same reports whether a value equals PyTorch's: to the bit if that is infinite, zero or NaN,
// and otherwise within what rounding a mantissa of that many bits in several steps allows.
func same(got, want float64, bits int) bool {
	switch {
	case math.IsNaN(want) || math.IsNaN(got):
		return math.IsNaN(want) && math.IsNaN(got)
	case math.IsInf(want, 0) || math.IsInf(got, 0) || want == 0 && got == 0:
		return got == want
	}
	return math.Abs(got-want) <= math.Ldexp(8, -bits)*(1+math.Abs(want))
}

// TestNaN compares every operation of the networks that could lose a NaN with PyTorch, in all
// forms and types, on large and small maps.
func TestNaN(t *testing.T) {
	var vectors struct {
		Special numbers
		Types   map[string]nanVectors
	}
	golden.Load(t, "nan.json", &vectors)
	special := vectors.Special.values(t)
	type test struct {
		dtype  dtypes.DType
		bits   int
		layers layers
	}
	tests := []test{{dtypes.Float64, 40, reference{}}, {dtypes.Float32, 20, onGPU{}}, {dtypes.BFloat16, 8, onGPU{}}}
	if !devicetest.OnGPU(t) {
		tests = append(tests, test{dtypes.Float32, 20, onCPU{}}, test{dtypes.BFloat16, 8, onCPUInBFloat16{}})
	}
	names := map[dtypes.DType]string{dtypes.Float64: "float64", dtypes.Float32: "float32", dtypes.BFloat16: "bfloat16"}
	for _, test := range tests {
		for _, channels := range []int{1, 16 * 1024} { // alike, of the maps that PyTorch had
			c := nanCase{t, test.dtype, test.bits, test.layers, special, channels}
			want := vectors.Types[names[test.dtype]]
			t.Run(fmt.Sprintf("%s/%T/%d", names[test.dtype], test.layers, channels), func(t *testing.T) {
				c.t = t
				c.relu(want.ReLU.Output, want.ReLU.Gradients)
				c.onMaps("avg_pool_3x3", want.AvgPool3x3, (*tape).avgPool3x3)
				c.onMaps("avg_pool_2x2", want.AvgPool2x2, (*tape).avgPool2x2)
				c.onMaps("global_mean", want.GlobalMean, (*tape).globalMean)
				if test.dtype != dtypes.BFloat16 { // which is of feature maps alone
					c.onMaps("batch_norm", want.BatchNorm, func(tape *tape, x *feature) *feature {
						scale := Ones(x.node.Graph(), shapes.Make(test.dtype, x.node.Shape().Dim(3)))
						y, _, _, back := tape.layers.batchNorm(x.node, scale, ZerosLike(scale))
						f := &feature{node: y}
						return tape.record(f, func() {
							dx, _, _ := back(f.grad)
							x.add(dx)
						})
					})
					c.evaluatedBatchNorm(want.EvaluatedBatchNorm)
				}
			})
		}
	}
}

// TestFusedNaN is TestNaN for the layers of fused, except ReLU, whose results only convolutions read:
// internal/programs has its test.
func TestFusedNaN(t *testing.T) {
	compiled := devicetest.Kernels(t)
	var vectors struct {
		Special numbers
		Types   map[string]nanVectors
	}
	golden.Load(t, "nan.json", &vectors)
	want := vectors.Types["float32"]
	c := nanCase{t, dtypes.Float32, 20, onCPU{}, vectors.Special.values(t), 8}
	fusedly := func(operation func(*fused, *lazy) *lazy) func(*tape, *feature) *feature {
		return func(tape *tape, x *feature) *feature {
			f := newFused(tape)
			return f.leave(operation(f, f.enter(x)))
		}
	}
	c.onMaps("avg_pool_3x3", want.AvgPool3x3, fusedly((*fused).avgPool3x3))
	c.onMaps("batch_norm", want.BatchNorm, fusedly(func(f *fused, x *lazy) *lazy {
		f.found, f.counts = map[string]*Node{}, map[string]float64{}
		return f.unchanged(x, slices.Repeat([]float64{1}, 8))
	}))

	special := slices.Repeat([]float64{1}, 8)
	copy(special, c.special)
	g := NewGraph(devicetest.Open(t).Backend, "evaluated")
	defer g.Finalize()
	tape := &tape{Model: &Model{features: c.dtype, layers: c.layers}, params: Zeros(g, shapes.Make(c.dtype, 1))}
	f := newFused(tape)
	y := f.leave(f.unchanged(f.enter(&feature{node: Ones(g, shapes.Make(c.dtype, 1, 2, 2, 8))}), special))
	if err := g.Compile(ConvertDType(tape.relu(y).node, dtypes.Float64)); err != nil {
		t.Fatal(err)
	}
	made := tensors.MustCopyFlatData[float64](g.Run()[0])
	c.compare("evaluated batch_norm", made[24:], want.EvaluatedBatchNorm, func(got, want float64) bool { return same(got, want, c.bits) })

	counts := map[string]int{}
	for _, p := range compiled() {
		for kernel, n := range p.Kernels {
			counts[kernel] += n
		}
	}
	for _, kernel := range []string{"nb201.mix", "nb201.conv_norm", "nb201.norm_sums", "nb201.conv_gradients", "nb201.conv_scaled"} {
		if counts[kernel] == 0 {
			t.Errorf("no call of %s", kernel)
		}
	}
}

// unchanged normalises x, of 8 channels, behind a convolution that changes nothing. running has the running variances.
func (f *fused) unchanged(x *lazy, running []float64) *lazy {
	weights := make([]float64, 64)
	for i := range 8 {
		weights[9*i] = 1
	}
	layout := &Layout{index: map[string]int{}}
	values := map[Vector][]float64{}
	for i, s := range []struct {
		name   string
		vector Vector
		values []float64
		dims   []int
	}{
		{"conv", Parameters, weights, []int{1, 1, 8, 8}},
		{"bn.weight", Parameters, slices.Repeat([]float64{1}, 8), []int{8}},
		{"bn.bias", Parameters, make([]float64, 8), []int{8}},
		{"bn.running_mean", Statistics, make([]float64, 8), []int{8}},
		{"bn.running_var", Statistics, running, []int{8}},
	} {
		layout.index[s.name] = i
		layout.Slots = append(layout.Slots, Slot{Tensor: cell.Tensor{Shape: s.dims}, Vector: s.vector, Offset: len(values[s.vector]), Dims: s.dims})
		values[s.vector] = append(values[s.vector], s.values...)
	}
	f.Layout = layout
	f.params = ConstAsDType(f.params.Graph(), dtypes.Float32, values[Parameters])
	f.stats = ConstAsDType(f.params.Graph(), dtypes.Float32, values[Statistics])
	return f.convNorm("conv", "bn", x, false, 1)
}

// nanCase is a dtype and an implementation of the layers to test with.
type nanCase struct {
	t        *testing.T
	dtype    dtypes.DType
	bits     int
	layers   layers
	special  []float64
	channels int
}

// compile compiles an operation on a map [1, side, side, channels] with its gradient, and
// returns a function that runs it with equal channels.
func (c nanCase) compile(name string, side int, operation func(*tape, *feature) *feature) func(x, dy []float64) (y, dx []float64) {
	t := c.t
	t.Helper()
	g := NewGraph(devicetest.Open(t).Backend, name)
	t.Cleanup(g.Finalize)
	input := Parameter(g, "x", shapes.Make(dtypes.Float64, 1, side, side, c.channels))
	in := &feature{node: ConvertDType(input, c.dtype)}
	// The head, from the global mean on, is in the type of the parameters.
	tape := &tape{Model: &Model{features: c.dtype, layers: c.layers}, params: Zeros(g, shapes.Make(c.dtype, 1)), training: true}
	out := operation(tape, in)
	back := Parameter(g, "dy", shapes.Make(dtypes.Float64, out.node.Shape().Dimensions...))
	out.add(ConvertDType(back, c.dtype))
	tape.unwind()
	if err := g.Compile(ConvertDType(out.node, dtypes.Float64), ConvertDType(in.grad, dtypes.Float64)); err != nil {
		t.Fatal(err)
	}
	spread := func(values []float64, like *Node) *tensors.Tensor {
		var all []float64
		for _, v := range values {
			all = append(all, slices.Repeat([]float64{v}, c.channels)...)
		}
		return tensors.FromFlatDataAndDimensions(all, like.Shape().Dimensions...)
	}
	one := func(o *tensors.Tensor) (values []float64) {
		all := tensors.MustCopyFlatData[float64](o)
		for i := 0; i < len(all); i += c.channels {
			values = append(values, all[i])
			if other := slices.IndexFunc(all[i:i+c.channels], func(v float64) bool { return !same(v, all[i], c.bits) }); other >= 0 {
				t.Errorf("%s: channels that are alike become %v and %v", name, all[i], all[i+other])
			}
		}
		return values
	}
	return func(x, dy []float64) (y, dx []float64) {
		made := g.Run(spread(x, input), spread(dy, back))
		return one(made[0]), one(made[1])
	}
}

func (c nanCase) compare(name string, got []float64, want numbers, equal func(got, want float64) bool) {
	c.t.Helper()
	for i, w := range want.values(c.t) {
		if !equal(got[i], w) {
			c.t.Errorf("%s: [%d] is %v, PyTorch has %v", name, i, got[i], w)
		}
	}
}

// exactly compares to the bit, except that all NaNs are equal, and on a GPU all zeros. There XLA's
// relu of -0 is 0; that of PyTorch on the CPU, with which nan.json was made, is -0. Nothing in a
// network divides by the result, so that the sign of a zero is lost in the next sum.
func exactly(t *testing.T) func(got, want float64) bool {
	zeros := devicetest.OnGPU(t)
	return func(got, want float64) bool {
		return math.IsNaN(got) && math.IsNaN(want) || math.Float64bits(got) == math.Float64bits(want) || zeros && got == 0 && want == 0
	}
}

func (c nanCase) relu(output numbers, gradients []numbers) {
	c.t.Helper()
	equal := exactly(c.t)
	filled := append(slices.Clone(c.special), 0, 0) // to a square
	run := c.compile("relu", 3, (*tape).relu)
	for i, dy := range c.special {
		y, dx := run(filled, slices.Repeat([]float64{dy}, len(filled)))
		c.compare("relu", y, output, equal)
		c.compare(fmt.Sprintf("gradient of relu for %v", dy), dx, gradients[i], equal)
	}
}

func (c nanCase) onMaps(name string, want onMaps, operation func(*tape, *feature) *feature) {
	c.t.Helper()
	equal := func(got, want float64) bool { return same(got, want, c.bits) }
	if name == "batch_norm" { // in which form infinity cancels out depends on the form of the sums
		equal = func(got, want float64) bool {
			finite := !math.IsNaN(want) && !math.IsInf(want, 0)
			return !finite && (math.IsNaN(got) || math.IsInf(got, 0)) || finite && math.Abs(got-want) <= 1e-3*(1+math.Abs(want))
		}
	}
	run := c.compile(name, 4, operation)
	for i, special := range c.special {
		x, dy := make([]float64, 16), slices.Repeat([]float64{1}, len(want[i].Output))
		for p := range x {
			x[p] = float64(p)/8 - 1.0625
		}
		x[5] = special
		y, _ := run(x, dy)
		c.compare(fmt.Sprintf("%s of %v", name, special), y, want[i].Output, equal)
		x[5] = 0.5
		dy[len(dy)/2] = special
		_, dx := run(x, dy)
		c.compare(fmt.Sprintf("gradient of %s for %v", name, special), dx, want[i].Gradient, equal)
	}
}

// evaluatedBatchNorm normalises ones by each special value as a running variance.
func (c nanCase) evaluatedBatchNorm(want numbers) {
	t, n := c.t, len(c.special)
	t.Helper()
	g := NewGraph(devicetest.Open(t).Backend, "evaluated")
	defer g.Finalize()
	layout := &Layout{index: map[string]int{}}
	for i, name := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
		layout.index[name] = i
		layout.Slots = append(layout.Slots, Slot{Tensor: cell.Tensor{Shape: []int{n}}, Vector: Vector(i / 2), Offset: i % 2 * n, Dims: []int{n}})
	}
	given := func(name string) *Node {
		return ConvertDType(Parameter(g, name, shapes.Make(dtypes.Float64, 2*n)), c.dtype)
	}
	tape := &tape{Model: &Model{Layout: layout, features: c.dtype, layers: c.layers}, params: given("params"), stats: given("stats")}
	y := tape.relu(tape.batchNorm("", &feature{node: Ones(g, shapes.Make(c.dtype, 2, 8, 8, n))}))
	if err := g.Compile(ConvertDType(y.node, dtypes.Float64)); err != nil {
		t.Fatal(err)
	}
	params, stats := append(slices.Repeat([]float64{1}, n), make([]float64, n)...), append(make([]float64, n), c.special...)
	made := tensors.MustCopyFlatData[float64](g.Run(params, stats)[0])
	c.compare("evaluated batch_norm", made[len(made)-n:], want, func(got, want float64) bool { return same(got, want, c.bits) })
}
