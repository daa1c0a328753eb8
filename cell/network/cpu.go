package network

import (
	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// onCPU builds the layers in forms that have fast code on the CPU in Float32: the kernels of
// internal/kernels, which replace these convolutions and normalisations, and YNNPACK's sums
// and elementwise operations, which the flags of internal/backend turn on. Other plugins and
// processors run the same forms, more slowly.
//
// internal/kernels/forms.go lists the operations that are replaced. TestOnCPU fails if an
// operation here is not on that list.
type onCPU struct{}

func (onCPU) weights() weightOrder { return hwio }

// byHWIO returns the axes of a convolution of an NHWC input with an HWIO kernel.
func byHWIO() compute.ConvolveAxesConfig {
	return compute.ConvolveAxesConfig{
		InputBatch: 0, InputSpatial: []int{1, 2}, InputChannels: 3,
		KernelSpatial: []int{0, 1}, KernelInputChannels: 2, KernelOutputChannels: 3,
		OutputBatch: 0, OutputSpatial: []int{1, 2}, OutputChannels: 3,
	}
}

func (onCPU) conv(x, w *Node, stride int) *Node {
	start := w.Shape().Dim(0) / 2
	return Convolve(x, w).AxesConfig(byHWIO()).Strides(stride).PaddingPerDim([][2]int{{start, start}, {start, start}}).Done()
}

func (onCPU) convInputGrad(_, dy, w *Node, stride int) *Node {
	flipped := TransposeAllAxes(Reverse(w, 0, 1), 0, 1, 3, 2)
	start := w.Shape().Dim(0) / 2
	end := start + stride - 1 // restores what the last, incomplete stride cut off
	return Convolve(dy, flipped).InputDilationPerAxis(stride, stride).PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

// convWeightGrad builds a convolution that treats the batch as the channels to sum over,
// and the input's channels as its batch.
func (onCPU) convWeightGrad(x, dy, w *Node, stride int) *Node {
	taps := w.Shape().Dim(0)
	start := taps / 2
	end := taps - start - stride
	return Convolve(x, dy).AxesConfig(compute.ConvolveAxesConfig{
		InputBatch: 3, InputSpatial: []int{1, 2}, InputChannels: 0,
		KernelSpatial: []int{1, 2}, KernelInputChannels: 0, KernelOutputChannels: 3,
		OutputBatch: 2, OutputSpatial: []int{0, 1}, OutputChannels: 3,
	}).DilationPerAxis(stride, stride).PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

func (onCPU) batchNorm(x, scale, shift *Node) (y, mean, variance *Node, back func(*Node) (dx, dScale, dShift *Node)) {
	y, mean, variance = InternalBatchNormForTraining(x, scale, shift, batchNormEpsilon, -1)
	return y, mean, variance, func(dy *Node) (dx, dScale, dShift *Node) {
		return InternalBatchNormGradient(x, scale, mean, variance, dy, batchNormEpsilon, -1)
	}
}

func (onCPU) boxSum(x *Node) *Node {
	x = SumPool(x).WindowPerAxis(3, 1).Strides(1).PaddingPerDim([][2]int{{1, 1}, {0, 0}}).Done()
	return SumPool(x).WindowPerAxis(1, 3).Strides(1).PaddingPerDim([][2]int{{0, 0}, {1, 1}}).Done()
}

// onCPUInBFloat16 builds the layers in the forms that XLA:CPU accepts in BFloat16. Only
// batch normalisation, which is in Float32, has kernels.
type onCPUInBFloat16 struct{ onCPU }

func (onCPUInBFloat16) convInputGrad(_, dy, w *Node, stride int) *Node {
	start := w.Shape().Dim(0) / 2
	end := start + stride - 1 // restores what the last, incomplete stride cut off
	axes := byHWIO()
	axes.KernelInputChannels, axes.KernelOutputChannels = axes.KernelOutputChannels, axes.KernelInputChannels
	return Convolve(dy, Reverse(w, 0, 1)).AxesConfig(axes).InputDilationPerAxis(stride, stride).
		PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

func (onCPUInBFloat16) boxSum(x *Node) *Node { return SumPool(x).Window(3).Strides(1).PadSame().Done() }
