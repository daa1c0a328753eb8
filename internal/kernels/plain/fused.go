package plain

import (
	"math"
	"slices"
)

// ReLU returns the positive part of an array, with NaN where it has NaN.
func ReLU(x Array) Array {
	y := Array{x.Shape, slices.Clone(x.Values)}
	for i, v := range x.Values {
		if v <= 0 {
			y.Values[i] = 0
		}
	}
	return y
}

// ConvScaled computes nb201.conv_scaled with nb201.norm_factors (fused.c): the element at of the
// convolution of x, normalised with a running mean and variance. All vectors are [channels].
func ConvScaled(x, w Array, stride int, scale, shift, mean, variance Array, epsilon float64, at ...int) float64 {
	c := at[3]
	y := Conv(x, w, stride, 1, at[0], at[1], at[2], c)
	return (y-mean.At(c))/math.Sqrt(variance.At(c)+epsilon)*scale.At(c) + shift.At(c)
}

// ConvGradients computes nb201.conv_gradients and nb201.relu_conv_gradients (fused.c): the gradients of a
// convolution, with a normalisation behind it and possibly a ReLU before it.
type ConvGradients struct {
	x       Array // of the convolution
	stride  int
	masked  []bool // where the ReLU's gradient is 0, in the order of x
	dz      Array  // the gradient of the convolution's output
	flipped Array  // the weights of the convolution from dz to the gradient of its input
}

// NewConvGradients takes the input x of the layers and the weights w, the normalisation of the convolution's
// output, the gradient dy of the normalised output, and n.Sums(dy).
func NewConvGradients(x, w Array, relu bool, stride int, n *Norm, dy Array, ofScale, ofShift []float64) *ConvGradients {
	g := &ConvGradients{x: x, stride: stride, masked: make([]bool, len(x.Values))}
	if relu {
		g.x = ReLU(x)
		for i, v := range x.Values {
			g.masked[i] = v <= 0
		}
	}
	g.dz = Array{dy.Shape, make([]float32, len(dy.Values))}
	for i := range dy.Values {
		g.dz.Values[i] = float32(n.Gradient(dy, ofScale, ofShift, index(dy.Shape, i)...))
	}
	s := w.Shape
	g.flipped = Array{[]int{s[0], s[1], s[3], s[2]}, make([]float32, len(w.Values))}
	for i := range w.Values {
		at := index(g.flipped.Shape, i)
		g.flipped.Values[i] = float32(Reverse(w, at[0], at[1], at[3], at[2]))
	}
	return g
}

// Weights returns the element (a, b, k, o) of the gradient of the weights.
func (g *ConvGradients) Weights(a, b, k, o int) float64 {
	return ConvWeights(g.x, g.dz, g.flipped.Shape[0], g.stride, a, b, k, o)
}

// Input returns the element (image, i, j, k) of the gradient of x.
func (g *ConvGradients) Input(image, i, j, k int) float64 {
	s := g.x.Shape
	if g.masked[((image*s[1]+i)*s[2]+j)*s[3]+k] {
		return 0
	}
	return Conv(g.dz, g.flipped, 1, g.stride, image, i, j, k)
}

// index returns the index of an element of an array of a shape, in row-major order.
func index(shape []int, i int) []int {
	at := make([]int, len(shape))
	for axis := len(shape) - 1; axis >= 0; axis-- {
		at[axis], i = i%shape[axis], i/shape[axis]
	}
	return at
}

// Kind is a kind of terms (mix.h).
type Kind int

// The kinds of terms.
const (
	Itself      Kind = 1 + iota
	Average          // of those of 3x3 pixels that the map has
	AverageBack      // its adjoint
	Normalised       // factor*x + offset
	Convolved        // factor * the convolution of the positive part of x + offset
)

// Term is a term of a sum: of a source, or of an earlier sum if Of is MixSources or more.
type Term struct {
	Kind Kind
	Of   int
	Last bool   // of its sum
	Conv Scaled // of a convolved term
}

// Scaled has the weights of a convolution of stride 1 that keeps the number of channels, and the [channels] of factors and
// offsets behind it.
type Scaled struct{ W, Factor, Offset Array }

// MixSources is the first number of a sum.
const MixSources = 8

// Source is a map that nb201.mix reads, with its [channels] of factors and offsets if it is normalised.
type Source struct{ X, Factor, Offset Array }

// Mix computes nb201.mix (mix.c), and returns the last sum as a function of the index of an element.
func Mix(sources []Source, terms []Term) func(at ...int) float64 {
	type feature func(at ...int) float64
	shape := sources[0].X.Shape
	var sums []feature
	sum := make([]float64, len(sources[0].X.Values))
	for _, t := range terms {
		var x feature
		if t.Of < MixSources {
			x = sources[t.Of].X.At
		} else {
			x = sums[t.Of-MixSources]
		}
		var positive Array
		if t.Kind == Convolved {
			input := Array{shape, make([]float32, len(sum))}
			for i := range sum {
				input.Values[i] = float32(x(index(shape, i)...))
			}
			positive = ReLU(input)
		}
		for i := range sum {
			at := index(shape, i)
			switch t.Kind {
			case Itself:
				sum[i] += x(at...)
			case Normalised:
				s := sources[t.Of]
				sum[i] += x(at...)*s.Factor.At(at[3]) + s.Offset.At(at[3])
			case Convolved:
				sum[i] += Conv(positive, t.Conv.W, 1, 1, at[0], at[1], at[2], at[3])*t.Conv.Factor.At(at[3]) + t.Conv.Offset.At(at[3])
			default:
				for row := max(at[1]-1, 0); row <= min(at[1]+1, shape[1]-1); row++ {
					for col := max(at[2]-1, 0); col <= min(at[2]+1, shape[2]-1); col++ {
						by := pixels(shape, at[1], at[2])
						if t.Kind == AverageBack {
							by = pixels(shape, row, col)
						}
						sum[i] += x(at[0], row, col, at[3]) / by
					}
				}
			}
		}
		if t.Last {
			made := sum
			sums = append(sums, func(at ...int) float64 {
				return made[((at[0]*shape[1]+at[1])*shape[2]+at[2])*shape[3]+at[3]]
			})
			sum = make([]float64, len(made))
		}
	}
	return sums[len(sums)-1]
}

// pixels returns how many of the 3x3 pixels around one a map of a shape has.
func pixels(shape []int, row, col int) float64 {
	within := func(i, all int) int { return min(i+1, all-1) - max(i-1, 0) + 1 }
	return float64(within(row, shape[1]) * within(col, shape[2]))
}
