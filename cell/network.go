package cell

import (
	"strconv"

	"nb201/internal/usage"
)

// most is the largest number of channels, cells, classes, and pixels per side of a network.
const most = 1 << 12

// Network describes the network that is trained for an architecture. It takes images
// [batch, Size, Size, 3] and returns logits [batch, Classes]; package cell/network builds it.
type Network struct {
	Arch     Arch
	Channels int // C: channels of the stem and the first stage; 16 in the benchmark, 0 in the size search space
	Cells    int // N: cells per stage; 5 in the benchmark, 0 in the size search space
	Classes  int // number of classes; 10, 100 or 120 in the benchmark
	Size     int // side of the square images in pixels; 32 or 16 in the benchmark
}

// Module is a module of a network between the stem and the head: a cell, or a residual block that
// halves the side of the feature maps (ResNetBasicblock in xautodl/models/cell_operations.py).
type Module struct {
	Reduction bool // a residual block
	Cell      Cell // of a module that is a cell
	In, Out   int  // channels of the module's input and output
}

// Modules lists the modules in order. The stem has In channels of the first one.
func (n Network) Modules() []Module { return n.Arch.modules(n.Channels, n.Cells) }

// Projects reports whether skip_connect on an edge of the cell changes the number of channels. It
// is then a 1x1 convolution and batch normalisation, without a ReLU: FactorizedReduce with stride 1
// in xautodl/models/cell_operations.py.
func (m Module) Projects(edge int) bool {
	return m.Cell[edge] == SkipConnect && m.edgeIn(edge) != m.Out
}

// edgeIn returns the channels that an edge of the cell reads.
func (m Module) edgeIn(edge int) int {
	if endpoints[edge].from == 0 {
		return m.In
	}
	return m.Out
}

// kernel returns the side of the kernel of the convolution on an edge of the cell, 0 if there is none.
func (m Module) kernel(edge int) int {
	if m.Projects(edge) {
		return 1
	}
	return m.Cell[edge].kernel()
}

// weights returns the number of convolution weights.
func (m Module) weights() int {
	if m.Reduction { // conv_a, conv_b and the 1x1 downsample
		return 9*m.In*m.Out + 9*m.Out*m.Out + m.In*m.Out
	}
	weights := 0
	for edge := range m.Cell {
		weights += m.kernel(edge) * m.kernel(edge) * m.edgeIn(edge) * m.Out
	}
	return weights
}

// norms returns the number of batch normalisations, each over Out channels.
func (m Module) norms() int {
	if m.Reduction {
		return 2
	}
	norms := 0
	for edge := range m.Cell {
		if m.kernel(edge) > 0 {
			norms++
		}
	}
	return norms
}

// Validate returns a usage error unless the architecture's network can have Channels and Cells (from 1
// to 4096, or 0 in the size search space), Classes is from 2 to 4096, Size is a multiple of 4 from 4 to
// 4096, and the network has at most 5,000 million parameters.
func (n Network) Validate() error {
	const reduction = 4     // the last maps have sides of Size/reduction
	const mostParams = 5000 // millions: 20 GB of weights, and several times that to train
	if err := n.Arch.checkSkeleton(n.Channels, n.Cells); err != nil {
		return err
	}
	switch {
	case max(n.Classes, n.Size) > most:
		return usage.Errorf("a network for %d classes and %dx%d pixels is too large; use at most %d classes and pixels per side",
			n.Classes, n.Size, n.Size, most)
	case n.Classes < 2:
		return usage.Errorf("a network cannot have %d classes; use at least 2", n.Classes)
	case n.Size < reduction || n.Size%reduction != 0:
		return usage.Errorf("a network cannot take images of %dx%d pixels; use a multiple of %d", n.Size, n.Size, reduction)
	case n.Params() > mostParams:
		return usage.Errorf("a network of %d channels and %d cells per stage has %.0f million parameters; use fewer channels or cells, for at most %d million",
			n.Channels, n.Cells, n.Params(), mostParams)
	}
	return nil
}

// ends returns the channels of the stem and of the head.
func ends(modules []Module) (stem, head int) { return modules[0].In, modules[len(modules)-1].Out }

// FLOPs returns the cost of a forward pass over one image in MFLOPs, millions of
// multiply-adds, as get_model_infos in xautodl/utils/flop_benchmark.py counts it: all
// convolutions, even on edges that do not lead to the output, and the classifier with its
// bias. Batch normalisation, ReLU, pooling and sums count as zero.
func (n Network) FLOPs() float64 {
	modules, side := n.Modules(), n.Size
	stem, head := ends(modules)
	flops := 3 * 9 * stem * side * side
	for _, m := range modules {
		if m.Reduction {
			side /= 2
		}
		flops += m.weights() * side * side
	}
	flops += (head + 1) * n.Classes
	return float64(flops) / 1e6
}

// Params returns the number of trainable parameters in millions, as
// count_parameters_in_MB in xautodl/utils/flop_benchmark.py counts them: the elements of
// all [Network.Tensors] but the running statistics.
func (n Network) Params() float64 {
	modules := n.Modules()
	stem, head := ends(modules)
	params := 3*9*stem + 2*stem // batch normalisation has a weight and a bias per channel
	for _, m := range modules {
		params += m.weights() + m.norms()*2*m.Out
	}
	params += 2*head + (head+1)*n.Classes // last batch normalisation, classifier
	return float64(params) / 1e6
}

// Role is the purpose of a tensor in the state dict.
type Role uint8

// The roles. A ConvWeight has shape [out, in, k, k], a LinearWeight [out, in], a
// LinearBias [out], a BNCount [] (a scalar) and the others [channels].
const (
	ConvWeight Role = iota
	LinearWeight
	LinearBias
	BNWeight
	BNBias
	BNMean  // running mean
	BNVar   // running variance, unbiased
	BNCount // number of batches tracked: int64, where all other roles are float32
)

// Trainable reports whether tensors of this role are parameters, which the optimizer
// updates, rather than running statistics.
func (r Role) Trainable() bool { return r < BNMean }

// Tensor describes an entry of the state dict.
type Tensor struct {
	Name  string // PyTorch's, such as cells.0.layers.1.op.1.weight
	Shape []int  // in PyTorch's axis order; empty for a scalar
	Role  Role
}

// Len returns the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Tensors lists the entries of the PyTorch state dict in module order. That is the order of
// state_dict(), and the order in which random initial weights are drawn. Of a cell's edges, only
// nor_conv_1x1, nor_conv_3x3 and a skip_connect that [Module.Projects] have tensors.
func (n Network) Tensors() []Tensor {
	modules := n.Modules()
	stem, head := ends(modules)
	s := make(stateDict, 0, 40*len(modules))
	s.conv("stem.0", stem, 3, 3)
	s.norm("stem.1", stem)
	for i, m := range modules {
		block := "cells." + strconv.Itoa(i) + "."
		if m.Reduction { // ResNetBasicblock in xautodl/models/cell_operations.py
			s.conv(block+"conv_a.op.1", m.Out, m.In, 3)
			s.norm(block+"conv_a.op.2", m.Out)
			s.conv(block+"conv_b.op.1", m.Out, m.Out, 3)
			s.norm(block+"conv_b.op.2", m.Out)
			s.conv(block+"downsample.1", m.Out, m.In, 1)
			continue
		}
		for edge := range m.Cell { // InferCell in xautodl/models/cell_infers/cells.py
			k := m.kernel(edge)
			if k == 0 {
				continue
			}
			conv, norm := "op.1", "op.2" // ReLUConvBN
			if m.Projects(edge) {
				conv, norm = "conv", "bn" // FactorizedReduce
			}
			layer := block + "layers." + strconv.Itoa(edge) + "."
			s.conv(layer+conv, m.Out, m.edgeIn(edge), k)
			s.norm(layer+norm, m.Out)
		}
	}
	s.norm("lastact.0", head)
	s.add("classifier.weight", LinearWeight, n.Classes, head)
	s.add("classifier.bias", LinearBias, n.Classes)
	return s
}

type stateDict []Tensor

func (s *stateDict) add(name string, role Role, shape ...int) {
	*s = append(*s, Tensor{name, shape, role})
}

// conv adds a convolution with a k*k kernel and without a bias.
func (s *stateDict) conv(path string, out, in, k int) {
	s.add(path+".weight", ConvWeight, out, in, k, k)
}

// norm adds a batch normalisation over c channels.
func (s *stateDict) norm(path string, c int) {
	s.add(path+".weight", BNWeight, c)
	s.add(path+".bias", BNBias, c)
	s.add(path+".running_mean", BNMean, c)
	s.add(path+".running_var", BNVar, c)
	s.add(path+".num_batches_tracked", BNCount)
}
