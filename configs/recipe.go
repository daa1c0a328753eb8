package configs

import (
	"fmt"

	"nb201/internal/usage"
)

// Recipe is a schedule's training recipe: what configs/nas-benchmark/LESS.config
// (12 epochs) and CIFAR.config, ImageNet-16.config (200 epochs) of the original
// say, with the macro skeleton that its launch script names.
type Recipe struct {
	Epochs       int     `json:"epochs"`
	Batch        int     `json:"batch"`         // images a step
	Optimizer    string  `json:"optimizer"`     // SGD
	LearningRate float64 `json:"learning_rate"` // of epoch 0
	Momentum     float64 `json:"momentum"`
	Nesterov     bool    `json:"nesterov"`
	WeightDecay  float64 `json:"weight_decay"` // of all parameters, BatchNorm's and biases too
	Scheduler    string  `json:"scheduler"`    // cosine, constant within an epoch
	EtaMin       float64 `json:"eta_min"`      // where the cosine would end, after the last epoch
	Warmup       int     `json:"warmup"`       // epochs
	Channels     int     `json:"channels"`     // C: of the first stage
	Cells        int     `json:"cells"`        // N: cells in a stage
}

// shortest and longest are the published schedules, by their epochs.
const shortest, longest = 12, 200

// MaxEpochs is the longest schedule: with a few evaluation sets its record is about half as
// large as a file of text may be (infile.MaxText).
const MaxEpochs = 100_000

// RecipeFor is the recipe of a schedule of so many epochs. A length that was not
// published takes the 200-epoch recipe, its cosine stretched to the length. Fewer
// than one epoch, or more than MaxEpochs, is a usage error.
func RecipeFor(epochs int) (Recipe, error) {
	if epochs < 1 {
		return Recipe{}, usage.Errorf("a schedule of %d epochs: use at least 1", epochs)
	}
	if epochs > MaxEpochs {
		return Recipe{}, usage.Errorf("a schedule of %d epochs: use at most %d", epochs, MaxEpochs)
	}
	r := publishedRecipe(longest)
	if epochs == shortest {
		r = publishedRecipe(shortest)
	}
	r.Epochs = epochs
	return r, nil
}

// publishedRecipe is the embedded recipe of a published schedule.
func publishedRecipe(epochs int) (r Recipe) {
	name := fmt.Sprintf("recipes/%d.json", epochs)
	if err := Decode(name, embedded(name), &r); err != nil {
		panic(fmt.Sprintf("configs: %v", err))
	}
	return r
}
