package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/resultstest"
)

// edit replaces text in a file.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		changed := strings.Replace(string(text), old, new, 1)
		if changed == string(text) {
			t.Fatalf("%s has no %q", path, old)
		}
		err = os.WriteFile(path, []byte(changed), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// copied copies the campaign of one finished trial below the working directory, and returns the path
// of its record.
func copied(t *testing.T, dir string) (record string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(campaign)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "trials", "000004", "digits", "0002-0777.json")
}

// Before anything is trained, train refuses a trial whose settings differ from those of a finished
// one, and run refuses such a plan: for each setting.
func TestAnotherExperimentIsRefused(t *testing.T) {
	source, err := filepath.Abs(campaign)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.CopyFS("c", os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	const same = "train 5 --dataset digits --epochs 2 --seed 1 --channels 2 --cells 1 --workers 0 --out c"
	const finished = " differs from the finished trial architecture 4 on digits, 2 epochs, seed 777: "
	refuse(t, []wrongUse{
		{same, "no XLA plugin"}, // it belongs to the experiment
		{same + " --batch 128", finished + "batch is 128, not 256"},
		{same + " --channels 4", finished + "channels (C) is 4, not 2"},
		{same + " --cells 2", finished + "cells (N) is 2, not 1"},
		{same + " --precision bf16", finished + "precision is bf16, not fp32"},
		{same + " --parity 1.7", finished + "parity is 1.7, not 2019"},
		{same + " --timeline nov2019", finished + "timeline is nov2019, not dec2019"},
		{same + " --workers 4", finished + "workers is 4, not 0"},
		{same + " --batch 64 --parity modern", finished + "batch is 64, not 256; parity is modern, not 2019"},
		{same + " --batch 64", "so use another directory (--out DIR)"},
		{same + " --epochs 3 --batch 64", "no XLA plugin"}, // of another schedule
		{"train 4 --dataset digits --epochs 2 --seed 777 --channels 2 --cells 1 --workers 0 --out c", "is already finished"},
		{"train 4 --dataset digits --epochs 2 --seed 777 --channels 2 --cells 1 --workers 0 --out c --batch 128", finished + "batch is 128, not 256"},
	})

	record := filepath.Join("c", "trials", "000004", "digits", "0002-0777.json")
	const sum = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
	other := strings.Repeat("5e", 32)
	plan := strings.Fields("plan c --archs 4-5 --datasets digits --epochs 2 --seeds 777 --channels 2 --cells 1 --workers 0")
	if _, stderr, code := nb201(plan...); code != 0 {
		t.Fatal(stderr)
	}
	for _, change := range [][3]string{
		{sum, other, "SHA-256 of digits.csv.gz is " + sum + ", not " + other},
		{`"batch": 256`, `"batch": 128`, "batch is 256, not 128"},
		{`"momentum": 0.9`, `"momentum": 0.8`, "momentum is 0.9, not 0.8"},
		{`"profile": "2019"`, `"profile": "modern"`, "parity is 2019, not modern"},
		{`"timeline": "dec2019"`, `"timeline": "nov2019"`, "timeline is dec2019, not nov2019"},
		{`"workers": 0`, `"workers": 4`, "workers is 0, not 4"},
		{`"precision": "fp32"`, `"precision": "bf16"`, "precision is fp32, not bf16"},
		{`"weights": null`, `"weights": null, "initial_weights": {"name": "a.pth", "sha256": "` + other + `"}`,
			"source of the initial weights is the seed, not a file"},
	} {
		edit(t, record, change[0], change[1])
		refuse(t, []wrongUse{
			{"run c", "campaign c: settings differ from those of finished trials: dataset digits, schedule 2: " + change[2] +
				" (compared with architecture 4 on digits, 2 epochs, seed 777)"},
			{"run c", "plan a new campaign in another directory"},
			{same, finished + change[2] + "; the trials of a campaign on one dataset key and schedule share their settings"},
		})
		edit(t, record, change[1], change[0])
	}
	// A plan fixes the settings even if none of its trials are finished.
	if err := os.RemoveAll(filepath.Join("c", "trials")); err != nil {
		t.Fatal(err)
	}
	refuse(t, []wrongUse{
		{same, "no XLA plugin"},
		{same + " --batch 128", "settings differ from the plan: batch is 128, not 256"},
	})
}

// If a trial's record is damaged, train keeps it under another name, reports that, and trains the
// trial again. status counts it separately.
func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	record := copied(t, dir)
	text, err := os.ReadFile(record)
	if err == nil {
		err = os.WriteFile(record, text[:len(text)/3], 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := nb201("status", dir)
	for _, want := range []string{"damaged", "1 record cannot be read", record} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("status: code %d, %q lacks %q", code, stdout+stderr, want)
		}
	}
	train := strings.Fields("train 4 --dataset digits --epochs 2 --seed 777 --channels 2 --cells 1 --workers 0 --out " + dir)
	_, stderr, code = nb201(train...)
	if code != 0 || !strings.Contains(stderr, "renamed to "+record+".damaged, and the trial is trained again\n") {
		t.Fatalf("code %d, %s", code, stderr)
	}
	if kept, err := os.ReadFile(record + ".damaged"); err != nil || string(kept) != string(text[:len(text)/3]) {
		t.Errorf("kept %q, %v", kept, err)
	}
	again, err := results.ReadRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	before, err := results.ReadRecord(copied(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if again.Trial != before.Trial || again.DataFiles[0] != before.DataFiles[0] {
		t.Errorf("trained %v", again.Trial)
	}
	if _, stderr, code := nb201(train...); code != 2 || !strings.Contains(stderr, "is already finished") {
		t.Errorf("once more: code %d, %s", code, stderr)
	}
}

// query shows in which settings the trials of a mean differ, in its table and in its JSON. --best does
// so for the trials that it compares.
func TestUnequalTrials(t *testing.T) {
	var trials []results.Trial
	for seed := range 2 {
		trials = append(trials, results.Trial{Arch: 3, Dataset: "cifar10", Epochs: 12, Seed: uint32(seed)})
	}
	c := resultstest.Fill(t, trials...)
	ask := func() (answers [3]string) {
		for i, args := range [][]string{{"query", c.Dir, "3"}, {"query", c.Dir, "3", "--json"}, {"query", c.Dir, "--best", "--dataset", "cifar10", "--set", "test"}} {
			stdout, stderr, code := nb201(args...)
			if code != 0 {
				t.Fatal(stderr)
			}
			answers[i] = stdout
		}
		return answers
	}
	for i, answer := range ask() {
		if strings.Contains(answer, "differ") || strings.Contains(answer, "unequal") {
			t.Errorf("answer %d, equal trials: %s", i, answer)
		}
	}
	for seed, change := range map[uint32]func(*results.Record){
		7: func(r *results.Record) { r.Recipe.Batch = 128 },
		8: func(r *results.Record) { r.DataFiles[0].SHA256 = strings.Repeat("1b", 32) },
		9: func(r *results.Record) { r.Recipe.Batch = 128 },
	} {
		r := resultstest.Record(t, results.Trial{Arch: 3, Dataset: "cifar10", Epochs: 12, Seed: seed})
		change(r)
		resultstest.Mix(t, c, r)
	}
	sums := fmt.Sprintf("SHA-256 of data_batch_1 is %s for seed 8, and %s for seed 0", strings.Repeat("1b", 32), strings.Repeat("0a", 32))
	for i, want := range [][]string{
		{"The mean on cifar10, schedule 12, covers trials that differ: batch is 128 for seed 7, 9, and 256 for seed 0; " + sums},
		{`"unequal_trials"`, `"batch is 128 for seed 7, 9, and 256 for seed 0"`, sums},
		{"The trials compared differ: batch is 128, not 256 (2 trials, such as architecture 3 on cifar10, 12 epochs, seed 7)"},
	} {
		for _, want := range want {
			if answer := ask()[i]; !strings.Contains(answer, want) {
				t.Errorf("answer %d is %s, without %q", i, answer, want)
			}
		}
	}
}
