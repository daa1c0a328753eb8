// Package network builds the network of a cell as a gomlx graph: the stem, three
// stages of N equal cells with a residual reduction between them, and the head
// (BatchNorm, ReLU, global mean, classifier), as the original's TinyNetwork
// (xautodl/models/cell_infers/tiny_network.py). Its tensors carry the names of
// PyTorch's state dict (cell.Network.Tensors).
//
// Images and feature maps are NHWC. The tensors lie in two flat vectors, the
// parameters and BatchNorm's running statistics (see Layout).
//
// The backward pass is written here, layer by layer, rather than derived by
// gomlx: PyTorch's conventions (ReLU'(0) = 0, biased and unbiased variances) are
// then in plain sight, and the convolutions' gradients take the form XLA is fast
// at.
package network

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building

	"nb201/cell"
)

// Model builds the graphs of one network.
type Model struct {
	*Layout
	net      cell.Network
	features dtypes.DType
	layers   layers
}

// New prepares the graphs of net with feature maps of a dtype: that of the parameters,
// or BFloat16 where these are Float32. The second is mixed precision much as PyTorch's
// autocast has it: weights are rounded for the convolutions, whose results and
// gradients are in BFloat16 as all feature maps; BatchNorm, its statistics, and all
// from the global mean on (the classifier too, unlike autocast) are in Float32, as are
// the parameters' gradients, rounded to BFloat16 where they are a convolution's.
//
// In Float64 the layers are written out in elementary operations: slow, exact, and the
// reference. Otherwise they take the forms that are fast on a GPU, or on the CPU in
// Float32. (Of those, YNNPACK refuses some in BFloat16.)
func New(net cell.Network, features dtypes.DType, gpu bool) *Model {
	m := &Model{net: net, features: features, layers: onCPU{}}
	switch {
	case features == dtypes.Float64:
		m.layers = reference{}
	case gpu:
		m.layers = onGPU{}
	case features == dtypes.BFloat16:
		m.layers = onCPUInBFloat16{}
	}
	m.Layout = newLayout(net, m.layers.weights())
	return m
}

// Train builds the forward pass in training mode and what is needed to go back.
// params and stats are the vectors of the Layout, images is [batch, size, size, 3].
// It returns the logits [batch, classes], the statistics after this batch, and a
// function that builds the gradient vector of the parameters from the gradient of
// the logits.
func (m *Model) Train(params, stats, images *Node) (logits, newStats *Node, backward func(*Node) *Node) {
	t := &tape{Model: m, params: params, stats: stats, training: true, found: map[string]*Node{}, counts: map[string]float64{}}
	out := m.forward(t, images)
	newStats = t.statistics()
	return out.node, newStats, func(dLogits *Node) *Node {
		out.add(dLogits)
		t.unwind()
		return t.gather(Parameters, params)
	}
}

// Evaluate builds the forward pass in evaluation mode and returns the logits
// [batch, classes].
func (m *Model) Evaluate(params, stats, images *Node) *Node {
	t := &tape{Model: m, params: params, stats: stats}
	return m.forward(t, images).node
}

func (m *Model) forward(t *tape, images *Node) *feature {
	x := t.conv("stem.0.weight", &feature{node: ConvertDType(images, m.features)}, 1)
	x = t.batchNorm("stem.1", x)
	index := 0
	for stage := range 3 {
		if stage > 0 {
			x = t.reduction(fmt.Sprintf("cells.%d", index), x)
			index++
		}
		for range m.net.Cells {
			x = t.cell(fmt.Sprintf("cells.%d", index), m.net.Arch, x)
			index++
		}
	}
	x = t.relu(t.batchNorm("lastact.0", x))
	return t.linear("classifier", t.globalMean(x))
}

// cell is InferCell (models/cell_infers/cells.py): node i is the sum, in edge
// order, of the operations on the nodes before it; the last node is the output.
func (t *tape) cell(path string, arch cell.Arch, input *feature) *feature {
	nodes := []*feature{input}
	edge := 0
	for i := 1; i <= 3; i++ {
		var terms []*feature
		for j := range i {
			if y := t.operation(fmt.Sprintf("%s.layers.%d", path, edge), arch[edge], nodes[j]); y != nil {
				terms = append(terms, y)
			}
			edge++
		}
		nodes = append(nodes, t.sum(input, terms))
	}
	return nodes[3]
}

// operation applies op; nil stands for the zero map of `none`, and of what makes zeros of
// zeros: XLA would take minutes to pool them before the program runs.
func (t *tape) operation(path string, op cell.Op, x *feature) *feature {
	switch {
	case op == cell.None, x.zero && (op == cell.SkipConnect || op == cell.AvgPool3x3):
		return nil
	case op == cell.SkipConnect:
		return x
	case op == cell.AvgPool3x3:
		return t.avgPool3x3(x)
	default:
		return t.reluConvBN(path, x, 1)
	}
}

// reluConvBN is ReLUConvBN (models/cell_operations.py).
func (t *tape) reluConvBN(path string, x *feature, stride int) *feature {
	return t.batchNorm(path+".op.2", t.conv(path+".op.1.weight", t.relu(x), stride))
}

// reduction is ResNetBasicblock with stride 2 (models/cell_operations.py).
func (t *tape) reduction(path string, x *feature) *feature {
	block := t.reluConvBN(path+".conv_b", t.reluConvBN(path+".conv_a", x, 2), 1)
	shortcut := t.conv(path+".downsample.1.weight", t.avgPool2x2(x), 1)
	return t.sum(x, []*feature{shortcut, block})
}
