package train

import (
	"context"
	"fmt"
	"slices"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/train/checkpoint"
	"nb201/train/device"
)

// Evaluate evaluates weights on every evaluation set of c.Data, in the order and batches of the
// last epoch of c.Trial. c.Data may be a dataset of evaluation sets alone, whose training draws
// nothing. On the same device the weights of a float32 trial therefore reproduce
// the last values of its record to the bit; another order or batch size changes them by rounding
// only. Weights that are not the network's, or are not finite, are a usage error. ctx, observe
// and *Diverged are as for [Session.Run]; c.Initial and c.Checkpoints are ignored.
func (s *Session) Evaluate(ctx context.Context, c Config, weights torchfile.StateDict, observe func(Progress)) ([]results.SetResult, error) {
	c.Initial = nil
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := checkWeights(c.Network, weights); err != nil {
		return nil, usage.Errorf("weights of %s on %s: %w", nameOf(c.Network), c.Trial.Dataset, err)
	}
	set := s.setCurrent(s.newEvaluation(c))
	images, err := s.upload(c.Data)
	var sets []results.SetResult
	if err == nil {
		err = backend.Catch(func() (err error) {
			t := newTrial(c, s.runner(c, set, images), observe)
			defer t.close()
			sets, err = t.evaluate(ctx, weights)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot evaluate %s on %s: %w", nameOf(c.Network), c.Trial.Dataset, err)
	}
	return sets, nil
}

// EvaluationConfig returns the configuration in which [Session.Evaluate] evaluates the weights of a
// trial on the evaluation sets of d in batches of this size: that of nb201 train --eval-only, whose
// order of the images does not depend on the trial.
func (s *Session) EvaluationConfig(r *benchmark.ResultsCount, d data.Definition, batch int, dataRoot string) (Config, error) {
	arch, err := r.Architecture()
	if err != nil {
		return Config{}, err
	}
	settings := configs.Published()
	settings.Channels, settings.Cells, settings.Batch = r.Channels, r.Cells, batch
	recipe, err := settings.Recipe(1)
	if err != nil {
		return Config{}, err
	}
	return s.Config(Options{Arch: arch, Definition: d, Recipe: recipe, Settings: settings, DataRoot: dataRoot})
}

// PrepareEvaluation starts to compile the program of a later call of [Session.Evaluate] in the
// background, as [Session.Prepare] does for Run.
func (s *Session) PrepareEvaluation(c Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepOnly(s.current, s.compile(s.newEvaluation(c)))
}

// newEvaluation returns the program that evaluates weights as c says, not compiled yet.
func (s *Session) newEvaluation(c Config) *device.Set {
	return &device.Set{Evaluate: device.NewEvaluation(s.backend, c.spec(), c.Recipe.Batch)}
}

// Reevaluate evaluates the weights of a benchmark's trial, configured by [Session.ConfigFor] if
// the trial has a record and by [Session.PublishedConfig] if not. It returns nil and no error for
// a trial in a published file whose dataset only its campaign defines. A tf32 trial is evaluated
// in full float32.
func (s *Session) Reevaluate(ctx context.Context, r *benchmark.ResultsCount, weights torchfile.StateDict, dataRoot string) ([]results.SetResult, error) {
	var c Config
	var err error
	switch {
	case r.Record != nil:
		c, err = s.ConfigFor(r.Record, dataRoot)
	case slices.Contains(configs.Datasets(), r.Dataset):
		c, err = s.PublishedConfig(r, dataRoot)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if c.Settings.Precision == configs.TF32 {
		c.Settings.Precision = configs.FP32
	}
	return s.Evaluate(ctx, c, weights, func(Progress) {})
}

// evaluate advances a new trial to the evaluation sets of its last epoch, and evaluates weights
// on each.
func (t *trial) evaluate(ctx context.Context, weights torchfile.StateDict) (sets []results.SetResult, err error) {
	if t.runner.State, err = t.runner.Set.Evaluate.NewState(weights); err != nil {
		return nil, err
	}
	t.toLastEvaluation()
	for _, split := range t.stages[1:] {
		averages, err := t.measureStage(ctx)
		if err != nil {
			return nil, err
		}
		sets = append(sets, results.SetResult{Set: split.Name, Images: split.Len(), Averages: averages})
	}
	return sets, nil
}

// toLastEvaluation makes all random draws before the evaluation of the last epoch, and moves
// the cursor there.
func (t *trial) toLastEvaluation() {
	t.seed()
	last := t.config.Recipe.Epochs - 1
	for epoch := range last + 1 {
		for stage := range t.stages {
			if stage == 0 || epoch < last && t.config.Recipe.Evaluates(epoch) {
				t.streams = t.draw(t.streams, stage).streams
			}
		}
	}
	t.cursor.Position = checkpoint.Position{Epoch: last, Stage: 1}
}
