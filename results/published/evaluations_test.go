package published_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// setsOf returns the evaluation sets of a trial in the benchmark at path.
func setsOf(t *testing.T, path string, trial results.Trial, options ...published.Option) []string {
	t.Helper()
	b, err := published.Open(t.Context(), path, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := b.Architecture(trial.Arch)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			if r.Trial == trial {
				return r.EvalSet()
			}
		}
	}
	t.Fatalf("%s has no %v", path, trial)
	return nil
}

// Evaluations are further sets after a trial's own, from each place where they can be.
func TestEvaluations(t *testing.T) {
	trials := resultstest.Grid(4)
	one := trials[0]
	c := resultstest.Fill(t, trials...)
	own := setsOf(t, c.Dir, one)
	noisy, more := []string{"noisy.noise", "noisy.blur"}, []string{"more.noise", "more.blur"}
	resultstest.Evaluate(t, c, c.Dir, "noisy", one)
	alone := t.TempDir()
	resultstest.Evaluate(t, c, alone, "more", one)
	runs := filepath.Join(t.TempDir(), "runs")
	b, err := published.Open(t.Context(), c.Dir, published.WithoutEvaluations())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := export.Run(t.Context(), b, export.Options{Format: published.Runs, To: runs, Less: "2", Full: "3"}); err != nil {
		t.Fatal(err)
	}
	overRuns := t.TempDir()
	resultstest.EvaluateWeights(t, runs, overRuns, "noisy", one, strings.Repeat("0a", 32))
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(alone, link); err != nil {
		t.Fatal(err)
	}
	// On a dataset key, all results come from one directory.
	again := t.TempDir()
	resultstest.Evaluate(t, c, again, "noisy", trials[1])
	if got := setsOf(t, again, one); !slices.Equal(got, own) {
		t.Errorf("a trial that was evaluated elsewhere has the sets %q", got)
	}
	if got := setsOf(t, again, trials[1]); !slices.Equal(got[len(got)-2:], noisy) {
		t.Errorf("a trial that was evaluated again has the sets %q", got)
	}
	for path, want := range map[string][]string{c.Dir: noisy, alone: slices.Concat(noisy, more), link: slices.Concat(noisy, more), overRuns: noisy} {
		got := setsOf(t, path, one)
		if first := got[:len(own)]; path != overRuns && !slices.Equal(first, own) || !slices.Equal(got[len(own):], want) {
			t.Errorf("%s has the sets %q, want %q and %q", path, got, own, want)
		}
	}
	if got := setsOf(t, c.Dir, one, published.WithoutEvaluations()); !slices.Equal(got, own) {
		t.Errorf("without evaluations: %q", got)
	}
	if got := setsOf(t, c.Dir, trials[1]); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, ".") }) {
		t.Errorf("a trial that was not evaluated: %q", got)
	}
}

// Damage in evaluations costs a query its answer, and Salvage no trial.
func TestDamagedEvaluations(t *testing.T) {
	trials := resultstest.Grid(4)
	c := resultstest.Fill(t, trials...)
	resultstest.Evaluate(t, c, c.Dir, "noisy", trials...)
	on := results.EvaluationsOn(c.Dir, "noisy")
	for what, damage := range map[string]func() error{
		"the evaluation record is damaged": func() error { return os.Truncate(on.RecordPath(trials[0]), 10) },
		"is the evaluation of other weights than the trial has now": func() error {
			return errors.Join(os.Remove(on.RecordPath(trials[0])), on.PublishEvaluation(resultstest.Evaluation(t, trials[0], strings.Repeat("0f", 32))))
		},
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		b, err := published.Open(t.Context(), c.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Architecture(4); !errors.Is(err, results.ErrDamaged) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "nb201 evaluate renames it") {
			t.Errorf("%s: %v", what, err)
		}
		a, errs := b.Salvage(4)
		read, further := 0, 0
		for _, s := range a.Schedules {
			for _, r := range s.Results {
				read++
				if _, ok := r.Set("noisy.blur"); ok {
					further++
				}
			}
		}
		if len(errs) != 1 || read != len(trials) || further != len(trials)-1 {
			t.Errorf("%s: salvaged %d trials, %d with further sets, %v", what, read, further, errs)
		}
	}
}

// Directories that only look like evaluations, or whose source is gone, are refused with the reason.
func TestEvaluationsRefused(t *testing.T) {
	trials := resultstest.Grid(4)
	c, d := resultstest.Fill(t, trials...), resultstest.Fill(t, trials...)
	refused := func(path, want string) {
		t.Helper()
		b, err := published.Open(t.Context(), path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", path, b, err, want)
		}
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "evaluations", "mine"), 0o777); err != nil {
		t.Fatal(err)
	}
	refused(dir, "is neither a campaign nor a benchmark in a published format")
	resultstest.Evaluate(t, c, dir, "noisy", trials[0])
	refused(filepath.Join(dir, "evaluations", "noisy"), "is part of the evaluations in "+dir)
	refused(results.EvaluationsOn(dir, "noisy").RecordPath(trials[0]), "name their directory, "+dir)
	refused(filepath.Join(dir, "evaluations", "noisy", "evaluation.json"), "name their directory, "+dir)
	resultstest.Evaluate(t, d, dir, "more", trials[0])
	refused(dir, "keep them in a directory each")
	if err := os.RemoveAll(d.Dir); err != nil {
		t.Fatal(err)
	}
	refused(dir, "contains evaluations of "+d.Dir+", which is gone; if it was moved, run `nb201 evaluate NEWPATH --dataset more --to ")
	resultstest.Evaluate(t, c, c.Dir, "noisy", trials[0])
	if err := os.RemoveAll(filepath.Join(c.Dir, "trials")); err != nil {
		t.Fatal(err)
	}
	refused(c.Dir, "the campaign that was evaluated is gone from this directory")
}
