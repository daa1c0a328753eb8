package programs

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/go-xla/pjrt"

	"nb201/internal/kernels"
	"nb201/internal/kernels/plain"
)

// epsilon is that of the networks' normalisations.
const epsilon = float32(1e-5)

// call runs a kernel that programs call by the name of a function.
func call(t *testing.T, c *pjrt.Client, kernel string, attribute any, out [][]int, in ...plain.Array) []plain.Array {
	t.Helper()
	wide := func(shape []int) (all []int64) {
		for _, n := range shape {
			all = append(all, int64(n))
		}
		return all
	}
	named := kernels.Call{Kernel: "nb201." + kernel, Attribute: attribute}
	for _, a := range in {
		named.In = append(named.In, wide(a.Shape))
	}
	for _, shape := range out {
		named.Out = append(named.Out, wide(shape))
	}
	return apply(t, c, "call", "callee = @"+named.Symbol(), out, in...)
}

// fusedShape describes a convolution of square maps with weights [taps, taps, in, out], a normalisation behind
// it, and a ReLU before it.
type fusedShape struct {
	convolutionShape
	relu bool
}

func (s fusedShape) String() string { return fmt.Sprintf("%+v relu %v", s.convolutionShape, s.relu) }

func (s fusedShape) kernel(name string) string {
	if s.relu {
		return "relu_" + name
	}
	return name
}

// input returns what the convolution reads of x.
func (s fusedShape) input(x plain.Array) plain.Array {
	if s.relu {
		return plain.ReLU(x)
	}
	return x
}

// fusedArguments are the arguments of the kernels of a convolution with normalisation: maps, weights, and vectors
// [out].
type fusedArguments struct {
	x, w, dy, sum                plain.Array
	scale, shift, mean, variance plain.Array // mean and variance are those of the evaluation
}

func (s fusedShape) arguments(r *rand.Rand) fusedArguments {
	x, w, dy, _ := s.operands(r)
	for i := range w.Values {
		w.Values[i] /= float32(math.Sqrt(float64(s.taps * s.taps * s.in)))
	}
	a := fusedArguments{x, w, dy, random(r, dy.Shape...), random(r, s.out), random(r, s.out), random(r, s.out), random(r, s.out)}
	for i, v := range a.variance.Values {
		a.variance.Values[i] = 0.1 + v*v
	}
	return a
}

// norm computes the convolution and its normalisation.
func (s fusedShape) norm(t *testing.T, c *pjrt.Client, a fusedArguments) []plain.Array {
	t.Helper()
	v := a.scale.Shape
	return call(t, c, s.kernel("conv_norm"), epsilon, [][]int{a.dy.Shape, v, v, v, v}, a.x, a.w, a.scale, a.shift)
}

// factors returns the weights, with the factors and offsets of the normalisation in evaluation.
func (s fusedShape) factors(t *testing.T, c *pjrt.Client, a fusedArguments) plain.Scaled {
	t.Helper()
	v := a.scale.Shape
	made := call(t, c, "norm_factors", epsilon, [][]int{v, v}, a.scale, a.shift, a.mean, a.variance)
	return plain.Scaled{W: a.w, Factor: made[0], Offset: made[1]}
}

// scaled computes the convolution and its normalisation in evaluation.
func (s fusedShape) scaled(t *testing.T, c *pjrt.Client, a fusedArguments) plain.Array {
	t.Helper()
	by := s.factors(t, c, a)
	return call(t, c, s.kernel("conv_scaled"), nil, [][]int{a.dy.Shape}, a.x, by.W, by.Factor, by.Offset)[0]
}

// vector returns float64s as an array.
func vector(of []float64) plain.Array {
	a := plain.Array{Shape: []int{len(of)}}
	for _, v := range of {
		a.Values = append(a.Values, float32(v))
	}
	return a
}

// nearNorm is near for what depends on sums over the batch, or is computed by Winograd's algorithm. Where infinities
// cancel out depends on the form of the sums, so that all that is not finite is alike.
func nearNorm(t *testing.T, what string, got plain.Array, terms int, want func(at []int) float64) {
	t.Helper()
	got = plain.Array{Shape: got.Shape, Values: slices.Clone(got.Values)}
	for i, v := range got.Values {
		if math.IsInf(float64(v), 0) {
			got.Values[i] = float32(math.NaN())
		}
	}
	near(t, what, got, terms, func(at []int) float64 {
		w := want(at)
		if math.IsInf(w, 0) {
			return math.NaN()
		}
		return w
	})
}

// compare compares all kernels of the layers with their definition.
func (s fusedShape) compare(t *testing.T, c *pjrt.Client, a fusedArguments) {
	t.Helper()
	products, pixels := s.taps*s.taps*s.in, len(a.dy.Values)/s.out
	x, v := s.input(a.x), a.scale.Shape
	element := func(at []int) float64 { return plain.Conv(x, a.w, s.stride, 1, at[0], at[1], at[2], at[3]) }
	ofInput := near
	if s.taps == 3 && s.stride == 1 && s.size%2 == 0 {
		ofInput = nearNorm // Winograd's algorithm subtracts pixels
	}
	made := s.norm(t, c, a)
	y := made[0]
	ofInput(t, s.String()+" output", y, products, element)
	want := plain.NewNorm(y, a.scale, float64(epsilon))
	nearNorm(t, s.String()+" mean", made[1], 1, func(at []int) float64 { return want.Mean[at[0]] })
	nearNorm(t, s.String()+" variance", made[2], 1, func(at []int) float64 { return want.Variance[at[0]] })
	rounding := 100
	if pixels == 1 {
		rounding = 10000 // without variance, rounding is magnified by 1/sqrt(epsilon)
	}
	factor := func(c int) float64 { return a.scale.At(c) / math.Sqrt(want.Variance[c]+float64(epsilon)) }
	nearNorm(t, s.String()+" factor", made[3], rounding, func(at []int) float64 { return factor(at[0]) })
	nearNorm(t, s.String()+" offset", made[4], rounding, func(at []int) float64 { return a.shift.At(at[0]) - want.Mean[at[0]]*factor(at[0]) })

	scaled := func(at []int) float64 {
		return plain.ConvScaled(x, a.w, s.stride, a.scale, a.shift, a.mean, a.variance, float64(epsilon), at...)
	}
	ofInput(t, s.String()+" scaled", s.scaled(t, c, a), rounding+4*products, scaled)
	if s.relu && slices.Equal(a.x.Shape, y.Shape) {
		got := runMix(t, c, []plain.Source{{X: a.sum}, {X: a.x}}, []plain.Term{{Kind: plain.Itself}, {Kind: plain.Convolved, Of: 1, Last: true, Conv: s.factors(t, c, a)}})
		ofInput(t, s.String()+" scaled, with a sum", got, rounding+4*products, func(at []int) float64 { return scaled(at) + a.sum.At(at...) })
	}

	if pixels == 1 {
		return // the gradient is the small difference of large numbers
	}
	ofScale, ofShift := want.Sums(a.dy)
	sums := call(t, c, "norm_sums", epsilon, [][]int{v, v}, a.dy, y, made[1], made[2])
	nearNorm(t, s.String()+" gradient of shift", sums[0], pixels, func(at []int) float64 { return ofShift[at[0]] })
	nearNorm(t, s.String()+" gradient of scale", sums[1], rounding+pixels, func(at []int) float64 { return ofScale[at[0]] })

	gradients := plain.NewConvGradients(a.x, a.w, s.relu, s.stride, want, a.dy, ofScale, ofShift)
	in := []plain.Array{a.x, a.w, y, a.scale, made[1], made[2], a.dy, vector(ofScale), vector(ofShift)}
	weights := func(got plain.Array) {
		t.Helper()
		nearNorm(t, s.String()+" gradient of weights", got, rounding+pixels*4, func(at []int) float64 { return gradients.Weights(at[0], at[1], at[2], at[3]) })
	}
	weights(call(t, c, s.kernel("conv_gradients"), epsilon, [][]int{a.w.Shape}, in...)[0])
	if s.in%8 != 0 {
		return // there is no kernel for the gradient of such an input
	}
	both := call(t, c, s.kernel("conv_gradients"), epsilon, [][]int{a.w.Shape, a.x.Shape}, in...)
	weights(both[0])
	nearNorm(t, s.String()+" gradient of input", both[1], rounding+4*s.taps*s.taps*s.out, func(at []int) float64 {
		return gradients.Input(at[0], at[1], at[2], at[3])
	})
}

// TestFused compares the kernels of several layers with their definition.
func TestFused(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(11, 12))
	for i, s := range []convolutionShape{
		{1, 8, 3, 8, 3, 1}, {5, 4, 3, 16, 3, 1}, {33, 2, 3, 40, 3, 1}, {2, 1, 3, 24, 3, 1}, // stems
		{1, 1, 8, 8, 3, 1}, {5, 1, 16, 24, 3, 1}, {33, 1, 24, 8, 3, 1}, {5, 2, 40, 16, 3, 1}, {1, 2, 64, 64, 3, 1}, {33, 4, 8, 16, 3, 1},
		{5, 4, 16, 16, 3, 1}, {1, 4, 24, 40, 3, 1}, {1, 8, 64, 8, 3, 1}, {2, 8, 16, 24, 3, 1}, {1, 8, 16, 64, 3, 1},
		{5, 2, 8, 16, 3, 2}, {33, 2, 16, 8, 3, 2}, {1, 4, 24, 40, 3, 2}, {1, 4, 40, 64, 3, 2}, {1, 8, 64, 24, 3, 2}, {2, 8, 16, 24, 3, 2},
		{1, 1, 16, 8, 1, 1}, {5, 1, 8, 16, 1, 1}, {33, 2, 24, 24, 1, 1}, {5, 4, 40, 8, 1, 1}, {1, 8, 64, 40, 1, 1}, {5, 8, 16, 64, 1, 1},
	} {
		f := fusedShape{s, i%2 == 0 && s.in%8 == 0}
		f.compare(t, c, f.arguments(r))
		if s.in%8 == 0 && s.size <= 2 {
			f.relu = !f.relu
			f.compare(t, c, f.arguments(r))
		}
	}
}

// TestFusedNaN checks that a NaN and an infinity in an operand reach those results that depend on them, and no
// others, and that ReLU keeps NaN and passes its gradient, as PyTorch's does.
func TestFusedNaN(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(13, 14))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for i, f := range []fusedShape{
		{convolutionShape{2, 3, 8, 8, 3, 1}, true}, {convolutionShape{1, 4, 16, 24, 3, 1}, false}, {convolutionShape{1, 4, 24, 16, 3, 2}, true},
		{convolutionShape{2, 3, 40, 8, 1, 1}, true}, {convolutionShape{1, 4, 3, 8, 3, 1}, false}, {convolutionShape{1, 6, 16, 16, 3, 1}, true},
		{convolutionShape{1, 4, 32, 32, 3, 1}, true},
	} {
		special := func(kind int) float32 { return []float32{nan, inf, -inf}[(i+kind)%3] }
		a := f.arguments(r)
		a.x.Values[r.IntN(len(a.x.Values))] = special(0)
		f.compare(t, c, a)
		a = f.arguments(r)
		a.sum.Values[r.IntN(len(a.sum.Values))], a.variance.Values[0], a.variance.Values[1] = special(1), inf, -1
		f.compare(t, c, a)
		a = f.arguments(r)
		a.dy.Values[r.IntN(len(a.dy.Values))] = special(2)
		f.compare(t, c, a)
	}

	// The mask of a ReLU: a convolution with ones in which the gradient of each output is that of x.
	x := plain.Array{Shape: []int{1, 1, 1, 8}, Values: []float32{nan, inf, -inf, 0, float32(math.Copysign(0, -1)), -1, 1, -nan}}
	w := plain.Array{Shape: []int{1, 1, 8, 8}, Values: make([]float32, 64)}
	for i := range 8 {
		w.Values[9*i] = 1
	}
	fill := func(value float32, shape ...int) plain.Array {
		a := random(r, shape...)
		for i := range a.Values {
			a.Values[i] = value
		}
		return a
	}
	one, zero := fill(1, 8), fill(0, 8)
	for _, dy := range []float32{2, inf} {
		got := call(t, c, "relu_conv_gradients", epsilon, [][]int{w.Shape, x.Shape}, x, w, fill(1, x.Shape...), one, zero, one, fill(dy, x.Shape...), zero, zero)[1]
		for i, v := range got.Values {
			passes := []bool{true, true, false, false, false, false, true, true}[i]
			if !passes && v != 0 || passes && v == 0 || dy == 2 && passes && !(math.Abs(float64(v)-2) < 1e-4) {
				t.Errorf("the gradient of ReLU at %v for %v is %v", x.Values[i], dy, v)
			}
		}
	}
}

// TestNormSums compares the sums of several normalisations with a common gradient with their definition.
func TestNormSums(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(15, 16))
	for _, shape := range [][]int{{1, 1, 1, 8}, {5, 2, 2, 24}, {33, 4, 4, 16}, {2, 8, 8, 40}, {1, 33, 31, 64}} {
		for outputs := 1; outputs <= 4; outputs++ {
			dy, channels := random(r, shape...), shape[3]
			in, out := []plain.Array{dy}, [][]int{{channels}}
			var norms []*plain.Norm
			for range outputs {
				y := random(r, shape...)
				n := plain.NewNorm(y, random(r, channels), float64(epsilon))
				norms, in, out = append(norms, n), append(in, y, vector(n.Mean), vector(n.Variance)), append(out, []int{channels})
			}
			name, pixels := fmt.Sprint(shape, outputs), len(dy.Values)/channels
			got := call(t, c, "norm_sums", epsilon, out, in...)
			for i, n := range norms {
				ofScale, ofShift := n.Sums(dy)
				near(t, name+" gradient of shift", got[0], pixels, func(at []int) float64 { return ofShift[at[0]] })
				near(t, name+" gradient of scale", got[1+i], 100+pixels, func(at []int) float64 { return ofScale[at[0]] })
			}
		}
	}
}

// runMix runs nb201.mix.
func runMix(t *testing.T, c *pjrt.Client, sources []plain.Source, terms []plain.Term) plain.Array {
	t.Helper()
	var code int64
	for i, term := range terms {
		b := int64(term.Of | int(term.Kind)<<4)
		if term.Last {
			b |= 0x80
		}
		code |= b << (8 * i)
	}
	var in []plain.Array
	for _, s := range sources {
		in = append(in, s.X)
		if s.Factor.Values != nil {
			in = append(in, s.Factor, s.Offset)
		}
	}
	for _, term := range terms {
		if term.Kind == plain.Convolved {
			in = append(in, term.Conv.W, term.Conv.Factor, term.Conv.Offset)
		}
	}
	return call(t, c, "mix", code, [][]int{in[0].Shape}, in...)[0]
}

// TestMix compares sums of all kinds of terms, and of sums, with their definition.
func TestMix(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(17, 18))
	term := func(kind plain.Kind, of int, last bool) plain.Term { return plain.Term{Kind: kind, Of: of, Last: last} }
	programs := [][]plain.Term{
		{term(plain.Itself, 0, true)}, {term(plain.Average, 0, true)}, {term(plain.AverageBack, 0, true)}, {term(plain.Normalised, 0, true)},
		{term(plain.Itself, 0, false), term(plain.Itself, 0, true)},
		{term(plain.Average, 0, true), term(plain.Average, plain.MixSources, true), term(plain.AverageBack, plain.MixSources+1, true)},
		{term(plain.Normalised, 0, false), term(plain.Average, 1, true), term(plain.Average, 8, false), term(plain.Itself, 8, false), term(plain.Normalised, 2, true)},
		{term(plain.Itself, 0, false), term(plain.Normalised, 1, false), term(plain.Average, 2, false), term(plain.AverageBack, 3, false), term(plain.Itself, 4, false),
			term(plain.Normalised, 5, false), term(plain.Itself, 6, true)},
	}
	for range 40 {
		programs = append(programs, randomMix(r))
	}
	shapes := [][]int{{1, 1, 1, 8}, {5, 1, 2, 16}, {2, 2, 2, 24}, {33, 2, 3, 8}, {5, 4, 4, 40}, {2, 8, 8, 64}, {1, 3, 5, 48}, {1, 16, 16, 8}}
	for i, terms := range programs {
		shape := shapes[i%len(shapes)]
		sources := mixSources(r, terms, shape)
		name := fmt.Sprint(shape)
		for _, term := range terms {
			name += fmt.Sprint(" ", term.Kind, term.Of, term.Last)
		}
		compare, rounding := near, 100
		for i := range terms {
			if terms[i].Kind == plain.Convolved {
				terms[i].Conv = randomConv(r, shape[3])
				compare, rounding = nearNorm, rounding+1000
			}
		}
		got := runMix(t, c, sources, terms)
		want := plain.Mix(sources, terms)
		compare(t, name, got, rounding, func(at []int) float64 { return want(at...) })

		special := sources[r.IntN(len(sources))].X
		special.Values[r.IntN(len(special.Values))] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[i%3]
		want = plain.Mix(sources, terms)
		compare(t, name+" of a special value", runMix(t, c, sources, terms), rounding, func(at []int) float64 { return want(at...) })
	}
}

// randomConv draws a convolution, with weights that keep the size of the numbers.
func randomConv(r *rand.Rand, channels int) plain.Scaled {
	taps := 1 + 2*r.IntN(2)
	w := random(r, taps, taps, channels, channels)
	for i := range w.Values {
		w.Values[i] /= float32(math.Sqrt(float64(taps * taps * channels)))
	}
	return plain.Scaled{W: w, Factor: random(r, channels), Offset: random(r, channels)}
}

// randomMix draws the terms of a call.
func randomMix(r *rand.Rand) []plain.Term {
	var terms []plain.Term
	sums, sources := 0, 0
	kinds := map[int]bool{} // whether a source is normalised
	n := 1 + r.IntN(7)
	for i := range n {
		unnormalised := []plain.Kind{plain.Itself, plain.Average, plain.AverageBack, plain.Convolved}[r.IntN(4)]
		t := plain.Term{Kind: plain.Kind(1 + r.IntN(5)), Of: r.IntN(sources + 1), Last: i == n-1 || r.IntN(3) == 0}
		if sums > 0 && r.IntN(2) == 0 {
			t.Of, t.Kind = plain.MixSources+r.IntN(sums), unnormalised
		} else if t.Of == sources {
			sources++
			kinds[t.Of] = t.Kind == plain.Normalised
		} else if kinds[t.Of] {
			t.Kind = plain.Normalised
		} else {
			t.Kind = unnormalised
		}
		if t.Last {
			sums++
		}
		terms = append(terms, t)
	}
	return terms
}

// mixSources draws the sources for terms.
func mixSources(r *rand.Rand, terms []plain.Term, shape []int) (sources []plain.Source) {
	for _, t := range terms {
		if t.Of == len(sources) {
			s := plain.Source{X: random(r, shape...)}
			if t.Kind == plain.Normalised {
				s.Factor, s.Offset = random(r, shape[3]), random(r, shape[3])
			}
			sources = append(sources, s)
		}
	}
	return sources
}

// TestBatches checks that the bits of an image's results in evaluation do not depend on the other images.
func TestBatches(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(19, 20))
	first := func(a plain.Array, images int) plain.Array {
		shape := append([]int{images}, a.Shape[1:]...)
		return plain.Array{Shape: shape, Values: a.Values[:len(a.Values)/a.Shape[0]*images]}
	}
	for _, s := range []convolutionShape{{33, 4, 16, 16, 3, 1}, {33, 2, 64, 64, 3, 1}, {33, 4, 8, 24, 3, 2}, {33, 1, 24, 40, 1, 1}} {
		f := fusedShape{s, true}
		a := f.arguments(r)
		all := f.scaled(t, c, a)
		terms := []plain.Term{{Kind: plain.Convolved, Last: true, Conv: randomConv(r, s.in)}, {Kind: plain.Average, Of: plain.MixSources},
			{Kind: plain.Convolved, Of: plain.MixSources, Last: true, Conv: randomConv(r, s.in)}}
		mixed := runMix(t, c, []plain.Source{{X: a.x}}, terms)
		for _, images := range []int{1, 5, 32} {
			b := a
			b.x, b.dy = first(a.x, images), first(a.dy, images)
			if !slices.Equal(f.scaled(t, c, b).Values, first(all, images).Values) ||
				!slices.Equal(runMix(t, c, []plain.Source{{X: b.x}}, terms).Values, first(mixed, images).Values) {
				t.Errorf("%v: %d images have other bits than 33", f, images)
			}
		}
	}
}

// TestSharedMap computes convolutions of one map in one call, whose sums depend on each other, and one by one.
func TestSharedMap(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(21, 22))
	for _, s := range []convolutionShape{{3, 8, 16, 16, 3, 1}, {33, 4, 8, 8, 3, 1}, {33, 2, 64, 64, 3, 1}, {3, 5, 24, 24, 3, 1}, {5, 8, 16, 16, 1, 1}, {33, 1, 8, 8, 1, 1}} {
		source := []plain.Source{{X: fusedShape{s, true}.arguments(r).x}}
		const sum = plain.MixSources
		terms := []plain.Term{
			{Kind: plain.Convolved, Last: true, Conv: randomConv(r, s.in)},
			{Kind: plain.Convolved, Conv: randomConv(r, s.in)}, {Kind: plain.Itself, Of: sum, Last: true},
			{Kind: plain.Convolved, Conv: randomConv(r, s.in)}, {Kind: plain.Itself, Of: sum}, {Kind: plain.Itself, Of: sum + 1, Last: true},
		}
		var alone [][]float32
		for _, i := range []int{0, 1, 3} {
			alone = append(alone, runMix(t, c, source, []plain.Term{{Kind: plain.Convolved, Last: true, Conv: terms[i].Conv}}).Values)
		}
		for i, got := range runMix(t, c, source, terms).Values {
			first := alone[0][i]
			second := alone[1][i] + first
			if want := alone[2][i] + first + second; got != want {
				t.Fatalf("%v: %g at %d, not %g", s, got, i, want)
			}
		}
	}
}

// fusedBits is bits for the kernels of several layers, which exist since version 3.
var fusedBits = map[int]map[string]string{
	3: {
		"3x3 from 3 to 16 channels": "a9d6123009818c6b", "scaled 3x3 from 3 to 16 channels": "29db1aa5e91f7824",
		"sums of 3x3 from 3 to 16 channels": "6cf43836db75a4e9", "gradients of 3x3 from 3 to 16 channels": "554f1f34d135a375",
		"3x3 from 16 to 16 channels": "296a879f6ac9d1ec", "scaled 3x3 from 16 to 16 channels": "4d46a8b084b49efc",
		"sums of 3x3 from 16 to 16 channels": "0603234e18b41a51", "gradients of 3x3 from 16 to 16 channels": "fac7142b9f9787e6",
		"3x3 from 32 to 64 channels": "fb155d5f37ab222c", "scaled 3x3 from 32 to 64 channels": "5f9fa3bfc1fec3ca",
		"sums of 3x3 from 32 to 64 channels": "af13148335aedf6d", "gradients of 3x3 from 32 to 64 channels": "67809a7f4162450f",
		"3x3 from 64 to 64 channels": "78af2e5e837694f0", "scaled 3x3 from 64 to 64 channels": "0249c6db0ffd92b1",
		"sums of 3x3 from 64 to 64 channels": "d7ec4cd1055d1934", "gradients of 3x3 from 64 to 64 channels": "0d3bc197987637dd",
		"3x3 from 24 to 8 channels": "b10b2bde35454819", "scaled 3x3 from 24 to 8 channels": "d8fdfd6a072d66aa",
		"sums of 3x3 from 24 to 8 channels": "506380d35a5fce72", "gradients of 3x3 from 24 to 8 channels": "845a17e0ac4e6a68",
		"1x1 from 32 to 16 channels": "2aee8fc1c8478e4c", "scaled 1x1 from 32 to 16 channels": "27b234ffe1bb16b6",
		"sums of 1x1 from 32 to 16 channels": "e3f60bff41a3cfcb", "gradients of 1x1 from 32 to 16 channels": "d13955c2cb1cdcab",
		"mix of 8 channels": "35bb4acd0e62c00f", "mix of 16 channels": "c372dd3b5d12cda6", "mix of 24 channels": "9f2e5553dd957827",
	},
}

// TestFusedBits is TestBits for the kernels of several layers.
func TestFusedBits(t *testing.T) {
	c := withKernels(t)
	got := map[string]string{}
	record := func(name string, made ...plain.Array) { got[name] = digest(made) }
	for _, s := range []convolutionShape{{19, 12, 3, 16, 3, 1}, {19, 12, 16, 16, 3, 1}, {19, 12, 32, 64, 3, 2}, {65, 4, 64, 64, 3, 1}, {35, 8, 24, 8, 3, 1}, {19, 12, 32, 16, 1, 1}} {
		f := fusedShape{s, s.in%8 == 0}
		out, v := []int{s.images, s.size / s.stride, s.size / s.stride, s.out}, []int{s.out}
		x, w, dy, sum := drawn(1, s.images, s.size, s.size, s.in), drawn(2, s.taps, s.taps, s.in, s.out), drawn(3, out...), drawn(4, out...)
		scale, shift, mean, variance := drawn(5, s.out), drawn(6, s.out), drawn(7, s.out), drawn(8, s.out)
		for i := range variance.Values {
			variance.Values[i] += 3
		}
		name := fmt.Sprintf("%dx%d from %d to %d channels", s.taps, s.taps, s.in, s.out)
		a := fusedArguments{x: x, w: w, dy: dy, sum: sum, scale: scale, shift: shift, mean: mean, variance: variance}
		made := f.norm(t, c, a)
		record(name, made...)
		scaled := f.scaled(t, c, a)
		for i, v := range sum.Values {
			scaled.Values[i] += v
		}
		record("scaled "+name, scaled)
		if f.relu && slices.Equal(x.Shape, out) { // the same in one call
			mixed := runMix(t, c, []plain.Source{{X: sum}, {X: x}}, []plain.Term{{Kind: plain.Itself}, {Kind: plain.Convolved, Of: 1, Last: true, Conv: f.factors(t, c, a)}})
			if !slices.Equal(mixed.Values, scaled.Values) {
				t.Errorf("%s: nb201.mix makes other bits than nb201.relu_conv_scaled", name)
			}
		}
		sums := call(t, c, "norm_sums", epsilon, [][]int{v, v, v}, dy, made[0], made[1], made[2], sum, mean, variance)
		record("sums of "+name, sums...)
		results := [][]int{w.Shape}
		if f.relu {
			results = append(results, x.Shape)
		}
		record("gradients of "+name, call(t, c, f.kernel("conv_gradients"), epsilon, results, x, w, made[0], scale, made[1], made[2], dy, sums[1], sums[0])...)
	}
	for _, channels := range []int{8, 16, 24} {
		var sources []plain.Source
		for i := range uint64(4) {
			sources = append(sources, plain.Source{X: drawn(10+i, 7, 9, 11, channels)})
		}
		sources[3].Factor, sources[3].Offset = drawn(20, channels), drawn(21, channels)
		record(fmt.Sprintf("mix of %d channels", channels), runMix(t, c, sources, []plain.Term{
			{Kind: plain.Average, Of: 0}, {Kind: plain.Itself, Of: 1, Last: true}, {Kind: plain.AverageBack, Of: 2}, {Kind: plain.Normalised, Of: 3, Last: true},
			{Kind: plain.Average, Of: 9}, {Kind: plain.AverageBack, Of: 8, Last: true},
		}))
	}
	if want := fusedBits[kernels.Version]; !maps.Equal(got, want) {
		t.Errorf("kernels of version %d make other bits. If they are to, raise kernels.Version and add a line to fusedBits.\ngot  %q\nwant %q", kernels.Version, got, want)
	}
}
