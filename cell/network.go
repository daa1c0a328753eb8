package cell

import (
	"fmt"

	"nb201/internal/usage"
)

// stages of cells in the macro skeleton; between two of them a residual block
// doubles the channels and halves the image side.
const stages = 3

// Network is the macro skeleton filled with an architecture: TinyNetwork in
// xautodl/models/cell_infers/tiny_network.py.
type Network struct {
	Arch     Arch
	Channels int // C: of the stem and the first stage; 16 in the benchmark
	Cells    int // N: cells in a stage; 5 in the benchmark
	Classes  int // that the images fall into
	Size     int // side of the square image in pixels; 32 or 16 in the benchmark
}

// Validate refuses, as usage errors, dimensions that make no network.
func (n Network) Validate() error {
	const reduction = 1 << (stages - 1) // the last stage's image side is Size/reduction
	const most = 1 << 12                // of each
	const mostParams = 5000             // millions: 20 GB of weights, and several times that to train
	switch {
	case max(n.Channels, n.Cells, n.Classes, n.Size) > most:
		return usage.Errorf("a network of %d channels and %d cells per stage for %d classes and %dx%d pixels: use at most %d of each", n.Channels, n.Cells, n.Classes, n.Size, n.Size, most)
	case n.Channels < 1:
		return usage.Errorf("a network of %d channels: use at least 1", n.Channels)
	case n.Cells < 1:
		return usage.Errorf("a network of %d cells per stage: use at least 1", n.Cells)
	case n.Classes < 2:
		return usage.Errorf("a network for %d classes: use at least 2", n.Classes)
	case n.Size < reduction || n.Size%reduction != 0:
		return usage.Errorf("a network for images of %dx%d pixels: use a multiple of %d", n.Size, n.Size, reduction)
	case n.Params() > mostParams:
		return usage.Errorf("a network of %d channels and %d cells per stage has %.0f million parameters: use fewer, for at most %d million", n.Channels, n.Cells, n.Params(), mostParams)
	}
	return nil
}

// FLOPs is the cost of one image in millions of multiply-adds, as get_model_infos
// in xautodl/utils/flop_benchmark.py counts it: convolutions and the classifier
// with its bias, dead edges included; batch normalisation, ReLU, pooling and sums
// count nothing.
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

// Params is the number of trained parameters in millions, as
// count_parameters_in_MB in xautodl/utils/flop_benchmark.py counts it: what
// Tensors lists, less the running statistics.
func (n Network) Params() float64 {
	c := n.Channels
	convs := 0
	for _, op := range n.Arch {
		if op.kernel() > 0 {
			convs++
		}
	}
	params := 3*9*c + 2*c // stem; batch normalisation has a weight and a bias a channel
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

// cellWeights counts the convolution weights of a cell of c channels.
func (n Network) cellWeights(c int) int {
	area := 0
	for _, op := range n.Arch {
		area += op.kernel() * op.kernel()
	}
	return area * c * c
}

// reductionWeights counts the convolution weights of the residual block that
// leads from c to 2c channels: conv_a, conv_b and the 1x1 downsample.
func (n Network) reductionWeights(c int) int {
	return 9*c*(2*c) + 9*(2*c)*(2*c) + c*(2*c)
}

// Role says what a tensor of the state dict is for.
type Role uint8

// ConvWeight is shaped (out, in, k, k), LinearWeight (out, in), BNCount () and
// every other role (channels).
const (
	ConvWeight Role = iota
	LinearWeight
	LinearBias
	BNWeight
	BNBias
	BNMean  // running mean
	BNVar   // running variance, unbiased
	BNCount // number of batches tracked: int64, all other roles are float32
)

// Trainable tells parameters, which the optimizer moves, from running statistics.
func (r Role) Trainable() bool { return r < BNMean }

// Tensor is an entry of the state dict.
type Tensor struct {
	Name  string // PyTorch's, e.g. cells.0.layers.1.op.1.weight
	Shape []int  // empty for a scalar
	Role  Role
}

// Len is the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Tensors lists the whole PyTorch state dict in module order: the order of
// TinyNetwork.state_dict() and, for the tensors that are drawn, of the
// initialisation's draws. Only nor_conv edges have tensors.
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

// conv adds a convolution of kernel k*k without bias.
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
