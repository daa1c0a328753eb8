// Package trainer trains the trials of a plan for a worker of a run.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"log"
	"regexp"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler"
	"nb201/scheduler/plan"
	"nb201/train"
	"nb201/train/checkpoint"
)

// Options say how a worker trains.
type Options struct {
	Campaign        results.Campaign
	Plan            *plan.Plan
	Device          backend.Device
	DataRoot        string        // of the images
	CheckpointEvery time.Duration // at least
	Program, GoMLX  string        // versions, for the records
	Log             *log.Logger
}

// Trainer is the scheduler.Trainer that trains.
type Trainer struct {
	Options
	opened  *backend.Opened
	session *train.Session
}

// Open opens the device, for the rest of the process.
func Open(o Options) (*Trainer, error) {
	opened, err := backend.OpenDevice(o.Device, o.Plan.Settings.Precision == configs.TF32)
	if err != nil {
		return nil, err
	}
	return &Trainer{o, opened, train.NewSession(opened.Backend)}, nil
}

// config is how the plan has a trial be trained.
func (t *Trainer) config(trial results.Trial) (train.Config, error) {
	definition, err := t.Plan.Definition(trial.Dataset)
	if err != nil {
		return train.Config{}, err
	}
	recipe, ok := t.Plan.Recipe(trial.Epochs)
	if !ok {
		return train.Config{}, usage.Errorf("a schedule of %d epochs is not in the plan", trial.Epochs)
	}
	arch, err := cell.ByIndex(trial.Arch)
	if err != nil {
		return train.Config{}, err
	}
	return t.session.Config(train.Options{
		Arch: arch, Definition: definition, Recipe: recipe, Settings: t.Plan.Settings.Settings, Seed: trial.Seed, DataRoot: t.DataRoot,
	})
}

func (t *Trainer) versions() results.Versions {
	return results.Versions{Program: t.Program, GoMLX: t.GoMLX, Plugin: t.opened.Plugin, PluginSHA256: t.opened.SHA256, Kernels: t.opened.Kernels}
}

// Train implements scheduler.Trainer.
func (t *Trainer) Train(ctx context.Context, trial results.Trial, dir string, tell func(scheduler.Step)) (*results.Record, torchfile.StateDict, error) {
	config, err := t.config(trial)
	if err == nil {
		err = checkFinished(t.Campaign, config) // the images may have been replaced since the run began
	}
	if err != nil { // of the plan or the images, which are the same for others
		return nil, nil, &scheduler.Fault{Unable: true, Err: err}
	}
	config.Checkpoints = &checkpoint.Options{
		Dir: dir, Every: t.CheckpointEvery, Versions: t.versions(),
		Warn: func(text string) { t.Log.Printf("%v: %s", trial, text) },
	}
	outcome, err := t.session.Run(ctx, config, func(p train.Progress) {
		tell(scheduler.Step{Stage: p.Stage, Epoch: p.Epoch, Epochs: trial.Epochs, Images: p.Images})
	})
	if err != nil {
		return nil, nil, fault(err)
	}
	r := outcome.Record
	r.Device, r.Versions = t.opened.Device, t.versions()
	t.Log.Printf("%v: waited %.1f s for its programs", trial, outcome.Compile.Seconds())
	if !t.Plan.Settings.Weights {
		return r, nil, nil
	}
	return r, outcome.Weights, nil
}

// Prepare implements scheduler.Trainer.
func (t *Trainer) Prepare(trial results.Trial) {
	go func() {
		if config, err := t.config(trial); err == nil { // else Train will tell
			t.session.Prepare(config)
		}
	}()
}

// outOfMemory is in what XLA and CUDA say when memory runs out.
var outOfMemory = regexp.MustCompile(`RESOURCE_EXHAUSTED|(?i)out of memory|CUDA_ERROR_OUT_OF_MEMORY`)

// fault tells what kind of error ended a trial.
func fault(err error) error {
	var diverged *train.Diverged
	switch {
	case errors.As(err, &diverged):
		return &scheduler.Fault{Kind: scheduler.Diverged, Err: err}
	case outOfMemory.MatchString(err.Error()):
		return &scheduler.Fault{Kind: scheduler.OutOfMemory, Err: err}
	}
	return fmt.Errorf("training: %w", err)
}
