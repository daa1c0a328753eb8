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
	// reluGrad is the gradient dy where y, which ReLU has made, is above 0.
	reluGrad(y, dy *Node) *Node
	// boxSum sums the 3x3 neighbourhood, zeros outside; it is its own adjoint.
	boxSum(x *Node) *Node
}

func asMatrix(w *Node) *Node { return Reshape(w, w.Shape().Dim(2), w.Shape().Dim(3)) }
