// Package trainer connects the scheduler to package train. A [Trainer] trains trials on one
// device: the single trial of nb201 train ([Only]), or trials of a plan for a worker of a run
// ([FromPlan]). [CheckPlan] and [CheckTrial] make sure beforehand that they fit the campaign.
package trainer

import (
	"context"
	"errors"
	"log"
	"regexp"
	"sync"
	"time"

	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/train"
	"nb201/train/checkpoint"
)

// Options configure a Trainer.
type Options struct {
	Campaign        results.Campaign
	Device          backend.Device
	Precision       configs.Precision // of every trial
	Configure       Configure
	Weights         bool          // keep the weights
	CheckpointEvery time.Duration // least time between checkpoints
	Program, GoMLX  string        // versions of nb201 and GoMLX, for the records
	Warn            func(t results.Trial, text string)
	Log             *log.Logger
}

// Configure returns the configuration with which to train a trial. It reuses what the session has
// already loaded.
type Configure func(session *train.Session, trial results.Trial) (train.Config, error)

// Only returns a Configure for the single trial of config.
func Only(config train.Config) Configure {
	return func(*train.Session, results.Trial) (train.Config, error) { return config, nil }
}

// FromPlan returns a Configure for the trials of a plan, with images in dataRoot.
func FromPlan(p *plan.Plan, dataRoot string) Configure {
	return func(session *train.Session, trial results.Trial) (train.Config, error) {
		definition, err := p.Definition(trial.Dataset)
		if err != nil {
			return train.Config{}, err
		}
		recipe, ok := p.Recipe(trial)
		if !ok {
			return train.Config{}, usage.Errorf("schedule %s is not in the plan; add it with nb201 plan", trial.Schedule())
		}
		arch, err := trial.Architecture()
		if err != nil {
			return train.Config{}, err
		}
		return session.Config(train.Options{
			Arch: arch, Definition: definition, Recipe: recipe, Settings: p.Settings.With(recipe), Seed: trial.Seed, DataRoot: dataRoot,
		})
	}
}

// Trainer trains trials with a [train.Session]. It implements worker.Trainer.
type Trainer struct {
	Options
	opened    *backend.Opened
	session   *train.Session
	preparing sync.WaitGroup // goroutines started by Prepare
}

// Open opens the device and returns a Trainer for it. Close it after use.
func Open(o Options) (*Trainer, error) {
	opened, err := backend.OpenDevice(o.Device, o.Precision)
	if err != nil {
		return nil, err
	}
	return &Trainer{Options: o, opened: opened, session: train.NewSession(opened.Backend)}, nil
}

// Close waits for Prepare's goroutines and for compilations, which cannot be interrupted, and
// frees the device. A worker that must exit quickly does not call Close; they end with its
// process.
func (t *Trainer) Close() {
	t.preparing.Wait()
	t.session.Close()
	t.opened.Backend.Finalize()
}

func (t *Trainer) versions() results.Versions { return versions(t.Program, t.GoMLX, t.opened) }

// versions returns the versions of the software that computes on an open device.
func versions(program, gomlx string, opened *backend.Opened) results.Versions {
	return results.Versions{Program: program, GoMLX: gomlx, Plugin: opened.Plugin, PluginSHA256: opened.SHA256, Kernels: opened.Kernels, GPUKernels: opened.GPUKernels}
}

// Train implements attempt.Trainer.
func (t *Trainer) Train(ctx context.Context, trial results.Trial, dir string, step func(attempt.Step)) (attempt.Outcome, error) {
	config, err := t.Configure(t.session, trial)
	if err == nil {
		err = checkFinished(t.Campaign, config) // the images may have been replaced since the run began
	}
	if err != nil { // the settings or the images are wrong, for other trials as well
		return nil, &attempt.Fault{Unable: true, Err: err}
	}
	config.Checkpoints = &checkpoint.Options{
		Dir: dir, Every: t.CheckpointEvery, Versions: t.versions(),
		Warn: func(text string) { t.Warn(trial, text) },
	}
	outcome, err := t.session.Run(ctx, config, func(p train.Progress) {
		step(attempt.Step{
			Stage: p.Stage, Epoch: p.Epoch, Epochs: trial.Epochs, Batch: p.Batch, Images: p.Images, Loss: p.Loss, Top1: p.Top1,
			Ended: p.Ended, PassLoss: p.PassLoss, PassTop1: p.PassTop1,
		})
	})
	if err != nil {
		return nil, asFault(err)
	}
	r := outcome.Record
	r.Device, r.Versions = t.opened.Device, t.versions()
	t.Log.Printf("%v: waited %.1f s for its programs", trial, outcome.Compile.Seconds())
	if !t.Weights {
		outcome.Weights = nil
	}
	return attempt.Trained{Record: r, Weights: outcome.Weights}, nil
}

// Prepare implements worker.Trainer. It reads the images and compiles in a goroutine, for which
// Close waits.
func (t *Trainer) Prepare(trial results.Trial) {
	t.preparing.Go(func() {
		if config, err := t.Configure(t.session, trial); err == nil { // else Train reports it
			t.session.Prepare(config)
		}
	})
}

// outOfMemory matches the errors of XLA and CUDA when memory runs out.
var outOfMemory = regexp.MustCompile(`RESOURCE_EXHAUSTED|(?i)out of memory|CUDA_ERROR_OUT_OF_MEMORY`)

// asFault wraps the error of a trial that diverged or ran out of memory in an [attempt.Fault].
func asFault(err error) error {
	var diverged *train.Diverged
	switch {
	case errors.As(err, &diverged):
		return &attempt.Fault{Kind: attempt.Diverged, Err: err}
	case outOfMemory.MatchString(err.Error()):
		return &attempt.Fault{Kind: attempt.OutOfMemory, Err: err}
	}
	return err
}
