package programs

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/go-xla/pjrt"

	"nb201/internal/kernels"
	"nb201/internal/kernels/plain"
	"nb201/internal/needs"
	"nb201/internal/programs/kernelstest"
)

// random returns a random array.
func random(r *rand.Rand, shape ...int) plain.Array {
	n := 1
	for _, d := range shape {
		n *= d
	}
	a := plain.Array{Shape: shape, Values: make([]float32, n)}
	for i := range a.Values {
		a.Values[i] = float32(r.NormFloat64())
	}
	return a
}

func tensorType(shape []int) string {
	return "tensor<" + strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", "x"), "[]") + "xf32>"
}

// apply runs one operation, which a kernel must replace.
func apply(t *testing.T, c *pjrt.Client, operation, attributes string, out [][]int, in ...plain.Array) []plain.Array {
	t.Helper()
	var parameters, names, inTypes, results, outTypes []string
	for i, a := range in {
		parameters = append(parameters, fmt.Sprintf("%%in%d: %s", i, tensorType(a.Shape)))
		names = append(names, fmt.Sprintf("%%in%d", i))
		inTypes = append(inTypes, tensorType(a.Shape))
	}
	for i, shape := range out {
		results, outTypes = append(results, fmt.Sprintf("%%out%d", i)), append(outTypes, tensorType(shape))
	}
	made := strings.Join(outTypes, ", ")
	signature := made
	if len(out) > 1 {
		signature = "(" + made + ")"
	}
	program := fmt.Sprintf("func.func @main(%s) -> (%s) {\n%s = \"stablehlo.%s\"(%s) {\n%s\n} : (%s) -> %s\nreturn %s : %s\n}\n",
		strings.Join(parameters, ", "), made, strings.Join(results, ", "), operation, strings.Join(names, ", "), attributes,
		strings.Join(inTypes, ", "), signature, strings.Join(results, ", "), made)
	if _, counts := kernels.Replace([]byte(program)); len(counts) != 1 {
		t.Fatalf("there is no kernel for\n%s", program)
	}
	e, err := c.Compile().WithStableHLO([]byte(program)).Done()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Destroy()
	var buffers []*pjrt.Buffer
	for _, a := range in {
		var raw []byte
		for _, v := range a.Values {
			raw = binary.NativeEndian.AppendUint32(raw, math.Float32bits(v))
		}
		b, err := c.BufferFromHost().FromRawData(raw, dtypes.Float32, a.Shape).Done()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Destroy()
		buffers = append(buffers, b)
	}
	var first []plain.Array
	for range 2 { // the bits must not depend on which thread does what
		made, err := e.Execute(buffers...).Done()
		if err != nil {
			t.Fatal(err)
		}
		var got []plain.Array
		for i, b := range made {
			a := random(rand.New(rand.NewPCG(0, 0)), out[i]...)
			raw := make([]byte, 4*len(a.Values))
			if err := b.ToHost(raw); err != nil {
				t.Fatal(err)
			}
			b.Destroy()
			for j := range a.Values {
				a.Values[j] = math.Float32frombits(binary.NativeEndian.Uint32(raw[4*j:]))
			}
			got = append(got, a)
		}
		for i := range first {
			if !slices.EqualFunc(got[i].Values, first[i].Values, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
				t.Errorf("%s: output %d is not the same twice", operation, i)
			}
		}
		first = got
	}
	return first
}

// near compares with the right values, whose elements are sums of this many products.
func near(t *testing.T, what string, got plain.Array, terms int, want func(index []int) float64) {
	t.Helper()
	index := make([]int, len(got.Shape))
	for i, v := range got.Values {
		rest := i
		for axis := len(index) - 1; axis >= 0; axis-- {
			index[axis], rest = rest%got.Shape[axis], rest/got.Shape[axis]
		}
		w, got := want(index), float64(v)
		if got == w || math.IsNaN(got) && math.IsNaN(w) { // also for infinities
			continue
		}
		if math.IsInf(got, 0) || math.IsInf(w, 0) || !(math.Abs(got-w) <= 1e-7*(10+float64(terms))*(1+math.Abs(w))) {
			t.Errorf("%s: %v is %v, not %v", what, index, v, w)
			return
		}
	}
}

// withKernels returns a client of a plugin with the kernels.
func withKernels(t *testing.T) *pjrt.Client {
	t.Helper()
	c := client(t, "")
	kernelstest.Require(t, current.kernels.Missing)
	return c
}

// The axes of a convolution, and of the gradient of its weights.
const (
	forward   = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
	ofWeights = "[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]"
)

// convolutionAttributes returns the attributes of a convolution padded by start and end on both
// axes.
func convolutionAttributes(axes string, start, end, strides, lhs, rhs int) string {
	return fmt.Sprintf(`batch_group_count = 1 : i64,
dimension_numbers = #stablehlo.conv<%s>,
feature_group_count = 1 : i64,
lhs_dilation = array<i64: %[2]d, %[2]d>,
padding = dense<[[%[3]d, %[4]d], [%[3]d, %[4]d]]> : tensor<2x2xi64>,
rhs_dilation = array<i64: %[5]d, %[5]d>,
window_reversal = array<i1: false, false>,
window_strides = array<i64: %[6]d, %[6]d>`, axes, lhs, start, end, rhs, strides)
}

// normAttributes has the attributes of a batch normalisation.
const normAttributes = "epsilon = 1.0e-05 : f32,\nfeature_index = 3 : i64"

// TestConvolutions compares the kernels of convolutions with their definition.
func TestConvolutions(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range []convolutionShape{
		{1, 4, 3, 16, 3, 1}, {3, 8, 16, 16, 3, 1}, {17, 6, 32, 32, 3, 1}, {2, 5, 64, 64, 3, 1}, {2, 32, 3, 16, 3, 1},
		{3, 8, 16, 32, 3, 2}, {2, 12, 32, 64, 3, 2}, {2, 9, 5, 48, 3, 1}, {40, 3, 7, 16, 3, 1}, {2, 1, 16, 16, 3, 1}, {1, 11, 16, 16, 3, 1},
		{3, 8, 16, 16, 1, 1}, {2, 7, 32, 64, 1, 1}, {5, 4, 3, 16, 1, 1}, {2, 13, 16, 16, 1, 1},
	} {
		s.compare(t, c, r)
	}
}

// TestWidths compares the kernels with their definition at all pairs of the size search space's numbers
// of channels, and for images of all sizes up to 13.
func TestWidths(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(7, 8))
	pair := 0
	for out := 8; out <= 64; out += 8 {
		for size := 1; size <= 13; size++ {
			convolutionShape{1, size, 3, out, 3, 1}.compare(t, c, r)
		}
		for in := 8; in <= 64; in += 8 {
			convolutionShape{1, 1 + pair%9, in, out, 3, 1}.compare(t, c, r)
			convolutionShape{1, 2 + 2*(pair%4), in, out, 3, 2}.compare(t, c, r)
			convolutionShape{2, 1 + pair*4%9, in, out, 1, 1}.compare(t, c, r)
			pair++
		}
	}
}

// TestNaN checks that a NaN and an infinity in one operand reach those results that depend on them, and
// no others.
func TestNaN(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(9, 10))
	for _, s := range []convolutionShape{
		{1, 5, 8, 8, 3, 1}, {1, 6, 8, 8, 3, 2}, {1, 5, 8, 8, 1, 1}, {1, 5, 3, 8, 3, 1}, {1, 5, 24, 8, 3, 1}, {1, 5, 8, 24, 3, 1}, {1, 6, 40, 56, 3, 2},
		{1, 5, 16, 16, 3, 1}, {1, 5, 24, 40, 1, 1},
	} {
		x, w, dy, flipped := s.operands(r)
		x.Values[r.IntN(len(x.Values))], w.Values[r.IntN(len(w.Values))] = float32(math.NaN()), float32(math.Inf(1))
		dy.Values[r.IntN(len(dy.Values))] = float32(math.NaN())
		s.compareWith(t, c, x, w, dy, flipped)
	}
}

// convolutionShape describes a convolution of square maps with weights [taps, taps, in, out].
type convolutionShape struct{ images, size, in, out, taps, stride int }

// operands returns a random input, weights, gradient of the output, and weights for the gradient of the
// input.
func (s convolutionShape) operands(r *rand.Rand) (x, w, dy, flipped plain.Array) {
	made := s.size / s.stride
	return random(r, s.images, s.size, s.size, s.in), random(r, s.taps, s.taps, s.in, s.out),
		random(r, s.images, made, made, s.out), random(r, s.taps, s.taps, s.out, s.in)
}

// compare compares the kernels for the output and both gradients with their definition.
func (s convolutionShape) compare(t *testing.T, c *pjrt.Client, r *rand.Rand) {
	t.Helper()
	x, w, dy, flipped := s.operands(r)
	s.compareWith(t, c, x, w, dy, flipped)
}

func (s convolutionShape) compareWith(t *testing.T, c *pjrt.Client, x, w, dy, flipped plain.Array) {
	t.Helper()
	name := fmt.Sprintf("%+v", s)
	start, made := s.taps/2, s.size/s.stride
	y := apply(t, c, "convolution", convolutionAttributes(forward, start, start, s.stride, 1, 1), [][]int{dy.Shape}, x, w)
	near(t, name+" output", y[0], s.taps*s.taps*s.in, func(at []int) float64 {
		return plain.Conv(x, w, s.stride, 1, at[0], at[1], at[2], at[3])
	})
	dw := apply(t, c, "convolution", convolutionAttributes(ofWeights, start, s.taps-start-s.stride, 1, 1, s.stride), [][]int{w.Shape}, x, dy)
	near(t, name+" gradient of weights", dw[0], s.images*made*made, func(at []int) float64 {
		return plain.ConvWeights(x, dy, s.taps, s.stride, at[0], at[1], at[2], at[3])
	})
	if s.in%8 != 0 {
		return // there is no kernel for the gradient of such an input
	}
	dx := apply(t, c, "convolution", convolutionAttributes(forward, start, start+s.stride-1, 1, s.stride, 1), [][]int{x.Shape}, dy, flipped)
	near(t, name+" gradient of input", dx[0], s.taps*s.taps*s.out, func(at []int) float64 {
		return plain.Conv(dy, flipped, 1, s.stride, at[0], at[1], at[2], at[3])
	})
}

// TestNormalisation compares the kernels of batch normalisation with their definition, also for
// values far from 0, where a variance computed from squares would lose all its digits.
func TestNormalisation(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(3, 4))
	const epsilon = 1e-5
	for _, s := range []struct {
		images, size, channels int
		mean                   float64
	}{{1, 1, 16, 0}, {1, 3, 16, 0}, {9, 8, 32, 5}, {70, 16, 16, 1000}, {33, 8, 64, -3}, {3, 5, 48, 0.1},
		{1, 1, 8, 0}, {70, 16, 8, 100}, {5, 7, 24, 5}, {33, 8, 24, -3}, {9, 8, 40, 0.1}, {17, 8, 56, 2}} {
		name := fmt.Sprintf("%+v", s)
		x, dy := random(r, s.images, s.size, s.size, s.channels), random(r, s.images, s.size, s.size, s.channels)
		scale, shift := random(r, s.channels), random(r, s.channels)
		for i := range x.Values {
			x.Values[i] += float32(s.mean)
		}
		pixels := s.images * s.size * s.size
		want := plain.NewNorm(x, scale, epsilon)
		ofScale, ofShift := want.Sums(dy)
		got := apply(t, c, "batch_norm_training", normAttributes, [][]int{x.Shape, scale.Shape, scale.Shape}, x, scale, shift)
		terms := int(math.Abs(s.mean)) // y is computed from numbers as large as the mean
		if pixels == 1 {
			terms = 1000 // without variance, rounding is magnified by 1/sqrt(epsilon)
		}
		near(t, name+" output", got[0], terms, func(at []int) float64 { return want.Output(shift, at...) })
		near(t, name+" mean", got[1], 1, func(at []int) float64 { return want.Mean[at[0]] })
		near(t, name+" variance", got[2], 1, func(at []int) float64 { return want.Variance[at[0]] })
		if pixels == 1 {
			continue
		}
		got = apply(t, c, "batch_norm_grad", normAttributes, [][]int{x.Shape, scale.Shape, scale.Shape}, x, scale, got[1], got[2], dy)
		near(t, name+" gradient", got[0], 16+16*terms, func(at []int) float64 { return want.Gradient(dy, ofScale, ofShift, at...) })
		near(t, name+" gradient of scale", got[1], pixels*(1+terms), func(at []int) float64 { return ofScale[at[0]] })
		near(t, name+" gradient of shift", got[2], pixels, func(at []int) float64 { return ofShift[at[0]] })
	}
}

// TestMoves compares the kernels that move weights with their definition.
func TestMoves(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(5, 6))
	v := random(r, 100)
	near(t, "slice", apply(t, c, "slice", "limit_indices = array<i64: 40>,\nstart_indices = array<i64: 7>,\nstrides = array<i64: 1>",
		[][]int{{33}}, v)[0], 0, func(at []int) float64 { return plain.Slice(v, 7, at[0]) })
	w := random(r, 3, 3, 5, 16)
	near(t, "reverse", apply(t, c, "reverse", "dimensions = array<i64: 0, 1>", [][]int{w.Shape}, w)[0], 0,
		func(at []int) float64 { return plain.Reverse(w, at[0], at[1], at[2], at[3]) })
	near(t, "transpose", apply(t, c, "transpose", "permutation = array<i64: 0, 1, 3, 2>", [][]int{{3, 3, 16, 5}}, w)[0], 0,
		func(at []int) float64 { return plain.Transpose(w, at[0], at[1], at[2], at[3]) })
}

// bits maps a version to the first eight bytes of the SHA-256 of what its kernels compute from
// TestBits' inputs. They are the same on all processors. Never change a version's line: raise
// kernels.Version and add a line.
var bits = map[int]map[string]string{
	1: {
		"3x3": "b34db9087f4dfd24", "3x3 of stride 2": "f9bc0d9cfa608f1a", "3x3 of a spread input": "b70d2d2733399c17", "1x1": "889fb79aee1f63e7",
		"weights of 3x3": "cfb49328a290e34f", "weights of 3x3 of stride 2": "a371db6427e0d93a", "weights of 1x1": "43b94bd696166ec3",
		"normalisation": "9c15c2042a18dd65", "normalisation's gradients": "b329e30aecee5916",
	},
	2: { // as 1, and kernels for odd multiples of 8 channels
		"3x3": "b34db9087f4dfd24", "3x3 of stride 2": "f9bc0d9cfa608f1a", "3x3 of a spread input": "b70d2d2733399c17", "1x1": "889fb79aee1f63e7",
		"weights of 3x3": "cfb49328a290e34f", "weights of 3x3 of stride 2": "a371db6427e0d93a", "weights of 1x1": "43b94bd696166ec3",
		"normalisation": "9c15c2042a18dd65", "normalisation's gradients": "b329e30aecee5916",
		"3x3 from 24 to 8 channels": "6ad04f6d48277806", "3x3 from 24 to 40 channels": "053aa1093343c323",
		"weights of 3x3 from 24 to 8 channels": "bdbc1e0cc2ee71b8", "weights of 3x3 from 8 to 24 channels": "d9893a38acab95a6",
		"normalisation of 24 channels": "1cdf5b768b6ad7b3",
	},
	3: { // as 2, and fused kernels (fusedBits)
		"3x3": "b34db9087f4dfd24", "3x3 of stride 2": "f9bc0d9cfa608f1a", "3x3 of a spread input": "b70d2d2733399c17", "1x1": "889fb79aee1f63e7",
		"weights of 3x3": "cfb49328a290e34f", "weights of 3x3 of stride 2": "a371db6427e0d93a", "weights of 1x1": "43b94bd696166ec3",
		"normalisation": "9c15c2042a18dd65", "normalisation's gradients": "b329e30aecee5916",
		"3x3 from 24 to 8 channels": "6ad04f6d48277806", "3x3 from 24 to 40 channels": "053aa1093343c323",
		"weights of 3x3 from 24 to 8 channels": "bdbc1e0cc2ee71b8", "weights of 3x3 from 8 to 24 channels": "d9893a38acab95a6",
		"normalisation of 24 channels": "1cdf5b768b6ad7b3",
	},
}

// TestBitsOfSets runs TestBits and TestFusedBits with each instruction set that this processor has.
func TestBitsOfSets(t *testing.T) {
	for _, set := range []string{"plain", "avx2", "avx512"} {
		t.Run(set, func(t *testing.T) {
			needs.Instructions(t, set, kernels.Has(set))
			c := exec.Command(os.Args[0], "-test.run", "^Test(Fused)?Bits$", "-test.v")
			c.Env = append(os.Environ(), kernels.Variable+"="+set)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// drawn returns an array of numbers that the seed determines on every machine.
func drawn(seed uint64, shape ...int) plain.Array {
	r := rand.New(rand.NewPCG(seed, 0))
	a := random(r, shape...)
	for i := range a.Values { // only integer arithmetic, so that the inputs never change
		a.Values[i] = float32(int32(r.Uint32())) / (1 << 30)
	}
	return a
}

// digest returns the first eight bytes of the SHA-256 of the arrays' values, in hexadecimal.
func digest(arrays []plain.Array) string {
	h := sha256.New()
	for _, a := range arrays {
		for _, v := range a.Values {
			h.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// TestBits checks that the kernels compute the bits of their version, which records and checkpoints
// name.
func TestBits(t *testing.T) {
	c := withKernels(t)
	x, dy, channels := drawn(1, 19, 12, 12, 32), drawn(2, 19, 12, 12, 16), []int{32}
	odd, narrow := drawn(9, 19, 12, 12, 24), drawn(10, 19, 12, 12, 8)
	scale, shift := drawn(3, 32), drawn(4, 32)
	moments := apply(t, c, "batch_norm_training", normAttributes, [][]int{x.Shape, channels, channels}, x, scale, shift)
	got := map[string]string{}
	for _, run := range []struct {
		name, operation, attributes string
		out                         [][]int
		in                          []plain.Array
	}{
		{"3x3", "convolution", convolutionAttributes(forward, 1, 1, 1, 1, 1), [][]int{dy.Shape}, []plain.Array{x, drawn(5, 3, 3, 32, 16)}},
		{"3x3 of stride 2", "convolution", convolutionAttributes(forward, 1, 1, 2, 1, 1), [][]int{{19, 6, 6, 16}}, []plain.Array{x, drawn(5, 3, 3, 32, 16)}},
		{"3x3 of a spread input", "convolution", convolutionAttributes(forward, 1, 2, 1, 2, 1), [][]int{{19, 24, 24, 16}}, []plain.Array{x, drawn(5, 3, 3, 32, 16)}},
		{"1x1", "convolution", convolutionAttributes(forward, 0, 0, 1, 1, 1), [][]int{dy.Shape}, []plain.Array{x, drawn(6, 1, 1, 32, 16)}},
		{"weights of 3x3", "convolution", convolutionAttributes(ofWeights, 1, 1, 1, 1, 1), [][]int{{3, 3, 32, 16}}, []plain.Array{x, dy}},
		{"weights of 3x3 of stride 2", "convolution", convolutionAttributes(ofWeights, 1, 0, 1, 1, 2), [][]int{{3, 3, 32, 16}},
			[]plain.Array{x, drawn(7, 19, 6, 6, 16)}},
		{"weights of 1x1", "convolution", convolutionAttributes(ofWeights, 0, 0, 1, 1, 1), [][]int{{1, 1, 32, 16}}, []plain.Array{x, dy}},
		{"3x3 from 24 to 8 channels", "convolution", convolutionAttributes(forward, 1, 1, 1, 1, 1), [][]int{narrow.Shape}, []plain.Array{odd, drawn(11, 3, 3, 24, 8)}},
		{"3x3 from 24 to 40 channels", "convolution", convolutionAttributes(forward, 1, 1, 1, 1, 1), [][]int{{19, 12, 12, 40}},
			[]plain.Array{odd, drawn(12, 3, 3, 24, 40)}},
		{"weights of 3x3 from 24 to 8 channels", "convolution", convolutionAttributes(ofWeights, 1, 1, 1, 1, 1), [][]int{{3, 3, 24, 8}},
			[]plain.Array{odd, narrow}},
		{"weights of 3x3 from 8 to 24 channels", "convolution", convolutionAttributes(ofWeights, 1, 1, 1, 1, 1), [][]int{{3, 3, 8, 24}},
			[]plain.Array{narrow, odd}},
		{"normalisation of 24 channels", "batch_norm_training", normAttributes, [][]int{odd.Shape, {24}, {24}},
			[]plain.Array{odd, drawn(13, 24), drawn(14, 24)}},
		{"normalisation", "batch_norm_training", normAttributes, [][]int{x.Shape, channels, channels}, []plain.Array{x, scale, shift}},
		{"normalisation's gradients", "batch_norm_grad", normAttributes, [][]int{x.Shape, channels, channels},
			[]plain.Array{x, scale, moments[1], moments[2], drawn(8, x.Shape...)}},
	} {
		got[run.name] = digest(apply(t, c, run.operation, run.attributes, run.out, run.in...))
	}
	if want := bits[kernels.Version]; !maps.Equal(got, want) {
		t.Errorf("kernels of version %d make other bits. If they are to, raise kernels.Version and add a line to bits.\ngot  %q\nwant %q", kernels.Version, got, want)
	}
}
