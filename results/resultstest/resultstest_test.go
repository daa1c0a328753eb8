package resultstest

import (
	"math"
	"strings"
	"testing"

	"nb201/results"
)

func TestApart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *results.Record)
		losses float64
		rest   string // "" for none
	}{
		"nothing":         {func(*results.Record) {}, 0, ""},
		"training loss":   {func(r *results.Record) { r.Train.Loss[1] *= 1 + 1e-3 }, 1e-3, ""},
		"evaluation loss": {func(r *results.Record) { r.Eval[2].Loss[0] *= 1 - 1e-2 }, 1e-2, ""},
		"NaN":             {func(r *results.Record) { r.Eval[2].Loss[0] = math.NaN() }, math.NaN(), ""},
		"accuracy":        {func(r *results.Record) { r.Train.Top1[0]++; r.Eval[0].Top5[1]-- }, 0, ""},
		"weights":         {func(r *results.Record) { r.Weights = &results.File{Name: "w"} }, 0, ""},
		"seed":            {func(r *results.Record) { r.Seed++ }, 0, "trial.seed: "},
		"a longer curve":  {func(r *results.Record) { r.Train.Loss = append(r.Train.Loss, 1) }, 0, "training.loss"},
		"no evaluation":   {func(r *results.Record) { r.Eval = nil }, 0, "evaluation"},
	} {
		own := results.Trial{Arch: 3, Dataset: "cifar100", Epochs: 3, Seed: 777}
		a, b := Record(t, own), Record(t, own)
		c.change(a)
		losses, rest := Apart(a, b)
		if !(math.Abs(losses-c.losses) < 1e-9) && !(math.IsNaN(losses) && math.IsNaN(c.losses)) {
			t.Errorf("%s: losses are %v apart, want %v", name, losses, c.losses)
		}
		if (c.rest == "") != (len(rest) == 0) || c.rest != "" && !strings.HasPrefix(rest[0], c.rest) {
			t.Errorf("%s: also %q, want %q", name, rest, c.rest)
		}
	}
}
