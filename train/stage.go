package train

import (
	"context"
	"errors"
	"math"
	"time"

	"nb201/data"
	"nb201/results"
	"nb201/train/checkpoint"
	"nb201/train/device"
)

// curve returns the curve that a stage adds to: 0 is training, i the i-th evaluation set.
func (t *trial) curve(stage int) *results.Curve {
	if stage == 0 {
		return &t.record.Train.Curve
	}
	return &t.record.Eval[stage-1].Curve
}

// runStage finishes the current stage, appends its averages to the record and advances to the
// next stage.
func (t *trial) runStage(ctx context.Context) error {
	stage := t.cursor.Stage
	averages, err := t.measureStage(ctx)
	if err == nil {
		averages.AddTo(t.curve(stage))
	}
	return err
}

// measureStage finishes the current stage and advances to the next, whose order, flips and
// crops it draws in the meantime. If it fails, the cursor stays at the first batch that was not
// finished, and the streams stay as they were at the start of the stage.
func (t *trial) measureStage(ctx context.Context) (results.Averages, error) {
	began, compiling, running := time.Now(), t.runner.Compiling, t.runner.Running
	d := t.takeDrawn()
	next := checkpoint.Position{Epoch: t.cursor.Epoch, Stage: t.cursor.Stage + 1}
	if next.Stage == len(t.stages) || next.Stage == 1 && !t.config.Recipe.Evaluates(t.cursor.Epoch) {
		next = checkpoint.Position{Epoch: t.cursor.Epoch + 1}
	}
	if next.Epoch < t.config.Recipe.Epochs {
		t.drawAhead(d.streams, next.Stage)
	}
	err := t.runner.Run(ctx, t.deviceStage(&d.order), t.recordBatch)
	err = t.asDiverged(err)
	took := time.Since(began) - (t.runner.Compiling - compiling)
	t.host += took - (t.runner.Running - running)
	t.cursor.Seconds += took.Seconds()
	if err != nil {
		return results.Averages{}, err
	}
	loss, top1, top5 := t.cursor.Meter.Averages()
	a := results.Averages{Loss: loss, Top1: top1, Top5: top5, Seconds: t.cursor.Seconds}
	t.streams = d.streams
	t.cursor = checkpoint.Cursor{Position: next}
	return a, nil
}

// deviceStage describes the rest of the current stage to the device.
func (t *trial) deviceStage(order *data.Epoch) device.Stage {
	split, recipe := t.stages[t.cursor.Stage], &t.config.Recipe
	return device.Stage{
		Split: split, Order: order, Batch: recipe.Batch, First: t.cursor.Batch,
		Training: t.cursor.Stage == 0, Rate: recipe.LearningRates(t.cursor.Epoch, split.Batches(recipe.Batch)), CropPadding: t.augment.CropPadding,
	}
}

// recordBatch adds the results of a batch to the stage's averages, reports it to the observer
// and advances the cursor. A loss that is not finite is a *Diverged.
func (t *trial) recordBatch(b device.Batch) error {
	stage := t.stages[t.cursor.Stage]
	if math.IsNaN(b.Loss) || math.IsInf(b.Loss, 0) {
		return &Diverged{Stage: stage.Name, Epoch: t.cursor.Epoch, Step: t.cursor.Batch, Loss: b.Loss}
	}
	t.cursor.Meter.Add(b)
	loss, top1, _ := t.cursor.Meter.Averages()
	t.observe(Progress{
		Stage: stage.Name, Epoch: t.cursor.Epoch, Batch: t.cursor.Batch, Images: b.Images, Loss: b.Loss, Top1: b.Accuracy(),
		Ended: t.cursor.Batch+1 == stage.Batches(t.config.Recipe.Batch), PassLoss: loss, PassTop1: top1,
	})
	t.cursor.Batch++
	return nil
}

// asDiverged turns a *device.NotFinite, which the batch before the cursor caused, into a
// *Diverged; it returns other errors unchanged.
func (t *trial) asDiverged(err error) error {
	var state *device.NotFinite
	if errors.As(err, &state) {
		return &Diverged{Stage: t.stages[0].Name, Epoch: t.cursor.Epoch, Step: t.cursor.Batch - 1, State: state.Error()}
	}
	return err
}

// drawn holds the random draws of a stage.
type drawn struct {
	order   data.Epoch
	streams *data.Streams // after the draws
}

// takeDrawn returns the draws of the current stage. It waits for them if they are being drawn.
func (t *trial) takeDrawn() drawn {
	if t.ahead == nil {
		return t.draw(t.streams, t.cursor.Stage)
	}
	d := <-t.ahead
	t.ahead = nil
	return d
}

// drawAhead draws a stage in a goroutine; takeDrawn or close waits for it.
func (t *trial) drawAhead(streams *data.Streams, stage int) {
	t.ahead = make(chan drawn, 1)
	go func() { t.ahead <- t.draw(streams, stage) }()
}

// draw draws a stage from a copy of streams.
func (t *trial) draw(streams *data.Streams, stage int) drawn {
	d := drawn{streams: streams.Clone()}
	if stage == 0 {
		d.order = t.config.Data.TrainEpoch(d.streams, t.augment, t.config.Settings.Workers, t.config.Recipe.Batch)
	} else {
		d.order = t.config.Data.EvalEpoch(d.streams, stage-1)
	}
	return d
}
