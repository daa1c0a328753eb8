package serve

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// The server follows evaluations in a campaign, and those in a directory of their own together with the
// benchmark that was evaluated.
func TestFollowEvaluations(t *testing.T) {
	trials := resultstest.Grid(0, 7)
	for name, test := range map[string]struct{ alone, export bool }{
		"in the campaign": {}, "of a campaign": {alone: true}, "of tables": {alone: true, export: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := resultstest.Fill(t, trials...)
			from, to := c.Dir, c.Dir
			if test.alone {
				to = t.TempDir()
			}
			if test.export {
				from = exportTo(t, c, published.CSV, filepath.Join(t.TempDir(), "tables"))
			}
			evaluate := func(key string, trial results.Trial) {
				t.Helper()
				r, err := c.Record(trial)
				if err != nil {
					t.Fatal(err)
				}
				resultstest.EvaluateWeights(t, from, to, key, trial, r.Weights.SHA256)
			}
			evaluate("noisy", trials[0])
			a := ask(t, to)
			first := a.waitRead(len(trials))
			sets := func(arch string) string {
				t.Helper()
				status, text := a.get("/api/v1/architectures/" + arch)
				if status != http.StatusOK {
					t.Fatalf("architecture %s: %s", arch, text)
				}
				return string(text)
			}
			if text := sets("0"); strings.Count(text, `"noisy.noise"`) != 1 || strings.Contains(sets("7"), "noisy") {
				t.Errorf("%d further sets", strings.Count(text, `"noisy.noise"`))
			}
			evaluate("noisy", trials[len(trials)-1])
			second := a.waitFor("another evaluation", func(m moment) bool { return m.Data != "" && m.Data != first.Data && m.Trials == len(trials) })
			if !strings.Contains(sets("7"), "noisy.noise") {
				t.Error("an evaluation that appeared is not served")
			}
			evaluate("more", trials[0])
			third := a.waitFor("another dataset", func(m moment) bool {
				return m.Data != "" && m.Data != second.Data && m.Data != first.Data && m.Trials == len(trials)
			})
			if text := sets("0"); !strings.Contains(text, "more.blur") || !strings.Contains(text, "noisy.blur") {
				t.Errorf("%s", text)
			}
			if test.export {
				return
			}
			more := results.Trial{Arch: 9, Dataset: "cifar10", Epochs: 3, Seed: 1}
			if err := c.Publish(resultstest.Record(t, more), nil); err != nil {
				t.Fatal(err)
			}
			a.waitFor("another trial", func(m moment) bool { return m.Data != "" && m.Data != third.Data && m.Trials == len(trials)+1 })
			sets("9")
		})
	}
}
