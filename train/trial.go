// Package train trains one trial: an architecture on a dataset, from the initial
// weights that a seed gives, along a schedule, with every evaluation set evaluated
// after every epoch. It leaves the curves and the trained weights.
//
// The way of a trial is that of the original's evaluate_for_seed
// (xautodl/procedures/funcs_nasbench.py): seed, initial weights, the draws of
// get_model_infos, then, epoch by epoch, the training loader and the evaluation
// loaders, each drawing from the same streams.
//
// A trial can leave checkpoints (Checkpoints) and go on from them. Trials that one
// process trains share compiled programs and images (Session).
package train

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

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

	Checkpoints *Checkpoints // nil: none
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
	Compile time.Duration       // wall time of waiting for the programs
}

// with calls do with a trial whose batches observe sees, and frees its state.
func (c Config) with(p *programs, observe func(Progress), do func(*trial) error) error {
	t := &trial{Config: c, programs: p}
	t.measured = func(stage string, epoch, batch int, b batchResult) {
		observe(Progress{stage, epoch, batch, b.images, b.loss, accuracy(b.top1, b.images)})
	}
	defer func() { t.state.finalize() }()
	return backend.Catch(func() error { return do(t) })
}

// trial is a trial under way.
type trial struct {
	Config
	*programs
	measured func(stage string, epoch, batch int, b batchResult) // after every batch

	streams *data.Streams
	initial torchfile.StateDict
	state   *state
	record  *results.Record // with what was measured in the stages before at
	at      place
	checkpointing
}

// place is how far a trial is.
type place struct {
	position
	Seconds float64 `json:"seconds"` // of the stage so far
	Meter   meter   `json:"meter"`   // likewise
}

// position is the place of a batch in a trial.
type position struct {
	Epoch int `json:"epoch"` // from 0
	Stage int `json:"stage"` // of the epoch: 0 is training, i the evaluation of the i-th evaluation set
	Batch int `json:"batch"` // of the stage, from 0
}

// begin makes the record, seeds the streams and makes the initial state.
func (t *trial) begin() (err error) {
	if t.record, err = t.newRecord(time.Now()); err != nil {
		return err
	}
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

// run does what is left of a trial that has begun.
func (t *trial) run(ctx context.Context) (err error) {
	for t.at.Epoch < t.Recipe.Epochs {
		curve := t.curve(t.at.Stage)
		m, err := t.stage(ctx)
		if err != nil {
			if err == ctx.Err() {
				t.checkpoint()
			}
			return err
		}
		m.addTo(curve)
		if t.at.Stage == 0 && t.checkpointDue() {
			t.checkpoint()
		}
	}
	if t.record.Latency, err = t.latency(); err != nil {
		return err
	}
	t.record.Finished = time.Now().UTC().Truncate(time.Millisecond)
	return nil
}

// curve is the curve of a stage.
func (t *trial) curve(stage int) *results.Curve {
	if stage == 0 {
		return &t.record.Train.Curve
	}
	return &t.record.Eval[stage-1].Curve
}

// split is what a stage goes through.
func (t *trial) split(stage int) *data.Split {
	if stage == 0 {
		return &t.Data.Train
	}
	return &t.Data.Eval[stage-1]
}

// trained is the state dict after the last epoch.
func (t *trial) trained() (torchfile.StateDict, error) {
	steps := int64(t.Recipe.Epochs * t.Data.Train.Batches(t.Recipe.Batch))
	weights, err := t.state.weights(t.model.Layout, t.Precision, steps)
	if err != nil {
		return nil, err
	}
	for i, w := range weights {
		if w.Int64 != nil { // num_batches_tracked counts on from the initial weights'
			w.Int64[0] += t.initial[i].Int64[0]
		}
	}
	return toFloat32(weights), nil
}

// stage does what is left of the stage that the trial is at, and moves on to the next.
// Where it fails the trial is at the batch that it came to, and streams are as they
// were when the stage began.
func (t *trial) stage(ctx context.Context) (Measures, error) {
	began := time.Now()
	streams := t.streams.Clone()
	var err error
	if t.at.Stage == 0 {
		order := t.Data.TrainEpoch(streams, t.Workers, t.Recipe.Batch)
		err = t.trainPass(ctx, &order)
	} else {
		order := t.Data.EvalEpoch(streams, t.at.Stage-1)
		err = t.evalPass(ctx, &order)
	}
	t.at.Seconds += time.Since(began).Seconds()
	if err != nil {
		return Measures{}, err
	}
	loss, top1, top5 := t.at.Meter.averages()
	m := Measures{loss, top1, top5, t.at.Seconds}
	t.streams = streams
	next := position{Epoch: t.at.Epoch, Stage: t.at.Stage + 1}
	if next.Stage > len(t.Data.Eval) {
		next = position{Epoch: t.at.Epoch + 1}
	}
	t.at = place{position: next}
	return m, nil
}

// trainPass takes a step for every batch of an epoch's order from the trial's place on.
func (t *trial) trainPass(ctx context.Context, order *data.Epoch) error {
	rate := t.scalar(learningRate(t.Recipe, t.at.Epoch))
	return t.pass(ctx, order, func(images, labels *tensors.Tensor) *tensors.Tensor {
		old := t.state
		out := t.steps[images.Shape().Dim(0)].Run(old.params, old.momenta, old.stats, rate, images, labels)
		t.state = &state{params: out[0], momenta: out[1], stats: out[2]}
		old.finalize()
		return out[3]
	})
}

// evalPass evaluates every batch of an evaluation set's order from the trial's place on.
func (t *trial) evalPass(ctx context.Context, order *data.Epoch) error {
	return t.pass(ctx, order, func(images, labels *tensors.Tensor) *tensors.Tensor {
		return t.evaluate.Run(t.state.params, t.state.stats, images, labels)[0]
	})
}

// pass feeds the batches of an order to run, from the trial's place on, and moves the
// place on with what it measures. The measures of a batch are read while the next one is
// under way. When ctx is cancelled no other batch is begun.
func (t *trial) pass(ctx context.Context, order *data.Epoch, run func(images, labels *tensors.Tensor) *tensors.Tensor) error {
	split := t.split(t.at.Stage)
	read := func(measures *tensors.Tensor, images int) error {
		defer measures.MustFinalizeAll()
		b, err := readMeasures(measures, images)
		if err != nil {
			return err
		}
		if math.IsNaN(b.loss) || math.IsInf(b.loss, 0) {
			return &Diverged{Stage: split.Name, Epoch: t.at.Epoch, Step: t.at.Batch, Loss: b.loss}
		}
		t.at.Meter.add(b)
		t.measured(split.Name, t.at.Epoch, t.at.Batch, b)
		t.at.Batch++
		return nil
	}
	pending := func() error { return nil }
	first := t.at.Batch * t.Recipe.Batch
	for from, to := range order.Batches(t.Recipe.Batch) {
		if from < first {
			continue
		}
		if err := ctx.Err(); err != nil {
			return cmp.Or(pending(), err)
		}
		rows := to - from
		if t.at.Stage > 0 { // one program evaluates every batch
			rows = t.Recipe.Batch
		}
		images, labels := t.load(split, order, from, to, rows)
		measures := run(images, labels)
		images.MustFinalizeAll()
		labels.MustFinalizeAll()
		if err := pending(); err != nil {
			return err
		}
		pending = func() error { return read(measures, to-from) }
	}
	return pending()
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
