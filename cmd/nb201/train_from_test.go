package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/atomicfile"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/train"
)

// TestFromWrongUsage checks that every wrong use of weights from a file ends in code 2, with one
// sentence, before anything is trained or written.
func TestFromWrongUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	save := func(path string, classes int, first float32) {
		arch, err := cell.Topology{}.ByIndex(0)
		if err != nil {
			t.Fatal(err)
		}
		network := cell.Network{Arch: arch, Channels: 4, Cells: 1, Classes: classes, Size: 16}
		weights := train.InitialWeights(network, random.NewTorch(1), random.Profiles()[0])
		weights[0].Float32[0] = first
		if err := atomicfile.Replace(path, func(w io.Writer) error { return torchfile.Write(w, weights) }); err != nil {
			t.Fatal(err)
		}
	}
	save("W.pth", 10, 0)
	save("7.pth", 7, 0)
	save("nan.pth", 10, float32(math.NaN()))
	if err := os.WriteFile("text.pth", []byte("no weights\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	const (
		evaluate = "train 0 --dataset digits --channels 4 --cells 1 --eval-only"
		tune     = "train 0 --dataset digits --channels 4 --cells 1 --epochs 1 --seed 1 --out out"
		noPlugin = "no XLA plugin for device cpu"
	)
	refuse(t, []wrongUse{
		{evaluate, "--eval-only needs weights; name their file with --from (see nb201 train --help)"},
		{evaluate + " --from=", "--eval-only needs weights"},
		{tune + " --new-classifier", "--new-classifier needs weights"},
		{tune + " --from-trial digits:12:777", "--from-trial needs weights"},
		{evaluate + " --from W.pth --out out", "--eval-only trains nothing; leave out --out (see nb201 train --help)"},
		{evaluate + " --from W.pth --weights drop", "leave out --weights"},
		{evaluate + " --from 7.pth --new-classifier", "leave out --new-classifier"},
		{"train 0 --from W.pth --eval-only", "missing --dataset"},
		{"train 0 --dataset digits --from W.pth", "missing --epochs, --out, --seed (see nb201 train --help)"},
		{"train --dataset digits --from W.pth --eval-only", "takes one ARCH"},
		{evaluate + " --from W.pth --epochs 0", "0 epochs"},
		{evaluate + " --from W.pth --seed -1", "use a whole number 0..4294967295"},
		{evaluate + " --from missing.pth", "cannot read weights: stat missing.pth: no such file"},
		{evaluate + " --from .", "--from . is a directory; name a file"},
		{evaluate + " --from text.pth", "text.pth"},
		{evaluate + " --from W.pth --from-trial digits:12:777", "W.pth holds a single state dict, not trials; leave out --from-trial digits:12:777"},
		{evaluate + " --from nan.pth", "nan.pth does not fit"},
		{tune + " --from nan.pth", "stem.0.weight has NaN at element 0"},
		{evaluate + " --from W.pth --cells 2", "W.pth does not fit architecture 0 with 4 channels and 2 cells: it lacks 74 of the network's 111 tensors (cells.1.layers.1.op.1.weight; "},
		{tune + " --from W.pth --channels 8", "it has 62 of another shape (stem.0.weight[4 3 3 3] instead of [8 3 3 3]; "},
		{evaluate + " --from 7.pth", "7.pth has a classifier of 7 classes (classifier.weight, classifier.bias), but the dataset has 10; use --new-classifier"},
		{tune + " --from 7.pth", "use --new-classifier to draw a new one"},
		{evaluate + " --from W.pth", noPlugin},
		{evaluate + " --from W.pth --epochs 12 --seed 777", noPlugin},
		{tune + " --from 7.pth --new-classifier", noPlugin},
	})
}

// TestEvalOnly evaluates a trial's weights from a campaign, and again from a published file that was
// made from the campaign and contains several trials.
func TestEvalOnly(t *testing.T) {
	trial := results.Trial{Arch: 0, Dataset: "digits", Epochs: 2, Seed: 777}
	other := trial
	other.Seed = 888
	c := resultstest.Fill(t, trial, other)
	archive := filepath.Join(t.TempDir(), "archive")
	if _, stderr, code := nb201("export", c.Dir, "--format", "archive", "--to", archive, "--less", "2"); code != 0 {
		t.Fatal(stderr)
	}
	full := filepath.Join(archive, "000000-FULL.pth")
	type document struct {
		Architecture int
		Dataset      string
		Weights      results.File
		Evaluation   []struct {
			Set    string
			Images int
			Loss   float64
			Top1   float64 `json:"top1_percent"`
			Top5   float64 `json:"top5_percent"`
		}
	}
	evalOnly := func(flags ...string) (stdout, stderr string, code int) {
		return nb201(append([]string{"train", "0", "--dataset", "digits", "--channels", "8", "--cells", "1", "--eval-only"}, flags...)...)
	}
	evaluate := func(flags ...string) (d document) {
		t.Helper()
		stdout, stderr, code := evalOnly(append(flags, "--json")...)
		if code != 0 {
			t.Fatalf("%v: code %d: %s", flags, code, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	plain := evaluate("--from", c.WeightsPath(trial))
	if plain.Architecture != 0 || plain.Dataset != "digits" || plain.Weights.Name != "0002-0777.pth" ||
		len(plain.Evaluation) != 1 || plain.Evaluation[0].Images != 450 || plain.Evaluation[0].Loss <= 0 {
		t.Errorf("evaluated %+v", plain)
	}
	published := evaluate("--from", full, "--seed", "777")
	if !reflect.DeepEqual(published.Evaluation, plain.Evaluation) || published.Weights.Name != "000000-FULL.pth digits:12:777" {
		t.Errorf("out of the archive: %+v, want %+v", published, plain)
	}
	_, stderr, code := evalOnly("--from", full)
	if want := "000000-FULL.pth has weights of digits:12:777, digits:12:888; name one of them with --from-trial\n"; code != 2 || !strings.HasSuffix(stderr, want) {
		t.Errorf("code %d, stderr %q, want %q", code, stderr, want)
	}
	stdout, _, code := evalOnly("--from", full, "--from-trial", "digits:12:888")
	for _, want := range []string{"000000-FULL.pth digits:12:888 on digits, fp32 on cpu\n", "set  images", "ori-test     450"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("code %d, stdout without %q:\n%s", code, want, stdout)
		}
	}
	if same := fmt.Sprintf(" %.4f ", plain.Evaluation[0].Loss); strings.Contains(stdout, same) {
		t.Errorf("another trial's weights give the same as the first's:\n%s", stdout)
	}
}
