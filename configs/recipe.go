package configs

import (
	"fmt"

	"nb201/internal/usage"
)

// Recipe is the training recipe of a schedule. The published ones are those of the original's
// configs/nas-benchmark/LESS.config (12 epochs), CIFAR.config and ImageNet-16.config (200 epochs),
// with the macro skeleton of its launch script.
type Recipe struct {
	Epochs       int     `json:"epochs"`
	Batch        int     `json:"batch"`         // images per step
	Optimizer    string  `json:"optimizer"`     // SGD
	LearningRate float64 `json:"learning_rate"` // of epoch 0
	Momentum     float64 `json:"momentum"`
	Nesterov     bool    `json:"nesterov"`
	WeightDecay  float64 `json:"weight_decay"` // of all parameters, including BatchNorm's and biases
	Scheduler    string  `json:"scheduler"`    // cosine, constant within an epoch
	EtaMin       float64 `json:"eta_min"`      // learning rate that the cosine would reach after the last epoch
	Warmup       int     `json:"warmup"`       // epochs
	Channels     int     `json:"channels"`     // C: channels in the first stage
	Cells        int     `json:"cells"`        // N: cells per stage
}

// shortest and longest are the numbers of epochs of the published schedules.
const shortest, longest = 12, 200

// MaxEpochs is the number of epochs of the longest schedule. With a few evaluation sets, its record is
// about half as large as a text file may be (infile.MaxText).
const MaxEpochs = 100_000

// RecipeFor returns the recipe of the schedule with this number of epochs. A number that was not
// published has the recipe for 200 epochs, with the cosine stretched to its length. Fewer than one
// epoch, or more than [MaxEpochs], is a usage error.
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

// publishedRecipe returns the embedded recipe of a published schedule.
func publishedRecipe(epochs int) (r Recipe) {
	name := fmt.Sprintf("recipes/%d.json", epochs)
	if err := Decode(name, embedded(name), &r); err != nil {
		panic(fmt.Sprintf("configs: %v", err))
	}
	return r
}
