package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// layers are the two costly layers. x is [batch, height, width, in], w
// [k, k, in, out] with k 1 or 3 and padding k/2, dy like the output.
type layers interface {
	conv(x, w *Node, stride int) *Node
	convInputGrad(x, dy, w *Node, stride int) *Node
	convWeightGrad(x, dy, w *Node, stride int) *Node
	// batchNorm normalises over all axes but the last with the batch's mean and
	// biased variance; back gives the gradients of x, scale and shift.
	batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(dy *Node) (dx, dScale, dShift *Node))
}

// fast takes the backend's operations, in the form that XLA:CPU has fast code for:
// every convolution in NHWC by HWIO, 1x1 ones as matrix products.
type fast struct{}

func (fast) conv(x, w *Node, stride int) *Node {
	if isPointwise(w, stride) {
		return Einsum("nhwi,io->nhwo", x, asMatrix(w))
	}
	return Convolve(x, w).Strides(stride).PadSame().Done()
}

func (fast) convInputGrad(_, dy, w *Node, stride int) *Node {
	if isPointwise(w, stride) {
		return Einsum("nhwo,io->nhwi", dy, asMatrix(w))
	}
	flipped := TransposeAllAxes(Reverse(w, 0, 1), 0, 1, 3, 2)
	end := stride // what the last, incomplete stride cut off is padded again
	return Convolve(dy, flipped).InputDilationPerAxis(stride, stride).PaddingPerDim([][2]int{{1, end}, {1, end}}).Done()
}

func (fast) convWeightGrad(x, dy, w *Node, stride int) *Node {
	if isPointwise(w, stride) {
		return Einsum("nhwi,nhwo->io", x, dy)
	}
	// The batch becomes the channels that are summed over, the channels the batch.
	input := TransposeAllAxes(x, 3, 1, 2, 0)
	kernel := TransposeAllAxes(dy, 1, 2, 0, 3)
	end := 2 - stride
	images := x.Shape().Dim(0)
	chunk := images
	if bytes := int(x.Shape().ByteSize()); bytes > 2*weightGradChunk {
		chunk = max(1, weightGradChunk*images/bytes)
	}
	var sum *Node
	for from := 0; from < images; from += chunk {
		part := AxisRange(from, min(from+chunk, images))
		grad := Convolve(SliceAxis(input, 3, part), SliceAxis(kernel, 2, part)).
			DilationPerAxis(stride, stride).PaddingPerDim([][2]int{{1, end}, {1, end}}).Done()
		sum = plus(sum, grad)
	}
	return TransposeAllAxes(sum, 1, 2, 0, 3)
}

// weightGradChunk is how many bytes of a large layer's input one convolution of its
// weight gradient takes: XLA:CPU is faster on pieces that stay in the cache, until
// there are so many that compiling them costs more. Figures in docs/performance.md.
const weightGradChunk = 4 << 20

func isPointwise(w *Node, stride int) bool { return w.Shape().Dim(0) == 1 && stride == 1 }

func asMatrix(w *Node) *Node { return Reshape(w, w.Shape().Dim(2), w.Shape().Dim(3)) }

func (fast) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
	y, mean, variance = InternalBatchNormForTraining(x, scale, shift, batchNormEpsilon, -1)
	return y, mean, variance, func(dy *Node) (dx, dScale, dShift *Node) {
		return InternalBatchNormGradient(x, scale, mean, variance, dy, batchNormEpsilon, -1)
	}
}

// plain writes the layers out in elementary operations. It is the reference for
// fast, and the path for float64, for which XLA:CPU has neither a fast
// convolution nor an exact epsilon.
type plain struct{}

func (plain) conv(x, w *Node, stride int) *Node {
	k := w.Shape().Dim(0)
	var y *Node
	for row := range k {
		for col := range k {
			y = plus(y, Einsum("nhwi,io->nhwo", window(x, k, row, col, stride), tap(w, row, col)))
		}
	}
	return y
}

func (plain) convInputGrad(x, dy, w *Node, stride int) *Node {
	k := w.Shape().Dim(0)
	var dx *Node
	for row := range k {
		for col := range k {
			dx = plus(dx, unwindow(Einsum("nhwo,io->nhwi", dy, tap(w, row, col)), x, k, row, col, stride))
		}
	}
	return dx
}

func (plain) convWeightGrad(x, dy, w *Node, stride int) *Node {
	k := w.Shape().Dim(0)
	var taps []*Node
	for row := range k {
		for col := range k {
			taps = append(taps, Einsum("nhwi,nhwo->io", window(x, k, row, col, stride), dy))
		}
	}
	return Reshape(Stack(taps, 0), w.Shape().Dimensions...)
}

// tap is the [in, out] matrix at one place of the kernel.
func tap(w *Node, row, col int) *Node {
	return asMatrix(Slice(w, AxisElem(row), AxisElem(col)))
}

// window is what one place of the kernel sees of x, padded by k/2, at each output.
func window(x *Node, k, row, col, stride int) *Node {
	for i, offset := range []int{row, col} {
		axis := 1 + i
		size := x.Shape().Dim(axis)
		x = padAxes(x, axis, k/2, k/2, 0)
		x = SliceAxis(x, axis, AxisRange(offset, offset+size).Stride(stride))
	}
	return x
}

// unwindow is the adjoint of window: it adds zeros where window looked away.
func unwindow(seen, x *Node, k, row, col, stride int) *Node {
	for i, offset := range []int{row, col} {
		axis := 1 + i
		size, outputs := x.Shape().Dim(axis), seen.Shape().Dim(axis)
		spread := (outputs-1)*stride + 1
		seen = padAxes(seen, axis, offset, size+2*(k/2)-offset-spread, stride-1)
		seen = SliceAxis(seen, axis, AxisRange(k/2, k/2+size))
	}
	return seen
}

func (plain) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
	count := float64(x.Shape().Size() / scale.Shape().Size())
	mean = MulScalar(ReduceSum(x, 0, 1, 2), 1/count)
	centred := Sub(x, perChannel(mean, x))
	variance = MulScalar(ReduceSum(Square(centred), 0, 1, 2), 1/count)
	inverse := Reciprocal(Sqrt(AddScalar(variance, batchNormEpsilon)))
	normalized := Mul(centred, perChannel(inverse, x))
	y = Add(Mul(normalized, perChannel(scale, x)), perChannel(shift, x))
	return y, mean, variance, func(dy *Node) (dx, dScale, dShift *Node) {
		dShift = ReduceSum(dy, 0, 1, 2)
		dScale = ReduceSum(Mul(dy, normalized), 0, 1, 2)
		inner := Sub(dy, MulScalar(perChannel(dShift, x), 1/count))
		inner = Sub(inner, Mul(normalized, MulScalar(perChannel(dScale, x), 1/count)))
		return Mul(inner, perChannel(Mul(inverse, scale), x)), dScale, dShift
	}
}
