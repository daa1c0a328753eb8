package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// evaluated returns a campaign with evaluations on two datasets, one of them of one seed only, and a directory
// with evaluations of it alone.
func evaluated(t *testing.T) (c results.Campaign, alone string) {
	t.Helper()
	trials := resultstest.Grid(4, 11)
	c, alone = resultstest.Fill(t, trials...), t.TempDir()
	resultstest.Evaluate(t, c, c.Dir, "noisy", trials...)
	for _, trial := range trials {
		if trial.Seed == 777 {
			resultstest.Evaluate(t, c, c.Dir, "some", trial)
			resultstest.Evaluate(t, c, alone, "more", trial)
		}
	}
	return c, alone
}

// Evaluations, and exports that contain them, are sound.
func TestSoundEvaluations(t *testing.T) {
	c, alone := evaluated(t)
	archive := filepath.Join(t.TempDir(), "archive")
	dirs := []string{c.Dir, alone, archive}
	for _, from := range dirs[:2] {
		for name, o := range map[string]export.Options{
			"runs": {Format: published.Runs}, "merged.pth": {Format: published.NASBench201}, "nats": {Format: published.NATS},
			"weights": {Format: published.NATS, Weights: true, Times: export.Published}, "parquet": {Format: published.Parquet}, "csv": {Format: published.CSV},
		} {
			o.To, o.Less, o.Full = filepath.Join(t.TempDir(), name), "2", "3"
			if _, err := export.Run(t.Context(), open(t, from), o); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			dirs = append(dirs, o.To)
		}
	}
	if _, err := export.Run(t.Context(), open(t, c.Dir), export.Options{Format: published.Archive, To: archive, Less: "2", Full: "3"}); err != nil {
		t.Fatal(err)
	}
	overArchive := t.TempDir()
	for _, s := range []string{"noisy", "other"} {
		resultstest.EvaluateWeights(t, archive, overArchive, s, results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 3, Seed: 777}, strings.Repeat("0a", 32))
	}
	for _, dir := range append(dirs, overArchive) {
		if r := run(t, dir, Options{}); len(r.Faults) > 0 || r.Trials != 24 {
			t.Errorf("%s: %d trials, faults %v", dir, r.Trials, r.Faults)
		}
	}
	for _, dir := range []string{c.Dir, alone} {
		if r := run(t, dir, Options{}); len(r.Notes) > 0 {
			t.Errorf("%s: notes %v", dir, r.Notes)
		}
	}
}

// One fault or file of another kind in the evaluations is found, and is the only one.
func TestPlantedInEvaluations(t *testing.T) {
	sound, _ := evaluated(t)
	bad := results.Trial{Arch: 4, Dataset: "cifar100", Epochs: 3, Seed: 777}
	on := func(c results.Campaign) results.Campaign { return results.EvaluationsOn(c.Dir, "some") }
	record := func(change func([]byte) []byte) func(*testing.T, results.Campaign) {
		return func(t *testing.T, c results.Campaign) { edit(t, on(c).RecordPath(bad), change) }
	}
	for _, test := range []struct {
		name        string
		plant       func(*testing.T, results.Campaign)
		fault, note string
	}{
		{"cut short", record(truncate), "some/trials/000004/cifar100/0003-0777.json: the evaluation record is damaged", ""},
		{"accuracy above 100", record(resealed(replace(`"top1_percent": 52`, `"top1_percent": 520`))), "0003-0777.json", ""},
		{"a fraction of an image", record(resealed(replace(`"top1_percent": 52`, `"top1_percent": 52.5`))), "not a whole number of the 100 images", ""},
		{"top-5 below top-1", record(resealed(replace(`"top5_percent": 90`, `"top5_percent": 9`))), "less than the top-1 accuracy", ""},
		{"other batches", record(resealed(replace(`"batch": 256`, `"batch": 255`))), "it differs from evaluation.json: batch", ""},
		{"other images", record(resealed(replace(`"sha256": "[0-9a-f]{64}"\s*\}`, `"sha256": "`+strings.Repeat("0f", 32)+`"}`))), "it differs from evaluation.json", ""},
		{"other weights", record(resealed(replace(`"weights_sha256": "[0-9a-f]{64}"`, `"weights_sha256": "`+strings.Repeat("0f", 32)+`"`))), "is the evaluation of other weights than the trial has now", ""},
		{"of another trial", func(t *testing.T, c results.Campaign) {
			other := bad
			other.Arch = 11
			text, err := os.ReadFile(on(c).RecordPath(other))
			if err != nil {
				t.Fatal(err)
			}
			edit(t, on(c).RecordPath(bad), func([]byte) []byte { return text })
		}, "contains the evaluation of another trial", ""},
		{"damaged plan", func(t *testing.T, c results.Campaign) {
			edit(t, filepath.Join(on(c).Dir, "evaluation.json"), truncate)
		}, "some/evaluation.json", ""},
		{"a trial that does not exist", func(t *testing.T, c results.Campaign) {
			other := bad
			other.Arch = 100
			if err := on(c).PublishEvaluation(resultstest.Evaluation(t, other, strings.Repeat("0f", 32))); err != nil {
				t.Fatal(err)
			}
		}, "", "is the evaluation of a trial that does not exist"},
		{"a stray file", func(t *testing.T, c results.Campaign) {
			if err := os.WriteFile(filepath.Join(on(c).Dir, "trials", "000004", "notes.txt"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}, "", "does not have the name of a trial's file"},
		{"a stale record", func(t *testing.T, c results.Campaign) {
			if _, err := on(c).MoveStale(bad, func(*results.EvaluationRecord) bool { return true }); err != nil {
				t.Fatal(err)
			}
		}, "", "a damaged or stale file that was renamed"},
		{"a leftover", func(t *testing.T, c results.Campaign) {
			if err := os.WriteFile(filepath.Join(filepath.Dir(on(c).RecordPath(bad)), ".0003-0777.json.X.tmp"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}, "", "was left by a process that was killed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := results.Campaign{Dir: t.TempDir()}
			if err := os.CopyFS(c.Dir, os.DirFS(sound.Dir)); err != nil {
				t.Fatal(err)
			}
			test.plant(t, c)
			r := run(t, c.Dir, Options{})
			if (len(r.Faults) == 1) != (test.fault != "") || len(r.Faults) > 1 || len(r.Faults) == 1 && !strings.Contains(r.Faults[0].String(), test.fault) {
				t.Errorf("faults %v, want %q", r.Faults, test.fault)
			}
			if (len(r.Notes) == 1) != (test.note != "") || len(r.Notes) > 1 || len(r.Notes) == 1 && !strings.Contains(r.Notes[0].String(), test.note) {
				t.Errorf("notes %v, want %q", r.Notes, test.note)
			}
			if r.Trials != 24 {
				t.Errorf("%d trials", r.Trials)
			}
		})
	}
	if err := os.Remove(filepath.Join(on(sound).Dir, "evaluation.json")); err != nil {
		t.Fatal(err)
	}
	if r := run(t, sound.Dir, Options{}); len(r.Faults) > 0 || len(r.Notes) != 8 || !strings.Contains(r.Notes[0].String(), "has no evaluation.json") {
		t.Errorf("without a plan: %v, %v", r.Faults, r.Notes)
	}
}
