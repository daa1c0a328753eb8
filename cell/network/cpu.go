package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// onCPU has the layers in the forms that the pinned plugin for the CPU has fast code for
// with the flags of internal/backend, in Float32: oneDNN's convolutions, YNNPACK's
// products, sums and elementwise operations. Other plugins take them too, and are slower.
type onCPU struct{}

// conv is a convolution with a third spatial axis of length 1. YNNPACK would take a flat
// one of 32 channels or more, and is slower than oneDNN and on one core.
func (onCPU) conv(x, w *Node, stride int) *Node {
	if isPointwise(w, stride) {
		return Einsum("nhwi,io->nhwo", x, asMatrix(w))
	}
	y := Convolve(ExpandAxes(x, 1), ExpandAxes(w, 0)).StridePerAxis(1, stride, stride).PadSame().Done()
	return Squeeze(y, 1)
}

func (onCPU) convInputGrad(x, dy, w *Node, stride int) *Node {
	if isPointwise(w, stride) {
		return Einsum("nhwo,io->nhwi", dy, asMatrix(w))
	}
	flipped := TransposeAllAxes(Reverse(w, 0, 1), 0, 1, 3, 2)
	if stride == 1 {
		return onCPU{}.conv(dy, flipped, 1)
	}
	end := stride // what the last, incomplete stride cut off is padded again
	return Convolve(dy, flipped).InputDilationPerAxis(stride, stride).PaddingPerDim([][2]int{{1, end}, {1, end}}).Done()
}

// convWeightGrad reads x and dy as they lie in memory, where the form that autodiff
// derives transposes both: the whole batch is one image of one channel, [batch, height,
// width*in], dy its kernel of the same extent, whose taps lie one pixel, in elements,
// apart. At kernel row a, column b and input channel i the result's place is
// [a, b*in + i].
func (onCPU) convWeightGrad(x, dy, w *Node, stride int) *Node {
	if isPointwise(w, stride) {
		return Einsum("ni,no->io", rows(x), rows(dy))
	}
	in, out := x.Shape().Dimensions, dy.Shape().Dimensions
	image := Reshape(x, 1, in[0], in[1], in[2]*in[3], 1)
	kernel := Reshape(dy, out[0], out[1], out[2], 1, out[3])
	end := 2 - stride
	dw := Convolve(image, kernel).DilationPerAxis(1, stride, stride*in[3]).
		PaddingPerDim([][2]int{{0, 0}, {1, end}, {in[3], end * in[3]}}).Done()
	return Reshape(dw, w.Shape().Dimensions...)
}

// batchNorm computes each pixel as factor*x + term, as PyTorch does on the CPU. Forward
// and backward share no broadcast vector: XLA would write it out at the size of x.
func (onCPU) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
	count := float64(x.Shape().Size() / scale.Shape().Size())
	mean = MulScalar(ReduceSum(x, 0, 1, 2), 1/count)
	variance = MulScalar(ReduceSum(Square(Sub(x, perChannel(mean, x))), 0, 1, 2), 1/count)
	inverse := Reciprocal(Sqrt(AddScalar(variance, batchNormEpsilon)))
	factor := Mul(scale, inverse)
	y = Add(Mul(x, perChannel(factor, x)), perChannel(Sub(shift, Mul(mean, factor)), x))
	return y, mean, variance, func(dy *Node) (dx, dScale, dShift *Node) {
		shape := x.Shape().Dimensions
		x, dy := rows(x), rows(dy)
		dShift = ReduceSum(dy, 0)
		dScale = Mul(ReduceSum(Mul(dy, Sub(x, perChannel(mean, x))), 0), inverse)
		// factor * (dy - dShift/count - (x-mean)*inverse*dScale/count)
		ofX := MulScalar(Mul(Mul(factor, inverse), dScale), -1/count)
		term := Sub(MulScalar(Mul(factor, dShift), -1/count), Mul(mean, ofX))
		dx = Add(Add(Mul(dy, perChannel(factor, x)), Mul(x, perChannel(ofX, x))), perChannel(term, x))
		return Reshape(dx, shape...), dScale, dShift
	}
}

func (onCPU) boxSum(x *Node) *Node {
	x = SumPool(x).WindowPerAxis(3, 1).Strides(1).PaddingPerDim([][2]int{{1, 1}, {0, 0}}).Done()
	return SumPool(x).WindowPerAxis(1, 3).Strides(1).PaddingPerDim([][2]int{{0, 0}, {1, 1}}).Done()
}
