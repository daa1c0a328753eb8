package export

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// Trials with different settings cannot share a slot, whether they are of one architecture,
// one part, or two parts. A campaign that mixes them is exported only with Options.Mixed,
// and the report says so.
func TestMixed(t *testing.T) {
	for name, x := range map[string]struct {
		trial  results.Trial
		change func(*results.Record)
		want   string
	}{
		"seeds":         {trial(0, "cifar10", 2, 2), func(r *results.Record) { r.Recipe.Batch = 128 }, "batch is 128"},
		"architectures": {trial(1, "cifar10", 2, 1), func(r *results.Record) { r.Parity.Workers = 0 }, "workers is 0, not 4"},
		"parts":         {trial(15000, "cifar10", 2, 1), func(r *results.Record) { r.Precision = "bf16" }, "precision is bf16, not fp32"},
		"data": {trial(40, "cifar10", 2, 1), func(r *results.Record) { r.DataFiles[0].SHA256 = strings.Repeat("1b", 32) },
			"SHA-256 of data_batch_1 is 1b1b"},
		"start weights": {trial(0, "cifar10", 2, 2), func(r *results.Record) {
			r.InitialWeights = &results.StartWeights{File: results.File{Name: "a.pth", SHA256: strings.Repeat("1b", 32)}}
		}, "source of the initial weights is a file"},
	} {
		c := resultstest.Fill(t, trial(0, "cifar10", 2, 1), trial(0, "cifar100", 2, 1), trial(15000, "cifar10", 3, 1))
		odd := resultstest.Record(t, x.trial)
		x.change(odd)
		resultstest.Mix(t, c, odd)
		for kind, o := range kinds() {
			o.To = filepath.Join(t.TempDir(), "new")
			if w, _ := allWriters().find(o.Format); w.slots(&o, cell.Topology{}) != nil {
				o.Less, o.Full = "2", "3"
			}
			_, err := Run(t.Context(), open(t, c.Dir), o)
			if !usage.Is(err) || !errors.Is(err, errMixed) || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "--allow-mixed") {
				t.Errorf("%s, %s: error %v, want %q", name, kind, err, x.want)
			}
			if left := names(t, filepath.Dir(o.To)); len(left) > 0 {
				t.Errorf("%s, %s: left %v", name, kind, left)
			}
			o.Mixed = true
			report := exportWith(t, c, o)
			warned := slices.ContainsFunc(report.Warnings(), func(w string) bool { return strings.Contains(w, "trials with different settings are mixed") })
			if report.Trials != 4 || !warned {
				t.Errorf("%s, %s: %d trials, warnings %q", name, kind, report.Trials, report.Warnings())
			}
		}
	}
}

// Trials on different schedules may differ in their recipes, and trials on different
// dataset keys in everything.
func TestNotMixed(t *testing.T) {
	c := resultstest.Fill(t, trial(0, "cifar10", 2, 1))
	longer, other := resultstest.Record(t, trial(0, "cifar10", 3, 1)), resultstest.Record(t, trial(0, "cifar100", 2, 1))
	longer.Recipe.Batch = 128
	other.Precision, other.DataFiles[0].SHA256 = "bf16", strings.Repeat("1b", 32)
	publish(t, c, longer, other)
	report := export(t, c, published.NASBench201, filepath.Join(t.TempDir(), "new"))
	if report.Trials != 3 || report.Mixed != nil {
		t.Errorf("%+v", report)
	}
}
