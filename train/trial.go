// Package train trains one trial: an architecture on a dataset, from the initial
// weights that a seed gives, along a schedule, with every evaluation set evaluated
// after every epoch. It leaves the curves and the trained weights.
//
// The way of a trial is that of the original's evaluate_for_seed
// (xautodl/procedures/funcs_nasbench.py): seed, initial weights, the draws of
// get_model_infos, then, epoch by epoch, the training loader and the evaluation
// loaders, each drawing from the same streams.
package train

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
)

// Config says what to train and how. Its parts agree with each other: see
// Options.Config.
type Config struct {
	Trial      results.Trial
	Network    cell.Network
	Recipe     configs.Recipe
	Definition data.Definition
	Data       *data.Dataset // loaded by Definition at Timeline
	Profile    random.Profile
	Timeline   data.Timeline
	Workers    int // of the data loader whose streams are reproduced
	Precision  Precision
	Initial    *Initial // nil: drawn from the seed
}

// Check refuses, as usage errors, what cannot be trained.
func (c Config) Check() error {
	if err := c.Network.Validate(); err != nil {
		return err
	}
	if err := c.Data.CheckLoading(c.Workers, c.Recipe.Batch); err != nil {
		return err
	}
	if c.Initial != nil {
		if err := c.Initial.check(c.Network); err != nil {
			return err
		}
	}
	last := c.Data.Train.Len() % c.Recipe.Batch
	if last == 0 {
		last = c.Recipe.Batch
	}
	if side := c.Network.Size / 4; last*side*side == 1 {
		return usage.Errorf("the last batch of an epoch holds one image, and BatchNorm at its %dx%d maps has no variance: choose another batch size than %d", side, side, c.Recipe.Batch)
	}
	return nil
}

// Diverged reports a loss that is not a number; it ends a trial as failed.
type Diverged struct {
	Stage       string // "train" or the evaluation set's name
	Epoch, Step int    // from 0
	Loss        float64
}

func (d *Diverged) Error() string {
	return fmt.Sprintf("the loss is %v at epoch %d, step %d (%s)", d.Loss, d.Epoch, d.Step, d.Stage)
}

// Progress is what a batch has measured, with its place in the trial.
type Progress struct {
	Stage  string // "train", or the evaluation set's name
	Epoch  int    // from 0
	Batch  int    // of this pass, from 0
	Images int    // in the batch
	Loss   float64
	Top1   float64 // percent
}

// Outcome is what a trial leaves. The record lacks what only the caller knows:
// device, versions and attempts.
type Outcome struct {
	Record  *results.Record
	Weights torchfile.StateDict // float32
	Compile time.Duration       // wall time of compiling the programs
}

// Run trains. It calls observe after every batch, from this goroutine. When ctx is
// cancelled it stops at the next batch with ctx's error; a loss that is not a number
// ends it with a *Diverged.
func Run(ctx context.Context, b compute.Backend, c Config, observe func(Progress)) (*Outcome, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	var outcome *Outcome
	err := c.with(b, observe, func(t *trial) (err error) {
		outcome, err = t.run(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c.Trial, err)
	}
	return outcome, nil
}

// with calls do with a trial whose batches observe sees, and frees it.
func (c Config) with(b compute.Backend, observe func(Progress), do func(*trial) error) error {
	t := &trial{Config: c, programs: newPrograms(b, c.Network, c.Recipe, c.Precision)}
	t.measured = func(stage string, epoch, batch int, b batchResult) {
		observe(Progress{stage, epoch, batch, b.images, b.loss, accuracy(b.top1, b.images)})
	}
	defer t.close()
	return backend.Catch(func() error { return do(t) })
}

// trial is a trial under way.
type trial struct {
	Config
	*programs
	measured func(stage string, epoch, batch int, b batchResult) // after every batch

	streams  *data.Streams
	initial  torchfile.StateDict
	state    *state
	steps    map[int]*Graph // the training step, by batch size
	evaluate *Graph
	updates  int64 // steps done
}

// begin seeds the streams and makes the initial state.
func (t *trial) begin() (err error) {
	t.initial = t.seed()
	if t.Initial != nil {
		t.initial = t.Initial.over(t.initial)
	}
	t.state, err = newState(t.model.Layout, t.initial, t.Precision)
	return err
}

// seed seeds the streams and draws what comes before the first epoch.
func (t *trial) seed() torchfile.StateDict {
	t.streams = data.NewStreams(t.Trial.Seed, t.Profile)
	drawn := InitialWeights(t.Network, t.streams.Torch, t.Profile)
	skipModelInfo(t.Network, t.streams.Torch)
	return drawn
}

func (t *trial) run(ctx context.Context) (*Outcome, error) {
	record, err := t.newRecord(time.Now())
	if err != nil {
		return nil, err
	}
	if err := t.begin(); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := t.compileAll(ctx); err != nil {
		return nil, err
	}
	o := &Outcome{Record: record, Compile: time.Since(began)}
	for epoch := range t.Recipe.Epochs {
		began := time.Now()
		order := t.Data.TrainEpoch(t.streams, t.Workers, t.Recipe.Batch)
		m, err := t.trainPass(ctx, epoch, &order)
		if err != nil {
			return nil, err
		}
		m.over(began).addTo(&record.Train.Curve)
		evaluated, err := t.evaluateSets(ctx, epoch)
		if err != nil {
			return nil, err
		}
		for i, e := range evaluated {
			e.addTo(&record.Eval[i].Curve)
		}
	}
	if record.Latency, err = t.latency(); err != nil {
		return nil, err
	}
	record.Finished = time.Now().UTC().Truncate(time.Millisecond)
	if o.Weights, err = t.state.weights(t.model.Layout, t.Precision, t.updates); err != nil {
		return nil, err
	}
	for i, w := range o.Weights {
		if w.Int64 != nil { // num_batches_tracked counts on from the initial weights'
			w.Int64[0] += t.initial[i].Int64[0]
		}
	}
	o.Weights = toFloat32(o.Weights)
	return o, nil
}

// compileAll compiles the programs side by side.
func (t *trial) compileAll(ctx context.Context) error {
	full, ragged := t.Recipe.Batch, t.Data.Train.Len()%t.Recipe.Batch
	group, _ := errgroup.WithContext(ctx)
	var whole, last *Graph
	group.Go(func() (err error) { whole, err = t.step(full); return err })
	if ragged > 0 {
		group.Go(func() (err error) { last, err = t.step(ragged); return err })
	}
	group.Go(func() (err error) { t.evaluate, err = t.evaluation(full); return err })
	err := group.Wait()
	t.steps = map[int]*Graph{ragged: last, full: whole}
	if err == nil {
		err = ctx.Err() // a compilation cannot be interrupted
	}
	return err
}

func (t *trial) close() {
	for _, g := range t.steps {
		g.Finalize()
	}
	t.evaluate.Finalize()
	if t.state != nil {
		t.state.finalize()
	}
}

// trainPass takes a step for every batch of an epoch's order.
func (t *trial) trainPass(ctx context.Context, epoch int, order *data.Epoch) (*meter, error) {
	rate := t.scalar(learningRate(t.Recipe, epoch))
	return t.pass(ctx, "train", epoch, &t.Data.Train, order, func(images, labels *tensors.Tensor) *tensors.Tensor {
		old := t.state
		out := t.steps[images.Shape().Dim(0)].Run(old.params, old.momenta, old.stats, rate, images, labels)
		t.state = &state{params: out[0], momenta: out[1], stats: out[2]}
		old.finalize()
		t.updates++
		return out[3]
	})
}

// evalPass evaluates every batch of an order of split.
func (t *trial) evalPass(ctx context.Context, epoch int, split *data.Split, order *data.Epoch) (*meter, error) {
	return t.pass(ctx, split.Name, epoch, split, order, func(images, labels *tensors.Tensor) *tensors.Tensor {
		return t.evaluate.Run(t.state.params, t.state.stats, images, labels)[0]
	})
}

// pass feeds the batches of an order to run and averages what it measures. The
// measures of a batch are read while the next one is under way.
func (t *trial) pass(ctx context.Context, stage string, epoch int, split *data.Split, order *data.Epoch,
	run func(images, labels *tensors.Tensor) *tensors.Tensor,
) (*meter, error) {
	m := &meter{}
	batch := 0
	read := func(measures *tensors.Tensor, images int) error {
		defer measures.MustFinalizeAll()
		b, err := readMeasures(measures, images)
		if err != nil {
			return err
		}
		if math.IsNaN(b.loss) || math.IsInf(b.loss, 0) {
			return &Diverged{Stage: stage, Epoch: epoch, Step: batch, Loss: b.loss}
		}
		m.add(b)
		t.measured(stage, epoch, batch, b)
		batch++
		return nil
	}
	var pending func() error
	for from, to := range order.Batches(t.Recipe.Batch) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows := to - from
		if split != &t.Data.Train { // one program evaluates every batch
			rows = t.Recipe.Batch
		}
		images, labels := t.load(split, order, from, to, rows)
		measures := run(images, labels)
		images.MustFinalizeAll()
		labels.MustFinalizeAll()
		if pending != nil {
			if err := pending(); err != nil {
				return nil, err
			}
		}
		pending = func() error { return read(measures, to-from) }
	}
	if err := pending(); err != nil {
		return nil, err
	}
	return m, nil
}

// load makes the tensors of a batch, filled up to rows with padding.
func (t *trial) load(split *data.Split, order *data.Epoch, from, to, rows int) (images, labels *tensors.Tensor) {
	size := t.Network.Size
	pixels, classes := make([]float32, rows*size*size*3), make([]int32, rows)
	t.Data.Fill(pixels, classes, split, order, from, to)
	for i := to - from; i < rows; i++ {
		classes[i] = -1
	}
	return tensors.FromFlatDataAndDimensions(pixels, rows, size, size, 3), tensors.FromFlatDataAndDimensions(classes, rows)
}

func (t *trial) scalar(v float64) *tensors.Tensor {
	if t.Precision == FP64 {
		return tensors.FromScalar(v)
	}
	return tensors.FromScalar(float32(v))
}
