package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/results"
)

// everything is a recipe with a warm-up, steps, label smoothing, cutout and evaluations of every third
// epoch. Its networks are as small as possible.
const everything = `{"name": "everything", "epochs": 10, "warmup": 2, "scheduler": "steps", "milestones": [4, 7], "gamma": 0.2,
	"label_smoothing": 0.1, "decayed": "weights", "augment": {"flip": true, "cutout": 6}, "evaluate_every": 3,
	"batch": 64, "channels": 8, "cells": 1}`

// recipeFile writes a recipe file below dir and returns its path.
func recipeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, "recipes", name+".json")
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

// finish runs a command, which must succeed, and returns what it prints.
func finish(t *testing.T, nb201 string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(nb201, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("nb201 %q: %v\n%s", args, err, out)
	}
	return out
}

// untilDone repeats a command until it succeeds. The first times it is interrupted, so that it leaves a checkpoint,
// or killed, ever later after its start. It returns how often that was.
func untilDone(t *testing.T, nb201 string, args ...string) (kills int) {
	t.Helper()
	const most = 4
	for wait := time.Second; ; wait += 1500 * time.Millisecond {
		c := exec.Command(nb201, args...)
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		sig := []os.Signal{os.Interrupt, os.Kill}[kills%2]
		kill := time.AfterFunc(wait, func() { _ = c.Process.Signal(sig) })
		if kills == most {
			kill.Stop()
		}
		err := c.Wait()
		switch {
		case err == nil:
			return kills
		case kills > 0 && bytes.Contains(out.Bytes(), []byte("already finished")): // it was killed after its last step
			return kills
		case kill.Stop() || kills == most:
			t.Fatalf("nb201 %q: %v\n%s", args, err, &out)
		}
		kills++
	}
}

// TestRecipeKilled trains trials with a user's own recipe, with nb201 train and in a campaign, undisturbed and
// killed at several moments: the records and the weights are equal but for times and attempts. Exports of
// the campaign open in both Python clients, which ask for the recipe by its name. With -short there is no campaign.
func TestRecipeKilled(t *testing.T) {
	devicetest.CPUOnly(t, "only there are trials reproducible to the bit")
	dir := t.TempDir()
	nb201 := program(t, dir)
	finish := func(args ...string) []byte { return finish(t, nb201, args...) }
	untilDone := func(args ...string) int { return untilDone(t, nb201, args...) }
	file := recipeFile(t, dir, "everything", everything)

	// nb201 train
	train := func(out string) []string {
		return []string{"train", "0", "--dataset", "digits", "--recipe", file, "--seed", "1", "--out", out}
	}
	alone, aloneKilled := filepath.Join(dir, "alone"), filepath.Join(dir, "alone-killed")
	finish(train(alone)...)
	killed := untilDone(train(aloneKilled)...)
	records := checkEqual(t, alone, aloneKilled)
	if len(records) != 1 || killed == 0 {
		t.Fatalf("%d records, after %d kills", len(records), killed)
	}
	r := records[0]
	if r.Recipe.Name != "everything" || r.RecipeSHA256 != r.Recipe.Hash() || r.Trial.Schedule() != "everything" || r.Epochs != 10 ||
		fmt.Sprint(r.Eval[0].Epochs) != "[2 5 8 9]" || len(r.Eval[0].Loss) != 4 || len(r.Train.Loss) != 10 {
		t.Errorf("recipe %+v, hash %s, evaluated after %v", r.Recipe, r.RecipeSHA256, r.Eval[0].Epochs)
	}

	if !needs.IsLong() {
		return
	}

	// A campaign, beside a schedule that is named by its number of epochs.
	whole, disturbed := filepath.Join(dir, "whole"), filepath.Join(dir, "disturbed")
	for _, campaign := range []string{whole, disturbed} {
		finish("plan", campaign, "--archs", "0,3", "--datasets", "digits", "--recipe", file+",2", "--seeds", "1", "--channels", "8", "--cells", "1", "--batch", "64")
	}
	finish("run", whole)
	killed += untilDone("run", disturbed, "--max-attempts", "1000", "--checkpoint-every", "1ms")
	if records = checkEqual(t, whole, disturbed); len(records) != 4 {
		t.Fatalf("%d records", len(records))
	}
	t.Logf("%d kills", killed)
	for _, r := range records { // the trial of the campaign is that of train
		if r.Trial == (results.Trial{Dataset: "digits", Recipe: "everything", Epochs: 10, Seed: 1}) {
			checkAlike(t, "in a campaign", r, readRecord(t, alone, r.Trial))
		}
	}
	finish("verify", disturbed, "--reevaluate")
	t.Run("exports", func(t *testing.T) {
		needs.Python(t)
		checkRecipeExports(t, finish, disturbed, readRecord(t, disturbed, r.Trial))
	})
}

// checkEqual checks that two campaigns have the same records and weights, except for times and attempts. It
// returns the records.
func checkEqual(t *testing.T, a, b string) (records []*results.Record) {
	t.Helper()
	for want, err := range (results.Campaign{Dir: a}).Records() {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, want)
		for _, difference := range want.Diff(readRecord(t, b, want.Trial)) {
			t.Errorf("%v: %s", want.Trial, difference)
		}
		first, err1 := os.ReadFile(results.Campaign{Dir: a}.WeightsPath(want.Trial))
		second, err2 := os.ReadFile(results.Campaign{Dir: b}.WeightsPath(want.Trial))
		if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
			t.Errorf("%v: the weights differ (%v, %v)", want.Trial, err1, err2)
		}
	}
	return records
}

func readRecord(t *testing.T, campaign string, trial results.Trial) *results.Record {
	t.Helper()
	r, err := results.Campaign{Dir: campaign}.Record(trial)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkRecipeExports exports a campaign in the formats that can contain recipes, verifies the exports, and asks the
// Python clients for the trial of a record.
func checkRecipeExports(t *testing.T, finish func(...string) []byte, campaign string, r *results.Record) {
	t.Helper()
	paths := map[string]string{}
	for format, flags := range map[string][]string{
		"nats": nil, "runs": {"--less", "2", "--full", "everything"}, "nasbench201": {"--less", "2", "--full", "everything"}, "parquet": nil, "csv": nil,
	} {
		to := filepath.Join(t.TempDir(), format)
		if format == "nasbench201" {
			to += ".pth"
		}
		paths[format] = to
		finish(append([]string{"export", campaign, "--format", format, "--to", to}, flags...)...)
		finish("verify", to)
	}
	out := python(t, nil, "testdata/recipe_calls.py", paths["nats"], paths["runs"], paths["nasbench201"], "everything")
	var got map[string]struct {
		Epochs                                 int
		Loss, Accuracy, Seconds, Train, Middle float64 // Middle: the accuracy after epoch 5
		Missing                                bool    // there is none after epoch 3
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e := &r.Eval[0]
	seconds := 0.0
	for _, s := range e.Seconds {
		seconds += s
	}
	for _, client := range []string{"nats_bench", "nas_201_api", "run"} {
		g, ok := got[client]
		if !ok || g.Epochs != r.Epochs || g.Loss != e.Loss[3] || g.Accuracy != e.Top1[3] || g.Train != r.Train.Loss[9] || g.Middle != e.Top1[1] || !g.Missing ||
			strconv.FormatFloat(g.Seconds, 'f', 9, 64) != strconv.FormatFloat(seconds, 'f', 9, 64) {
			t.Errorf("%s answers %+v", client, g)
		}
	}
}
