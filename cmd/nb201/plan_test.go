package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/plan"
)

// planned returns what nb201 plan --json prints.
func planned(t *testing.T, args ...string) planView {
	t.Helper()
	stdout, stderr, code := nb201(append([]string{"plan", "--json"}, args...)...)
	var v planView
	if err := json.Unmarshal([]byte(stdout), &v); code != 0 || stderr != "" || err != nil {
		t.Fatalf("nb201 plan %q: code %d, stderr %q, %v", args, code, stderr, err)
	}
	return v
}

func refusedPlan(t *testing.T, want string, args ...string) {
	t.Helper()
	stdout, stderr, code := nb201(append([]string{"plan"}, args...)...)
	if code != 2 || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("nb201 plan %q: code %d, stdout %q, stderr %q; want 2 and %q", args, code, stdout, stderr, want)
	}
}

// publish adds a trial to the campaign, with the settings of its plan.
func publish(t *testing.T, dir string, trial results.Trial) {
	t.Helper()
	p, err := plan.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := resultstest.Record(t, trial)
	r.Precision = p.Settings.Precision
	resultstest.Resize(t, r, p.Settings.Channels, p.Settings.Cells)
	definition, err := p.Definition(trial.Dataset)
	if err == nil {
		r.Definition, err = json.Marshal(definition)
	}
	if err == nil {
		err = results.Campaign{Dir: dir}.Publish(r, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A plan is made, shown, extended and, while none of its trials are finished, replaced.
func TestPlan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "campaign")
	lists := []string{dir, "--archs", "0-9", "--datasets", "digits", "--epochs", "2", "--seeds", "777"}
	if v := planned(t, append(lists, "--precision", "fp64", "--channels", "2")...); v.Trials != 10 || v.New != 10 || v.Left != 10 || v.Rate != nil {
		t.Errorf("made: %+v", v)
	}
	refusedPlan(t, `precision is "fp64", not "fp32"; none of its trials has finished, so use --replace to replace it`, append(lists, "--precision", "fp32")...)
	refusedPlan(t, `--replace starts a new plan; give its trials`, dir, "--replace")
	if v := planned(t, append(lists, "--replace", "--channels", "2", "--cells", "1")...); v.Settings.Precision != "fp32" || v.New != 10 {
		t.Errorf("replaced: %+v", v)
	}
	text, err := os.ReadFile(plan.Path(dir))
	if err != nil {
		t.Fatal(err)
	}

	// Planning the same trials again changes nothing; settings that are not given are the plan's.
	for _, args := range [][]string{{dir}, lists, {dir, "--channels", "2"}} {
		if v := planned(t, args...); v.Trials != 10 || v.New != 0 || v.Settings.Channels != 2 {
			t.Errorf("%q: %+v", args, v)
		}
		if again, err := os.ReadFile(plan.Path(dir)); err != nil || string(again) != string(text) {
			t.Errorf("%q changed the plan", args)
		}
	}

	publish(t, dir, results.Trial{Arch: 3, Dataset: "digits", Epochs: 2, Seed: 777})
	more := []string{dir, "--archs", "5-14", "--datasets", "digits", "--epochs", "2,3", "--seeds", "777", "--devices", "4", "--per-device", "2"}
	v := planned(t, more...)
	if v.Trials != 25 || v.New != 15 || v.Done != 1 || v.Left != 24 || len(v.Parts) != 2 || v.Parts[0].Done != 1 {
		t.Errorf("extended: %+v", v)
	}
	all, left := v.Estimate["all"], v.Estimate["left"]
	if v.Rate == nil || v.Rate.Trials != 1 || all.DeviceHours <= left.DeviceHours || left.DeviceHours <= 0 ||
		!closeTo(all.DeviceHours, all.Seconds/3600/2) || !closeTo(all.Days, all.DeviceHours/24/4) || left.Files != 48 {
		t.Errorf("estimate: %+v of %+v", all, v.Rate)
	}
	refusedPlan(t, "channels is 2, not 16; finished trials trained with it: 1 of 1; plan a new campaign in another directory", append(lists, "--channels", "16")...)
	refusedPlan(t, "--replace needs a plan without finished trials, but architecture 3 on digits, 2 epochs, seed 777 is finished", append(lists, "--replace")...)

	// A trial outside the plan is reported. It can be added only if it fits the plan.
	publish(t, dir, results.Trial{Arch: 100, Dataset: "digits", Epochs: 2, Seed: 777})
	v = planned(t, dir)
	if len(v.Foreign) != 1 || v.Foreign[0].Arch != 100 || v.Done != 1 {
		t.Errorf("with a trial outside the plan: %+v", v)
	}
	lists[2] = "100"
	if v := planned(t, lists...); len(v.Foreign) != 0 || v.Done != 2 || v.Trials != 26 {
		t.Errorf("taken in: %+v", v)
	}
	r := resultstest.Record(t, results.Trial{Arch: 101, Dataset: "digits", Epochs: 2, Seed: 777})
	r.Definition = bytes.Replace(r.Definition, []byte("[77.97,77.97,77.97]"), []byte("[125.3,123,113.9]"), 1)
	resultstest.Mix(t, results.Campaign{Dir: dir}, r)
	lists[2] = "101"
	refusedPlan(t, "architecture 101 on digits, 2 epochs, seed 777 has already finished with settings that differ from the plan: mean of the pixels is [125.3,123,113.9], not [77.97,77.97,77.97]; channels (C) is 8, not 2", lists...)
}

func closeTo(a, b float64) bool { return a-b < 1e-9*b && b-a < 1e-9*b }

func TestPlanPrinted(t *testing.T) {
	t.Chdir(t.TempDir())
	text := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := nb201(append([]string{"plan"}, args...)...)
		if code != 0 || stderr != "" {
			t.Fatalf("nb201 plan %q: code %d, stderr %q", args, code, stderr)
		}
		return stdout
	}
	has := func(text string, lines ...string) {
		t.Helper()
		fields := strings.Join(strings.Fields(text), " ")
		for _, line := range lines {
			if !strings.Contains(fields, line) {
				t.Errorf("no %q in\n%s", line, text)
			}
		}
	}
	whole := text("whole", "--preset", "nas-bench-201-v1_1", "--rate", "10000", "--devices", "8")
	has(whole,
		"parity 2019, timeline dec2019, 4 workers, fp32, C=16, N=5, batch 256, weights kept",
		"1 0-15624 (15625) cifar10-valid,cifar10,cifar100,ImageNet16-120 12 111 62500 0",
		"2 0-15624 (15625) cifar10-valid 12 777 15625 0",
		"3 0-15624 (15625) cifar10-valid,cifar10,cifar100,ImageNet16-120 200 777,888,999 187500 0",
		"265625 trials: 265625 new, 0 done, 265625 left",
		"million images to train on 2650631 2650631", // 15625 x (12 x (276700 + 25000) + 200 x 3 x 276700), 276700 in the four keys
		"device-hours 80507 80507",
		"days on 8 devices 419 419",
		"files 531250 531250",
		"Rate, as given: a device trains 10000 and evaluates 30000 images per second.")
	has(text("whole"), "265625 trials: 0 new", "No training rate is known")
	sample := text("sample", "--preset", "sample", "--datasets", "digits", "--weights", "drop")
	has(sample, "(28) digits 12 777 28 0", "weights dropped", "weights 0 B 0 B", "files 28 28")
	publish(t, "sample", results.Trial{Arch: 0, Dataset: "digits", Epochs: 12, Seed: 777})
	has(text("other", "--preset", "sample", "--like", "sample"),
		"CPU-hours", "Rate, measured on 1 trial of 1 architecture (cpu)", "This rate is rough")
	refusedPlan(t, "cannot measure a rate on sample, which has no finished trial in fp64", "fp64", "--preset", "sample", "--precision", "fp64", "--like", "sample")
	if _, err := os.Stat("fp64"); err == nil {
		t.Error("a refused plan was written")
	}
}

// The same plan is always the same JSON.
func TestPlanJSONIsStable(t *testing.T) {
	t.Chdir(t.TempDir())
	args := []string{"plan", "c", "--archs", "0-9", "--datasets", "digits", "--epochs", "3", "--seeds", "777"}
	if _, stderr, code := nb201(args...); code != 0 {
		t.Fatal(stderr)
	}
	first, _, _ := nb201("plan", "c", "--json")
	for range 20 {
		if again, _, _ := nb201("plan", "c", "--json"); again != first {
			t.Fatalf("%s\nand then\n%s", first, again)
		}
	}
}
