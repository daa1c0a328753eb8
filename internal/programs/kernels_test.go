package programs

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/go-xla/pjrt"

	"nb201/internal/kernels"
)

// array is float32 values of a shape.
type array struct {
	shape  []int
	values []float32
}

func random(r *rand.Rand, shape ...int) array {
	n := 1
	for _, d := range shape {
		n *= d
	}
	a := array{shape, make([]float32, n)}
	for i := range a.values {
		a.values[i] = float32(r.NormFloat64())
	}
	return a
}

// at is an element; 0 outside.
func (a array) at(index ...int) float64 {
	i := 0
	for axis, n := range index {
		if n < 0 || n >= a.shape[axis] {
			return 0
		}
		i = i*a.shape[axis] + n
	}
	return float64(a.values[i])
}

func tensorType(shape []int) string {
	return "tensor<" + strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", "x"), "[]") + "xf32>"
}

// apply runs one operation, which must be one that a kernel takes the place of.
func apply(t *testing.T, c *pjrt.Client, operation, attributes string, out [][]int, in ...array) []array {
	t.Helper()
	var parameters, names, inTypes, results, outTypes []string
	for i, a := range in {
		parameters = append(parameters, fmt.Sprintf("%%in%d: %s", i, tensorType(a.shape)))
		names = append(names, fmt.Sprintf("%%in%d", i))
		inTypes = append(inTypes, tensorType(a.shape))
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
	if !strings.Contains(string(kernels.Replace([]byte(program))), "call_target_name") {
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
		for _, v := range a.values {
			raw = binary.NativeEndian.AppendUint32(raw, math.Float32bits(v))
		}
		b, err := c.BufferFromHost().FromRawData(raw, dtypes.Float32, a.shape).Done()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Destroy()
		buffers = append(buffers, b)
	}
	var first []array
	for range 2 { // the same to the bit, whichever threads did what
		made, err := e.Execute(buffers...).Done()
		if err != nil {
			t.Fatal(err)
		}
		var got []array
		for i, b := range made {
			a := random(rand.New(rand.NewPCG(0, 0)), out[i]...)
			raw := make([]byte, 4*len(a.values))
			if err := b.ToHost(raw); err != nil {
				t.Fatal(err)
			}
			b.Destroy()
			for j := range a.values {
				a.values[j] = math.Float32frombits(binary.NativeEndian.Uint32(raw[4*j:]))
			}
			got = append(got, a)
		}
		for i := range first {
			if !slices.Equal(got[i].values, first[i].values) {
				t.Errorf("%s: output %d is not the same twice", operation, i)
			}
		}
		first = got
	}
	return first
}

// near compares with what is right, whose elements are sums of so many products.
func near(t *testing.T, what string, got array, terms int, want func(index []int) float64) {
	t.Helper()
	index := make([]int, len(got.shape))
	for i, v := range got.values {
		rest := i
		for axis := len(index) - 1; axis >= 0; axis-- {
			index[axis], rest = rest%got.shape[axis], rest/got.shape[axis]
		}
		if w := want(index); !(math.Abs(float64(v)-w) <= 1e-7*(10+float64(terms))*(1+math.Abs(w))) {
			t.Errorf("%s: %v is %v, not %v", what, index, v, w)
			return
		}
	}
}

// withKernels is a client of a plugin that has them.
func withKernels(t *testing.T) *pjrt.Client {
	t.Helper()
	c := client(t, "")
	if !current.kernels {
		t.Skip("this processor or plugin is none that there are kernels for")
	}
	return c
}

// TestConvolutions holds the kernels of convolutions against their definition.
func TestConvolutions(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range []struct{ images, size, in, out, taps, stride int }{
		{1, 4, 3, 16, 3, 1}, {3, 8, 16, 16, 3, 1}, {17, 6, 32, 32, 3, 1}, {2, 5, 64, 64, 3, 1}, {2, 32, 3, 16, 3, 1},
		{3, 8, 16, 32, 3, 2}, {2, 12, 32, 64, 3, 2}, {2, 9, 5, 48, 3, 1}, {40, 3, 7, 16, 3, 1}, {2, 1, 16, 16, 3, 1}, {1, 11, 16, 16, 3, 1},
		{3, 8, 16, 16, 1, 1}, {2, 7, 32, 64, 1, 1}, {5, 4, 3, 16, 1, 1}, {2, 13, 16, 16, 1, 1},
	} {
		name := fmt.Sprintf("%+v", s)
		start, made := s.taps/2, s.size/s.stride
		x, w, dy := random(r, s.images, s.size, s.size, s.in), random(r, s.taps, s.taps, s.in, s.out), random(r, s.images, made, made, s.out)
		attributes := func(axes string, end int, strides, lhs, rhs int) string {
			return fmt.Sprintf(`batch_group_count = 1 : i64,
dimension_numbers = #stablehlo.conv<%s>,
feature_group_count = 1 : i64,
lhs_dilation = array<i64: %[2]d, %[2]d>,
padding = dense<[[%[3]d, %[4]d], [%[3]d, %[4]d]]> : tensor<2x2xi64>,
rhs_dilation = array<i64: %[5]d, %[5]d>,
window_reversal = array<i1: false, false>,
window_strides = array<i64: %[6]d, %[6]d>`, axes, lhs, start, end, rhs, strides)
		}
		y := apply(t, c, "convolution", attributes("[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]", start, s.stride, 1, 1), [][]int{dy.shape}, x, w)
		near(t, name+" output", y[0], s.taps*s.taps*s.in, func(at []int) (sum float64) {
			for a := range s.taps {
				for b := range s.taps {
					for k := range s.in {
						sum += x.at(at[0], at[1]*s.stride+a-start, at[2]*s.stride+b-start, k) * w.at(a, b, k, at[3])
					}
				}
			}
			return sum
		})
		dw := apply(t, c, "convolution", attributes("[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]", start+1-s.stride, 1, 1, s.stride), [][]int{w.shape}, x, dy)
		near(t, name+" gradient of weights", dw[0], s.images*made*made, func(at []int) (sum float64) {
			for n := range s.images {
				for i := range made {
					for j := range made {
						sum += x.at(n, i*s.stride+at[0]-start, j*s.stride+at[1]-start, at[2]) * dy.at(n, i, j, at[3])
					}
				}
			}
			return sum
		})
		if s.in%16 != 0 {
			continue // there is no kernel for the gradient of such an input
		}
		flipped := random(r, s.taps, s.taps, s.out, s.in)
		dx := apply(t, c, "convolution", attributes("[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]", start+s.stride-1, 1, s.stride, 1), [][]int{x.shape}, dy, flipped)
		near(t, name+" gradient of input", dx[0], s.taps*s.taps*s.out, func(at []int) (sum float64) {
			for a := range s.taps {
				for b := range s.taps {
					i, j := at[1]+a-start, at[2]+b-start
					if i%s.stride != 0 || j%s.stride != 0 {
						continue
					}
					for k := range s.out {
						sum += dy.at(at[0], i/s.stride, j/s.stride, k) * flipped.at(a, b, k, at[3])
					}
				}
			}
			return sum
		})
	}
}

// TestNormalisation holds the kernels of batch normalisation against their definition, of
// values far from 0 too, where squares of them would leave nothing of a variance.
func TestNormalisation(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(3, 4))
	const epsilon = 1e-5
	attributes := "epsilon = 1.0e-05 : f32,\nfeature_index = 3 : i64"
	for _, s := range []struct {
		images, size, channels int
		mean                   float64
	}{{1, 1, 16, 0}, {1, 3, 16, 0}, {9, 8, 32, 5}, {70, 16, 16, 1000}, {33, 8, 64, -3}, {3, 5, 48, 0.1}} {
		name := fmt.Sprintf("%+v", s)
		x, dy := random(r, s.images, s.size, s.size, s.channels), random(r, s.images, s.size, s.size, s.channels)
		scale, shift := random(r, s.channels), random(r, s.channels)
		for i := range x.values {
			x.values[i] += float32(s.mean)
		}
		pixels := s.images * s.size * s.size
		mean, variance := make([]float64, s.channels), make([]float64, s.channels)
		ofDy, products := make([]float64, s.channels), make([]float64, s.channels)
		for i, v := range x.values {
			mean[i%s.channels] += float64(v) / float64(pixels)
		}
		for i, v := range x.values {
			ch := i % s.channels
			variance[ch] += (float64(v) - mean[ch]) * (float64(v) - mean[ch]) / float64(pixels)
			ofDy[ch] += float64(dy.values[i])
			products[ch] += float64(dy.values[i]) * (float64(v) - mean[ch])
		}
		inverse := func(ch int) float64 { return 1 / math.Sqrt(variance[ch]+epsilon) }
		got := apply(t, c, "batch_norm_training", attributes, [][]int{x.shape, scale.shape, scale.shape}, x, scale, shift)
		terms := int(math.Abs(s.mean)) // y is of numbers as large as the mean
		if pixels == 1 {
			terms = 1000 // no variance, so that rounding is magnified by 1/sqrt(epsilon)
		}
		near(t, name+" output", got[0], terms, func(at []int) float64 {
			ch := at[3]
			return (x.at(at...)-mean[ch])*inverse(ch)*scale.at(ch) + shift.at(ch)
		})
		near(t, name+" mean", got[1], 1, func(at []int) float64 { return mean[at[0]] })
		near(t, name+" variance", got[2], 1, func(at []int) float64 { return variance[at[0]] })
		if pixels == 1 {
			continue
		}
		got = apply(t, c, "batch_norm_grad", attributes, [][]int{x.shape, scale.shape, scale.shape}, x, scale, got[1], got[2], dy)
		near(t, name+" gradient", got[0], 16+16*terms, func(at []int) float64 {
			ch, n := at[3], float64(pixels)
			return scale.at(ch) * inverse(ch) * (dy.at(at...) - ofDy[ch]/n - (x.at(at...)-mean[ch])*inverse(ch)*inverse(ch)*products[ch]/n)
		})
		near(t, name+" gradient of scale", got[1], pixels*(1+terms), func(at []int) float64 { return products[at[0]] * inverse(at[0]) })
		near(t, name+" gradient of shift", got[2], pixels, func(at []int) float64 { return ofDy[at[0]] })
	}
}

// TestMoves holds the kernels that move weights against their definition.
func TestMoves(t *testing.T) {
	c := withKernels(t)
	r := rand.New(rand.NewPCG(5, 6))
	v := random(r, 100)
	near(t, "slice", apply(t, c, "slice", "limit_indices = array<i64: 40>,\nstart_indices = array<i64: 7>,\nstrides = array<i64: 1>",
		[][]int{{33}}, v)[0], 0, func(at []int) float64 { return v.at(7 + at[0]) })
	w := random(r, 3, 3, 5, 16)
	near(t, "reverse", apply(t, c, "reverse", "dimensions = array<i64: 0, 1>", [][]int{w.shape}, w)[0], 0,
		func(at []int) float64 { return w.at(2-at[0], 2-at[1], at[2], at[3]) })
	near(t, "transpose", apply(t, c, "transpose", "permutation = array<i64: 0, 1, 3, 2>", [][]int{{3, 3, 16, 5}}, w)[0], 0,
		func(at []int) float64 { return w.at(at[0], at[1], at[3], at[2]) })
}
