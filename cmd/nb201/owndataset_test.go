package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/compare"
	"nb201/results/resultstest"
	"nb201/results/verify"
)

// ownTrials returns trials of architectures on a user's own dataset key.
func ownTrials(archs ...int) []results.Trial {
	var trials []results.Trial
	for _, arch := range archs {
		for _, t := range []results.Trial{{Epochs: 2, Seed: 111}, {Epochs: 3, Seed: 777}, {Epochs: 3, Seed: 888}} {
			t.Arch, t.Dataset = arch, resultstest.Own
			trials = append(trials, t)
		}
	}
	return trials
}

// A user's own dataset key, alone or next to those of the benchmark, can be exported in every format.
// Each export can be queried, verified and compared like the campaign. With -short the key is alone.
func TestOwnKey(t *testing.T) {
	campaigns := map[string]results.Campaign{"alone": resultstest.Fill(t, ownTrials(0, 40)...)}
	if needs.IsLong() {
		campaigns["beside"] = resultstest.Fill(t, append(resultstest.Grid(0, 41), ownTrials(0, 40)...)...)
	}
	for name, c := range campaigns {
		t.Run(name, func(t *testing.T) {
			asked := func(path, hp string) string {
				return ownAnswer(t, path, "40", "--dataset", resultstest.Own, "--schedule", hp)
			}
			want := asked(c.Dir, "3")
			askOwnKey(t, c.Dir, "3", name == "beside")
			for _, test := range []struct {
				to, hp string
				args   []string
			}{
				{"runs", "3", []string{"--format", "runs"}},
				{"archive", "200", []string{"--format", "archive"}},
				{"merged.pth", "200", []string{"--format", "nasbench201"}},
				{"nats", "200", []string{"--format", "nats", "--weights"}},
				{"merged.pickle.pbz2", "200", []string{"--format", "nats", "--merged"}},
				{"parquet", "3", []string{"--format", "parquet"}},
				{"csv", "3", []string{"--format", "csv"}},
			} {
				to := filepath.Join(t.TempDir(), test.to)
				if _, stderr, code := nb201(append([]string{"export", c.Dir, "--to", to, "--less", "2", "--full", "3"}, test.args...)...); code != 0 {
					t.Fatal(stderr)
				}
				if got := asked(to, test.hp); got != want {
					t.Errorf("%s answers\n%s\nthe campaign\n%s", test.to, got, want)
				}
				askOwnKey(t, to, test.hp, name == "beside")
				stdout, stderr, code := nb201("compare", c.Dir, to, "--json")
				var report compare.Report
				if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
					t.Fatalf("compare %s: code %d, %s", test.to, code, stderr)
				}
				own := 0
				for _, c := range report.Comparisons {
					if c.Dataset == resultstest.Own {
						own++
					}
					if c.Top1.MaxAbs != 0 || c.Loss.MaxAbs != 0 || c.Dataset == resultstest.Own && c.Architectures != 2 {
						t.Errorf("%s differs: %+v", test.to, c)
					}
				}
				if own != 6 { // training and two evaluation sets along two schedules
					t.Errorf("%s: %d comparisons on %s", test.to, own, resultstest.Own)
				}
			}
		})
	}
}

// ownAnswer returns the accuracies and losses that nb201 query --json prints.
func ownAnswer(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := nb201(append([]string{"query", "--json"}, args...)...)
	if code != 0 {
		t.Fatal(stderr)
	}
	type measure struct {
		Set  string
		Loss float64
		Top1 float64 `json:"top1_percent"`
	}
	type view struct {
		Dataset  string
		Seed     uint32
		Epochs   int
		FLOPs    float64 `json:"flops_millions"`
		Measured []measure
	}
	var answer struct {
		Genotype      string
		Trials, Means []view
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Trials) != 2 || len(answer.Means) != 1 || len(answer.Trials[0].Measured) != 3 {
		t.Errorf("nb201 query %s answers\n%s", args, stdout)
	}
	for _, views := range [][]view{answer.Trials, answer.Means} {
		for _, v := range views { // the format runs has no order
			slices.SortFunc(v.Measured, func(a, b measure) int { return strings.Compare(a.Set, b.Set) })
		}
	}
	return fmt.Sprint(answer)
}

// askOwnKey queries and verifies a file that has two architectures on a user's own key, one of them
// only on that key.
func askOwnKey(t *testing.T, path, hp string, beside bool) {
	t.Helper()
	stdout, stderr, code := nb201("query", path, "40")
	for _, want := range []string{" " + resultstest.Own + "   777 ", " " + resultstest.Own + "  mean ", "ori-test %", "x-valid %"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("nb201 query %s: code %d, %s%q is not in\n%s", path, code, stderr, want, stdout)
		}
	}
	for _, set := range []string{"x-valid", "ori-test", "train"} {
		stdout, stderr, code = nb201("query", path, "--best", "--dataset", resultstest.Own, "--set", set, "--schedule", hp)
		lack := "without such a trial: 0"
		if beside {
			lack = "without such a trial: 1"
		}
		if code != 0 || !strings.Contains(stdout, "2 architectures; beyond the limits: 0; "+lack) {
			t.Errorf("nb201 query %s --best --set %s: code %d, %s%s", path, set, code, stderr, stdout)
		}
	}
	stdout, stderr, code = nb201("verify", path)
	if code != 0 || !strings.Contains(stdout, "  no faults\n") {
		t.Errorf("nb201 verify %s: code %d, %s%s", path, code, stderr, stdout)
	}
}

// A trial on a user's own dataset, of 3 classes and 20x20 pixels, is trained, and its weights are
// evaluated again from the campaign. An export of it does not contain the dataset's definition.
func TestOwnDataset(t *testing.T) {
	dir := t.TempDir()
	write := func(path string, text []byte) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, text, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range datatest.Files("cifar10-binary", datatest.Synth(96, 20, 3, 1), datatest.Synth(45, 20, 3, 2)) {
		write(filepath.Join(dir, "images", name), text)
	}
	definition := filepath.Join(dir, "own.json")
	write(definition, fmt.Appendf(nil, `{
		"name": %q, "format": "cifar10-binary", "path": "images", "classes": 3, "size": [20, 20],
		"mean": [127, 127, 127], "std": [74, 74, 74], "augment": {"flip": true, "crop_padding": 2},
		"train": {"from": "train", "order": "shuffle"},
		"eval": [{"name": "ori-test", "from": "test", "order": "sequential"},
			{"name": "x-valid", "from": "test", "half": "first", "half_seed": 1, "order": "subset"}]
	}`, resultstest.Own))
	campaign := filepath.Join(dir, "campaign")
	if _, stderr, code := nb201("train", "0", "--dataset", definition, "--epochs", "1", "--seed", "777", "--batch", "48",
		"--channels", "4", "--cells", "1", "--out", campaign); code != 0 {
		t.Fatal(stderr)
	}
	reevaluate := func(path string) (string, verify.Count) {
		t.Helper()
		stdout, stderr, code := nb201("verify", path, "--reevaluate", "--data", dir, "--json")
		var report verify.Report
		if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
			t.Fatalf("nb201 verify %s: code %d, %s\n%s", path, code, stderr, stdout)
		}
		return fmt.Sprint(report.Notes), report.Checks[len(report.Checks)-1]
	}
	if notes, count := reevaluate(campaign); count != (verify.Count{Check: verify.CheckReevaluation, Checked: 1}) || notes != "[]" {
		t.Errorf("evaluated again: %+v, notes %s", count, notes)
	}
	archive := filepath.Join(dir, "archive")
	if _, stderr, code := nb201("export", campaign, "--format", "archive", "--to", archive, "--less", "1"); code != 0 {
		t.Fatal(stderr)
	}
	if notes, count := reevaluate(archive); count.Checked != 0 || !strings.Contains(notes, "not evaluated again") {
		t.Errorf("evaluated again: %+v, notes %s", count, notes)
	}
	record, err := results.Campaign{Dir: campaign}.Record(results.Trial{Arch: 0, Dataset: resultstest.Own, Epochs: 1, Seed: 777})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := data.DecodeDefinition("record", record.Definition, dir); err != nil || record.Classes != 3 || record.Train.Top5[0] != 100 {
		t.Errorf("the record has %d classes, top-5 %v (%v)", record.Classes, record.Train.Top5, err)
	}
	if record.Versions.Program != version {
		t.Errorf("the record names version %q of the program, which is %s", record.Versions.Program, version)
	}
}
