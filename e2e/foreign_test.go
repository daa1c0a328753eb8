package e2e

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// refused maps the calls that fail for a dataset key that is not the benchmark's to a part of their
// error; docs/datasets.md explains them. Every other call of testdata/foreign_calls.py must answer.
var refused = map[string]string{
	"simulate_train_eval":             "Invalid dataset name : " + resultstest.Own,
	"statistics":                      resultstest.Own + " not in ['cifar10-valid', ",
	"ArchResults.get_metrics('test')": "test@2", "find_best('test')": "test@1", // only x-valid can be asked for by another name
}

// withoutXTest maps the calls that fail when the key has no evaluation set x-test to their errors.
var withoutXTest = map[string]string{
	"show": "x-test@1", "query_info_str_by_arch": "x-test@1", "query_by_arch": "x-test@1", "get_more_info(...)['test-accuracy']": "'test-accuracy'",
}

// inPlaces maps the calls that fail when an architecture in the file has no trial on the key to
// their errors.
var inPlaces = map[string]string{
	"find_best('train')": "KeyError: '" + resultstest.Own, "find_best('x-valid')": "KeyError: '" + resultstest.Own, "find_best('ori-test')": "KeyError: '" + resultstest.Own,
	"find_best('valid')": "KeyError: '" + resultstest.Own, "find_best, limits": "KeyError: '" + resultstest.Own,
	"find_best('cifar10', 'test')": "KeyError: 'cifar10'",
}

// foreign creates a campaign with a user's own dataset key on architectures 0 and 1, and with
// others.
func foreign(t *testing.T, xTest bool, others ...results.Trial) results.Campaign {
	t.Helper()
	c := resultstest.Fill(t, others...)
	for arch := range 2 {
		for _, trial := range []results.Trial{{Epochs: 2, Seed: 111}, {Epochs: 3, Seed: 777}, {Epochs: 3, Seed: 888}} {
			trial.Arch, trial.Dataset = arch, resultstest.Own
			r := resultstest.Record(t, trial)
			if xTest {
				test := r.Eval[0]
				test.Set = "x-test"
				r.Eval = append(r.Eval, test)
			}
			if err := c.Publish(r, resultstest.Weights(t, r)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

// The unmodified clients open files with a dataset key that they do not know, and answer every call
// except those that depend on the benchmark's keys. With -short they open only files where it is beside others.
func TestClientsOnForeignKey(t *testing.T) {
	needs.Python(t)
	files := []struct{ client, path, archive string }{
		{"nas_201_api", "merged.pth", "archive"},
		{"nats_bench", "simple", "full"},
		{"nats_bench", "merged.pickle.pbz2", "full"},
	}
	tests := []struct {
		name    string
		xTest   bool // the key has this set
		others  []results.Trial
		refused []map[string]string
		calls   int
	}{
		{"beside the benchmark's", true, resultstest.Grid(0, 1), []map[string]string{refused}, 47},
		{"alone", false, nil, []map[string]string{refused, withoutXTest}, 42},
		{"with x-test", true, nil, []map[string]string{refused}, 42},
		{"in places", false, resultstest.Grid(0, 2), []map[string]string{refused, withoutXTest, inPlaces}, 47},
	}
	if !needs.IsLong() {
		tests = tests[:1]
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, own := t.TempDir(), foreign(t, test.xTest, test.others...)
			for name, o := range map[string]export.Options{
				"merged.pth": {Format: published.NASBench201}, "archive": {Format: published.Archive},
				"simple": {Format: published.NATS}, "merged.pickle.pbz2": {Format: published.NATS}, "full": {Format: published.NATS, Weights: true},
			} {
				o.To, o.Less, o.Full = filepath.Join(dir, name), "2", "3"
				exportAs(t, own, o)
			}
			want := map[string]string{}
			for _, calls := range test.refused {
				maps.Copy(want, calls)
			}
			args := []string{"testdata/foreign_calls.py", resultstest.Own}
			for _, file := range files {
				args = append(args, file.client, filepath.Join(dir, file.path), filepath.Join(dir, file.archive))
			}
			out := python(t, nil, args...)
			var outcomes []map[string]*string
			if err := json.Unmarshal(out, &outcomes); err != nil || len(outcomes) != len(files) {
				t.Fatalf("%v: %s", err, out)
			}
			for i, file := range files {
				outcome := outcomes[i]
				if len(outcome) != test.calls {
					t.Errorf("%s, %s: %d calls were made, not %d", file.client, file.path, len(outcome), test.calls)
				}
				for _, call := range slices.Sorted(maps.Keys(outcome)) {
					failure, message := outcome[call], want[call]
					switch {
					case failure == nil && message != "":
						t.Errorf("%s, %s: %s answers, but should fail", file.client, file.path, call)
					case failure != nil && (message == "" || !strings.Contains(*failure, message)):
						t.Errorf("%s, %s: %s: %s", file.client, file.path, call, *failure)
					}
				}
				for call := range want {
					if _, made := outcome[call]; !made {
						t.Errorf("%s, %s: %s was not called", file.client, file.path, call)
					}
				}
			}
		})
	}
}
