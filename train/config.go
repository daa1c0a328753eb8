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

// Config describes one trial: what to train, and how. [Options.Config] and [Session.Config]
// make one whose fields agree with each other.
type Config struct {
	Trial      results.Trial
	Network    cell.Network
	Recipe     configs.Recipe
	Settings   configs.Settings
	Definition data.Definition // at the timeline of Settings
	Data       *data.Dataset   // the images of Definition
	Initial    *Initial        // nil: the seed draws the initial weights

	Checkpoints *checkpoint.Options // nil: no checkpoints

	batchesPerCall int // see device.Runner
}

// Check returns a usage error if the trial cannot be trained: an invalid network, a batch size
// or augmentation that the dataset does not allow, initial weights that do not fit. A dataset of
// evaluation sets alone passes, since weights can be evaluated on it: [Session.Run] refuses it.
func (c Config) Check() error {
	if err := c.Network.Validate(); err != nil {
		return err
	}
	if err := c.Data.CheckBatch(c.Recipe.Batch); err != nil {
		return err
	}
	if _, err := c.Data.Augmentation(c.Recipe.Augment); err != nil {
		return err
	}
	if c.Initial != nil {
		if err := c.Initial.check(c.Network); err != nil {
			return err
		}
	}
	if c.Data.EvaluationOnly() {
		return nil // no batch is trained on
	}
	last := c.Data.Train.Len() % c.Recipe.Batch
	if last == 0 {
		last = c.Recipe.Batch
	}
	if side := c.Network.Size / 4; last*side*side == 1 {
		return usage.Errorf("batch size %d leaves one image for the last batch of an epoch, and BatchNorm over a single %dx%d map has no variance; "+
			"choose another batch size", c.Recipe.Batch, side, side)
	}
	return nil
}

// nameOf names the architecture of a network in a sentence.
func nameOf(n cell.Network) string { return cell.Describe(n.Arch.Space(), n.Arch.Index()) }

// stages lists the stages of an epoch: the training set, then each evaluation set.
func (c Config) stages() []*data.Split {
	stages := []*data.Split{&c.Data.Train}
	for i := range c.Data.Eval {
		stages = append(stages, &c.Data.Eval[i])
	}
	return stages
}

// spec returns everything that the trial's executables depend on, except the batch size.
func (c Config) spec() device.Spec {
	return device.Spec{
		Network: c.Network, Precision: c.Settings.Precision, Stored: device.CountStored(c.Data),
		Momentum: c.Recipe.Momentum, Nesterov: c.Recipe.Nesterov, WeightDecay: c.Recipe.WeightDecay, Decayed: c.Recipe.Decayed,
		LabelSmoothing: c.Recipe.LabelSmoothing, Cutout: c.Recipe.Augment.Cutout,
	}
}
