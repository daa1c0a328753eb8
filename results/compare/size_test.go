package compare

import (
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/resultstest"
)

func sizes(t testing.TB, seeds ...uint32) results.Campaign {
	t.Helper()
	var trials []results.Trial
	for _, arch := range []int{0, 11, 32767} {
		for _, seed := range seeds {
			trials = append(trials, results.Trial{Space: cell.Size{}.Name(), Arch: arch, Dataset: "cifar10", Epochs: 1, Seed: seed})
		}
	}
	c := results.Campaign{Dir: t.TempDir()}
	for _, trial := range trials {
		if err := c.Publish(resultstest.Record(t, trial), nil); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Benchmarks of the size search space are compared like others, and not with those of another space.
func TestSizes(t *testing.T) {
	a, b := sizes(t, 777, 888), sizes(t, 777)
	r := run(t, a, b)
	if r.Common != 3 || r.Comparisons[0].Schedule != "01" || r.Comparisons[0].Trials != 3 || r.Comparisons[0].Top1.MaxAbs != 0 {
		t.Errorf("%+v", r)
	}
	topology := publish(t, map[results.Trial]float64{at(0, 777): 50})
	_, err := Run(t.Context(), open(t, a), open(t, topology), Options{})
	const want = " those of the topology search space, which have none in common; compare benchmarks of the same space"
	if !usage.Is(err) || !strings.HasPrefix(err.Error(), a.Dir+" holds architectures of the size search space") || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v", err)
	}
}
