package train

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/golden"
	"nb201/results"
)

// TestGoldenRecipes trains the recipes of recipes.json, which torch trained, in float64: the learning rates
// and losses of all batches, the losses of the evaluation set, and the final weights are the same.
func TestGoldenRecipes(t *testing.T) {
	var vectors struct {
		Arch                  archName
		Seed                  uint32
		Images, Size, Classes int
		CropPadding           int `json:"crop_padding"`
		Mean, Std             [3]float64
		Cases                 []struct {
			Workers    int
			Recipe     json.RawMessage
			Rate, Loss []float64
			Evaluation map[string]float64    // loss by epoch
			Weights    map[string][2]float64 // sum, sum of magnitudes
		}
	}
	golden.Load(t, "recipes.json", &vectors)
	v := &vectors
	arch := v.Arch.in(t, cell.Topology{})
	definition := data.Definition{
		Name: "synth", Format: "npy", Path: "none", Classes: v.Classes, Size: [2]int{v.Size, v.Size}, Mean: v.Mean, Std: v.Std,
		Augment: data.Augment{Flip: true, CropPadding: v.CropPadding},
		Train:   data.SplitDefinition{From: "train", Order: data.Shuffle}, Eval: []data.SplitDefinition{{Name: "test", From: "test", Order: data.Sequential}},
	}
	set, err := data.New(definition, map[string]*data.Images{
		"train": datatest.Synth(v.Images, v.Size, v.Classes, 1), "test": datatest.Synth(v.Images, v.Size, v.Classes, 2),
	})
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	near := func(got, want float64) bool {
		d := math.Abs(got-want) / max(math.Abs(want), 1)
		worst = max(worst, d)
		return d <= 1e-12
	}
	for _, c := range v.Cases {
		var recipe configs.Recipe
		if err := configs.Decode("recipes.json", c.Recipe, &recipe); err != nil {
			t.Fatal(err)
		}
		t.Run(recipe.Schedule(), func(t *testing.T) {
			if err := recipe.Check(); err != nil {
				t.Fatal(err)
			}
			s := configs.Published().With(recipe)
			s.Parity, s.Workers, s.Precision = "modern", c.Workers, configs.FP64
			config := Config{
				Network: cell.Network{Arch: arch, Channels: recipe.Channels, Cells: recipe.Cells, Classes: v.Classes, Size: v.Size},
				Trial:   results.Trial{Arch: arch.Index(), Dataset: "synth", Recipe: recipe.Name, Epochs: recipe.Epochs, Seed: v.Seed},
				Recipe:  recipe, Settings: s, Definition: definition, Data: set,
			}
			var losses, rates []float64
			outcome, err := openSession(t).Run(t.Context(), config, func(p Progress) {
				if p.Stage == "train" {
					losses = append(losses, p.Loss)
					rates = append(rates, recipe.LearningRates(p.Epoch, set.Train.Batches(recipe.Batch))(p.Batch))
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(losses) != len(c.Loss) {
				t.Fatalf("%d batches, want %d", len(losses), len(c.Loss))
			}
			for i, want := range c.Loss {
				if !near(losses[i], want) || !near(rates[i], c.Rate[i]) {
					t.Fatalf("batch %d: loss %v and rate %v, want %v and %v", i, losses[i], rates[i], want, c.Rate[i])
				}
			}
			e := &outcome.Record.Eval[0]
			epochs := e.EvaluatedEpochs(recipe.Epochs)
			if len(epochs) != len(c.Evaluation) || len(e.Loss) != len(epochs) {
				t.Errorf("evaluated after the epochs %v (%d losses), want %v", epochs, len(e.Loss), c.Evaluation)
			}
			for i, epoch := range epochs {
				if want, ok := c.Evaluation[strconv.Itoa(epoch)]; !ok || !near(e.Loss[i], want) {
					t.Errorf("evaluation after epoch %d: loss %v, want %v", epoch, e.Loss[i], want)
				}
			}
			for _, w := range outcome.Weights { // rounded to float32
				want, ok := c.Weights[w.Name]
				if !ok || w.Float32 == nil {
					continue
				}
				var sum, magnitudes float64
				for _, x := range w.Float32 {
					sum, magnitudes = sum+float64(x), magnitudes+math.Abs(float64(x))
				}
				rounding := max(magnitudes, 1e-6) / (1 << 24) // some biases have no effect, and are 0 but for rounding
				if math.Abs(sum-want[0]) > rounding || math.Abs(magnitudes-want[1]) > rounding {
					t.Errorf("%s: sum %v, of magnitudes %v, want %v", w.Name, sum, magnitudes, want)
				}
			}
		})
	}
	t.Logf("largest relative difference: %.2g", worst)
}
