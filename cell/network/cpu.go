package network

import (
	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// onCPU has the layers in the forms that there is fast code for on the CPU in Float32: our
// own (internal/kernels), into whose calls these convolutions and normalisations are
// turned, and YNNPACK's sums and elementwise operations with the flags of
// internal/backend. Other plugins and processors take them too, and are slower.
//
// Which operations are turned is a closed list (internal/kernels/forms.go): TestOnCPU fails
// when an operation here leaves it.
type onCPU struct{}

func (onCPU) weights() weightOrder { return hwio }

// byHWIO are the axes of a convolution of NHWC by HWIO.
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
	end := start + stride - 1 // what the last, incomplete stride cut off is padded again
	return Convolve(dy, flipped).InputDilationPerAxis(stride, stride).PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

// convWeightGrad is a convolution that takes the batch for the channels that are summed
// over, and the input's channels for its batch.
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

// onCPUInBFloat16 has the layers as XLA's CPU takes them in BFloat16, for which there are
// no kernels but those of batch normalisation, which is in Float32.
type onCPUInBFloat16 struct{ onCPU }

func (onCPUInBFloat16) convInputGrad(_, dy, w *Node, stride int) *Node {
	start := w.Shape().Dim(0) / 2
	end := start + stride - 1 // what the last, incomplete stride cut off is padded again
	axes := byHWIO()
	axes.KernelInputChannels, axes.KernelOutputChannels = axes.KernelOutputChannels, axes.KernelInputChannels
	return Convolve(dy, Reverse(w, 0, 1)).AxesConfig(axes).InputDilationPerAxis(stride, stride).
		PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

func (onCPUInBFloat16) boxSum(x *Node) *Node { return SumPool(x).Window(3).Strides(1).PadSame().Done() }
