package network

import (
	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// onGPU builds the layers in the forms that need the fewest kernels on a GPU: XLA's own
// operations, weights in the order that cuDNN reads, and a batch normalisation whose sums
// XLA does not split. docs/performance.md has the figures.
type onGPU struct{}

func (onGPU) weights() weightOrder { return ohwi }

// byOHWI returns the axes of a convolution of an NHWC input with an OHWI kernel.
func byOHWI() compute.ConvolveAxesConfig {
	return compute.ConvolveAxesConfig{
		InputBatch: 0, InputSpatial: []int{1, 2}, InputChannels: 3,
		KernelSpatial: []int{1, 2}, KernelInputChannels: 3, KernelOutputChannels: 0,
		OutputBatch: 0, OutputSpatial: []int{1, 2}, OutputChannels: 3,
	}
}

func (onGPU) conv(x, w *Node, stride int) *Node {
	start := w.Shape().Dim(1) / 2
	return Convolve(x, w).AxesConfig(byOHWI()).Strides(stride).PaddingPerDim([][2]int{{start, start}, {start, start}}).Done()
}

// convInputGrad builds the form that XLA recognises as cuDNN's backward convolution
// (xla/service/gpu/transforms/conv_rewriter.cc).
func (onGPU) convInputGrad(_, dy, w *Node, stride int) *Node {
	start := w.Shape().Dim(1) / 2
	end := start + stride - 1 // restores what the last, incomplete stride cut off
	axes := byOHWI()
	axes.KernelInputChannels, axes.KernelOutputChannels = axes.KernelOutputChannels, axes.KernelInputChannels
	return Convolve(dy, Reverse(w, 1, 2)).AxesConfig(axes).InputDilationPerAxis(stride, stride).
		PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

// convWeightGrad builds a convolution that treats the batch as the channels to sum over,
// and the input's channels as its batch. XLA recognises it too.
func (onGPU) convWeightGrad(x, dy, w *Node, stride int) *Node {
	taps := w.Shape().Dim(1)
	start := taps / 2
	end := taps - start - stride
	return Convolve(x, dy).AxesConfig(compute.ConvolveAxesConfig{
		InputBatch: 3, InputSpatial: []int{1, 2}, InputChannels: 0,
		KernelSpatial: []int{1, 2}, KernelInputChannels: 0, KernelOutputChannels: 3,
		OutputBatch: 3, OutputSpatial: []int{1, 2}, OutputChannels: 0,
	}).DilationPerAxis(stride, stride).PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

// batchNorm computes the variance as the mean of the squares minus the square of the mean,
// as XLA's own operation does. Whatever depends on the channel alone is computed on vectors
// of channels, so that each pass over a map is one kernel: the forward sums, y, the backward
// sums, and dx.
func (onGPU) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
	toMean := 1 / float64(x.Shape().Size()/scale.Shape().Size())
	sum, squares := channelSums(x, Square(x))
	mean = MulScalar(sum, toMean)
	variance = notNegative(Sub(MulScalar(squares, toMean), Square(mean)))
	inverse := Reciprocal(Sqrt(AddScalar(variance, batchNormEpsilon)))
	factor := Mul(scale, inverse)
	y = Add(Mul(x, perChannel(factor, x)), perChannel(Sub(shift, Mul(mean, factor)), x))
	return y, mean, variance, func(dy *Node) (dx, dScale, dShift *Node) {
		centred := Sub(x, perChannel(mean, x))
		dShift, product := channelSums(dy, Mul(dy, centred))
		dScale = Mul(product, inverse)
		dx = Sub(Sub(dy, perChannel(MulScalar(dShift, toMean), x)), Mul(centred, perChannel(MulScalar(Mul(inverse, dScale), toMean), x)))
		return Mul(dx, perChannel(factor, x)), dScale, dShift
	}
}

func (onGPU) boxSum(x *Node) *Node { return SumPool(x).Window(3).Strides(1).PadSame().Done() }

// channelSums sums two maps [batch, height, width, channels] over all axes but the channels.
// It sums each image, or each half of a large one, and then adds these sums for both maps in
// one kernel. XLA would do the same, but use two kernels for the second step.
func channelSums(a, b *Node) (sumOfA, sumOfB *Node) {
	d := a.Shape().Dimensions
	parts := 1
	if d[1]%2 == 0 && d[1]*d[2] >= 512 {
		parts = 2
	}
	sumImages := func(x *Node) *Node { return ReduceSum(Reshape(x, d[0], parts, d[1]/parts, d[2], d[3]), 2, 3) }
	both := ReduceSum(Stack([]*Node{sumImages(a), sumImages(b)}, 0), 1, 2)
	row := func(i int) *Node { return Squeeze(Slice(both, AxisElem(i)), 0) }
	return row(0), row(1)
}
