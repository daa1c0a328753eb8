package network

import (
	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// convolutions are XLA's own, with weights in an order. Padding is k/2 on all sides.
type convolutions weightOrder

func (c convolutions) weights() weightOrder { return weightOrder(c) }

// taps returns the rows, or columns, of a weight.
func (c convolutions) taps(w *Node) int { return w.Shape().Dim(c.weights().of(2)) }

// spatial are the axes of rows and columns of a weight.
func (c convolutions) spatial() []int { return []int{c.weights().of(2), c.weights().of(3)} }

// axes are those of a convolution of NHWC by weights.
func (c convolutions) axes() compute.ConvolveAxesConfig {
	return compute.ConvolveAxesConfig{
		InputBatch: 0, InputSpatial: []int{1, 2}, InputChannels: 3,
		KernelSpatial: c.spatial(), KernelInputChannels: c.weights().of(1), KernelOutputChannels: c.weights().of(0),
		OutputBatch: 0, OutputSpatial: []int{1, 2}, OutputChannels: 3,
	}
}

func (c convolutions) conv(x, w *Node, stride int) *Node {
	start := c.taps(w) / 2
	return Convolve(x, w).AxesConfig(c.axes()).Strides(stride).PaddingPerDim([][2]int{{start, start}, {start, start}}).Done()
}

// convInputGrad has the form that cuDNN's backward convolution is recognised by
// (xla/service/gpu/transforms/conv_rewriter.cc).
func (c convolutions) convInputGrad(_, dy, w *Node, stride int) *Node {
	start := c.taps(w) / 2
	end := start + stride - 1 // what the last, incomplete stride cut off is padded again
	axes := c.axes()
	axes.KernelInputChannels, axes.KernelOutputChannels = axes.KernelOutputChannels, axes.KernelInputChannels
	return Convolve(dy, Reverse(w, c.spatial()...)).AxesConfig(axes).InputDilationPerAxis(stride, stride).
		PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

// convWeightGrad is a convolution that takes the batch for the channels that are summed
// over, and the input's channels for its batch. It is recognised as convInputGrad is.
func (c convolutions) convWeightGrad(x, dy, w *Node, stride int) *Node {
	k := c.taps(w)
	start := k / 2
	end := k - start - stride
	return Convolve(x, dy).AxesConfig(compute.ConvolveAxesConfig{
		InputBatch: 3, InputSpatial: []int{1, 2}, InputChannels: 0,
		KernelSpatial: []int{1, 2}, KernelInputChannels: 0, KernelOutputChannels: 3,
		OutputBatch: c.weights().of(1), OutputSpatial: c.spatial(), OutputChannels: c.weights().of(0),
	}).DilationPerAxis(stride, stride).PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}
