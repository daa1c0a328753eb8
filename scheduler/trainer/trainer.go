// Package trainer trains trials through train.Session: one that a user asks for, or those of
// a plan, for a worker of a run.
package trainer

import (
	"context"
	"errors"
	"log"
	"regexp"
	"sync"
	"time"

	"nb201/cell"
	"nb201/internal/backend"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/train"
	"nb201/train/checkpoint"
)

// Options say how a Trainer trains.
type Options struct {
	Campaign        results.Campaign
	Device          backend.Device
	TF32            bool // the device multiplies in TF32
	Configure       Configure
	Weights         bool          // keep them
	CheckpointEvery time.Duration // at least
	Program, GoMLX  string        // versions, for the records
	Warn            func(t results.Trial, text string)
	Log             *log.Logger
}

// Configure is how a trial is trained. What the session has loaded, it need not load again.
type Configure func(session *train.Session, trial results.Trial) (train.Config, error)

// Only is the Configure of the one trial of a config.
func Only(config train.Config) Configure {
	return func(*train.Session, results.Trial) (train.Config, error) { return config, nil }
}

// FromPlan is the Configure of the trials of a plan, on images in dataRoot.
func FromPlan(p *plan.Plan, dataRoot string) Configure {
	return func(session *train.Session, trial results.Trial) (train.Config, error) {
		definition, err := p.Definition(trial.Dataset)
		if err != nil {
			return train.Config{}, err
		}
		recipe, ok := p.Recipe(trial.Epochs)
		if !ok {
			return train.Config{}, usage.Errorf("a schedule of %d epochs is not in the plan", trial.Epochs)
		}
		arch, err := cell.ByIndex(trial.Arch)
		if err != nil {
			return train.Config{}, err
		}
		return session.Config(train.Options{
			Arch: arch, Definition: definition, Recipe: recipe, Settings: p.Settings.Settings, Seed: trial.Seed, DataRoot: dataRoot,
		})
	}
}

// Trainer is the worker.Trainer that trains.
type Trainer struct {
	Options
	opened  *backend.Opened
	session *train.Session
	ahead   sync.WaitGroup // of Prepare
}

// Open opens the device.
func Open(o Options) (*Trainer, error) {
	opened, err := backend.OpenDevice(o.Device, o.TF32)
	if err != nil {
		return nil, err
	}
	return &Trainer{Options: o, opened: opened, session: train.NewSession(opened.Backend)}, nil
}

// Close waits for what Prepare began and for programs that are being compiled, which
// nothing can interrupt, and frees the device. A process that is about to end need not wait
// for them, and a worker that is told to leave cannot: it does not call Close, and they end
// with the process.
func (t *Trainer) Close() {
	t.ahead.Wait()
	t.session.Close()
	t.opened.Backend.Finalize()
}

func (t *Trainer) versions() results.Versions {
	return results.Versions{Program: t.Program, GoMLX: t.GoMLX, Plugin: t.opened.Plugin, PluginSHA256: t.opened.SHA256, Kernels: t.opened.Kernels}
}

// Train implements attempt.Trainer.
func (t *Trainer) Train(ctx context.Context, trial results.Trial, dir string, step func(attempt.Step)) (*results.Record, torchfile.StateDict, error) {
	config, err := t.Configure(t.session, trial)
	if err == nil {
		err = checkFinished(t.Campaign, config) // the images may have been replaced since the run began
	}
	if err != nil { // of the settings or the images, which are the same for others
		return nil, nil, &attempt.Fault{Unable: true, Err: err}
	}
	config.Checkpoints = &checkpoint.Options{
		Dir: dir, Every: t.CheckpointEvery, Versions: t.versions(),
		Warn: func(text string) { t.Warn(trial, text) },
	}
	outcome, err := t.session.Run(ctx, config, func(p train.Progress) {
		step(attempt.Step{
			Stage: p.Stage, Epoch: p.Epoch, Epochs: trial.Epochs, Batch: p.Batch, Images: p.Images, Loss: p.Loss, Top1: p.Top1,
		})
	})
	if err != nil {
		return nil, nil, fault(err)
	}
	r := outcome.Record
	r.Device, r.Versions = t.opened.Device, t.versions()
	t.Log.Printf("%v: waited %.1f s for its programs", trial, outcome.Compile.Seconds())
	if !t.Weights {
		return r, nil, nil
	}
	return r, outcome.Weights, nil
}

// Prepare implements worker.Trainer: it reads the images and compiles in the background,
// which Close waits for.
func (t *Trainer) Prepare(trial results.Trial) {
	t.ahead.Go(func() {
		if config, err := t.Configure(t.session, trial); err == nil { // else Train reports it
			t.session.Prepare(config)
		}
	})
}

// outOfMemory is in what XLA and CUDA say when memory runs out.
var outOfMemory = regexp.MustCompile(`RESOURCE_EXHAUSTED|(?i)out of memory|CUDA_ERROR_OUT_OF_MEMORY`)

// fault tells what kind of error ended a trial.
func fault(err error) error {
	var diverged *train.Diverged
	switch {
	case errors.As(err, &diverged):
		return &attempt.Fault{Kind: attempt.Diverged, Err: err}
	case outOfMemory.MatchString(err.Error()):
		return &attempt.Fault{Kind: attempt.OutOfMemory, Err: err}
	}
	return err
}
