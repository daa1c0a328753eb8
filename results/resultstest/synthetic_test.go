package resultstest

import (
	"testing"

	"nb201/results"
)

// Accuracies must depend on the architecture, the schedule and the dataset key, as real ones do.
func TestSynthetic(t *testing.T) {
	top1 := func(arch int, key string, epochs int, seed uint32) float64 {
		t.Helper()
		r := Synthetic(t, results.Trial{Arch: arch, Dataset: key, Epochs: epochs, Seed: seed})
		if _, err := r.Encode(); err != nil { // it refuses contradictions
			t.Fatal(err)
		}
		return r.Eval[0].Top1[epochs-1]
	}
	const none, pooling, convolutions = 1651, 7581, 1462 // on every edge
	for key, ceiling := range ceilings {
		bad, middling, good := top1(none, key, 200, 777), top1(pooling, key, 200, 777), top1(convolutions, key, 200, 777)
		short := top1(convolutions, key, 12, 777)
		if !(bad < 12 && bad+5 < middling && middling+5 < good && short+5 < good && good < ceiling+2) {
			t.Errorf("%s: %.2f %% without operations, %.2f %% with pooling, %.2f %% with convolutions, %.2f %% after 12 epochs; the ceiling is %v %%",
				key, bad, middling, good, short, ceiling)
		}
		other := top1(convolutions, key, 200, 888)
		if same := top1(convolutions, key, 200, 777); same != good || other == good || max(good, other)-min(good, other) > 3 {
			t.Errorf("%s: %.2f %%, then %.2f %%; seed 888 has %.2f %%", key, good, same, other)
		}
	}
}
