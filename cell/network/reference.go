package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// reference builds the layers from elementary operations. onCPU and onGPU are tested
// against it, and float64 uses it: XLA:CPU has neither a fast convolution nor an exact
// epsilon for float64.
type reference struct{}

func (reference) weights() weightOrder { return hwio }

func (reference) conv(x, w *Node, stride int) *Node {
	k := w.Shape().Dim(0)
	var y *Node
	for row := range k {
		for col := range k {
			y = plus(y, Einsum("nhwi,io->nhwo", window(x, k, row, col, stride), tap(w, row, col)))
		}
	}
	return y
}

func (reference) convInputGrad(x, dy, w *Node, stride int) *Node {
	k := w.Shape().Dim(0)
	var dx *Node
	for row := range k {
		for col := range k {
			dx = plus(dx, unwindow(Einsum("nhwo,io->nhwi", dy, tap(w, row, col)), x, k, row, col, stride))
		}
	}
	return dx
}

func (reference) convWeightGrad(x, dy, w *Node, stride int) *Node {
	k := w.Shape().Dim(0)
	var taps []*Node
	for row := range k {
		for col := range k {
			taps = append(taps, Einsum("nhwi,nhwo->io", window(x, k, row, col, stride), dy))
		}
	}
	return Reshape(Stack(taps, 0), w.Shape().Dimensions...)
}

// tap returns the [in, out] matrix at one position of the kernel.
func tap(w *Node, row, col int) *Node {
	return asMatrix(Slice(w, AxisElem(row), AxisElem(col)))
}

// window returns, for each output, the element of x (padded by k/2) that one position of
// the kernel applies to.
func window(x *Node, k, row, col, stride int) *Node {
	for i, offset := range []int{row, col} {
		axis := 1 + i
		size := x.Shape().Dim(axis)
		x = padAxes(x, axis, k/2, k/2, 0)
		x = SliceAxis(x, axis, AxisRange(offset, offset+size).Stride(stride))
	}
	return x
}

// unwindow is the adjoint of window: it spreads seen over zeros of the shape of x.
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

func (reference) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
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

func (reference) boxSum(x *Node) *Node {
	for axis := 1; axis <= 2; axis++ {
		size := x.Shape().Dim(axis)
		padded := padAxes(x, axis, 1, 1, 0)
		var s *Node
		for offset := range 3 {
			s = plus(s, SliceAxis(padded, axis, AxisRange(offset, offset+size)))
		}
		x = s
	}
	return x
}

// padAxes pads one axis with zeros: start before it, end after it, and interior between
// any two of its elements.
func padAxes(x *Node, axis, start, end, interior int) *Node {
	config := make([]PadAxis, x.Rank())
	config[axis] = PadAxis{Start: start, End: end, Interior: interior}
	return Pad(x, ScalarZero(x.Graph(), x.DType()), config...)
}
