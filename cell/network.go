package cell

import (
	"fmt"

	"nb201/internal/usage"
)

// stages is the number of stages in a network. Between two stages, a residual block
// doubles the channels and halves the side of the feature maps.
const stages = 3

// Network describes the network that is trained for an architecture: TinyNetwork in
// xautodl/models/cell_infers/tiny_network.py. It takes images [batch, Size, Size, 3] and
// returns logits [batch, Classes]; package cell/network builds it.
type Network struct {
	Arch     Arch
	Channels int // C: channels of the stem and the first stage; 16 in the benchmark
	Cells    int // N: cells per stage; 5 in the benchmark
	Classes  int // number of classes; 10, 100 or 120 in the benchmark
	Size     int // side of the square images in pixels; 32 or 16 in the benchmark
}

// Validate returns a usage error unless Channels and Cells are from 1 to 4096, Classes is from 2
// to 4096, Size is a multiple of 4 from 4 to 4096, and the network has at most 5,000 million
// parameters.
func (n Network) Validate() error {
	const reduction = 1 << (stages - 1) // the last stage's maps have sides of Size/reduction
	const most = 1 << 12                // of channels, cells, classes and pixels
	const mostParams = 5000             // millions: 20 GB of weights, and several times that to train
	switch {
	case max(n.Channels, n.Cells, n.Classes, n.Size) > most:
		return usage.Errorf("a network of %d channels and %d cells per stage for %d classes and %dx%d pixels is too large; channels, cells, classes and pixels per side may each be at most %d",
			n.Channels, n.Cells, n.Classes, n.Size, n.Size, most)
	case n.Channels < 1:
		return usage.Errorf("a network cannot have %d channels; use at least 1", n.Channels)
	case n.Cells < 1:
		return usage.Errorf("a network cannot have %d cells per stage; use at least 1", n.Cells)
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

// FLOPs returns the cost of a forward pass over one image in MFLOPs, millions of
// multiply-adds, as get_model_infos in xautodl/utils/flop_benchmark.py counts it: all
// convolutions, even on edges that do not lead to the output, and the classifier with its
// bias. Batch normalisation, ReLU, pooling and sums count as zero.
func (n Network) FLOPs() float64 {
	c, side := n.Channels, n.Size
	flops := 3 * 9 * c * side * side // stem
	for stage := range stages {
		if stage > 0 {
			side /= 2
			flops += n.reductionWeights(c) * side * side
			c *= 2
		}
		flops += n.Cells * n.cellWeights(c) * side * side
	}
	flops += (c + 1) * n.Classes
	return float64(flops) / 1e6
}

// Params returns the number of trainable parameters in millions, as
// count_parameters_in_MB in xautodl/utils/flop_benchmark.py counts them: the elements of
// all [Network.Tensors] but the running statistics.
func (n Network) Params() float64 {
	c := n.Channels
	convs := 0
	for _, op := range n.Arch {
		if op.kernel() > 0 {
			convs++
		}
	}
	params := 3*9*c + 2*c // stem; batch normalisation has a weight and a bias per channel
	for stage := range stages {
		if stage > 0 {
			params += n.reductionWeights(c) + 2*2*(2*c)
			c *= 2
		}
		params += n.Cells * (n.cellWeights(c) + convs*2*c)
	}
	params += 2*c + (c+1)*n.Classes // last batch normalisation, classifier
	return float64(params) / 1e6
}

// cellWeights returns the number of convolution weights in a cell with c channels.
func (n Network) cellWeights(c int) int {
	area := 0
	for _, op := range n.Arch {
		area += op.kernel() * op.kernel()
	}
	return area * c * c
}

// reductionWeights returns the number of convolution weights in the residual block from c
// to 2c channels: conv_a, conv_b and the 1x1 downsample.
func (n Network) reductionWeights(c int) int {
	return 9*c*(2*c) + 9*(2*c)*(2*c) + c*(2*c)
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

// Tensors lists the entries of the PyTorch state dict in module order. That is the order
// of TinyNetwork.state_dict(), and the order in which random initial weights are drawn.
// Of a cell's edges, only nor_conv_1x1 and nor_conv_3x3 have tensors.
func (n Network) Tensors() []Tensor {
	var s stateDict
	c := n.Channels
	s.conv("stem.0", c, 3, 3)
	s.norm("stem.1", c)
	index := 0
	for stage := range stages {
		if stage > 0 { // ResNetBasicblock in xautodl/models/cell_operations.py
			block := fmt.Sprintf("cells.%d.", index)
			s.conv(block+"conv_a.op.1", 2*c, c, 3)
			s.norm(block+"conv_a.op.2", 2*c)
			s.conv(block+"conv_b.op.1", 2*c, 2*c, 3)
			s.norm(block+"conv_b.op.2", 2*c)
			s.conv(block+"downsample.1", 2*c, c, 1)
			c *= 2
			index++
		}
		for range n.Cells { // InferCell in xautodl/models/cell_infers/cells.py
			for edge, op := range n.Arch {
				if k := op.kernel(); k > 0 {
					layer := fmt.Sprintf("cells.%d.layers.%d.", index, edge)
					s.conv(layer+"op.1", c, c, k)
					s.norm(layer+"op.2", c)
				}
			}
			index++
		}
	}
	s.norm("lastact.0", c)
	s.add("classifier.weight", LinearWeight, n.Classes, c)
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
