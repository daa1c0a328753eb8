package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// layers are the costly layers. x is [batch, height, width, in], w [k, k, in, out] with
// k 1 or 3 and padding k/2, dy like the output. What each costs is in
// docs/performance.md; reference is what each means.
type layers interface {
	conv(x, w *Node, stride int) *Node
	convInputGrad(x, dy, w *Node, stride int) *Node
	convWeightGrad(x, dy, w *Node, stride int) *Node
	// batchNorm normalises over all axes but the last with the batch's mean and
	// biased variance; back gives the gradients of x, scale and shift.
	batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(dy *Node) (dx, dScale, dShift *Node))
	// boxSum sums the 3x3 neighbourhood, zeros outside; it is its own adjoint.
	boxSum(x *Node) *Node
}

func isPointwise(w *Node, stride int) bool { return w.Shape().Dim(0) == 1 && stride == 1 }

func asMatrix(w *Node) *Node { return Reshape(w, w.Shape().Dim(2), w.Shape().Dim(3)) }

// rows lists a feature map's pixels: [batch*height*width, channels].
func rows(x *Node) *Node { return Reshape(x, -1, x.Shape().Dim(3)) }
