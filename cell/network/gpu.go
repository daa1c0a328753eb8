package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// onGPU has the layers in the forms that take the fewest kernels on a GPU: XLA's own
// operations, with weights in the order that cuDNN reads, and a batch normalisation whose
// sums XLA does not take apart. Figures are in docs/performance.md.
type onGPU struct{ plain }

func newOnGPU() onGPU { return onGPU{plain{convolutions(ohwi)}} }

// batchNorm takes the variance as the mean of the squares less the square of the mean, as
// XLA does for its own operation. Everything that is of a channel alone is worked out on
// vectors of channels, so that each of the passes over a map is one kernel: the sums
// forward, y, the sums backward, and dx.
func (onGPU) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
	toMean := 1 / float64(x.Shape().Size()/scale.Shape().Size())
	sum, squares := channelSums(x, Square(x))
	mean = MulScalar(sum, toMean)
	variance = MaxScalar(Sub(MulScalar(squares, toMean), Square(mean)), 0)
	inverse := Reciprocal(Sqrt(AddScalar(variance, batchNormEpsilon)))
	factor := Mul(scale, inverse)
	y = Add(Mul(x, perChannel(factor, x)), perChannel(Sub(shift, Mul(mean, factor)), x))
	return y, mean, variance, func(dy *Node) (dx, dScale, dShift *Node) {
		var product *Node
		dShift, product = channelSums(dy, Mul(dy, Sub(x, perChannel(mean, x))))
		dScale = Mul(product, inverse)
		// dx is factor * (dy - dShift/n - (x - mean) * inverse * dScale/n).
		ofX := MulScalar(Mul(Mul(factor, inverse), dScale), -toMean)
		constant := Sub(MulScalar(Mul(factor, dShift), -toMean), Mul(ofX, mean))
		dx = Add(Add(Mul(dy, perChannel(factor, x)), Mul(x, perChannel(ofX, x))), perChannel(constant, x))
		return dx, dScale, dShift
	}
}

// channelSums sums two maps [batch, height, width, channels] over all but the channels. It
// sums each image, or each half of a large one, and then these sums, those of both maps in
// one kernel. XLA would do the same, but take two kernels for the second part.
func channelSums(a, b *Node) (sumOfA, sumOfB *Node) {
	d := a.Shape().Dimensions
	parts := 1
	if d[1]%2 == 0 && d[1]*d[2] >= 512 {
		parts = 2
	}
	images := func(x *Node) *Node { return ReduceSum(Reshape(x, d[0], parts, d[1]/parts, d[2], d[3]), 2, 3) }
	both := ReduceSum(Stack([]*Node{images(a), images(b)}, 0), 1, 2)
	of := func(i int) *Node { return Squeeze(Slice(both, AxisElem(i)), 0) }
	return of(0), of(1)
}
