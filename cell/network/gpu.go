package network

import (
	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// onGPU has the layers in the forms that XLA knows for its GPUs: the gradients of a
// convolution as cuDNN's backward convolutions are recognised (xla/service/gpu/
// transforms/conv_rewriter.cc), BatchNorm as the operation.
type onGPU struct{}

func (onGPU) conv(x, w *Node, stride int) *Node {
	return Convolve(x, w).Strides(stride).PadSame().Done()
}

func (onGPU) convInputGrad(_, dy, w *Node, stride int) *Node {
	k := w.Shape().Dim(0)
	start := k / 2
	end := start + stride - 1 // what the last, incomplete stride cut off is padded again
	swapped := nhwc
	swapped.KernelInputChannels, swapped.KernelOutputChannels = nhwc.KernelOutputChannels, nhwc.KernelInputChannels
	return Convolve(dy, Reverse(w, 0, 1)).AxesConfig(swapped).InputDilationPerAxis(stride, stride).
		PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

func (onGPU) convWeightGrad(x, dy, w *Node, stride int) *Node {
	k := w.Shape().Dim(0)
	start := k / 2
	end := k - start - stride
	return Convolve(x, dy).AxesConfig(ofWeights).DilationPerAxis(stride, stride).
		PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

// nhwc is a convolution of NHWC by HWIO, ofWeights one that takes the batch for the
// channels that are summed over, the input's channels for its batch, and gives HWIO.
var (
	nhwc = compute.ConvolveAxesConfig{
		InputBatch: 0, InputSpatial: []int{1, 2}, InputChannels: 3,
		KernelSpatial: []int{0, 1}, KernelInputChannels: 2, KernelOutputChannels: 3,
		OutputBatch: 0, OutputSpatial: []int{1, 2}, OutputChannels: 3,
	}
	ofWeights = compute.ConvolveAxesConfig{
		InputBatch: 3, InputSpatial: []int{1, 2}, InputChannels: 0,
		KernelSpatial: []int{1, 2}, KernelInputChannels: 0, KernelOutputChannels: 3,
		OutputBatch: 2, OutputSpatial: []int{0, 1}, OutputChannels: 3,
	}
)

func (onGPU) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
	y, mean, variance = InternalBatchNormForTraining(x, scale, shift, batchNormEpsilon, -1)
	return y, mean, variance, func(dy *Node) (dx, dScale, dShift *Node) {
		return InternalBatchNormGradient(x, scale, mean, variance, dy, batchNormEpsilon, -1)
	}
}

func (onGPU) reluGrad(y, dy *Node) *Node { return reference{}.reluGrad(y, dy) }

func (onGPU) boxSum(x *Node) *Node { return SumPool(x).Window(3).Strides(1).PadSame().Done() }
