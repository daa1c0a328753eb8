package train

import (
	"context"
	"fmt"
	"slices"

	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/train/checkpoint"
	"nb201/train/device"
)

// Evaluated holds the results of one evaluation set.
type Evaluated struct {
	Set    string `json:"set"`
	Images int    `json:"images"`
	Averages
}

// Evaluate evaluates weights on every evaluation set of c.Data, in the order and batches of the
// last epoch of c.Trial. c.Data may be a dataset of evaluation sets alone, whose training draws
// nothing. On the same device the weights of a float32 trial therefore reproduce
// the last values of its record to the bit; another order or batch size changes them by rounding
// only. Weights that are not the network's, or are not finite, are a usage error. ctx, observe
// and *Diverged are as for [Session.Run]; c.Initial and c.Checkpoints are ignored.
func (s *Session) Evaluate(ctx context.Context, c Config, weights torchfile.StateDict, observe func(Progress)) ([]Evaluated, error) {
	c.Initial = nil
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := checkWeights(c.Network, weights); err != nil {
		return nil, usage.Errorf("weights of architecture %d on %s: %w", c.Network.Arch.Index(), c.Trial.Dataset, err)
	}
	set := s.setCurrent(&device.Set{Evaluate: device.NewEvaluation(s.backend, c.spec(), c.Recipe.Batch)})
	images, err := s.upload(c.Data)
	var sets []Evaluated
	if err == nil {
		err = backend.Catch(func() (err error) {
			t := newTrial(c, s.runner(c, set, images), observe)
			defer t.close()
			sets, err = t.evaluate(ctx, weights)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot evaluate architecture %d on %s: %w", c.Network.Arch.Index(), c.Trial.Dataset, err)
	}
	return sets, nil
}

// Reevaluate evaluates the weights of a benchmark's trial, configured by [Session.ConfigFor] if
// the trial has a record and by [Session.PublishedConfig] if not. It returns nil and no error for
// a trial in a published file whose dataset only its campaign defines. A tf32 trial is evaluated
// in full float32.
func (s *Session) Reevaluate(ctx context.Context, r *benchmark.ResultsCount, weights torchfile.StateDict, dataRoot string) ([]Evaluated, error) {
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
func (t *trial) evaluate(ctx context.Context, weights torchfile.StateDict) (sets []Evaluated, err error) {
	if t.runner.State, err = t.runner.Set.Evaluate.NewState(weights); err != nil {
		return nil, err
	}
	t.toLastEvaluation()
	for _, split := range t.stages[1:] {
		averages, err := t.measureStage(ctx)
		if err != nil {
			return nil, err
		}
		sets = append(sets, Evaluated{split.Name, split.Len(), averages})
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
