package network

import (
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// onCPU has the layers in the forms that there is fast code for on the CPU in Float32: our
// own (internal/kernels), into whose calls these convolutions and normalisations are
// turned, and YNNPACK's sums and elementwise operations with the flags of
// internal/backend. Other plugins and processors take them too, and are slower.
type onCPU struct{ plain }

func newOnCPU() onCPU { return onCPU{plain{convolutions(hwio)}} }

func (onCPU) convInputGrad(x, dy, w *Node, stride int) *Node {
	flipped := TransposeAllAxes(Reverse(w, 0, 1), 0, 1, 3, 2)
	start := w.Shape().Dim(0) / 2
	end := start + stride - 1 // what the last, incomplete stride cut off is padded again
	return Convolve(dy, flipped).InputDilationPerAxis(stride, stride).PaddingPerDim([][2]int{{start, end}, {start, end}}).Done()
}

func (onCPU) boxSum(x *Node) *Node {
	x = SumPool(x).WindowPerAxis(3, 1).Strides(1).PaddingPerDim([][2]int{{1, 1}, {0, 0}}).Done()
	return SumPool(x).WindowPerAxis(1, 3).Strides(1).PaddingPerDim([][2]int{{0, 0}, {1, 1}}).Done()
}
