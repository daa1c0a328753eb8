package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// plain has the layers as XLA's own operations, which is how its CPU takes them in
// bfloat16.
type plain struct{ convolutions }

func (plain) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
	y, mean, variance = InternalBatchNormForTraining(x, scale, shift, batchNormEpsilon, -1)
	return y, mean, variance, func(dy *Node) (dx, dScale, dShift *Node) {
		return InternalBatchNormGradient(x, scale, mean, variance, dy, batchNormEpsilon, -1)
	}
}

func (plain) boxSum(x *Node) *Node { return SumPool(x).Window(3).Strides(1).PadSame().Done() }
