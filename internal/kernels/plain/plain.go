// Package plain defines what the kernels compute, one element at a time in float64. Tests compare
// the kernels with it, and nothing else calls it. Feature maps are [images, rows, columns,
// channels], weights [taps, taps, in, out].
package plain

import "math"

// Array holds float32 values of a shape, in row-major order.
type Array struct {
	Shape  []int
	Values []float32
}

// At returns an element, or 0 outside the array.
func (a Array) At(index ...int) float64 {
	i := 0
	for axis, n := range index {
		if n < 0 || n >= a.Shape[axis] {
			return 0
		}
		i = i*a.Shape[axis] + n
	}
	return float64(a.Values[i])
}

// Conv computes nb201.conv (conv.c, conv_pixels): the element (image, i, j, o) of the output of a
// convolution with a stride. There are spread-1 zeros between the pixels of x.
func Conv(x, w Array, stride, spread int, image, i, j, o int) (sum float64) {
	taps := w.Shape[0]
	for a := range taps {
		for b := range taps {
			row, column := i*stride+a-taps/2, j*stride+b-taps/2
			if row%spread != 0 || column%spread != 0 {
				continue
			}
			for k := range w.Shape[2] {
				sum += x.At(image, row/spread, column/spread, k) * w.At(a, b, k, o)
			}
		}
	}
	return sum
}

// ConvWeights computes nb201.conv_weights (conv.c, conv_weights): the element (a, b, k, o) of the
// gradient of the weights of a convolution of x with a stride, where dy is the gradient of the
// output.
func ConvWeights(x, dy Array, taps, stride int, a, b, k, o int) (sum float64) {
	for image := range dy.Shape[0] {
		for i := range dy.Shape[1] {
			for j := range dy.Shape[2] {
				sum += x.At(image, i*stride+a-taps/2, j*stride+b-taps/2, k) * dy.At(image, i, j, o)
			}
		}
	}
	return sum
}

// Norm computes the batch normalisation of a feature map (norm.c). nb201.batch_norm computes Mean,
// Variance and Output; nb201.batch_norm_gradient computes Sums and Gradient from Mean, Variance and
// dy.
type Norm struct {
	Mean, Variance []float64 // of each channel over all pixels; the variance is biased
	x, scale       Array
	pixels         float64
	epsilon        float64
}

// NewNorm computes the mean and variance of x [images, rows, columns, channels]. scale is [channels].
func NewNorm(x, scale Array, epsilon float64) *Norm {
	channels := scale.Shape[0]
	n := &Norm{make([]float64, channels), make([]float64, channels), x, scale, float64(len(x.Values) / channels), epsilon}
	for i, v := range x.Values {
		n.Mean[i%channels] += float64(v) / n.pixels
	}
	for i, v := range x.Values {
		distance := float64(v) - n.Mean[i%channels]
		n.Variance[i%channels] += distance * distance / n.pixels
	}
	return n
}

// inverse returns the reciprocal of a channel's standard deviation.
func (n *Norm) inverse(channel int) float64 { return 1 / math.Sqrt(n.Variance[channel]+n.epsilon) }

// Output returns an element of the normalised map; shift is [channels].
func (n *Norm) Output(shift Array, at ...int) float64 {
	c := at[3]
	return (n.x.At(at...)-n.Mean[c])*n.inverse(c)*n.scale.At(c) + shift.At(c)
}

// Sums returns the gradients of scale and shift, each [channels].
func (n *Norm) Sums(dy Array) (ofScale, ofShift []float64) {
	ofScale, ofShift = make([]float64, len(n.Mean)), make([]float64, len(n.Mean))
	for i, v := range dy.Values {
		c := i % len(n.Mean)
		ofScale[c] += float64(v) * (float64(n.x.Values[i]) - n.Mean[c]) * n.inverse(c)
		ofShift[c] += float64(v)
	}
	return ofScale, ofShift
}

// Gradient returns an element of the gradient of x; ofScale and ofShift are the results of Sums for
// dy.
func (n *Norm) Gradient(dy Array, ofScale, ofShift []float64, at ...int) float64 {
	c := at[3]
	normalised := (n.x.At(at...) - n.Mean[c]) * n.inverse(c)
	return n.scale.At(c) * n.inverse(c) * (dy.At(at...) - ofShift[c]/n.pixels - normalised*ofScale[c]/n.pixels)
}

// Slice computes nb201.slice (calls.c): the element i of the piece of a vector that begins at start.
func Slice(x Array, start, i int) float64 { return x.At(start + i) }

// Reverse computes nb201.reverse (calls.c): an element of weights with the first two axes reversed.
func Reverse(w Array, a, b, k, o int) float64 {
	return w.At(w.Shape[0]-1-a, w.Shape[1]-1-b, k, o)
}

// Transpose computes nb201.transpose (calls.c): an element of weights with the last two axes swapped.
func Transpose(w Array, a, b, o, k int) float64 { return w.At(a, b, k, o) }
