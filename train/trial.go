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

// Diverged reports a loss that is not a number, or weights, momenta or running statistics
// that no trained network has; it ends a trial as failed.
type Diverged struct {
	Stage       string // "train" or the evaluation set's name
	Epoch, Step int    // from 0
	Loss        float64
	State       string // what is wrong with the state after the step; "": the loss is not a number
}

func (d *Diverged) Error() string {
	what := d.State
	if what == "" {
		what = fmt.Sprintf("the loss is %v", d.Loss)
	}
	return fmt.Sprintf("%s at epoch %d, step %d (%s)", what, d.Epoch, d.Step, d.Stage)
}

// Progress is what a batch has measured, with its position in the trial.
type Progress struct {
	Stage  string // "train", or the evaluation set's name
	Epoch  int    // from 0
	Batch  int    // of this stage, from 0
	Images int    // in the batch
	Loss   float64
	Top1   float64 // percent
}

// Outcome is what a trial leaves. The record lacks what only the caller knows:
// device, versions and attempts.
type Outcome struct {
	Record  *results.Record
	Weights torchfile.StateDict // float32
	Compile time.Duration       // wall time of waiting for the executables
	Host    time.Duration       // wall time of the stages in which the device waited for the host
}

// trial is a trial under way.
type trial struct {
	config  Config
	stages  []*data.Split // of an epoch: training, then the evaluation sets
	runner  *device.Runner
	observe func(Progress) // after every batch

	began   time.Time // of this process's part of the trial
	initial torchfile.StateDict
	streams *data.Streams     // as of the beginning of the stage
	at      checkpoint.Cursor // of the stage
	ahead   chan drawn        // the next stage; nil: not being drawn
	host    time.Duration     // of the stages so far, neither compiling nor running

	record      *results.Record // with what the stages before measured
	checkpoints *checkpoint.Folder
}

func newTrial(c Config, r *device.Runner, observe func(Progress)) *trial {
	return &trial{config: c, stages: c.stages(), runner: r, observe: observe}
}

// train is the story of a trial, from the seed or a checkpoint to its record.
func (t *trial) train(ctx context.Context) (*Outcome, error) {
	defer t.close()
	if err := t.begin(); err != nil {
		return nil, err
	}
	if err := t.resume(); err != nil {
		return nil, err
	}
	for t.at.Epoch < t.config.Recipe.Epochs {
		if err := t.stage(ctx); err != nil {
			if stopped := ctx.Err(); stopped != nil && errors.Is(err, stopped) {
				t.leaveCheckpoint()
			}
			return nil, err
		}
		if epochEnded := t.at.Stage == 0; epochEnded && t.checkpoints.Due() {
			t.leaveCheckpoint()
		}
	}
	t.leaveCheckpoint() // should it not be published, for want of room or of the right
	return t.finish()
}

// begin makes the record, seeds the streams and makes the initial state.
func (t *trial) begin() (err error) {
	t.began = time.Now()
	if t.record, err = t.config.newRecord(t.began); err != nil {
		return err
	}
	t.initial = t.seed()
	if t.config.Initial != nil {
		t.initial = t.config.Initial.over(t.initial)
	}
	t.runner.State, err = t.runner.Set.Evaluate.NewState(t.initial)
	return err
}

// seed seeds the streams and draws what comes before the first epoch.
func (t *trial) seed() torchfile.StateDict {
	c := t.config
	profile := c.Settings.Parity.Profile()
	t.streams = data.NewStreams(c.Trial.Seed, profile)
	drawn := InitialWeights(c.Network, t.streams.Torch, profile)
	skipModelInfo(c.Network, t.streams.Torch)
	return drawn
}

// resume goes on from the newest sound checkpoint, if there is one.
func (t *trial) resume() error {
	if err := t.openCheckpoints(); err != nil {
		return err
	}
	c := t.checkpoints.Newest()
	if c == nil {
		return nil
	}
	t.runner.State.Finalize()
	t.runner.State, t.streams, t.at = c.State, c.Streams, c.Cursor
	t.record.Started = c.Started
	for i, curve := range c.Curves {
		*t.curve(i) = curve
	}
	return nil
}

// openCheckpoints opens the folder of the trial's checkpoints, if it is to leave any.
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
		Identity: identity, Epochs: c.Recipe.Epochs, Batch: c.Recipe.Batch, Stages: t.stages, Profile: c.Settings.Parity.Profile(), Step: t.runner.Set.Whole,
	})
	return nil
}

// leaveCheckpoint leaves a checkpoint of where the trial is.
func (t *trial) leaveCheckpoint() {
	c := &checkpoint.Checkpoint{Started: t.record.Started, Cursor: t.at, Streams: t.streams, State: t.runner.State}
	for stage := range t.stages {
		c.Curves = append(c.Curves, *t.curve(stage))
	}
	t.checkpoints.Leave(c)
}

// finish completes the record and fetches the weights.
func (t *trial) finish() (o *Outcome, err error) {
	if t.record.Latency, err = t.latency(); err != nil {
		return nil, err
	}
	setFinished(t.record, t.began)
	o = &Outcome{Record: t.record, Compile: t.runner.Compiling, Host: t.host}
	o.Weights, err = t.trained()
	return o, err
}

// latency is the latency of the trained network as its record has it. A trial of another
// batch has no executable for it and gives none. It takes seconds, and no checkpoint is
// left behind the last epoch: a trial that is to stop now finishes.
func (t *trial) latency() ([]float64, error) {
	if t.config.Recipe.Batch != LatencyBatch {
		return nil, nil
	}
	return t.runner.Set.Evaluate.Latency(context.Background(), t.runner.State, t.runner.Images, LatencyWarmUp, LatencyRuns)
}

// trained is the state dict after the last epoch.
func (t *trial) trained() (torchfile.StateDict, error) {
	epochs, batches := t.config.Recipe.Epochs, t.stages[0].Batches(t.config.Recipe.Batch)
	weights, err := t.runner.Set.Evaluate.Weights(t.runner.State, int64(epochs*batches))
	if err != nil {
		return nil, err
	}
	for i, w := range weights {
		if w.Int64 != nil { // num_batches_tracked counts on from the initial weights'
			w.Int64[0] += t.initial[i].Int64[0]
		} else { // as is published; float64 may be beyond it
			weights[i].Tensor = w.ToFloat32()
		}
	}
	if faults := results.WeightFaults(t.config.Network, weights); len(faults) > 0 {
		return nil, &Diverged{Stage: t.stages[0].Name, Epoch: epochs - 1, Step: batches - 1, State: faults[0]}
	}
	return weights, nil
}

// close waits for the stage that is being drawn and frees the state.
func (t *trial) close() {
	if t.ahead != nil {
		<-t.ahead
	}
	t.runner.State.Finalize()
}
