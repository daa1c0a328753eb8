package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// layers implements the costly layers. In all of them x is [batch, height, width, in], w
// has k rows and columns, k is 1 or 3, the padding is k/2, and dy has the shape of the
// output. reference defines what each computes; docs/performance.md has the costs.
type layers interface {
	// weights returns the order of the axes of w.
	weights() weightOrder
	conv(x, w *Node, stride int) *Node
	convInputGrad(x, dy, w *Node, stride int) *Node
	convWeightGrad(x, dy, w *Node, stride int) *Node
	// batchNorm normalises over all axes but the last, with the batch's mean and biased
	// variance. back returns the gradients of x, scale and shift.
	batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(dy *Node) (dx, dScale, dShift *Node))
	// boxSum sums the 3x3 neighbourhood of each element, with zeros outside the map. It is
	// its own adjoint.
	boxSum(x *Node) *Node
}

// asMatrix drops the two leading axes, of size 1, of a tap of a kernel.
func asMatrix(w *Node) *Node { return Reshape(w, w.Shape().Dim(2), w.Shape().Dim(3)) }

// notNegative returns x where it is positive or NaN, and 0 elsewhere, as PyTorch's ReLU
// does. (XLA's maximum turns NaN into 0 on the CPU.)
func notNegative(x *Node) *Node {
	return Clamp(ScalarZero(x.Graph(), x.DType()), x, Infinity(x.Graph(), x.DType(), 1))
}

// reluGrad returns the gradient of a ReLU with output y: 0 where y is 0, and dy elsewhere,
// also where y is NaN (threshold_backward in PyTorch's
// aten/src/ATen/native/cpu/Activation.cpp).
func reluGrad(y, dy *Node) *Node {
	zero := ScalarZero(y.Graph(), y.DType())
	return Where(LessOrEqual(y, zero), zero, dy)
}
