package export

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/internal/needs"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// furtherSets lists the further evaluation sets of a trial with their last values.
func furtherSets(r *benchmark.ResultsCount, names ...string) map[string][2]float64 {
	values := map[string][2]float64{}
	for _, e := range r.Evaluation {
		if key, _, is := strings.Cut(e.Set, "."); is && slices.Contains(names, key) {
			if m, err := r.Eval(e.Set, benchmark.Last); err == nil {
				values[e.Set] = [2]float64{m.Loss, m.Accuracy}
			}
		}
	}
	return values
}

// Every kind of export contains the further evaluation sets, with any times, and our reader finds them;
// also through a directory of evaluations alone, over the campaign and over an export with weights. With -short it
// finds those beside the campaign.
func TestEvaluationsReadBack(t *testing.T) {
	trials := resultstest.Grid(0, 40)
	c := resultstest.Fill(t, trials...)
	alone, overArchive := t.TempDir(), t.TempDir()
	archive := filepath.Join(t.TempDir(), "archive")
	export(t, c, published.Archive, archive)
	for i, trial := range trials {
		resultstest.Evaluate(t, c, c.Dir, "noisy", trial)
		resultstest.Evaluate(t, c, alone, "noisy", trial)
		resultstest.EvaluateWeights(t, archive, overArchive, "noisy", trial, strings.Repeat("0a", 32))
		if i%2 == 0 {
			resultstest.Evaluate(t, c, c.Dir, "some", trial)
		}
	}
	// An export has two sets of each trial, and two more of every other one where the campaign's own are read too.
	for from, pairs := range map[string]int{c.Dir: 3, alone: 3, overArchive: 2} {
		if from != c.Dir && !needs.IsLong() {
			continue
		}
		source := open(t, from)
		for name, o := range kinds() {
			if o.Format == published.Runs && from == overArchive {
				continue // only from a campaign
			}
			for i, times := range AllTimes() {
				if i > 0 && from != c.Dir {
					break
				}
				o.Less, o.Full, o.Times, o.To = "2", "3", times, filepath.Join(t.TempDir(), "new")
				if from == overArchive {
					o.Less, o.Full = "", ""
					if !slices.Contains([]benchmark.Format{published.CSV, published.Parquet, published.NATS}, o.Format) {
						continue // the slots of an archive are 12 and 200 already
					}
				}
				switch {
				case o.Format == published.NASBench201:
					o.To += ".pth"
				case o.Merged:
					o.To += natsExtension
				}
				if _, err := Run(t.Context(), source, o); err != nil {
					t.Errorf("%s from %s, times %s: %v", name, from, times, err)
					continue
				}
				b := open(t, o.To)
				compared := 0
				for want, err := range source.Architectures() {
					if err != nil {
						t.Fatal(err)
					}
					got, err := b.Architecture(want.Index)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					for i, s := range want.Schedules {
						for k, r := range s.Results {
							g, w := furtherSets(got.Schedules[i].Results[k], "noisy", "some"), furtherSets(r, "noisy", "some")
							if compared += len(w); !reflect.DeepEqual(g, w) {
								t.Fatalf("%s from %s: %v reads %v, not %v", name, from, r.Trial, g, w)
							}
						}
					}
				}
				if want := len(trials) * pairs; compared != want {
					t.Errorf("%s from %s: compared %d of %d sets", name, from, compared, want)
				}
			}
		}
	}
}

// Parts are reused only for the evaluations that they were made from, wherever those are.
func TestStalePartsOfEvaluations(t *testing.T) {
	c := wide(t)
	alone := t.TempDir()
	evaluated := trial(64, "cifar100", 2, 111)
	resultstest.Evaluate(t, c, alone, "noisy", evaluated)
	to := filepath.Join(t.TempDir(), "new")
	stop := func(from string) (kept []string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		o := Options{Format: published.CSV, To: to, Progress: func(done, _ int) {
			if done >= 6 {
				cancel()
			}
		}}
		var p *Partial
		if _, err := Run(ctx, open(t, from), o); !errors.As(err, &p) {
			t.Fatal(err)
		}
		kept, err := filepath.Glob(filepath.Join(p.Dir, "0*"))
		if err != nil || len(kept) < 2 {
			t.Fatalf("kept %q (%v)", kept, err)
		}
		return kept
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // else the last part may end before it is stopped
	for from, key := range map[string]string{c.Dir: "noisy", alone: "more"} {
		first := stop(from)
		if again := stop(from); again[0] != first[0] || again[1] != first[1] {
			t.Errorf("parts %q, then %q", first, again)
		}
		resultstest.Evaluate(t, c, from, key, trial(1, "cifar100", 2, 111))
		if changed := stop(from); changed[0] == first[0] || changed[1] != first[1] {
			t.Errorf("parts %q, then with an evaluation in the first %q", first, changed)
		}
	}
	archive := filepath.Join(t.TempDir(), "archive")
	if _, err := Run(t.Context(), open(t, c.Dir), Options{Format: published.Archive, To: archive, Less: "2", Full: "3"}); err != nil {
		t.Fatal(err)
	}
	overArchive := t.TempDir()
	resultstest.EvaluateWeights(t, archive, overArchive, "noisy", evaluated, strings.Repeat("0a", 32))
	first := stop(overArchive)
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(archive, "000064-FULL.pth"), later, later); err != nil {
		t.Fatal(err)
	}
	if changed := stop(overArchive); changed[0] == first[0] {
		t.Errorf("parts %q, then with another source %q", first, changed)
	}
}
