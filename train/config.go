package train

import (
	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/train/checkpoint"
	"nb201/train/device"
)

// Config says what to train and how. Its parts agree with each other: see
// Options.Config.
type Config struct {
	Trial      results.Trial
	Network    cell.Network
	Recipe     configs.Recipe
	Settings   configs.Settings
	Definition data.Definition // at the timeline of Settings
	Data       *data.Dataset   // loaded by Definition
	Initial    *Initial        // nil: drawn from the seed

	Checkpoints *checkpoint.Options // nil: none

	batchesPerCall int // see device.Runner
}

// Check refuses, as usage errors, what cannot be trained.
func (c Config) Check() error {
	if err := c.Network.Validate(); err != nil {
		return err
	}
	if err := c.Data.CheckBatch(c.Recipe.Batch); err != nil {
		return err
	}
	if c.Initial != nil {
		if err := c.Initial.check(c.Network); err != nil {
			return err
		}
	}
	last := c.Data.Train.Len() % c.Recipe.Batch
	if last == 0 {
		last = c.Recipe.Batch
	}
	if side := c.Network.Size / 4; last*side*side == 1 {
		return usage.Errorf("the last batch of an epoch holds one image, and BatchNorm at its %dx%d maps has no variance: choose another batch size than %d", side, side, c.Recipe.Batch)
	}
	return nil
}

// stages lists what an epoch goes through: the training set, then each evaluation set.
func (c Config) stages() []*data.Split {
	stages := []*data.Split{&c.Data.Train}
	for i := range c.Data.Eval {
		stages = append(stages, &c.Data.Eval[i])
	}
	return stages
}

// spec is what the executables of the trial depend on.
func (c Config) spec() device.Spec {
	return device.Spec{
		Network: c.Network, Precision: c.Settings.Precision, Stored: device.CountStored(c.Data),
		Momentum: c.Recipe.Momentum, Nesterov: c.Recipe.Nesterov, WeightDecay: c.Recipe.WeightDecay,
	}
}
