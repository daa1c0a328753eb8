package network

import (
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// Constants of PyTorch's BatchNorm2d as the original uses it.
const (
	batchNormEpsilon  = 1e-5
	batchNormMomentum = 0.1
)

// feature is a feature map [batch, height, width, channels], or [batch, channels] in the
// head, with the gradient that has reached it so far.
type feature struct {
	node, grad *Node
	zero       bool // the map is zero for all images
	given      bool // nothing needs its gradient
}

func (f *feature) add(grad *Node) { f.grad = plus(f.grad, grad) }

// plus returns sum+term. A nil sum is zero.
func plus(sum, term *Node) *Node {
	if sum == nil {
		return term
	}
	return Add(sum, term)
}

// tape builds the forward pass and records, layer by layer, how to build the backward pass.
type tape struct {
	*Model
	params, stats *Node
	training      bool
	steps         []func()
	found         map[string]*Node   // by tensor name: its gradient, or its statistic over the batch
	counts        map[string]float64 // by the name of a variance: the number of values per channel
}

// record appends a step of the backward pass, which runs if a gradient has reached y.
func (t *tape) record(y *feature, step func()) *feature {
	if t.training {
		t.steps = append(t.steps, func() {
			if y.grad != nil {
				step()
			}
		})
	}
	return y
}

// unwind runs the recorded steps, last to first.
func (t *tape) unwind() {
	for i := len(t.steps) - 1; i >= 0; i-- {
		t.steps[i]()
	}
}

// tensor slices a tensor out of its vector.
func (t *tape) tensor(name string) *Node {
	s := t.Slots[t.index[name]]
	vector := t.params
	if s.Vector == Statistics {
		vector = t.stats
	}
	return Reshape(Slice(vector, AxisRange(s.Offset, s.Offset+s.Len())), s.Dims...)
}

// gather concatenates what was found for the tensors of a vector. A parameter that no
// gradient reached (behind `none`) has a gradient of zero, not a missing one: weight decay
// and momentum still change it.
func (t *tape) gather(vector Vector, like *Node) *Node {
	var parts []*Node
	for _, s := range t.Slots {
		if s.Vector != vector {
			continue
		}
		part := t.found[s.Name]
		if part == nil {
			part = Zeros(like.Graph(), shapes.Make(like.DType(), s.Len()))
		}
		parts = append(parts, Reshape(part, s.Len()))
	}
	return Concatenate(parts, 0)
}

// conv convolves x, [N, H, W, in], with the named weight (k x k, padding k/2; axes as
// layers.weights says) to [N, H/stride, W/stride, out].
func (t *tape) conv(weight string, x *feature, stride int) *feature {
	w := ConvertDType(t.tensor(weight), t.features)
	y := &feature{node: t.layers.conv(x.node, w, stride)}
	return t.record(y, func() {
		t.found[weight] = ConvertDType(t.layers.convWeightGrad(x.node, y.grad, w, stride), t.params.DType())
		x.add(t.layers.convInputGrad(x.node, y.grad, w, stride))
	})
}

// batchNorm normalises x over all axes but the last: by the batch's statistics in training, else by
// the running ones. path.weight, path.bias and the running statistics are [channels].
func (t *tape) batchNorm(path string, x *feature) *feature {
	scale, shift := t.tensor(path+".weight"), t.tensor(path+".bias")
	in := ConvertDType(x.node, scale.DType())
	if !t.training {
		mean, variance := t.tensor(path+".running_mean"), t.tensor(path+".running_var")
		factor := Div(scale, Sqrt(AddScalar(variance, batchNormEpsilon)))
		y := Add(Mul(Sub(in, perChannel(mean, in)), perChannel(factor, in)), perChannel(shift, in))
		return &feature{node: ConvertDType(y, t.features)}
	}
	normalized, batchMean, batchVariance, back := t.layers.batchNorm(in, scale, shift)
	t.found[path+".running_mean"], t.found[path+".running_var"] = batchMean, batchVariance
	t.counts[path+".running_var"] = float64(x.node.Shape().Size() / scale.Shape().Size())
	y := &feature{node: ConvertDType(normalized, t.features)}
	return t.record(y, func() {
		dx, dScale, dShift := back(ConvertDType(y.grad, in.DType()))
		x.add(ConvertDType(dx, t.features))
		t.found[path+".weight"], t.found[path+".bias"] = dScale, dShift
	})
}

// statistics moves the running statistics towards the batch's, with unbiased variances. It
// updates the whole vector at once, so that XLA compiles one operation instead of hundreds.
func (t *tape) statistics() *Node {
	unbiased := make([]float64, t.Statistics)
	for _, s := range t.Slots {
		if s.Vector != Statistics {
			continue
		}
		factor := 1.0
		if count, ok := t.counts[s.Name]; ok {
			factor = count / (count - 1)
		}
		for i := range s.Len() {
			unbiased[s.Offset+i] = factor
		}
	}
	batch := Mul(t.gather(Statistics, t.stats), ConstAsDType(t.stats.Graph(), t.stats.DType(), unbiased))
	return Add(MulScalar(t.stats, 1-batchNormMomentum), MulScalar(batch, batchNormMomentum))
}

// perChannel reshapes v, [channels], so that it broadcasts over x.
func perChannel(v, x *Node) *Node {
	return ExpandLeftToRank(v, x.Rank())
}

func (t *tape) relu(x *feature) *feature {
	y := &feature{node: notNegative(x.node)}
	return t.record(y, func() { x.add(reluGrad(y.node, y.grad)) })
}

// sum adds terms in order. Without terms the sum is zeros like x.
func (t *tape) sum(x *feature, terms []*feature) *feature {
	if len(terms) == 0 {
		return &feature{node: ZerosLike(x.node), zero: true}
	}
	y := &feature{node: terms[0].node}
	for _, term := range terms[1:] {
		y.node = Add(y.node, term.node)
	}
	return t.record(y, func() {
		for _, term := range terms {
			term.add(y.grad)
		}
	})
}

func (t *tape) convNorm(weight, norm string, x *feature, relu bool, stride int) *feature {
	if relu {
		x = t.relu(x)
	}
	return t.batchNorm(norm, t.conv(weight, x, stride))
}

// shortcut averages blocks of 2x2 and convolves the result with a named weight, as the shortcut of a
// reduction does.
func (t *tape) shortcut(weight string, x *feature) *feature {
	return t.conv(weight, t.avgPool2x2(x), 1)
}

func (t *tape) isZero(x *feature) bool    { return x.zero }
func (t *tape) enter(x *feature) *feature { return x }
func (t *tape) leave(x *feature) *feature { return x }

// avgPool3x3 averages with stride 1 and padding 1, and leaves the padding out of the mean
// (count_include_pad=False).
func (t *tape) avgPool3x3(x *feature) *feature {
	counts := t.layers.boxSum(Ones(x.node.Graph(), shapes.Make(x.node.DType(), 1, x.node.Shape().Dim(1), x.node.Shape().Dim(2), 1)))
	y := &feature{node: Div(t.layers.boxSum(x.node), counts)}
	return t.record(y, func() { x.add(t.layers.boxSum(Div(y.grad, counts))) })
}

// avgPool2x2 averages blocks of 2x2, with stride 2.
func (t *tape) avgPool2x2(x *feature) *feature {
	d := x.node.Shape().Dimensions
	blocks := []int{d[0], d[1] / 2, 2, d[2] / 2, 2, d[3]}
	y := &feature{node: MulScalar(ReduceSum(Reshape(x.node, blocks...), 2, 4), 0.25)}
	return t.record(y, func() {
		spread := Reshape(MulScalar(y.grad, 0.25), d[0], d[1]/2, 1, d[2]/2, 1, d[3])
		x.add(Reshape(BroadcastToDims(spread, blocks...), d...))
	})
}

// globalMean is AdaptiveAvgPool2d(1): from [batch, height, width, channels] to
// [batch, channels]. Its result has the dtype of the parameters, as has all that follows.
func (t *tape) globalMean(x *feature) *feature {
	d := x.node.Shape().Dimensions
	scale := 1 / float64(d[1]*d[2])
	y := &feature{node: MulScalar(ReduceSum(ConvertDType(x.node, t.params.DType()), 1, 2), scale)}
	return t.record(y, func() {
		x.add(BroadcastToDims(Reshape(ConvertDType(MulScalar(y.grad, scale), t.features), d[0], 1, 1, d[3]), d...))
	})
}

// linear is nn.Linear: from [batch, channels] to [batch, classes], with a weight
// [classes, channels] and a bias [classes].
func (t *tape) linear(path string, x *feature) *feature {
	w, b := t.tensor(path+".weight"), t.tensor(path+".bias")
	y := &feature{node: Add(Einsum("nc,kc->nk", x.node, w), perChannel(b, x.node))}
	return t.record(y, func() {
		t.found[path+".weight"] = Einsum("nk,nc->kc", y.grad, x.node)
		t.found[path+".bias"] = ReduceSum(y.grad, 0)
		x.add(Einsum("nk,kc->nc", y.grad, w))
	})
}
