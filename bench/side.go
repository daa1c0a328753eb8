package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/results"
	"nb201/train"
)

// inner holds the hidden commands, by name. bench runs itself with one of them in a separate
// process. They read their tasks and write their answers as JSON.
var inner = map[string]func(ctx context.Context, in io.Reader, out io.Writer) error{
	"side":        nb201Side,
	"peaks":       measurePeaks,
	"compile-one": compileOne,
}

// nb201Side is the hidden command for nb201's side. A task is a trial whose epochs are the turns.
func nb201Side(ctx context.Context, in io.Reader, out io.Writer) error {
	words, reports := json.NewDecoder(in), json.NewEncoder(out)
	var opened *backend.Opened
	for {
		var task Task
		switch err := words.Decode(&task); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if opened == nil {
			var err error
			if opened, err = openDevice(task.Device, task.Precision); err != nil {
				return err
			}
			defer opened.Backend.Finalize()
		}
		if err := takeTurns(ctx, opened, task, words, reports); err != nil {
			return err
		}
	}
}

// openDevice opens a device for a precision.
func openDevice(device, precision string) (*backend.Opened, error) {
	d, err := backend.ParseDevice(device)
	if err != nil {
		return nil, err
	}
	return backend.OpenDevice(d, configs.Precision(precision))
}

// takeTurns carries out a task. It sends the report of a turn after the evaluation at the end of the
// epoch, when the device is idle, and there the trial waits for the next word. After the last turn,
// that word lets the session measure the latency and read the weights, which would disturb the turns
// of other sides. Progress on batches may arrive in bursts; only that on the last batch of a stage
// shows when the stage was over.
func takeTurns(ctx context.Context, opened *backend.Opened, task Task, words *json.Decoder, reports *json.Encoder) error {
	images, err := readRecords(task.Images, task.Size)
	if err != nil {
		return err
	}
	config, err := task.config(images)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	clock := startClock()
	var report Report
	session := train.NewSession(opened.Backend)
	defer session.Close()
	outcome, err := session.Run(ctx, config, func(p train.Progress) {
		switch training := p.Stage == "train"; {
		case training && p.Epoch == 0 && p.Batch == 0:
			report.Loss = p.Loss
		case training && p.Batch == task.Steps-1:
			report.Train = clock.lap()
		case !training && p.Batch == task.EvalSteps-1:
			report.Eval = clock.lap()
			err := reports.Encode(report)
			if err == nil {
				var word string
				err = words.Decode(&word)
			}
			if err != nil {
				cancel(err)
			}
			report = Report{}
			clock.lap()
		}
	})
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return reports.Encode(Closing{
		PeakRSS: peakRSS(), Compile: outcome.Compile.Seconds(), Versions: append(goVersions(), opened.Plugin),
	})
}

// clock measures the cost of laps.
type clock struct {
	wall time.Time
	cpu  float64
}

func startClock() *clock { return &clock{time.Now(), cpuSeconds()} }

// lap returns the cost since the start or the last lap.
func (c *clock) lap() Cost {
	now := *startClock()
	cost := Cost{now.wall.Sub(c.wall).Seconds(), now.cpu - c.cpu}
	*c = now
	return cost
}

// config returns the trial for a task: it trains on the images in order, without augmentation, and
// evaluates the first batches of them.
func (t *Task) config(images *data.Images) (train.Config, error) {
	network, err := t.network()
	if err != nil {
		return train.Config{}, err
	}
	few := t.EvalSteps * t.Batch
	c := train.Config{
		Network: network,
		Settings: configs.Settings{
			Parity: parity, Timeline: configs.Dec2019, Precision: configs.Precision(t.Precision), Channels: t.Channels, Cells: t.Cells, Batch: t.Batch,
		},
		Definition: data.Definition{
			Name: "bench", Classes: t.Classes, Size: [2]int{t.Size, t.Size}, Mean: t.Mean, Std: t.Std,
			Train: data.SplitDefinition{From: "train", Order: data.Sequential},
			Eval:  []data.SplitDefinition{{Name: "ori-test", From: "test", Order: data.Sequential}},
		},
	}
	if c.Data, err = data.New(c.Definition, map[string]*data.Images{
		"train": images,
		"test":  {Size: t.Size, Pixels: images.Pixels[:few*3*t.Size*t.Size], Labels: images.Labels[:few]},
	}); err != nil {
		return c, err
	}
	c.Recipe, err = c.Settings.Recipe(t.Turns)
	c.Trial = results.Trial{Space: network.Arch.Space().Name(), Arch: network.Arch.Index(), Dataset: c.Definition.Name, Epochs: t.Turns, Seed: t.Seed}
	return c, err
}

// goVersions returns the versions of Go and of the modules that determine the speed of a step.
func goVersions() []string {
	versions := []string{runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			switch module.Path {
			case "github.com/gomlx/gomlx", "github.com/gomlx/go-xla":
				versions = append(versions, fmt.Sprintf("%s %s", module.Path[len("github.com/gomlx/"):], module.Version))
			}
		}
	}
	return versions
}
