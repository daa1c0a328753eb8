package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
)

// corrupted makes evaluation sets with noise, blur and JPEG artefacts of test images, imports them in the way
// of a dataset key, and returns the definition. tools/corrupt.py describes the source and further options.
func corrupted(t *testing.T, source, like string, options ...string) (definition string) {
	t.Helper()
	dir := t.TempDir()
	images := filepath.Join(dir, "images.npz")
	tool := filepath.Join("..", "..", "tools", "corrupt.py")
	if text, err := exec.Command(needs.Python(t), append([]string{tool, source, images, "--layout", "npz", "--severities", "1"}, options...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if _, stderr, code := nb201("data", "import", images, "--eval-only", "--like", like, "--name", "corrupted", "--to", filepath.Join(dir, "sets")); code != 0 {
		t.Fatal(stderr)
	}
	return filepath.Join(dir, "sets", "corrupted.json")
}

// evaluating returns the command nb201 evaluate, to be started in its separate process group.
func evaluating(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, append([]string{"evaluate"}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// evaluatedIn lists the records of evaluations in a campaign of them, with their times.
func evaluatedIn(t *testing.T, c results.Campaign) map[results.Trial]time.Time {
	t.Helper()
	found := map[results.Trial]time.Time{}
	if _, err := os.Stat(filepath.Join(c.Dir, "trials")); err != nil {
		return found
	}
	for trial, err := range c.Trials() {
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(c.RecordPath(trial))
		if err != nil {
			t.Fatal(err)
		}
		found[trial] = info.ModTime()
	}
	return found
}

// childrenOf lists the processes that a process has started, by any of its threads.
func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	needs.System(t, err)
	for _, list := range lists {
		text, err := os.ReadFile(list)
		needs.System(t, err)
		for _, child := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				t.Fatal(err)
			}
			children = append(children, pid)
		}
	}
	return children
}

// evaluateTrials evaluates four trials each of some architectures with two workers on three further sets; kills the run
// in the middle, damages a record, resumes with two commands at once, and compares the results with train --eval-only:
// one of each architecture, and every night all.
func evaluateTrials(t *testing.T, architectures int, dataset, definition string) {
	t.Helper()
	var trials []results.Trial
	for arch := range architectures {
		for _, epochs := range []int{2, 3} {
			for _, seed := range []uint32{777, 888} {
				trials = append(trials, results.Trial{Arch: arch * 1500, Dataset: dataset, Epochs: epochs, Seed: seed})
			}
		}
	}
	c := resultstest.Fill(t, trials...)
	on := results.EvaluationsOn(c.Dir, "corrupted")
	args := []string{c.Dir, "--dataset", definition, "--to", c.Dir, "--per-device", "2", "--json"}

	first := evaluating(t, args...)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	few := len(trials) / 4
	for deadline := time.Now().Add(3 * time.Minute); len(evaluatedIn(t, on)) < few; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %d trials were evaluated", few)
		}
	}
	groups := append([]int{first.Process.Pid}, childrenOf(t, first.Process.Pid)...) // each worker has a process group too
	if len(groups) != 3 {
		t.Fatalf("the run has the workers %v", groups[1:])
	}
	for _, group := range groups {
		if err := syscall.Kill(-group, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	_ = first.Wait()
	for _, worker := range groups[1:] { // a process may still publish for a moment
		for dead := false; !dead; time.Sleep(time.Millisecond) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", worker))
			dead = err != nil || bytes.Contains(stat, []byte(") Z "))
		}
	}
	before := evaluatedIn(t, on)
	if len(before) >= len(trials) {
		t.Fatalf("the run was over before it was killed")
	}
	damaged := trials[0]
	for trial := range before {
		damaged = trial
	}
	if err := os.Truncate(on.RecordPath(damaged), 100); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201("query", c.Dir, fmt.Sprint(damaged.Arch)); code != 2 || !strings.Contains(stderr, "the evaluation record is damaged") ||
		!strings.Contains(stderr, "nb201 evaluate renames it and evaluates the trial again") {
		t.Errorf("query of a damaged record: code %d, %s", code, stderr)
	}
	logged, err := filepath.Glob(filepath.Join(on.Dir, "logs", "*"))
	if err != nil || len(logged) != 2 {
		t.Fatalf("logs %q (%v)", logged, err)
	}

	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			command := evaluating(t, args...)
			var stderr strings.Builder
			command.Stderr = &stderr
			text, err := command.Output()
			var e evaluations
			if err == nil {
				err = json.Unmarshal(text, &e)
			}
			if err != nil || e.Done != len(trials) || e.Failed != 0 || len(e.Sets) != 3 {
				t.Errorf("%v: %s%s", err, text, &stderr)
			}
		})
	}
	group.Wait()
	after := evaluatedIn(t, on)
	for trial, at := range before {
		if (after[trial] == at) != (trial != damaged) {
			t.Errorf("%v was evaluated at %v, and again at %v", trial, at, after[trial])
		}
	}
	if text, err := os.ReadFile(on.RecordPath(damaged) + ".damaged"); err != nil || len(text) != 100 {
		t.Errorf("%d bytes of the damaged record are kept (%v)", len(text), err)
	}
	var text strings.Builder
	logs, err := filepath.Glob(filepath.Join(on.Dir, "logs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		lines, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(logged, log) {
			text.Write(lines)
		}
	}
	for _, trial := range trials {
		want := 1
		if _, earlier := before[trial]; earlier && trial != damaged {
			want = 0
		}
		if got := strings.Count(text.String(), fmt.Sprintf("%v: evaluated on 3 sets", trial)); got != want {
			t.Errorf("%v was evaluated %d times after the kill, want %d", trial, got, want)
		}
	}

	for i, trial := range trials {
		if i%4 != i/4%4 && !needs.IsNightly() { // else one of each architecture
			continue
		}
		stdout, stderr, code := nb201("train", fmt.Sprint(trial.Arch), "--channels", "8", "--cells", "1", "--dataset", definition,
			"--from", c.WeightsPath(trial), "--eval-only", "--json")
		var want evaluation
		if err := json.Unmarshal([]byte(stdout), &want); err != nil || code != 0 {
			t.Fatalf("%v: %v, %s", trial, err, stderr)
		}
		got, err := on.Evaluation(trial)
		if err != nil {
			t.Fatal(err)
		}
		for _, sets := range [][]results.SetResult{got.Sets, want.Sets} {
			for i := range sets {
				sets[i].Seconds = 0
			}
		}
		if !reflect.DeepEqual(got.Sets, want.Sets) || len(got.Sets) != 3 {
			t.Errorf("%v: evaluate gives %+v, and train --eval-only %+v", trial, got.Sets, want.Sets)
		}
	}
	if stdout, stderr, code := nb201("verify", c.Dir); code != 0 || !strings.Contains(stdout, "no faults") {
		t.Errorf("verify: code %d, %s%s", code, stdout, stderr)
	}
}

// The campaign has 40 trials, with -short 12.
func TestEvaluateTrials(t *testing.T) {
	architectures := 10
	if !needs.IsLong() {
		architectures = 3
	}
	evaluateTrials(t, architectures, "digits", corrupted(t, filepath.Join("..", "..", "configs", "digits", "digits.csv.gz"), "digits"))
}

// The photographs are in the layout of CIFAR-10.
func TestEvaluateTrialsOfPhotographs(t *testing.T) {
	needs.Long(t, "does the same as TestEvaluateTrials, with larger images")
	photos := needs.Photos(t)
	evaluateTrials(t, 3, "cifar10", corrupted(t, filepath.Join(photos, "cifar-10-batches-py"), "cifar10", "--images", "300"))
}

// smallEvaluation returns a campaign of four trials of an architecture and another, and a definition of evaluation sets. The
// working directory is a new one.
func smallEvaluation(t *testing.T) (c results.Campaign, trials []results.Trial) {
	t.Helper()
	for _, arch := range []int{0, 4} {
		for _, seed := range []uint32{1, 2} {
			trials = append(trials, results.Trial{Arch: arch, Dataset: "digits", Epochs: 2, Seed: seed})
		}
	}
	c = resultstest.Fill(t, trials...)
	t.Chdir(t.TempDir())
	if _, stderr, code := nb201("data", "import", writeTestImages(t), "--eval-only", "--like", "digits", "--name", "clean", "--to", "sets"); code != 0 {
		t.Fatal(stderr)
	}
	return c, trials
}

// Trials are selected, failed ones are retried when asked, stale ones evaluated again, and a moved source is
// followed.
func TestEvaluateAgain(t *testing.T) {
	c, trials := smallEvaluation(t)
	on := results.EvaluationsOn("alone", "clean")
	evaluate := func(from string, more ...string) (e evaluations, stderr string, code int) {
		t.Helper()
		stdout, stderr, code := nb201(append([]string{"evaluate", from, "--dataset", "sets/clean.json", "--to", "alone", "--max-attempts", "1", "--json"}, more...)...)
		if err := json.Unmarshal([]byte(stdout), &e); err != nil && code == 0 {
			t.Fatalf("%v: %s", err, stdout)
		}
		return e, stderr, code
	}
	if e, stderr, code := evaluate(c.Dir, "--archs", "4", "--seeds", "2", "--schedules", "2", "--trained-on", "digits"); code != 0 || e.Trials != 1 || e.Done != 1 || !reflect.DeepEqual(mapsKeys(evaluatedIn(t, on)), trials[3:]) {
		t.Fatalf("code %d, %+v, %s", code, e, stderr)
	}

	weights, err := os.ReadFile(c.WeightsPath(trials[0]))
	if err == nil {
		err = os.Truncate(c.WeightsPath(trials[0]), 100)
	}
	if err != nil {
		t.Fatal(err)
	}
	e, stderr, code := evaluate(c.Dir)
	if code != 3 || e.Failed != 1 || e.Done != 3 || len(e.Failures) != 1 || !strings.Contains(e.Failures[0], "is not the file named in the record") ||
		!strings.Contains(stderr, "evaluate again with --retry-failed to retry them") {
		t.Errorf("damaged weights: code %d, %+v, %s", code, e, stderr)
	}
	if err := os.WriteFile(c.WeightsPath(trials[0]), weights, 0o666); err != nil {
		t.Fatal(err)
	}
	if e, _, code := evaluate(c.Dir); code != 3 || e.Failed != 1 {
		t.Errorf("without --retry-failed: code %d, %+v", code, e)
	}
	if e, stderr, code := evaluate(c.Dir, "--retry-failed"); code != 0 || e.Done != 4 || e.Sets[0].Set != "clean.test" || e.Sets[0].Images != 450 {
		t.Errorf("with --retry-failed: code %d, %+v, %s", code, e, stderr)
	}
	if failures, err := attempt.ListFailed(on.Dir); err != nil || len(failures) > 0 {
		t.Errorf("failures %v, %v", failures, err)
	}

	// Trained again: another record with other weights.
	other := resultstest.Record(t, trials[1])
	again := resultstest.Weights(t, resultstest.Record(t, trials[0]))
	if err := errors.Join(os.Remove(c.RecordPath(trials[1])), c.Publish(other, again)); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201("query", "alone", "0"); code != 2 || !strings.Contains(stderr, "is the evaluation of other weights than the trial has now") {
		t.Errorf("query of a stale record: code %d, %s", code, stderr)
	}
	if e, stderr, code := evaluate(c.Dir); code != 0 || e.Done != 4 || !strings.Contains(stderr, "was trained again since its evaluation, which is renamed to") {
		t.Errorf("stale: code %d, %+v, %s", code, e, stderr)
	}

	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(c.Dir, moved); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201("query", "alone", "0"); code != 2 || !strings.Contains(stderr, "which is gone; if it was moved, run `nb201 evaluate NEWPATH --dataset "+absolute(t, "sets/clean.json")+" --to alone`") {
		t.Errorf("query of a moved source: code %d, %s", code, stderr)
	}
	before := evaluatedIn(t, on)
	if e, stderr, code := evaluate(moved); code != 0 || e.Done != 4 || !reflect.DeepEqual(before, evaluatedIn(t, on)) {
		t.Errorf("moved: code %d, %+v, %s", code, e, stderr)
	}
	for _, dir := range []string{"alone", "./alone/", filepath.Join("sets", "..", "alone")} {
		if stdout, stderr, code := nb201("query", dir, "0", "--set", "clean.test"); code != 0 || !strings.Contains(stdout, "clean.test") {
			t.Errorf("query %s: code %d, %s%s", dir, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"verify", "alone"}, {"status", on.Dir}, {"report", "alone", "--to", "r.html"}, {"compare", "alone", moved}} {
		if stdout, stderr, code := nb201(args...); code != 0 {
			t.Errorf("%v: code %d, %s%s", args, code, stdout, stderr)
		}
	}
	t.Chdir(on.Dir)
	if stdout, stderr, code := nb201("status", "."); code != 0 || !strings.Contains(stdout, "4") {
		t.Errorf("status .: code %d, %s%s", code, stdout, stderr)
	}
	if _, stderr, code := nb201("run", "."); code != 2 || !strings.Contains(stderr, "continue them with `nb201 evaluate PATH --dataset clean --to ") {
		t.Errorf("run .: code %d, %s", code, stderr)
	}
}

// mapsKeys returns the keys of a map in the order of trials.
func mapsKeys(found map[results.Trial]time.Time) (trials []results.Trial) {
	for trial := range found {
		trials = append(trials, trial)
	}
	slices.SortFunc(trials, results.Trial.Compare)
	return trials
}

// Means over seeds leave out a set that some of the seeds lack.
func TestQueryOfSomeEvaluations(t *testing.T) {
	c, trials := smallEvaluation(t)
	resultstest.Evaluate(t, c, c.Dir, "noisy", trials[0], trials[1], trials[2])
	means := func(args ...string) (sets []string) {
		t.Helper()
		stdout, stderr, code := nb201(append([]string{"query", c.Dir, "--json"}, args...)...)
		var answer struct {
			Means []struct{ Measured []struct{ Set string } }
		}
		if err := json.Unmarshal([]byte(stdout), &answer); err != nil || code != 0 {
			t.Fatalf("%v: %v, %s", args, err, stderr)
		}
		for _, m := range answer.Means {
			for _, s := range m.Measured {
				sets = append(sets, s.Set)
			}
		}
		return sets
	}
	if got, want := means("0"), []string{"train", "ori-test", "noisy.noise", "noisy.blur"}; !slices.Equal(got, want) {
		t.Errorf("means of %q, want %q", got, want)
	}
	if got, want := means("4"), []string{"train", "ori-test"}; !slices.Equal(got, want) {
		t.Errorf("means of %q, want %q", got, want)
	}
	if got := means("4", "--set", "noisy.blur"); len(got) > 0 {
		t.Errorf("means of %q", got)
	}
	for _, args := range [][]string{
		{"query", c.Dir, "4", "--set", "noisy.noise"}, {"query", c.Dir, "--best", "--dataset", "digits", "--set", "noisy.noise", "--schedule", "2"},
		{"query", c.Dir, "4", "--plot", "plot.svg"}, {"report", c.Dir, "--to", "r.html"}, {"compare", c.Dir, c.Dir},
	} {
		if stdout, stderr, code := nb201(args...); code != 0 || stderr != "" && !strings.HasPrefix(args[0], "report") && strings.Contains(stderr, "nb201:") {
			t.Errorf("%v: code %d, %s%s", args, code, stdout, stderr)
		}
	}
}

// Wrong uses of evaluate are refused with one sentence, and write nothing.
func TestEvaluateRefuses(t *testing.T) {
	c, trials := smallEvaluation(t)
	bare := results.Campaign{Dir: filepath.Join(t.TempDir(), "bare")}
	if err := bare.Publish(resultstest.Record(t, trials[0]), nil); err != nil {
		t.Fatal(err)
	}
	many := resultstest.Fill(t, results.Trial{Arch: 0, Dataset: "cifar100", Epochs: 2, Seed: 1})
	if _, stderr, code := nb201("export", c.Dir, "--format", "archive", "--to", "archive", "--less", "2"); code != 0 {
		t.Fatal(stderr)
	}
	if _, stderr, code := nb201("plan", "planned", "--archs", "0", "--datasets", "digits", "--epochs", "1", "--seeds", "1"); code != 0 {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile("sets/clean.json")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 60)
	without := strings.Replace(string(text), "clean.npz", "none.npz", 1)
	if err := errors.Join(
		os.WriteFile("sets/long.json", []byte(strings.Replace(string(text), `"clean"`, `"`+long+`"`, 1)), 0o666),
		os.WriteFile("sets/without.json", []byte(without), 0o666),
		os.WriteFile("sets/w.json", []byte(strings.Replace(strings.Replace(string(text), `"clean"`, `"w"`, 1), `"name": "test"`, `"name": "c.d"`, 1)), 0o666),
		os.WriteFile("sets/w.c.json", []byte(strings.Replace(strings.Replace(string(text), `"clean"`, `"w.c"`, 1), `"name": "test"`, `"name": "d"`, 1)), 0o666),
		os.WriteFile("file", nil, 0o666),
	); err != nil {
		t.Fatal(err)
	}
	resultstest.Evaluate(t, c, "alone", "own", trials[0])
	if _, stderr, code := nb201("evaluate", c.Dir, "--dataset", "sets/w.json", "--to", "w", "--archs", "0", "--seeds", "1"); code != 0 {
		t.Fatal(stderr)
	}
	const with = " --dataset sets/clean.json --to "
	refuse(t, []wrongUse{
		{"evaluate " + c.Dir + " --dataset sets/clean.json", "missing --to"},
		{"evaluate " + c.Dir + " --to alone", "missing --dataset"},
		{"evaluate" + with + "new", "takes one PATH"},
		{"evaluate none" + with + "new", "none: no such file"},
		{"evaluate " + c.Dir + " --dataset cleen --to new", `unknown dataset key "cleen"`},
		{"evaluate " + c.Dir + " --dataset none.json --to new", "none.json: no such file"},
		{"evaluate " + c.Dir + " --dataset sets/without.json --to new", "none.npz"},
		{"evaluate " + c.Dir + " --dataset sets/long.json --to new", "give sets/long.json shorter names"},
		{"evaluate " + c.Dir + with + "new --archs 7", "holds none of the architectures --archs 7"},
		{"evaluate " + c.Dir + with + "new --archs x", `"x"`},
		{"evaluate " + c.Dir + with + "new --batch 0", "--batch 0: use at least 1"},
		{"evaluate " + c.Dir + with + "new --per-device 0", "--per-device 0: use at least 1"},
		{"evaluate " + c.Dir + with + "new --devices tpu", "tpu"},
		{"evaluate " + c.Dir + with + many.Dir, "is a campaign, and its weights are not the ones to evaluate"},
		{"evaluate " + c.Dir + with + "planned", "--to planned is a campaign"},
		{"evaluate " + c.Dir + with + c.Dir + "/trials", "is part of the campaign " + c.Dir},
		{"evaluate " + c.Dir + with + c.Dir + "/evaluations", "is part of the campaign " + c.Dir},
		{"evaluate " + c.Dir + with + "alone/evaluations/own", "is part of the campaign alone"},
		{"evaluate archive" + with + "archive", "--to archive is a benchmark in the format archive, which nb201 only reads; use another directory"},
		{"evaluate " + c.Dir + with + "archive", "--to archive is a benchmark in the format archive"},
		{"evaluate archive" + with + "alone", "--to alone contains the evaluations of " + c.Dir},
		{"evaluate " + c.Dir + " --dataset sets/w.c.json --to w", "--to w contains a set w.c.d of the dataset w already; give w.c another name"},
		{"evaluate " + c.Dir + with + "file", "file"},
		{"evaluate " + c.Dir + with + "file/below", "file"},
	})

	for _, use := range []wrongUse{ // found once the trials are listed
		{"evaluate " + bare.Dir + with + "new", "has no trials to evaluate on sets/clean.json; left out: 1 trial without weights"},
		{"evaluate " + many.Dir + with + "new", "left out: 1 trial of another number of classes than the 10 of clean"},
		{"evaluate " + c.Dir + with + "new --seeds 9", "has no trials to evaluate on sets/clean.json with --seeds 9"},
		{"evaluate " + c.Dir + with + "new --schedules 12", "has no trials to evaluate"},
	} {
		_, stderr, code := nb201(strings.Fields(use.args)...)
		listing, sentence, _ := strings.Cut(stderr, "\n")
		if code != 2 || !strings.HasPrefix(listing, "listing: ") || !strings.Contains(sentence, use.want) || strings.Count(sentence, "\n") != 1 {
			t.Errorf("%s: code %d, stderr %q; want 2 and %q", use.args, code, stderr, use.want)
		}
	}
	if _, err := os.Stat("new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("new was written: %v", err)
	}
}

// Of evaluations that have begun, images, definition and batch are fixed.
func TestEvaluateOthers(t *testing.T) {
	c, _ := smallEvaluation(t)
	if _, stderr, code := nb201("evaluate", c.Dir, "--dataset", "sets/clean.json", "--to", "begun", "--archs", "0", "--seeds", "1"); code != 0 {
		t.Fatal(stderr)
	}
	edited := func(path, to, old, new string) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err == nil && !bytes.Contains(text, []byte(old)) {
			err = fmt.Errorf("no %q in %s", old, text)
		}
		if err == nil {
			err = os.WriteFile(to, bytes.Replace(text, []byte(old), []byte(new), 1), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	edited("sets/clean.json", "sets/changed.json", "77.97", "77.98")
	edited("sets/changed.json", "sets/other.json", `"clean"`, `"other"`)
	_, stderr, code := nb201("evaluate", c.Dir, "--dataset", "sets/other.json", "--to", "other")
	if code != 0 || strings.Count(stderr, "warning: dataset other has mean [77.98") != 1 {
		t.Errorf("other normalisation: code %d, stderr %q", code, stderr)
	}
	again := "evaluate " + c.Dir + " --to begun --dataset "
	refuse(t, []wrongUse{
		{again + "sets/clean.json --batch 7", "contains evaluations on another clean: batch is 256, not 7"},
		{again + "sets/changed.json", "contains evaluations on another clean: "},
		{"query begun/evaluations/clean 0", "is part of the evaluations in begun"},
	})
	text, err := os.ReadFile("digits.npz")
	if err == nil {
		err = os.WriteFile("sets/clean.npz", text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	refuse(t, []wrongUse{{again + "sets/clean.json", "contains evaluations on another clean: SHA-256 of "}})
}

// A directory that cannot be written, and a full disk, end in one sentence.
func TestEvaluateWithoutRoom(t *testing.T) {
	c, _ := smallEvaluation(t)
	if err := os.Mkdir("disk", 0o777); err != nil {
		t.Fatal(err)
	}
	needs.Root(t, syscall.Mount("tmpfs", "disk", "tmpfs", 0, "size=64k,nr_inodes=100"))
	defer func() { _ = syscall.Unmount("disk", 0) }()
	ballast := make([]byte, 1<<16)
	_ = os.WriteFile("disk/ballast", ballast, 0o666) // as far as it fits
	_, stderr, code := nb201("evaluate", c.Dir, "--dataset", "sets/clean.json", "--to", "disk/new")
	if code != 2 || strings.Count(stderr, "\n") != 2 || !strings.Contains(stderr, "nb201: cannot write into disk/new: ") || !strings.Contains(stderr, "no space left on device") {
		t.Errorf("a full disk: code %d, %q", code, stderr)
	}
	if err := errors.Join(os.Remove("disk/ballast"), syscall.Mount("tmpfs", "disk", "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=64k,nr_inodes=100")); err != nil {
		t.Fatal(err)
	}
	_, stderr, code = nb201("evaluate", c.Dir, "--dataset", "sets/clean.json", "--to", "disk/new")
	if code != 2 || strings.Count(stderr, "\n") != 2 || !strings.Contains(stderr, "read-only file system") {
		t.Errorf("a read-only disk: code %d, %q", code, stderr)
	}
}

// absolute returns the absolute path of a file.
func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
