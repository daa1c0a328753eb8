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

// Averages are what a stage has measured.
type Averages struct {
	Loss    float64 `json:"loss"`         // mean cross entropy
	Top1    float64 `json:"top1_percent"` // accuracy, 0..100
	Top5    float64 `json:"top5_percent"` // with fewer than five classes 100
	Seconds float64 `json:"seconds"`      // wall time of the whole stage
}

// addTo puts the averages at the end of a curve.
func (a Averages) addTo(c *results.Curve) {
	c.Loss = append(c.Loss, a.Loss)
	c.Top1 = append(c.Top1, a.Top1)
	c.Top5 = append(c.Top5, a.Top5)
	c.Seconds = append(c.Seconds, a.Seconds)
}

// curve is the curve of a stage.
func (t *trial) curve(stage int) *results.Curve {
	if stage == 0 {
		return &t.record.Train.Curve
	}
	return &t.record.Eval[stage-1].Curve
}

// stage does what is left of the stage that the trial is at, adds what it measures to the
// record and moves on to the next.
func (t *trial) stage(ctx context.Context) error {
	stage := t.at.Stage
	averages, err := t.measureStage(ctx)
	if err == nil {
		averages.addTo(t.curve(stage))
	}
	return err
}

// measureStage does what is left of the stage that the trial is at, and moves on to the next,
// which is drawn meanwhile. Where it fails the trial is at the batch that it came to, and
// streams are as they were when the stage began.
func (t *trial) measureStage(ctx context.Context) (Averages, error) {
	began, compiling, running := time.Now(), t.runner.Compiling, t.runner.Running
	d := t.takeDrawn()
	next := checkpoint.Position{Epoch: t.at.Epoch, Stage: t.at.Stage + 1}
	if next.Stage == len(t.stages) {
		next = checkpoint.Position{Epoch: t.at.Epoch + 1}
	}
	if next.Epoch < t.config.Recipe.Epochs {
		t.drawAhead(d.streams, next.Stage)
	}
	err := t.runner.Run(ctx, t.deviceStage(&d.order), t.take)
	err = t.diverged(err)
	took := time.Since(began) - (t.runner.Compiling - compiling)
	t.host += took - (t.runner.Running - running)
	t.at.Seconds += took.Seconds()
	if err != nil {
		return Averages{}, err
	}
	loss, top1, top5 := t.at.Meter.Averages()
	a := Averages{loss, top1, top5, t.at.Seconds}
	t.streams = d.streams
	t.at = checkpoint.Cursor{Position: next}
	return a, nil
}

// deviceStage is what the device goes through of the stage that the trial is at.
func (t *trial) deviceStage(order *data.Epoch) device.Stage {
	return device.Stage{
		Split: t.stages[t.at.Stage], Order: order, Batch: t.config.Recipe.Batch, First: t.at.Batch,
		Training: t.at.Stage == 0, Rate: learningRate(t.config.Recipe, t.at.Epoch), CropPadding: t.config.Data.Augment.CropPadding,
	}
}

// take moves the trial on by what a batch has measured.
func (t *trial) take(b device.Batch) error {
	stage := t.stages[t.at.Stage].Name
	if math.IsNaN(b.Loss) || math.IsInf(b.Loss, 0) {
		return &Diverged{Stage: stage, Epoch: t.at.Epoch, Step: t.at.Batch, Loss: b.Loss}
	}
	t.at.Meter.Add(b)
	t.observe(Progress{stage, t.at.Epoch, t.at.Batch, b.Images, b.Loss, b.Accuracy()})
	t.at.Batch++
	return nil
}

// diverged makes of a state that is not finite, which the batch before the cursor has left,
// the error that it is of the trial.
func (t *trial) diverged(err error) error {
	var state *device.NotFinite
	if errors.As(err, &state) {
		return &Diverged{Stage: t.stages[0].Name, Epoch: t.at.Epoch, Step: t.at.Batch - 1, State: state.Error()}
	}
	return err
}

// drawn is what the streams give a stage.
type drawn struct {
	order   data.Epoch
	streams *data.Streams // behind that
}

// takeDrawn returns the stage that the trial is at, when it has been drawn.
func (t *trial) takeDrawn() drawn {
	if t.ahead == nil {
		return t.draw(t.streams, t.at.Stage)
	}
	d := <-t.ahead
	t.ahead = nil
	return d
}

// drawAhead draws a stage in a goroutine, for which takeDrawn or close waits.
func (t *trial) drawAhead(streams *data.Streams, stage int) {
	t.ahead = make(chan drawn, 1)
	go func() { t.ahead <- t.draw(streams, stage) }()
}

// draw draws a stage from streams, which stay as they are.
func (t *trial) draw(streams *data.Streams, stage int) drawn {
	d := drawn{streams: streams.Clone()}
	if stage == 0 {
		d.order = t.config.Data.TrainEpoch(d.streams, t.config.Settings.Workers, t.config.Recipe.Batch)
	} else {
		d.order = t.config.Data.EvalEpoch(d.streams, stage-1)
	}
	return d
}
