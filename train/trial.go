package train

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nb201/data"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/train/checkpoint"
	"nb201/train/device"
)

// Diverged is the error of a trial whose loss is not finite, or whose weights, momenta or
// running statistics are not those of a trained network. The trial ends as failed.
type Diverged struct {
	Stage       string  // "train" or the name of the evaluation set
	Epoch, Step int     // from 0
	Loss        float64 // if State is ""
	State       string  // what is wrong with the state after the step; "": the loss is not finite
}

func (d *Diverged) Error() string {
	what := d.State
	if what == "" {
		what = fmt.Sprintf("the loss is %v", d.Loss)
	}
	return fmt.Sprintf("%s at epoch %d, step %d (%s)", what, d.Epoch, d.Step, d.Stage)
}

// Progress reports the results of one batch, and where in the trial it is.
type Progress struct {
	Stage  string  // "train" or the name of the evaluation set
	Epoch  int     // from 0
	Batch  int     // of this stage, from 0
	Images int     // in the batch
	Loss   float64 // mean cross entropy
	Top1   float64 // accuracy in percent
	// Ended reports that the batch is the last of its stage. PassLoss and PassTop1 are the means over
	// the images of the stage so far, from its first batch on, even if the trial was resumed since.
	Ended              bool
	PassLoss, PassTop1 float64
}

// Outcome holds the results of a trial. The caller adds to the record what only the caller
// knows: device, versions and attempts.
type Outcome struct {
	Record  *results.Record
	Weights torchfile.StateDict // float32
	Compile time.Duration       // wall time that the trial waited for executables
	Host    time.Duration       // wall time of the stages in which the device waited for the host
}

// trial is a trial in progress.
type trial struct {
	config  Config
	stages  []*data.Split // of an epoch: training, then the evaluation sets
	augment data.Augment
	runner  *device.Runner
	observe func(Progress) // called after every batch

	began   time.Time // when this process began with the trial
	initial torchfile.StateDict
	streams *data.Streams     // as they were at the start of the current stage
	cursor  checkpoint.Cursor // the next batch
	ahead   chan drawn        // the draws of the next stage; nil: not being drawn
	host    time.Duration     // time in stages that was neither compiling nor running

	record      *results.Record // with the curves of the finished stages
	checkpoints *checkpoint.Folder
}

func newTrial(c Config, r *device.Runner, observe func(Progress)) *trial {
	augment, err := c.Data.Augmentation(c.Recipe.Augment)
	if err != nil {
		panic(err) // cannot happen: Check found no error
	}
	return &trial{config: c, stages: c.stages(), augment: augment, runner: r, observe: observe}
}

// train runs the whole trial, from the seed or a checkpoint to the record.
func (t *trial) train(ctx context.Context) (*Outcome, error) {
	defer t.close()
	if err := t.initialise(); err != nil {
		return nil, err
	}
	if err := t.resume(); err != nil {
		return nil, err
	}
	for t.cursor.Epoch < t.config.Recipe.Epochs {
		if err := t.runStage(ctx); err != nil {
			if stopped := ctx.Err(); stopped != nil && errors.Is(err, stopped) {
				t.leaveCheckpoint()
			}
			return nil, err
		}
		if epochEnded := t.cursor.Stage == 0; epochEnded && t.checkpoints.Due() {
			t.leaveCheckpoint()
		}
	}
	t.leaveCheckpoint() // in case the record cannot be published: disk full, permission denied
	return t.finish()
}

// initialise makes the record, seeds the streams and uploads the initial state.
func (t *trial) initialise() (err error) {
	t.began = time.Now()
	if t.record, err = t.config.newRecord(t.began); err != nil {
		return err
	}
	t.initial = t.seed()
	if t.config.Initial != nil {
		t.initial = t.config.Initial.replace(t.initial)
	}
	t.runner.State, err = t.runner.Set.Evaluate.NewState(t.initial)
	return err
}

// seed seeds the streams and makes all draws before the first epoch. It returns the initial
// weights.
func (t *trial) seed() torchfile.StateDict {
	c := t.config
	profile := c.Settings.Parity.Profile()
	t.streams = data.NewStreams(c.Trial.Seed, profile)
	drawn := InitialWeights(c.Network, t.streams.Torch, profile)
	skipModelInfo(c.Network, t.streams.Torch)
	return drawn
}

// resume restores the newest undamaged checkpoint, if there is one.
func (t *trial) resume() error {
	if err := t.openCheckpoints(); err != nil {
		return err
	}
	c := t.checkpoints.Newest()
	if c == nil {
		return nil
	}
	t.runner.State.Finalize()
	t.runner.State, t.streams, t.cursor = c.State, c.Streams, c.Cursor
	t.record.Started = c.Started
	for i, curve := range c.Curves {
		*t.curve(i) = curve
	}
	return nil
}

// openCheckpoints opens the folder of the trial's checkpoints, if checkpoints are asked for.
func (t *trial) openCheckpoints() error {
	c := t.config
	if c.Checkpoints == nil {
		return nil
	}
	identity, err := checkpoint.Identify(t.record, c.Checkpoints.Versions)
	if err != nil {
		return err
	}
	t.checkpoints = checkpoint.NewFolder(c.Checkpoints, checkpoint.Trial{
		Identity: identity, Recipe: &c.Recipe, Stages: t.stages, Profile: c.Settings.Parity.Profile(), Step: t.runner.Set.Whole,
	})
	return nil
}

// leaveCheckpoint writes a checkpoint of the trial as it is now.
func (t *trial) leaveCheckpoint() {
	c := &checkpoint.Checkpoint{Started: t.record.Started, Cursor: t.cursor, Streams: t.streams, State: t.runner.State}
	for stage := range t.stages {
		c.Curves = append(c.Curves, *t.curve(stage))
	}
	t.checkpoints.Leave(c)
}

// finish completes the record and fetches the trained weights.
func (t *trial) finish() (o *Outcome, err error) {
	if t.record.Latency, err = t.measureLatency(); err != nil {
		return nil, err
	}
	setFinished(t.record, t.began)
	o = &Outcome{Record: t.record, Compile: t.runner.Compiling, Host: t.host}
	o.Weights, err = t.trainedWeights()
	return o, err
}

// measureLatency measures the trained network for its record, in seconds per batch. It returns
// nil if the trial's batch size is not [LatencyBatch], since it then has no executable for that
// size. It ignores the trial's context: it takes seconds, so a trial that is stopped now finishes
// instead.
func (t *trial) measureLatency() ([]float64, error) {
	if t.config.Recipe.Batch != LatencyBatch {
		return nil, nil
	}
	return t.runner.Set.Evaluate.Latency(context.Background(), t.runner.State, t.runner.Images, LatencyWarmUp, LatencyRuns)
}

// trainedWeights fetches the state dict after the last epoch, in float32. Weights that are not
// those of a trained network are a *Diverged.
func (t *trial) trainedWeights() (torchfile.StateDict, error) {
	epochs, batches := t.config.Recipe.Epochs, t.stages[0].Batches(t.config.Recipe.Batch)
	weights, err := t.runner.Set.Evaluate.Weights(t.runner.State, int64(epochs*batches))
	if err != nil {
		return nil, err
	}
	for i, w := range weights {
		if w.Int64 != nil { // num_batches_tracked continues from that of the initial weights
			w.Int64[0] += t.initial[i].Int64[0]
		} else { // float32 as published; a float64 may overflow, which WeightFaults finds
			weights[i].Tensor = w.ToFloat32()
		}
	}
	if faults := results.WeightFaults(t.config.Network, weights); len(faults) > 0 {
		return nil, &Diverged{Stage: t.stages[0].Name, Epoch: epochs - 1, Step: batches - 1, State: faults[0]}
	}
	return weights, nil
}

// close waits for a stage that is being drawn and frees the state.
func (t *trial) close() {
	if t.ahead != nil {
		<-t.ahead
	}
	t.runner.State.Finalize()
}
