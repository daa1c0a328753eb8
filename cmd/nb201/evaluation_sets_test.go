package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
	"nb201/data/importer"
	"nb201/results"
	"nb201/results/resultstest"
)

// writeTestImages writes the test images of the digits, in the way of Keras, and returns the path.
func writeTestImages(t *testing.T) string {
	t.Helper()
	d, err := data.Published("digits")
	if err != nil {
		t.Fatal(err)
	}
	ds, err := d.Load("")
	if err != nil {
		t.Fatal(err)
	}
	images := ds.Eval[0].Images
	for _, text := range datatest.Files("npz", images, images) {
		if err := os.WriteFile("digits.npz", text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return "digits.npz"
}

// Evaluation sets alone are imported, listed and checked; weights are evaluated on them as on the same
// images elsewhere; and what trains refuses them.
func TestEvaluationSetsAlone(t *testing.T) {
	trial := results.Trial{Arch: 0, Dataset: "digits", Epochs: 2, Seed: 777}
	c := resultstest.Fill(t, trial)
	t.Chdir(t.TempDir())
	args := []string{"data", "import", writeTestImages(t), "--eval-only", "--like", "digits", "--name", "clean", "--to", "sets"}
	stdout, stderr, code := nb201(args...)
	if code != 0 || !strings.Contains(stderr, "reading: 450 of 450 images") {
		t.Fatalf("code %d, stderr %q", code, stderr)
	}
	for _, line := range []string{
		"note        left out, because an evaluation set cannot be called so: train",
		"classes     10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
		"test        450 images of x_test",
		"like        digits",
		"mean        77.97 77.97 77.97",
	} {
		if !strings.Contains(stdout, line+"\n") {
			t.Errorf("stdout lacks %q:\n%s", line, stdout)
		}
	}
	const next = "\nevaluate weights on it:  nb201 evaluate CAMPAIGN --dataset sets/clean.json --to CAMPAIGN\n"
	if !strings.HasSuffix(stdout, next) || strings.Contains(stdout, "ori-test") {
		t.Errorf("stdout does not end in %q:\n%s", next, stdout)
	}
	stdout, _, code = nb201(append(args, "--force", "--json")...)
	var report importer.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
		t.Fatalf("code %d, %v: %s", code, err, stdout)
	}
	if want := []importer.Set{{Name: "test", From: "x_test", Images: 450}}; !reflect.DeepEqual(report.Sets, want) || report.Like != "digits" || strings.Contains(stdout, `"parts"`) {
		t.Errorf("%s", stdout)
	}

	stdout, _, code = nb201("data", "list", "sets/clean.json")
	if line := "clean           10       16x16  none    -      npz              sets/clean.npz\n"; code != 0 || !strings.Contains(stdout, line) {
		t.Errorf("code %d, stdout lacks %q:\n%s", code, line, stdout)
	}
	stdout, stderr, code = nb201("data", "check", "sets/clean.json")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "definition, 0..255") || strings.Contains(stdout, "train") || !strings.HasSuffix(stdout, "\nno faults\n") {
		t.Errorf("code %d, stderr %q:\n%s", code, stderr, stdout)
	}

	evaluate := func(flags ...string) []results.SetResult {
		t.Helper()
		args := []string{"train", "0", "--channels", "8", "--cells", "1", "--from", c.WeightsPath(trial), "--eval-only", "--json"}
		stdout, stderr, code := nb201(append(args, flags...)...)
		var e evaluation
		if err := json.Unmarshal([]byte(stdout), &e); err != nil || code != 0 || len(e.Sets) != 1 {
			t.Fatalf("%v: code %d, %v, %s%s", flags, code, err, stdout, stderr)
		}
		e.Sets[0].Seconds, e.Sets[0].Set = 0, ""
		return e.Sets
	}
	want := evaluate("--dataset", "digits")
	for _, flags := range [][]string{nil, {"--epochs", "12", "--seed", "3"}, {"--timeline", "nov2019", "--workers", "0", "--batch", "256"}} {
		if got := evaluate(append(flags, "--dataset", "sets/clean.json")...); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %+v, but the same images of digits give %+v", flags, got, want)
		}
	}

	const alone = "dataset clean has no training set, only evaluation sets: weights can be evaluated on it, but not trained; use another dataset"
	refuse(t, []wrongUse{
		{"train 0 --dataset sets/clean.json --epochs 1 --seed 1 --out out", alone},
		{"train 0 --dataset sets/clean.json --epochs 1 --seed 1 --out out --from " + c.WeightsPath(trial), alone},
		{"plan planned --archs 0 --datasets digits,sets/clean.json --epochs 1 --seeds 1", alone},
		{"init-weights 0 --dataset sets/clean.json --seed 1 --to initial.pth", alone},
	})
	for _, left := range []string{"out", "planned", "initial.pth"} {
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s was written", left)
		}
	}
}

// Flags that contradict --eval-only, and those that need it, are refused before anything is read.
func TestEvaluationSetsFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	writeTestImages(t)
	const alone = "data import digits.npz --name clean --to sets --eval-only"
	refuse(t, []wrongUse{
		{alone, "--eval-only needs the dataset that the weights were trained on; name it with --like KEY|FILE.json (see nb201 data import --help)"},
		{alone + " --like digits --size 8", "leave out --size"},
		{alone + " --like digits --test 0.5", "leave out --test"},
		{alone + " --like digits --seed 1", "leave out --seed"},
		{alone + " --like digits --valid-seed 1", "leave out --valid-seed"},
		{alone + " --like digits --flip=false", "leave out --flip"},
		{alone + " --like digits --crop-padding 1", "leave out --crop-padding"},
		{alone + " --like none.json", "cannot read the dataset definition"},
		{alone + " --like digits --severities 7", "x_test has 450 images, which --severities 7 does not divide"},
		{alone + " --like digits --label last", "--label and --planes are only for CSV files"},
		{"data import digits.npz --name clean --to sets --like digits", "--like is for evaluation sets alone; add --eval-only"},
		{"data import digits.npz --name clean --to sets --severities 5", "--severities is for evaluation sets alone; add --eval-only"},
	})
	if _, err := os.Stat("sets"); err == nil {
		t.Error("sets was written")
	}
}
