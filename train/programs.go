package train

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/cell/network"
	"nb201/internal/backend"
)

// Precision is the arithmetic of a trial.
type Precision string

const (
	// FP32 is float32 throughout, the original's.
	FP32 Precision = "fp32"
	// TF32 is float32 whose convolutions and matrix products may round their
	// operands to 10 bits, on GPUs that can.
	TF32 Precision = "tf32"
	// BF16 has bfloat16 convolutions and feature maps, and float32 elsewhere: the
	// parameters, their gradients and momenta, BatchNorm, the classifier and the loss.
	BF16 Precision = "bf16"
	// FP64 is float64 after float32 initial weights and images: slow, to check by.
	FP64 Precision = "fp64"
)

// dtype is the type of all that a trial keeps: parameters, momenta and statistics.
func (p Precision) dtype() dtypes.DType {
	if p == FP64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}

// features is the type of feature maps.
func (p Precision) features() dtypes.DType {
	if p == BF16 {
		return dtypes.BFloat16
	}
	return p.dtype()
}

// plan is what the programs of a trial depend on, but for the size of batches.
type plan struct {
	Network   cell.Network
	Precision Precision
	Stored    int // images on the device

	Momentum    float64
	Nesterov    bool
	WeightDecay float64
}

func (c Config) plan() plan {
	_, images := storedSplits(c.Data)
	return plan{c.Network, c.Precision, images, c.Recipe.Momentum, c.Recipe.Nesterov, c.Recipe.WeightDecay}
}

// programs are the programs of a trial.
type programs struct {
	// The training step of whole batches and of an epoch's last, shorter one (nil where
	// there is none), and the evaluation of batches.
	whole, ragged, evaluate *program
}

// program is a compiled program, or one to be compiled.
type program struct {
	plan
	training bool
	rows     int // of a batch
	batches  int // of one call, at most
	backend  compute.Backend
	model    *network.Model
	dtype    dtypes.DType

	abandoned atomic.Bool   // it need not be compiled
	done      chan struct{} // closed when there is a graph or an error
	graph     runner
	err       error

	way      int                 // that it was made in, by backend.Way
	fallBack func(from int) bool // backend.FallBack
	ran      bool                // a call has succeeded
}

// runner is a compiled *Graph.
type runner interface {
	Run(inputs ...any) []*tensors.Tensor
	Finalize()
}

// newPrograms are programs to be compiled. rows are those of a whole batch, ragged those
// of the last one, or 0.
func newPrograms(b compute.Backend, p plan, rows, ragged int) *programs {
	all := &programs{whole: newProgram(b, p, true, rows), evaluate: newProgram(b, p, false, rows)}
	if ragged > 0 {
		all.ragged = newProgram(b, p, true, ragged)
		all.ragged.batches = 1
	}
	return all
}

// programs are those of a trial of the config.
func (c Config) programs(b compute.Backend) *programs {
	return newPrograms(b, c.plan(), c.Recipe.Batch, c.Data.Train.Len()%c.Recipe.Batch)
}

func newProgram(b compute.Backend, p plan, training bool, rows int) *program {
	return &program{
		plan: p, training: training, rows: rows, batches: max(1, maxPlaces/rows),
		backend: b, model: network.New(p.Network, p.Precision.features(), backend.OnGPU(b)), dtype: p.Precision.dtype(),
		done: make(chan struct{}), fallBack: backend.FallBack,
	}
}

// maxPlaces is how many images one call of a program goes through at most; their places
// are half a megabyte.
const maxPlaces = 1 << 15

// all lists the programs, or those of nil, in the order in which a trial needs them.
func (p *programs) all() []*program {
	switch {
	case p == nil:
		return nil
	case p.ragged == nil:
		return []*program{p.whole, p.evaluate}
	}
	return []*program{p.whole, p.ragged, p.evaluate}
}

// is tells whether two programs are the same.
func (p *program) is(q *program) bool {
	return p.plan == q.plan && p.training == q.training && p.rows == q.rows && p.batches == q.batches
}

// compileAll compiles programs, the first ones first: XLA takes two cores for one.
func compileAll(programs ...*program) {
	var group errgroup.Group
	group.SetLimit(max(1, runtime.NumCPU()/2))
	for _, p := range programs {
		group.Go(func() error {
			defer close(p.done)
			if !p.abandoned.Load() {
				p.graph, p.err = p.compile()
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are the programs'
}

// wait waits until a program is compiled, or ctx cancelled.
func (p *program) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed tells of a program that could not be compiled.
func (p *program) failed() bool {
	select {
	case <-p.done:
		return p.err != nil
	default:
		return false
	}
}

// run runs a program that is compiled. What compiles as a CUDA graph may not run as one:
// and a kept program may be damaged: where the first call fails and the backend can make the
// program in another way, it is made and run again. No program writes to its inputs.
func (p *program) run(inputs ...any) (out []*tensors.Tensor, err error) {
	for {
		err = backend.Catch(func() error {
			out = p.graph.Run(inputs...)
			return nil
		})
		if err == nil || p.ran || !p.fallBack(p.way) {
			p.ran = p.ran || err == nil
			return out, err
		}
		again, failed := p.compile()
		if failed != nil {
			return nil, errors.Join(err, failed)
		}
		p.graph.Finalize()
		p.graph = again
	}
}

// finalize frees a program, after it was compiled if that is under way.
func (p *program) finalize() {
	p.abandoned.Store(true)
	<-p.done
	if p.graph != nil {
		p.graph.Finalize()
	}
}

func (p *program) compile() (runner, error) {
	name, build := "evaluation", p.evaluation
	if p.training {
		name, build = "step", p.step
	}
	p.way = backend.Way()
	g := NewGraph(p.backend, name)
	if err := backend.Catch(func() error { return g.Compile(build(g)...) }); err != nil {
		return nil, fmt.Errorf("cannot compile the %s of %s: %w", name, p.Network.Arch, err)
	}
	return g, nil
}

// step builds the training steps of batches: see loop. It carries params, momenta and
// stats and is given the rate; measures are the mean loss and the top-1 and top-5 counts
// before the update, in training mode. What it returns last is whether each of the three
// is finite after the last step: a look after every step would cost as much as the update.
func (p *program) step(g *Graph) []*Node {
	state := []*Node{
		p.vector(g, "params", p.model.Parameters), p.vector(g, "momenta", p.model.Parameters), p.vector(g, "stats", p.model.Statistics),
	}
	rate := Parameter(g, "rate", shapes.Make(p.dtype))
	out := p.loop(g, state, []*Node{rate}, func(state, given []*Node, images, labels *Node) ([]*Node, *Node) {
		params, momenta, stats, rate := state[0], state[1], state[2], given[0]
		logits, newStats, backward := p.model.Train(params, stats, images)
		measures, dLogits := crossEntropy(logits, labels)
		newParams, newMomenta := p.descend(params, momenta, backward(dLogits), rate)
		return []*Node{newParams, newMomenta, newStats}, measures
	})
	var finite []*Node
	for _, vector := range out[:len(state)] {
		finite = append(finite, ReduceLogicalAnd(IsFinite(vector)))
	}
	return append(out, Stack(finite, 0))
}

// evaluation builds the evaluation of batches: see loop. It carries nothing and is given
// params and stats.
func (p *program) evaluation(g *Graph) []*Node {
	weights := []*Node{p.vector(g, "params", p.model.Parameters), p.vector(g, "stats", p.model.Statistics)}
	return p.loop(g, nil, weights, func(_, weights []*Node, images, labels *Node) ([]*Node, *Node) {
		measures, _ := crossEntropy(p.model.Evaluate(weights[0], weights[1], images), labels)
		return nil, measures
	})
}

// loop is a program that goes through batches on the device. It maps what it carries from
// batch to batch, what it is given, deviceImages, places [batches, rows, placeLen] and how
// many of these batches to go through to what it carries in the end and the measures
// [batches, 3]. do makes of a batch what is carried on, and the
// measures of the rows that are no padding.
//
// One call does many batches because go-xla waits for the end of each. What do makes of
// scalars and reductions must not be used outside: gomlx keeps a scalar for the whole
// graph, and go-xla the function of a reduction, in the function that was the first to
// need them. Nor can go-xla add or compare across functions: do is given all that it uses.
func (p *program) loop(g *Graph, carried, given []*Node,
	do func(carried, given []*Node, images, labels *Node) (next []*Node, measures *Node),
) []*Node {
	size := p.Network.Size
	pixels := Parameter(g, "pixels", shapes.Make(dtypes.Uint8, p.Stored, size, size, 3))
	labels := Parameter(g, "labels", shapes.Make(dtypes.Int32, p.Stored))
	normal := Parameter(g, "normal", shapes.Make(dtypes.Float32, 256*3))
	places := Parameter(g, "places", shapes.Make(dtypes.Int32, p.batches, p.rows, placeLen))
	count := Parameter(g, "count", shapes.Make(dtypes.Int32))
	none := BroadcastToDims(ConstAsDType(g, p.dtype, 0), p.batches, 3)

	state := slices.Concat([]*Node{Const(g, int32(0)), count, none, pixels, labels, normal, places}, carried, given)
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
		batch, measured, pixels, labels, normal, places := own[0], own[2], own[3], own[4], own[5], own[6]
		zero := ScalarZero(g, dtypes.Int32)
		rows := Squeeze(DynamicSlice(places, []*Node{batch, zero, zero}, []int{1, p.rows, placeLen}), 0)
		x, classes := take(pixels, labels, normal, rows, p.training)
		next, measures := do(own[fixed:fixed+len(carried)], own[fixed+len(carried):], ConvertDType(x, p.dtype), classes)
		own[0] = AddScalar(batch, 1)
		own[2] = DynamicUpdateSlice(measured, ExpandAxes(measures, 0), []*Node{batch, zero})
		copy(own[fixed:], next)
		return own
	})
	out := While(more, body, state...)
	return append(out[fixed:fixed+len(carried):fixed+len(carried)], out[2])
}

func (p *program) vector(g *Graph, name string, length int) *Node {
	return Parameter(g, name, shapes.Make(p.dtype, length))
}

// crossEntropy is nn.CrossEntropyLoss and the counts of obtain_accuracy. It
// returns [mean loss, top-1 count, top-5 count] over the rows whose label is not
// -1, and the gradient of the mean loss. With fewer than five classes, for which
// obtain_accuracy fails, the top-5 count is that of all images. Where logits are equal,
// the class with the lower number goes first; torch.topk promises no order of equals. As
// for torch.topk, NaN is above all numbers.
func crossEntropy(logits, labels *Node) (measures, dLogits *Node) {
	g, dtype := logits.Graph(), logits.DType()
	classes := Iota(g, shapes.Make(dtypes.Int32, logits.Shape().Dimensions...), 1)
	label := ExpandAxes(labels, -1)
	atLabel := Equal(classes, label) // nowhere in a row of padding
	isLabel := ConvertDType(atLabel, dtype)
	// A product with isLabel would make NaN of what is infinite elsewhere.
	ofLabel := func(values *Node) *Node { return Where(atLabel, values, ScalarZero(g, dtype)) }

	shifted := Sub(logits, ReduceAndKeep(logits, ReduceMax, 1))
	sum := ReduceAndKeep(Exp(shifted), ReduceSum, 1)
	count := ReduceAllSum(isLabel)
	loss := Div(Neg(ReduceAllSum(ofLabel(Sub(shifted, Log(sum))))), count)
	dLogits = Div(Sub(Div(Exp(shifted), sum), isLabel), count)

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

// descend is torch.optim.SGD with momentum, Nesterov and weight decay on all
// parameters, BatchNorm's and the classifier's bias included.
func (p *program) descend(params, momenta, gradient, rate *Node) (newParams, newMomenta *Node) {
	gradient = Add(gradient, MulScalar(params, p.WeightDecay))
	newMomenta = Add(MulScalar(momenta, p.Momentum), gradient)
	direction := newMomenta
	if p.Nesterov {
		direction = Add(gradient, MulScalar(newMomenta, p.Momentum))
	}
	return Sub(params, Mul(rate, direction)), newMomenta
}

// readMeasures fetches what a program has measured of so many images in batches of so
// many rows.
func readMeasures(t *tensors.Tensor, images, rows int) ([]batchResult, error) {
	values := make([]float64, t.Size())
	err := t.ConstFlatData(func(flat any) {
		switch flat := flat.(type) {
		case []float32:
			for i, v := range flat {
				values[i] = float64(v)
			}
		case []float64:
			copy(values, flat)
		}
	})
	var measured []batchResult
	for ; images > 0; images -= rows {
		measured = append(measured, batchResult{images: min(images, rows), loss: values[0], top1: int(values[1]), top5: int(values[2])})
		values = values[3:]
	}
	return measured, err
}
