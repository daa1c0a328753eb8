package device

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building

	"nb201/cell"
	"nb201/cell/network"
	"nb201/configs"
)

// step builds the graph of training steps over batches; see loop. It carries params, momenta and
// stats from batch to batch and is given the learning rate. The measures are the mean loss and
// the top-1 and top-5 counts before the update, in training mode. The last output, bool [3], says
// whether each of the three vectors is finite after the last step; checking after every step
// would cost as much as the update.
func (e *Executable) step(g *Graph) []*Node {
	state := []*Node{
		e.vector(g, "params", e.model.Parameters), e.vector(g, "momenta", e.model.Parameters), e.vector(g, "stats", e.model.Statistics),
	}
	rate := Parameter(g, "rate", shapes.Make(e.dtype))
	out := e.loop(g, state, []*Node{rate}, func(state, given []*Node, images, labels *Node) ([]*Node, *Node) {
		params, momenta, stats, rate := state[0], state[1], state[2], given[0]
		logits, newStats, backward := e.model.Train(params, stats, images)
		measures, dLogits := crossEntropy(logits, labels, e.LabelSmoothing)
		newParams, newMomenta := e.descend(params, momenta, backward(dLogits), rate)
		return []*Node{newParams, newMomenta, newStats}, measures
	})
	var finite []*Node
	for _, vector := range out[:len(state)] {
		finite = append(finite, ReduceLogicalAnd(IsFinite(vector)))
	}
	return append(out, Stack(finite, 0))
}

// evaluation builds the graph of the evaluation of batches; see loop. It carries nothing and is
// given params and stats.
func (e *Executable) evaluation(g *Graph) []*Node {
	weights := []*Node{e.vector(g, "params", e.model.Parameters), e.vector(g, "stats", e.model.Statistics)}
	return e.loop(g, nil, weights, func(_, weights []*Node, images, labels *Node) ([]*Node, *Node) {
		measures, _ := crossEntropy(e.model.Evaluate(weights[0], weights[1], images), labels, 0)
		return nil, measures
	})
}

// loop builds a loop over batches on the device. Its inputs are the carried values, the given
// values, Images, rows [batches, rows of a batch, rowLen] and the number of batches to run. Its
// outputs are the carried values after the last batch, and the measures [batches, 3] of each
// batch. step maps the carried values, the given values and a batch to the next carried values
// and to the measures [3] of the rows that are not padding.
//
// One call runs many batches because go-xla waits for the end of each call. Scalars and
// reductions that step makes must not be used outside it: gomlx keeps a scalar, and go-xla the
// function of a reduction, in the function that needed it first, but for the whole graph. go-xla
// cannot add or compare across functions either, so everything that step uses is passed to it.
func (e *Executable) loop(g *Graph, carried, given []*Node,
	step func(carried, given []*Node, images, labels *Node) (next []*Node, measures *Node),
) []*Node {
	size := e.Network.Size
	pixels := Parameter(g, "pixels", shapes.Make(dtypes.Uint8, e.Stored, size, size, 3))
	labels := Parameter(g, "labels", shapes.Make(dtypes.Int32, e.Stored))
	normal := Parameter(g, "normal", shapes.Make(dtypes.Float32, 256*3))
	rows := Parameter(g, "rows", shapes.Make(dtypes.Int32, e.batches, e.rows, e.rowLen()))
	count := Parameter(g, "count", shapes.Make(dtypes.Int32))
	none := BroadcastToDims(ConstAsDType(g, e.dtype, 0), e.batches, 3)

	state := slices.Concat([]*Node{Const(g, int32(0)), count, none, pixels, labels, normal, rows}, carried, given)
	const fixed = 7
	declare := func(g *Graph) []*Node {
		own := make([]*Node, len(state))
		for i, node := range state {
			own[i] = Parameter(g, fmt.Sprintf("state%d", i), node.Shape())
		}
		return own
	}
	more := NewClosure(g, func(g *Graph) []*Node {
		own := declare(g)
		return []*Node{LessThan(own[0], own[1])}
	})
	body := NewClosure(g, func(g *Graph) []*Node {
		own := declare(g)
		batch, measured, pixels, labels, normal, rows := own[0], own[2], own[3], own[4], own[5], own[6]
		zero := ScalarZero(g, dtypes.Int32)
		samples := Squeeze(DynamicSlice(rows, []*Node{batch, zero, zero}, []int{1, e.rows, e.rowLen()}), 0)
		x, classes := lookUp(pixels, labels, normal, samples, e.training, e.Cutout)
		next, measures := step(own[fixed:fixed+len(carried)], own[fixed+len(carried):], ConvertDType(x, e.dtype), classes)
		own[0] = AddScalar(batch, 1)
		own[2] = DynamicUpdateSlice(measured, ExpandAxes(measures, 0), []*Node{batch, zero})
		copy(own[fixed:], next)
		return own
	})
	out := While(more, body, state...)
	return append(out[fixed:fixed+len(carried):fixed+len(carried)], out[2])
}

func (e *Executable) vector(g *Graph, name string, length int) *Node {
	return Parameter(g, name, shapes.Make(e.dtype, length))
}

// crossEntropy computes nn.CrossEntropyLoss and the counts of obtain_accuracy from logits [rows,
// classes] and labels, int32 [rows]. smoothing is CrossEntropyLoss's label_smoothing, the part of a label
// that is spread evenly over all classes. It returns [mean loss, top-1 count, top-5 count] over the
// rows whose label is not -1, and the gradient of the mean loss. With fewer than five classes,
// for which obtain_accuracy fails, the top-5 count is that of all these rows. Among equal logits the
// class with the lower number ranks first; torch.topk does not promise an order. NaN ranks above
// all numbers, as in torch.topk.
func crossEntropy(logits, labels *Node, smoothing float64) (measures, dLogits *Node) {
	g, dtype := logits.Graph(), logits.DType()
	classes := Iota(g, shapes.Make(dtypes.Int32, logits.Shape().Dimensions...), 1)
	label := ExpandAxes(labels, -1)
	atLabel := Equal(classes, label) // nowhere in a row of padding
	isLabel := ConvertDType(atLabel, dtype)
	// A product with isLabel would turn infinite logits of other classes into NaN.
	ofLabel := func(values *Node) *Node { return Where(atLabel, values, ScalarZero(g, dtype)) }

	shifted := Sub(logits, ReduceAndKeep(logits, ReduceMax, 1))
	sum := ReduceAndKeep(Exp(shifted), ReduceSum, 1)
	count := ReduceAllSum(isLabel)
	loss := Div(Neg(ReduceAllSum(ofLabel(Sub(shifted, Log(sum))))), count)
	target := isLabel
	if smoothing > 0 {
		share := smoothing / float64(logits.Shape().Dim(1))
		target = AddScalar(MulScalar(isLabel, 1-smoothing), share)
		isRow := ReduceAndKeep(isLabel, ReduceSum, 1) // 0 in a row of padding
		spread := Div(Neg(ReduceAllSum(Mul(isRow, Sub(shifted, Log(sum))))), count)
		loss = Add(MulScalar(loss, 1-smoothing), MulScalar(spread, share))
	}
	dLogits = Div(Sub(Div(Exp(shifted), sum), target), count)

	score := ReduceAndKeep(ofLabel(logits), ReduceSum, 1)
	none, noScore := IsNaN(logits), IsNaN(score)
	above := LogicalOr(GreaterThan(logits, score), LogicalAnd(none, LogicalNot(noScore)))
	equal := LogicalOr(Equal(logits, score), LogicalAnd(none, noScore))
	before := LogicalOr(above, LogicalAnd(equal, LessThan(classes, label)))
	rank := ReduceSum(ConvertDType(before, dtype), 1)
	valid := ReduceSum(isLabel, 1)
	top := func(k int) *Node {
		return ReduceAllSum(Mul(valid, ConvertDType(LessThan(rank, Scalar(g, dtype, k)), dtype)))
	}
	return Stack([]*Node{loss, top(1), top(5)}, 0), dLogits
}

// descend computes a step of torch.optim.SGD with momentum, Nesterov and weight decay.
func (e *Executable) descend(params, momenta, gradient, rate *Node) (newParams, newMomenta *Node) {
	gradient = Add(gradient, e.decay(params))
	newMomenta = Add(MulScalar(momenta, e.Momentum), gradient)
	direction := newMomenta
	if e.Nesterov {
		direction = Add(gradient, MulScalar(newMomenta, e.Momentum))
	}
	return Sub(params, Mul(rate, direction)), newMomenta
}

// decay returns what weight decay adds to the gradient.
func (e *Executable) decay(params *Node) *Node {
	if e.Decayed == configs.DecayAll {
		return MulScalar(params, e.WeightDecay)
	}
	g := params.Graph()
	var factors []*Node // of the tensors, in the vector's order
	for _, slot := range e.model.Slots {
		if slot.Vector == network.Parameters {
			factor := 0.0
			if slot.Role == cell.ConvWeight || slot.Role == cell.LinearWeight {
				factor = e.WeightDecay
			}
			factors = append(factors, BroadcastToDims(Scalar(g, e.dtype, factor), slot.Len()))
		}
	}
	return Mul(params, Concatenate(factors, 0))
}
