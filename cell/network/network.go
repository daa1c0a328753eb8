// Package network builds the network of an architecture as a gomlx graph: the stem, cells
// and residual blocks ([cell.Network.Modules]), and the head (BatchNorm, ReLU, global mean,
// classifier). It is the original's TinyNetwork (xautodl/models/cell_infers/tiny_network.py) or, in
// the size search space, DynamicShapeTinyNet (xautodl/models/shape_infers/InferTinyCellNet.py). Its tensors
// are named as in PyTorch's state dict ([cell.Network.Tensors]).
//
// Images and feature maps are [N, H, W, C]. The tensors are stored in two flat vectors, the
// parameters and BatchNorm's running statistics (see [Layout]). Start with [New],
// [Model.Train] and [Model.Evaluate].
//
// A tape records the forward pass and builds the backward pass, layer by layer; gomlx does
// not derive it. This keeps PyTorch's conventions visible (ReLU'(0) = 0, biased and
// unbiased variances) and gives the convolutions' gradients the form that is fast in XLA.
// The costly layers have several implementations: reference defines them, and onCPU and
// onGPU are fast.
package network

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building

	"nb201/cell"
)

// Model builds the graphs of a network. Its [Layout] says where the tensors are in the
// graphs' inputs.
type Model struct {
	*Layout
	net      cell.Network
	features dtypes.DType
	layers   layers
}

// New returns a Model of net. features is the dtype of the feature maps: that of the
// parameters, or BFloat16 with Float32 parameters. The latter is mixed precision, much like
// PyTorch's autocast. Weights are rounded for the convolutions, and the convolutions'
// results and gradients are BFloat16, like all feature maps. BatchNorm, its statistics and
// everything from the global mean on are Float32, including the classifier, unlike in
// autocast. The parameters' gradients are Float32 too, but those of convolutions have been
// rounded to BFloat16.
//
// In Float64 the layers consist of elementary operations: slow, exact, and the reference
// for the others. In other types they take the forms that are fast on a GPU if gpu is set,
// and otherwise those that are fast on the CPU. The CPU has separate forms for BFloat16,
// because YNNPACK refuses some of the Float32 forms.
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

// Train builds the forward pass in training mode. params and stats are the vectors of the
// [Layout], images is [batch, size, size, 3]. Train returns the logits [batch, classes], the
// running statistics after this batch (a vector like stats), and a function that builds the
// backward pass: from the gradient of the logits it returns the gradient of the parameters,
// a vector like params.
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
// [batch, classes]. Its arguments are those of [Model.Train].
func (m *Model) Evaluate(params, stats, images *Node) *Node {
	t := &tape{Model: m, params: params, stats: stats}
	return m.forward(t, images).node
}

func (m *Model) forward(t *tape, images *Node) *feature {
	x := t.conv("stem.0.weight", &feature{node: ConvertDType(images, m.features)}, 1)
	x = t.batchNorm("stem.1", x)
	for i, module := range m.net.Modules() {
		path := fmt.Sprintf("cells.%d", i)
		if module.Reduction {
			x = t.reduction(path, x)
		} else {
			x = t.cell(path, module, x)
		}
	}
	x = t.relu(t.batchNorm("lastact.0", x))
	return t.linear("classifier", t.globalMean(x))
}

// cell builds a cell, as InferCell does in xautodl/models/cell_infers/cells.py: node i is
// the sum, in the order of the edges, of the operations on the nodes before it. The last
// node is the output.
func (t *tape) cell(path string, m cell.Module, input *feature) *feature {
	nodes := []*feature{input}
	edge := 0
	for i := 1; i <= 3; i++ {
		var terms []*feature
		for j := range i {
			if y := t.operation(fmt.Sprintf("%s.layers.%d", path, edge), m, edge, nodes[j]); y != nil {
				terms = append(terms, y)
			}
			edge++
		}
		nodes = append(nodes, t.sum(input, terms))
	}
	return nodes[3]
}

// operation applies the operation on an edge to x. It returns nil for a map that is zero for all images: that of
// `none`, and what skip_connect and avg_pool_3x3 make of such a map. XLA would take minutes
// to pool those constants while compiling.
func (t *tape) operation(path string, m cell.Module, edge int, x *feature) *feature {
	switch op := m.Cell[edge]; {
	case m.Projects(edge): // FactorizedReduce with stride 1 (xautodl/models/cell_operations.py); it has no ReLU
		return t.batchNorm(path+".bn", t.conv(path+".conv.weight", x, 1))
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

// reluConvBN builds ReLUConvBN (xautodl/models/cell_operations.py).
func (t *tape) reluConvBN(path string, x *feature, stride int) *feature {
	return t.batchNorm(path+".op.2", t.conv(path+".op.1.weight", t.relu(x), stride))
}

// reduction builds ResNetBasicblock with stride 2 (xautodl/models/cell_operations.py).
func (t *tape) reduction(path string, x *feature) *feature {
	block := t.reluConvBN(path+".conv_b", t.reluConvBN(path+".conv_a", x, 2), 1)
	shortcut := t.conv(path+".downsample.1.weight", t.avgPool2x2(x), 1)
	return t.sum(x, []*feature{shortcut, block})
}
