package verify

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// mixed returns a campaign of three architectures and two seeds, and one changed trial.
func mixed(t *testing.T, odd results.Trial, change func(*results.Record)) results.Campaign {
	var trials []results.Trial
	for arch := range 3 {
		for seed := range 2 {
			trials = append(trials, results.Trial{Arch: arch, Dataset: "cifar10", Epochs: 2, Seed: uint32(seed)})
		}
	}
	c := resultstest.Fill(t, trials...)
	r := resultstest.Record(t, odd)
	change(r)
	resultstest.Mix(t, c, r)
	return c
}

// The one trial of a campaign that differs from most is found, with how it differs, and no
// other.
func TestSettings(t *testing.T) {
	file := func(digits string) *results.StartWeights {
		return &results.StartWeights{File: results.File{Name: "a.pth", SHA256: strings.Repeat(digits, 32)}}
	}
	for name, x := range map[string]struct {
		odd    results.Trial
		change func(*results.Record)
		want   string
	}{
		"data":            {results.Trial{Arch: 0, Dataset: "cifar10", Epochs: 2, Seed: 9}, func(r *results.Record) { r.DataFiles[0].SHA256 = strings.Repeat("1b", 32) }, "SHA-256 of data_batch_1 is 1b"},
		"batch":           {results.Trial{Arch: 2, Dataset: "cifar10", Epochs: 2, Seed: 9}, func(r *results.Record) { r.Recipe.Batch = 128 }, "batch is 128, not 256"},
		"an architecture": {results.Trial{Arch: 0, Dataset: "cifar10", Epochs: 2, Seed: 0}, func(r *results.Record) { r.Parity.Profile = "modern" }, "parity is modern, not 2019"},
		"cells":           {results.Trial{Arch: 700, Dataset: "cifar10", Epochs: 2, Seed: 9}, func(r *results.Record) { resultstest.Resize(t, r, 8, 2) }, "cells (N) is 2, not 1"},
		"start weights":   {results.Trial{Arch: 1, Dataset: "cifar10", Epochs: 2, Seed: 9}, func(r *results.Record) { r.InitialWeights = file("2c") }, "source of the initial weights is a file, not the seed"},
		"data of another schedule": {results.Trial{Arch: 0, Dataset: "cifar10", Epochs: 3, Seed: 9}, func(r *results.Record) { r.DataFiles[0].SHA256 = strings.Repeat("1b", 32); r.Precision = "bf16" },
			"SHA-256 of data_batch_1 is " + strings.Repeat("1b", 32) + ", not " + strings.Repeat("0a", 32) + ", as in"},
		"recipe of another schedule": {results.Trial{Arch: 0, Dataset: "cifar10", Epochs: 3, Seed: 9}, func(r *results.Record) { r.Recipe.Batch, r.Precision = 128, "bf16" }, ""},
		"another key":                {results.Trial{Arch: 0, Dataset: "cifar100", Epochs: 2, Seed: 9}, func(r *results.Record) { r.Recipe.Batch = 128 }, ""},
	} {
		r := run(t, mixed(t, x.odd, x.change).Dir, Options{})
		var found []Fault
		for _, f := range r.Faults {
			if f.Check == CheckSettings {
				found = append(found, f)
			} else {
				t.Errorf("%s: also %v", name, f)
			}
		}
		switch {
		case x.want == "" && len(found) > 0:
			t.Errorf("%s: found %v", name, found)
		case x.want != "" && (len(found) != 1 || *found[0].Trial != x.odd || !strings.HasPrefix(found[0].What, x.want)):
			t.Errorf("%s: found %v, want %q of %v", name, found, x.want, x.odd)
		}
	}
}

// Two seeds of an architecture must start from the same file; two architectures always
// start from different ones.
func TestStartWeights(t *testing.T) {
	c := results.Campaign{Dir: t.TempDir()}
	for arch := range 3 {
		for seed := range 2 {
			r := resultstest.Record(t, results.Trial{Arch: arch, Dataset: "cifar10", Epochs: 2, Seed: uint32(seed)})
			r.InitialWeights = &results.StartWeights{File: results.File{Name: "a.pth", SHA256: strings.Repeat(fmt.Sprintf("%d%d", arch, arch), 32)}}
			if arch == 1 && seed == 1 {
				r.InitialWeights.SHA256 = strings.Repeat("ff", 32)
			}
			resultstest.Mix(t, c, r)
		}
	}
	r := run(t, c.Dir, Options{})
	if len(r.Faults) != 1 || !strings.HasPrefix(r.Faults[0].String(), "architecture 1 on cifar10, 2 epochs, seed 1: settings: SHA-256 of the initial weights is ffff") {
		t.Errorf("found %v", r.Faults)
	}
}

// Settings in published files are compared too: the network in all of them, and the recipe
// in runs.
func TestSettingsOfExports(t *testing.T) {
	for _, format := range export.Formats() {
		if format == published.NASLib { // it holds one trial of an architecture and dataset
			continue
		}
		for what, change := range map[string]func(*results.Record){
			"batch is 128, not 256":    func(r *results.Record) { r.Recipe.Batch = 128 },
			"channels (C) is 4, not 8": func(r *results.Record) { resultstest.Resize(t, r, 4, 1) },
			"cells (N) is 2, not 1":    func(r *results.Record) { resultstest.Resize(t, r, 8, 2) },
		} {
			odd := results.Trial{Arch: 700, Dataset: "cifar10", Epochs: 2, Seed: 0}
			c := mixed(t, odd, change)
			o := export.Options{Format: format, To: filepath.Join(t.TempDir(), "new"), Less: "2", Full: "3", Mixed: true}
			if format == published.Parquet || format == published.CSV {
				o.Less, o.Full = "", ""
			}
			if format == published.NASBench201 {
				o.To += ".pth"
			}
			if _, err := export.Run(t.Context(), open(t, c.Dir), o); err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, f := range run(t, o.To, Options{}).Faults {
				found = append(found, f.String())
			}
			var want []string
			if format == published.Runs || !strings.HasPrefix(what, "batch") {
				want = []string{odd.String() + ": settings: " + what + ", as in architecture 0 on cifar10, 2 epochs, seed 0"}
			}
			if !reflect.DeepEqual(found, want) {
				t.Errorf("%s: found %q, want %q", format, found, want)
			}
		}
	}
}

// Images that have changed are a fault of each trial on them; the others are evaluated.
func TestReevaluationOfOtherImages(t *testing.T) {
	c := resultstest.Fill(t, results.Trial{Arch: 0, Dataset: "cifar10", Epochs: 2, Seed: 1}, results.Trial{Arch: 0, Dataset: "cifar100", Epochs: 2, Seed: 1})
	r := run(t, c.Dir, Options{Reevaluate: func(_ context.Context, r *benchmark.ResultsCount, _ torchfile.StateDict) ([]results.SetResult, error) {
		if r.Dataset == "cifar10" {
			return nil, fmt.Errorf("%w: SHA-256 of x is a, not b", results.ErrOtherImages)
		}
		return nil, nil
	}})
	if len(r.Faults) != 1 || r.Faults[0].Trial.Dataset != "cifar10" || !strings.Contains(r.Faults[0].What, "SHA-256 of x is a, not b") || len(r.Notes) != 1 {
		t.Errorf("faults %v, notes %v", r.Faults, r.Notes)
	}
}

// A damaged record that was moved out of the way is noted as such.
func TestMoveDamaged(t *testing.T) {
	trial := results.Trial{Arch: 0, Dataset: "cifar10", Epochs: 2, Seed: 1}
	c := resultstest.Fill(t, trial, results.Trial{Arch: 0, Dataset: "cifar10", Epochs: 2, Seed: 2})
	if err := os.Truncate(c.RecordPath(trial), 0); err != nil {
		t.Fatal(err)
	}
	if r := run(t, c.Dir, Options{}); len(r.Faults) != 1 || !strings.Contains(r.Faults[0].What, "is empty") {
		t.Errorf("found %v", r.Faults)
	}
	if path, reason, err := c.MoveDamaged(trial); err != nil || reason == nil || path != c.RecordPath(trial)+".damaged" {
		t.Errorf("moved to %q, %v, %v", path, reason, err)
	}
	r := run(t, c.Dir, Options{})
	if len(r.Faults) != 0 || len(r.Notes) != 2 || !strings.Contains(r.Notes[0].What, "is a damaged file that was renamed") {
		t.Errorf("faults %v, notes %v", r.Faults, r.Notes)
	}
}
