package verify

import (
	"math"
	"strings"

	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
)

// checkWeights compares a state dict with the trial's network and reports whether it is
// sound.
func (f *findings) checkWeights(r *benchmark.ResultsCount, weights torchfile.StateDict) bool {
	faults := len(f.faults)
	n, err := networkOf(r)
	if err != nil {
		return false // checkCosts reports it
	}
	if err := results.CheckWeights(n, weights); err != nil {
		f.addFault(CheckWeights, r, "%v; are these the weights of another architecture?", err)
		return false
	}
	for _, fault := range results.WeightFaults(n, weights) {
		f.addFault(CheckWeights, r, "%s", fault)
	}
	return len(f.faults) == faults
}

// checkReevaluation compares the measures of the evaluated weights with those of the
// trial's last epoch. Devices round differently, which moves images that lie between two
// classes, so it allows 2 images and one in 2000 to differ, and the loss by 0.1 %. In
// bfloat16, which rounds to 8 bits, it allows 2 images and one in 100, and 2 % of the loss.
func (f *findings) checkReevaluation(r *benchmark.ResultsCount, evaluated []results.SetResult) {
	if len(evaluated) == 0 {
		f.addNote(CheckReevaluation, r, "the weights were not evaluated again: only a campaign contains the definition of a user's own dataset")
		return
	}
	f.countChecked(CheckReevaluation)
	drift, moving := 1e-3, 1.0/2000
	if r.Record != nil && r.Record.Precision == "bf16" {
		drift, moving = 2e-2, 1.0/100
	}
	var unknown []string
	for _, e := range evaluated {
		m, ok := r.Set(e.Set)
		if !ok {
			unknown = append(unknown, e.Set)
			continue
		}
		last := r.Epochs - 1
		if loss, ok := m.Loss.At(last); ok && !(math.Abs(e.Loss-loss) <= drift*max(loss, 1e-2)) {
			f.addFault(CheckReevaluation, r, "%s: the weights give a loss of %.6g; the trial has %.6g", e.Set, e.Loss, loss)
		}
		few := 2 + moving*float64(e.Images)
		for _, a := range []struct {
			name    string
			trial   benchmark.Series
			weights float64
		}{{"top-1 accuracy", m.Top1, e.Top1}, {"top-5 accuracy", m.Top5, e.Top5}} {
			trial, ok := a.trial.At(last)
			if moved := math.Abs(a.weights-trial) / 100 * float64(e.Images); ok && !(moved <= few) {
				f.addFault(CheckReevaluation, r, "%s: the weights give a %s of %.4f %%; the trial has %.4f %%, a difference of %.0f of %d images",
					e.Set, a.name, a.weights, trial, moved, e.Images)
			}
		}
	}
	if len(unknown) > 0 {
		f.addNote(CheckReevaluation, r, "the trial was not evaluated on %s", strings.Join(unknown, ", "))
	}
}
