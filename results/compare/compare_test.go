package compare

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

func open(t testing.TB, c results.Campaign) *benchmark.Benchmark {
	t.Helper()
	b, err := published.Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func run(t testing.TB, a, b results.Campaign) *Report {
	t.Helper()
	r, err := Run(t.Context(), open(t, a), open(t, b), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// publish makes a campaign of trials on cifar10 with the given accuracies after the last
// epoch, on ori-test and in training.
func publish(t testing.TB, top1 map[results.Trial]float64) results.Campaign {
	t.Helper()
	c := results.Campaign{Dir: t.TempDir()}
	for trial, v := range top1 {
		r := resultstest.Record(t, trial)
		for _, p := range []*results.Pass{&r.Train, &r.Eval[0].Pass} {
			p.Top1[trial.Epochs-1] = v
			p.Top5[trial.Epochs-1] = max(p.Top5[trial.Epochs-1], v)
		}
		r.Eval[0].Loss[trial.Epochs-1] = (100 - v) / 10
		if err := c.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func at(arch int, seed uint32) results.Trial {
	return results.Trial{Arch: arch, Dataset: "cifar10", Epochs: 2, Seed: seed}
}

func near(got *float64, want float64) bool {
	if got == nil {
		return math.IsNaN(want)
	}
	return math.Abs(*got-want) < 1e-9
}

// TestKnown compares with values computed by hand.
func TestKnown(t *testing.T) {
	a := publish(t, map[results.Trial]float64{
		at(0, 1): 10, at(0, 2): 12, // mean 11
		at(1, 1): 20, at(1, 2): 24, // mean 22
		at(2, 1): 30,
		at(3, 1): 40,
		at(5, 1): 50, // not in B
	})
	b := publish(t, map[results.Trial]float64{
		at(0, 1): 11, at(0, 2): 12, // mean 11.5
		at(1, 1): 24,
		at(2, 1): 22, at(2, 3): 24, // mean 23
		at(3, 9): 90, // no trial in common
		at(6, 1): 50, // not in A
	})
	r := run(t, a, b)
	if r.Common != 4 || r.A.Architectures != 5 || r.B.Architectures != 5 || r.Skipped != 0 || len(r.Comparisons) != 2 {
		t.Fatalf("%+v", r)
	}
	c := r.Comparisons[1]
	if c.Dataset != "cifar10" || c.Epochs != 2 || c.Set != "ori-test" || c.Trials != 4 || c.Architectures != 4 || r.Comparisons[0].Set != benchmark.TrainingSet {
		t.Fatalf("%+v", c)
	}
	// Differences of the trials in common: 1, 0, 4, -8.
	m := c.Top1
	spreadA := math.Sqrt((2 + 8) / 2.0)
	spreadB := math.Sqrt((0.5 + 2) / 2)
	for _, test := range []struct {
		name string
		got  *float64
		want float64
	}{
		{"mean", &m.Mean, -0.75},
		{"sd", m.SD, math.Sqrt((1.75*1.75 + 0.75*0.75 + 4.75*4.75 + 7.25*7.25) / 3)},
		{"mean absolute", &m.MeanAbs, 3.25},
		{"largest", &m.MaxAbs, 8},
		{"spread in A", m.SpreadA, spreadA},
		{"spread in B", m.SpreadB, spreadB},
		{"relative", m.Relative, math.Sqrt(81.0/4) / math.Sqrt(5+1.25)},
		// Means in A 11, 22, 30, 40; in B 11.5, 24, 23, 90: one pair of six is discordant.
		{"tau", m.Kendall, 4.0 / 6},
		{"rho", m.Spearman, 0.8},
		{"loss", &c.Loss.Mean, 0.075},
		{"tau of the loss", c.Loss.Kendall, 4.0 / 6},
	} {
		if !near(test.got, test.want) {
			t.Errorf("%s is %v, want %v", test.name, number(test.got), test.want)
		}
	}
	var worst []float64
	for _, p := range c.Worst {
		worst = append(worst, float64(p.Arch), float64(*p.Seed), p.A, p.B)
	}
	if want := []float64{2, 1, 30, 22, 1, 1, 20, 24, 0, 1, 10, 11, 0, 2, 12, 12}; !slices.Equal(worst, want) {
		t.Errorf("worst are %v, want %v", worst, want)
	}
	if want := []Pair{{0, nil, 11, 11.5}, {1, nil, 22, 24}, {2, nil, 30, 23}, {3, nil, 40, 90}}; !slices.Equal(c.Means, want) {
		t.Errorf("means are %v, want %v", c.Means, want)
	}
	if want := []float64{1, 0, 4, -8}; !slices.Equal(c.Differences, want) {
		t.Errorf("differences are %v, want %v", c.Differences, want)
	}
}

// TestOtherSeeds compares architectures by their means when no seed is in both.
func TestOtherSeeds(t *testing.T) {
	a := publish(t, map[results.Trial]float64{at(0, 1): 10, at(0, 2): 14, at(1, 1): 20})
	b := publish(t, map[results.Trial]float64{at(0, 3): 13, at(1, 3): 16})
	c := run(t, a, b).Comparisons[1]
	// Means in A 12, 20; the spread is that of A alone, sqrt(8).
	// A mean in A has half or all of the variance, one in B all of it.
	relative := math.Sqrt((1.0+16)/2) / math.Sqrt(0.75*8+8)
	if c.Trials != 0 || c.Architectures != 2 || !near(&c.Top1.Mean, -1.5) || !near(c.Top1.SpreadA, math.Sqrt(8)) || c.Top1.SpreadB != nil ||
		!near(c.Top1.Relative, relative) || len(c.Worst) != 2 || c.Worst[0] != (Pair{1, nil, 20, 16}) {
		t.Errorf("%+v %+v", c, c.Top1)
	}
	if means := []Pair{{0, nil, 12, 13}, {1, nil, 20, 16}}; !slices.Equal(c.Means, means) || !slices.Equal(c.Differences, []float64{1, -4}) {
		t.Errorf("means %v, differences %v", c.Means, c.Differences)
	}
}

// TestSame compares a campaign with itself.
func TestSame(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(0, 4, 11)...)
	last := 0
	r, err := Run(t.Context(), open(t, c), open(t, c), Options{Progress: func(done, total int) {
		if last++; done != last || total != 3 {
			t.Errorf("progress %d of %d", done, total)
		}
	}})
	if err != nil || last != 3 {
		t.Fatal(err, last)
	}
	var names []string
	for _, c := range r.Comparisons {
		names = append(names, c.Dataset+" "+c.Set)
		trials := 3
		if c.Epochs == 3 {
			trials = 6
		}
		if c.Trials != trials || c.Architectures != 3 {
			t.Errorf("%+v", c)
		}
		for _, m := range []*Measure{c.Top1, c.Loss} {
			if m.Mean != 0 || *m.SD != 0 || m.MeanAbs != 0 || m.MaxAbs != 0 || !near(m.Kendall, 1) || !near(m.Spearman, 1) {
				t.Errorf("%+v %+v", c, m)
			}
			if seeds := c.Epochs == 3; (m.SpreadA != nil) != seeds || (m.Relative != nil) != seeds || seeds && *m.Relative != 0 {
				t.Errorf("%+v %+v", c, m)
			}
		}
	}
	want := []string{"cifar10-valid train", "cifar10-valid ori-test", "cifar10-valid x-valid", "cifar10-valid train"}
	if len(r.Comparisons) != 2*(3+2+4+4) || !slices.Equal(names[:4], want) {
		t.Errorf("compared %q", names)
	}
}

// TestFormats compares a campaign with exports of it: schedules are matched by their
// epochs, whatever a file calls them.
func TestFormats(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(0, 4)...)
	to := filepath.Join(t.TempDir(), "archive")
	if _, err := export.Run(t.Context(), open(t, c), export.Options{Format: published.Archive, To: to, Less: "2", Full: "3"}); err != nil {
		t.Fatal(err)
	}
	r := run(t, c, results.Campaign{Dir: to})
	trials := 0
	for _, c := range r.Comparisons {
		trials += c.Trials
		if c.Top1.MaxAbs != 0 || c.Loss.MaxAbs != 0 {
			t.Errorf("%+v", c)
		}
	}
	if len(r.Comparisons) != 26 || trials != 13*2*3 {
		t.Errorf("%d comparisons of %d trials", len(r.Comparisons), trials)
	}
}

func TestNothingInCommon(t *testing.T) {
	many := map[results.Trial]float64{}
	for arch := range 7 {
		many[at(arch+10, 1)] = 50
	}
	other := at(10, 1)
	other.Epochs = 3
	for _, test := range []struct {
		b    map[results.Trial]float64
		want string
	}{
		{map[results.Trial]float64{at(1, 1): 50}, "the first has architectures 10, 11, 12, 13, 14, ... (7); the second has architectures 1"},
		{map[results.Trial]float64{other: 50}, "for the 1 architecture in both, the first has cifar10 at 2 epochs; for the 1 architecture in both, the second has cifar10 at 3 epochs"},
	} {
		_, err := Run(t.Context(), open(t, publish(t, many)), open(t, publish(t, test.b)), Options{})
		if !usage.Is(err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

// TestTies compares two benchmarks whose architectures have the same accuracies, but with
// different seeds.
func TestTies(t *testing.T) {
	r := run(t, results.Campaign{Dir: "testdata/ties/a"}, results.Campaign{Dir: "testdata/ties/b"})
	if len(r.Comparisons) != 2 {
		t.Fatalf("%d comparisons", len(r.Comparisons))
	}
	for _, c := range r.Comparisons {
		if !near(c.Top1.Kendall, 1) || !near(c.Top1.Spearman, 1) {
			t.Errorf("%s: tau %v, rho %v, want 1 and 1", c.Set, number(c.Top1.Kendall), number(c.Top1.Spearman))
		}
	}
	// The same of a campaign, whose records know the number of images.
	a, b := map[results.Trial]float64{}, map[results.Trial]float64{}
	for arch, counts := range [][]int{{5000, 5101, 5102}, {5001, 5101, 5101}, {7000, 7001, 7003}} {
		for i, right := range counts {
			exact := 100 * float64(right) / 10000
			a[at(arch, uint32(i))] = exact
			b[at(arch, uint32(2-i))] = float64(float32(exact))
		}
	}
	for _, c := range run(t, publish(t, a), publish(t, b)).Comparisons {
		if !near(c.Top1.Kendall, 1) || !near(c.Top1.Spearman, 1) {
			t.Errorf("%s: tau %v, rho %v, want 1 and 1", c.Set, number(c.Top1.Kendall), number(c.Top1.Spearman))
		}
	}
}

func TestNotFinite(t *testing.T) {
	a := &benchmark.Architecture{Schedules: []*benchmark.ArchResults{{Results: []*benchmark.ResultsCount{{
		Trial:    at(0, 1),
		Training: benchmark.Measures{Loss: benchmark.Consecutive(0, []float64{1, math.NaN()}), Top1: benchmark.Consecutive(0, []float64{1, 2})},
		Evaluation: []benchmark.SetMeasures{
			{Set: "ori-test", Measures: benchmark.Measures{Loss: benchmark.Consecutive(1, []float64{1}), Top1: benchmark.Consecutive(1, []float64{2})}},
			{Set: "x-valid", Measures: benchmark.Measures{Loss: benchmark.Consecutive(0, []float64{1}), Top1: benchmark.Consecutive(0, []float64{2})}},
		},
	}}}}}
	values, skipped := lastValues(a, "")
	if want := []value{{1, 2, 1, 10000}}; skipped != 2 || len(values) != 1 || !slices.Equal(values[key{dataset: "cifar10", epochs: 2, set: "ori-test"}], want) {
		t.Errorf("%v, %d skipped", values, skipped)
	}
}

// number formats a value that may be undefined.
func number(v *float64) string {
	if v == nil {
		return "undefined"
	}
	return strconv.FormatFloat(*v, 'f', 3, 64)
}
