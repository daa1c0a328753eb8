package benchmark_test

import (
	"slices"
	"testing"

	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/resultstest"
)

func TestUnequal(t *testing.T) {
	var trials []*benchmark.ResultsCount
	for i, batch := range []int{256, 128, 256, 128} {
		r := resultstest.Record(t, results.Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: uint32(i)})
		r.Recipe.Batch = batch
		trials = append(trials, benchmark.FromRecord(r))
	}
	if got := benchmark.Unequal(trials); !slices.Equal(got, []string{"batch is 128 for seed 1, 3, and 256 for seed 0"}) {
		t.Errorf("%q", got)
	}
	if got := benchmark.Unequal(trials[:1]); got != nil {
		t.Errorf("of one: %q", got)
	}
	trials[1].Record, trials[1].Recipe = nil, nil // of another format, which gives the network alone
	if got := benchmark.Unequal(trials[:2]); got != nil {
		t.Errorf("not known: %q", got)
	}
}
