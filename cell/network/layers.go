package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// layers are the costly layers. x is [batch, height, width, in], w has k rows and columns
// with k 1 or 3 and padding k/2, dy is like the output. What each costs is in
// docs/performance.md; reference is what each means.
type layers interface {
	weights() weightOrder // of w
	conv(x, w *Node, stride int) *Node
	convInputGrad(x, dy, w *Node, stride int) *Node
	convWeightGrad(x, dy, w *Node, stride int) *Node
	// batchNorm normalises over all axes but the last with the batch's mean and
	// biased variance; back gives the gradients of x, scale and shift.
	batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(dy *Node) (dx, dScale, dShift *Node))
	// boxSum sums the 3x3 neighbourhood, zeros outside; it is its own adjoint.
	boxSum(x *Node) *Node
}

func asMatrix(w *Node) *Node { return Reshape(w, w.Shape().Dim(2), w.Shape().Dim(3)) }

// notNegative is x where that is above 0 or no number, else 0: ReLU, as PyTorch has it. (XLA's
// maximum makes 0 of NaN on the CPU.)
func notNegative(x *Node) *Node {
	return Clamp(ScalarZero(x.Graph(), x.DType()), x, Infinity(x.Graph(), x.DType(), 1))
}

// reluGrad is the gradient of ReLU, which has made y: 0 where y is 0, and elsewhere, where y
// is no number too, dy (threshold_backward in PyTorch, aten/src/ATen/native/cpu/Activation.cpp).
func reluGrad(y, dy *Node) *Node {
	zero := ScalarZero(y.Graph(), y.DType())
	return Where(LessOrEqual(y, zero), zero, dy)
}
