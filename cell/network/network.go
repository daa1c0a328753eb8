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
// onGPU are fast. On a CPU with nb201's kernels, fused builds the cells from calls that compute several
// layers at once.
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
	fused    bool // the cells are built by fused, not tape
}

// Device says for what kind of device a Model builds its graphs.
type Device struct {
	GPU     bool
	Kernels bool // programs for this CPU may call the kernels of package kernels
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
// for the others. In other types they take the forms that are fast on the device. The CPU has separate
// forms for BFloat16, because YNNPACK refuses some of the Float32 forms.
func New(net cell.Network, features dtypes.DType, device Device) *Model {
	m := &Model{net: net, features: features, layers: onCPU{}}
	switch {
	case features == dtypes.Float64:
		m.layers = reference{}
	case device.GPU:
		m.layers = onGPU{}
	case features == dtypes.BFloat16:
		m.layers = onCPUInBFloat16{}
	}
	m.Layout = newLayout(net, m.layers.weights())
	m.fused = m.layers == onCPU{} && device.Kernels && canFuse(m.Layout)
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
	x := &feature{node: ConvertDType(images, m.features), given: true}
	if m.fused {
		x = stemAndCells(m, newFused(t), x)
	} else {
		x = stemAndCells(m, t, x)
	}
	x = t.relu(t.batchNorm("lastact.0", x))
	return t.linear("classifier", t.globalMean(x))
}

// builder builds the layers of the stem and the cells, forward, and records how to build them backward. F is a
// feature map.
type builder[F any] interface {
	// convNorm convolves x, or its positive part if relu is set, with the named weight, as tape.conv does,
	// and normalises the result, as tape.batchNorm does with the tensors of the path norm.
	convNorm(weight, norm string, x F, relu bool, stride int) F
	avgPool3x3(x F) F
	// sum adds terms in order. Without terms the sum is zeros like x, of which isZero is true.
	sum(x F, terms []F) F
	isZero(x F) bool
	// enter and leave convert maps from and to those of the tape, and shortcut is tape.shortcut.
	enter(x *feature) F
	leave(x F) *feature
	shortcut(weight string, x *feature) *feature
}

func stemAndCells[F any](m *Model, b builder[F], images *feature) *feature {
	x := b.convNorm("stem.0.weight", "stem.1", b.enter(images), false, 1)
	for i, module := range m.net.Modules() {
		path := fmt.Sprintf("cells.%d", i)
		if module.Reduction {
			x = reduction(b, path, x)
		} else {
			x = buildCell(b, path, module, x)
		}
	}
	return b.leave(x)
}

// buildCell builds a cell, as InferCell does in xautodl/models/cell_infers/cells.py: node i is
// the sum, in the order of the edges, of the operations on the nodes before it. The last
// node is the output.
func buildCell[F any](b builder[F], path string, m cell.Module, input F) F {
	nodes := []F{input}
	edge := 0
	for i := 1; i <= 3; i++ {
		var terms []F
		for j := range i {
			if y, ok := operation(b, fmt.Sprintf("%s.layers.%d", path, edge), m, edge, nodes[j]); ok {
				terms = append(terms, y)
			}
			edge++
		}
		nodes = append(nodes, b.sum(input, terms))
	}
	return nodes[3]
}

// operation applies the operation on an edge to x. ok is false for a map that is zero for all images: that of
// `none`, and what skip_connect and avg_pool_3x3 make of such a map. XLA would take minutes
// to pool those constants while compiling.
func operation[F any](b builder[F], path string, m cell.Module, edge int, x F) (y F, ok bool) {
	switch op := m.Cell[edge]; {
	case m.Projects(edge): // FactorizedReduce with stride 1 (xautodl/models/cell_operations.py); it has no ReLU
		return b.convNorm(path+".conv.weight", path+".bn", x, false, 1), true
	case op == cell.None, b.isZero(x) && (op == cell.SkipConnect || op == cell.AvgPool3x3):
		return y, false
	case op == cell.SkipConnect:
		return x, true
	case op == cell.AvgPool3x3:
		return b.avgPool3x3(x), true
	default:
		return reluConvBN(b, path, x, 1), true
	}
}

// reluConvBN builds ReLUConvBN (xautodl/models/cell_operations.py).
func reluConvBN[F any](b builder[F], path string, x F, stride int) F {
	return b.convNorm(path+".op.1.weight", path+".op.2", x, true, stride)
}

// reduction builds ResNetBasicblock with stride 2 (xautodl/models/cell_operations.py).
func reduction[F any](b builder[F], path string, x F) F {
	block := reluConvBN(b, path+".conv_b", reluConvBN(b, path+".conv_a", x, 2), 1)
	return b.sum(x, []F{b.enter(b.shortcut(path+".downsample.1.weight", b.leave(x))), block})
}
