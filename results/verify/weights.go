package verify

import (
	"math"
	"strings"

	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
)

// weights checks a state dict against the trial's network and tells whether it is
// sound.
func (f *findings) weights(r *benchmark.ResultsCount, weights torchfile.StateDict) bool {
	faults := len(f.faults)
	n, err := network(r)
	if err != nil {
		return false // costs says why
	}
	if err := results.CheckWeights(n, weights); err != nil {
		f.fault(Weights, r, "%v: weights of another architecture?", err)
		return false
	}
	for _, fault := range results.WeightFaults(n, weights) {
		f.fault(Weights, r, "%s", fault)
	}
	return len(f.faults) == faults
}

// reevaluation compares what the weights give with what the last epoch of the trial
// says. Another device rounds otherwise, which moves images that lie between two
// classes: a few of them may have moved, and the loss by a thousandth. In bfloat16,
// which rounds to 8 bits, one in a hundred may have, and the loss by two in a hundred.
func (f *findings) reevaluation(r *benchmark.ResultsCount, evaluated []Evaluated) {
	if len(evaluated) == 0 {
		f.note(Reevaluation, r, "the weights were not evaluated again: only a campaign holds the definition of a user's own dataset")
		return
	}
	f.count(Reevaluation)
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
			f.fault(Reevaluation, r, "%s: the weights give a loss of %.6g, the trial says %.6g", e.Set, e.Loss, loss)
		}
		few := 2 + moving*float64(e.Images)
		for _, a := range []struct {
			name  string
			says  benchmark.Series
			gives float64
		}{{"top-1 accuracy", m.Top1, e.Top1}, {"top-5 accuracy", m.Top5, e.Top5}} {
			says, ok := a.says.At(last)
			if moved := math.Abs(a.gives-says) / 100 * float64(e.Images); ok && !(moved <= few) {
				f.fault(Reevaluation, r, "%s: the weights give a %s of %.4f %%, the trial says %.4f %%, %.0f of %d images more or less", e.Set, a.name, a.gives, says, moved, e.Images)
			}
		}
	}
	if len(unknown) > 0 {
		f.note(Reevaluation, r, "the trial was not evaluated on %s", strings.Join(unknown, ", "))
	}
}
