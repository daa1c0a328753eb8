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
	"errors"
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

	perCall int // batches of a call of a program; 0: as many as take callTime
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

// Diverged reports a loss that is not a number, or weights, momenta or running statistics
// that no trained network has; it ends a trial as failed.
type Diverged struct {
	Stage       string // "train" or the evaluation set's name
	Epoch, Step int    // from 0
	Loss        float64
	State       string // what is wrong with the state after the step, "" when the loss is no number
}

func (d *Diverged) Error() string {
	what := d.State
	if what == "" {
		what = fmt.Sprintf("the loss is %v", d.Loss)
	}
	return fmt.Sprintf("%s at epoch %d, step %d (%s)", what, d.Epoch, d.Step, d.Stage)
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
	Host    time.Duration       // wall time of the passes in which the device waited for the host
}

// trial is a trial that has not begun.
func (c Config) trial(p *programs, images *deviceImages) *trial {
	return &trial{Config: c, programs: p, images: images, perBatch: map[*program]time.Duration{}}
}

// with calls do with a trial whose batches observe sees, and frees its state.
func (c Config) with(p *programs, images *deviceImages, observe func(Progress), do func(*trial) error) error {
	t := c.trial(p, images)
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
	images   *deviceImages
	measured func(stage string, epoch, batch int, b batchResult) // after every batch

	streams *data.Streams
	initial torchfile.StateDict
	state   *state
	record  *results.Record // with what was measured in the stages before at
	began   time.Time       // of this process's part of the trial
	at      place
	next    chan drawn // of the stage after that
	checkpointing

	perBatch           map[*program]time.Duration // as the last call took
	compiling, running time.Duration              // time waited for programs; time of their calls
	host               time.Duration              // of the passes, neither of these
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
	t.began = time.Now()
	if t.record, err = t.newRecord(t.began); err != nil {
		return err
	}
	t.initial = t.seed()
	if t.Initial != nil {
		t.initial = t.Initial.over(t.initial)
	}
	t.state, err = newState(t.whole.model.Layout, t.initial, t.Precision)
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
			if stopped := ctx.Err(); stopped != nil && errors.Is(err, stopped) {
				t.checkpoint()
			}
			return err
		}
		m.addTo(curve)
		if t.at.Stage == 0 && t.checkpointDue() {
			t.checkpoint()
		}
	}
	t.checkpoint() // should it not be published, for want of room or of the right
	if t.record.Latency, err = t.latency(); err != nil {
		return err
	}
	setFinished(t.record, t.began)
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
	weights, err := t.state.weights(t.whole.model.Layout, t.Precision, steps)
	if err != nil {
		return nil, err
	}
	for i, w := range weights {
		if w.Int64 != nil { // num_batches_tracked counts on from the initial weights'
			w.Int64[0] += t.initial[i].Int64[0]
		}
	}
	weights = toFloat32(weights) // which may be beyond float32
	if faults := results.WeightFaults(t.Network, weights); len(faults) > 0 {
		return nil, t.diverged(t.Recipe.Epochs-1, int(steps)/t.Recipe.Epochs-1, faults[0])
	}
	return weights, nil
}

// diverged is the error of a state that no trained network has, after a training step.
func (t *trial) diverged(epoch, step int, state string) error {
	return &Diverged{Stage: t.Data.Train.Name, Epoch: epoch, Step: step, State: state}
}

// drawn is what the streams give a stage.
type drawn struct {
	order   data.Epoch
	streams *data.Streams // behind that
}

// draw draws a stage from streams, which stay where they are.
func (t *trial) draw(streams *data.Streams, stage int) drawn {
	d := drawn{streams: streams.Clone()}
	if stage == 0 {
		d.order = t.Data.TrainEpoch(d.streams, t.Workers, t.Recipe.Batch)
	} else {
		d.order = t.Data.EvalEpoch(d.streams, stage-1)
	}
	return d
}

// stage does what is left of the stage that the trial is at, and moves on to the next,
// which is drawn meanwhile. Where it fails the trial is at the batch that it came to, and
// streams are as they were when the stage began.
func (t *trial) stage(ctx context.Context) (Measures, error) {
	began, compiling, running := time.Now(), t.compiling, t.running
	var d drawn
	if t.next != nil {
		d = <-t.next
	} else {
		d = t.draw(t.streams, t.at.Stage)
	}
	next := position{Epoch: t.at.Epoch, Stage: t.at.Stage + 1}
	if next.Stage > len(t.Data.Eval) {
		next = position{Epoch: t.at.Epoch + 1}
	}
	t.next = nil
	if next.Epoch < t.Recipe.Epochs {
		ahead := make(chan drawn, 1)
		go func() { ahead <- t.draw(d.streams, next.Stage) }()
		t.next = ahead
	}
	err := t.pass(ctx, &d.order)
	took := time.Since(began) - (t.compiling - compiling)
	t.host += took - (t.running - running)
	t.at.Seconds += took.Seconds()
	if err != nil {
		return Measures{}, err
	}
	loss, top1, top5 := t.at.Meter.averages()
	m := Measures{loss, top1, top5, t.at.Seconds}
	t.streams = d.streams
	t.at = place{position: next}
	return m, nil
}

// callTime is about how long a call of a program takes: so long is a trial to stop, and
// so often does its progress show.
const callTime = 500 * time.Millisecond

// call is one call of a program: some batches of a stage.
type call struct {
	*program
	count, images, rows int             // batches, images of all, rows of each
	places              *tensors.Tensor // int32 [program.batches, rows, placeLen]

	ended    chan struct{}
	measures *tensors.Tensor
	state    *state          // after it; nil of an evaluation
	finite   *tensors.Tensor // whether each vector of the state is; nil of an evaluation
	took     time.Duration
	failure  error
}

// pass goes through the batches of an order, from the trial's place on, and moves the
// place on with what it measures. A call is prepared while the one before it runs, whose
// measures are read when it has begun. When ctx is cancelled no other call is begun.
func (t *trial) pass(ctx context.Context, order *data.Epoch) error {
	var running *call
	defer func() { _ = t.end(running) }() // where observe panics, or the loss is no number
	for from := t.at.Batch * t.Recipe.Batch; ; {
		var next *call
		var stopped error
		if from < len(order.Order) {
			if stopped = ctx.Err(); stopped == nil {
				next, stopped = t.prepare(order, from)
			}
		}
		ended := running
		running = nil
		if err := t.end(ended); err != nil {
			return err
		}
		if next != nil {
			if stopped = t.start(ctx, next); stopped == nil {
				running = next
				from += next.images
			}
		}
		if err := t.read(ended); err != nil {
			return err
		}
		if running == nil {
			return stopped
		}
	}
}

// prepare makes a call of the batches of an order from an image on.
func (t *trial) prepare(order *data.Epoch, from int) (c *call, err error) {
	left := len(order.Order) - from
	c = &call{program: t.whole, rows: t.Recipe.Batch, ended: make(chan struct{})}
	c.count = left / c.rows
	switch {
	case t.at.Stage > 0:
		c.program, c.count = t.evaluate, (left+c.rows-1)/c.rows
	case c.count == 0:
		c.program, c.rows, c.count = t.ragged, left, 1
	}
	limit := cmp.Or(t.perCall, max(1, int(callTime/cmp.Or(t.perBatch[c.program], callTime))))
	c.count = min(c.count, limit, c.batches)
	c.images = min(left, c.count*c.rows)
	c.places, err = onDevice(c.backend, func(dst []int32) {
		t.fillPlaces(dst[:c.count*c.rows*placeLen], order, from, from+c.images)
	}, c.batches, c.rows, placeLen)
	return c, err
}

// start begins a call when its program is compiled.
func (t *trial) start(ctx context.Context, c *call) error {
	began := time.Now()
	err := c.wait(ctx)
	t.compiling += time.Since(began)
	if err != nil {
		return errors.Join(err, c.places.FinalizeAll())
	}
	inputs := []any{t.state.params, t.state.stats}
	if t.at.Stage == 0 {
		inputs = []any{t.state.params, t.state.momenta, t.state.stats, t.scalar(learningRate(t.Recipe, t.at.Epoch))}
	}
	inputs = append(inputs, t.images.inputs(c.places, c.count)...)
	go func() {
		defer close(c.ended)
		began := time.Now()
		var out []*tensors.Tensor
		if out, c.failure = c.run(inputs...); c.failure == nil {
			if c.training {
				c.state, out = &state{params: out[0], momenta: out[1], stats: out[2]}, out[3:]
				c.finite = out[1]
			}
			c.measures = out[0]
		}
		c.took = time.Since(began)
	}()
	return nil
}

// end waits for the end of a call, or nil, and takes the state that it leaves.
func (t *trial) end(c *call) error {
	if c == nil {
		return nil
	}
	<-c.ended
	c.places.MustFinalizeAll()
	t.running += c.took
	if c.failure != nil {
		return c.failure
	}
	t.perBatch[c.program] = c.took / time.Duration(c.count)
	if c.state != nil {
		t.state.finalize()
		t.state = c.state
	}
	return nil
}

// read moves the place on with what a call that has ended, or nil, has measured.
func (t *trial) read(c *call) error {
	if c == nil {
		return nil
	}
	defer c.measures.MustFinalizeAll()
	if c.finite != nil {
		defer c.finite.MustFinalizeAll()
	}
	measured, err := readMeasures(c.measures, c.images, c.rows)
	if err != nil {
		return err
	}
	stage := t.split(t.at.Stage).Name
	for _, b := range measured {
		if math.IsNaN(b.loss) || math.IsInf(b.loss, 0) {
			return &Diverged{Stage: stage, Epoch: t.at.Epoch, Step: t.at.Batch, Loss: b.loss}
		}
		t.at.Meter.add(b)
		t.measured(stage, t.at.Epoch, t.at.Batch, b)
		t.at.Batch++
	}
	return t.checkFinite(c)
}

// checkFinite finds what is not finite of the state that a call has left.
func (t *trial) checkFinite(c *call) error {
	if c.finite == nil {
		return nil
	}
	finite, err := tensors.CopyFlatData[bool](c.finite)
	if err != nil {
		return err
	}
	for i, what := range []string{"weights", "momenta", "running statistics"} {
		if !finite[i] {
			return t.diverged(t.at.Epoch, t.at.Batch-1, "the "+what+" are not finite")
		}
	}
	return nil
}

// scalar is a float for a program of the trial.
func (t *trial) scalar(v float64) any {
	if t.Precision == FP64 {
		return v
	}
	return float32(v)
}
