package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/seal"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/results/verify"
)

func TestVerify(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(4)...)
	stdout, _, code := nb201("verify", c.Dir)
	lines := strings.Split(stdout, "\n")
	if code != 0 || !strings.Contains(stdout, "trials         12, 12 with weights\n") || !slices.Contains(lines, c.Dir+"  no faults") {
		t.Errorf("code %d:\n%s", code, stdout)
	}
	gone := results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 3, Seed: 888}
	if err := os.Remove(c.WeightsPath(gone)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "trials", "note"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := nb201("verify", c.Dir)
	for _, want := range []string{
		"notes:\n  " + c.Dir + "/trials/note does not have the name of a trial's file",
		"faults:\n  architecture 4 on cifar10, 3 epochs, seed 888: weights: cannot read weights: open ",
		c.Dir + "  1 fault\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if code != 3 || !strings.HasSuffix(stderr, "nb201: "+c.Dir+" has 1 fault\n") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	stdout, _, code = nb201("verify", c.Dir, "--json")
	var report verify.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 3 || len(report.Faults) != 1 || *report.Faults[0].Trial != gone {
		t.Errorf("code %d, %v:\n%s", code, err, stdout)
	}
}

// TestVerifyContradictions checks that verify finds each contradiction in the record of a real trial:
// in a record of this version, with a SHA-256 that matches, and in one of an earlier version.
func TestVerifyContradictions(t *testing.T) {
	const kept = "testdata/campaign/trials/000004/digits/0002-0777.json"
	c := results.Campaign{Dir: t.TempDir()}
	path := c.RecordPath(results.Trial{Arch: 4, Dataset: "digits", Epochs: 2, Seed: 777})
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	type list = []any
	part := func(r object, keys ...string) object {
		for _, key := range keys {
			r = r[key].(object)
		}
		return r
	}
	set := func(key string, value any, keys ...string) func(object) {
		return func(r object) { part(r, keys...)[key] = value }
	}
	evaluated := func(key string, value any) func(object) {
		return func(r object) { r["evaluation"].(list)[0].(object)[key] = value }
	}
	weights := func(name string) object { return object{"name": name, "sha256": strings.Repeat("0", 64)} }
	for name, x := range map[string]struct {
		change func(object)
		want   string // "" for none
	}{
		"unchanged":   {func(object) {}, ""},
		"classes":     {set("classes", 12, "dataset_definition"), "record: dataset definition: it defines digits, 12 classes"},
		"name":        {set("name", "cifar100", "dataset_definition"), "record: dataset definition: it defines cifar100"},
		"size":        {set("size", list{32, 32}, "dataset_definition"), "record: dataset definition: it defines digits, 10 classes and 32 pixels"},
		"set renamed": {func(r object) { part(r, "dataset_definition")["eval"].(list)[0].(object)["name"] = "x-test" }, "record: dataset definition: it differs from that of digits"},
		"a set more": {func(r object) {
			d := part(r, "dataset_definition")
			d["eval"] = append(d["eval"].(list), object{"name": "x-valid", "from": "test", "order": "sequential"})
		}, "record: dataset definition: it differs from that of digits"},
		"unknown key":         {set("zzz", 1, "dataset_definition"), `record: dataset definition: unknown key "zzz"`},
		"9 images":            {set("images", 9, "training"), "record: the batch size, 256, is larger than the training set of 9 images"},
		"1 image":             {evaluated("images", 1), "record: ori-test: top1_percent[0] is"},
		"finished before":     {set("finished", "2020-01-01T00:00:00Z"), "record: it finished at"},
		"year 9999":           {set("started", "9999-01-01T00:00:00Z"), "record: it started at"},
		"long passes":         {set("seconds", list{1e6, 1e6}, "training"), "record: its passes took 2000000 s, more than the whole trial, 17 s"},
		"attempts":            {set("attempts", 1e9), "record: attempts is 1000000000"},
		"top-5":               {set("top5_percent", list{1, 1}, "training"), "record: training: top5_percent[0] is 1, less than"},
		"loss":                {set("loss", list{1e300, 1e300}, "training"), "record: training: loss[0] is 1e+300"},
		"no share":            {set("top1_percent", list{33.3333, 33.3333}, "training"), "record: training: top1_percent[0] is 33.3333, not a whole number of the 1347 images"},
		"learning rate":       {set("learning_rate", 1e9, "recipe"), "the recipe's key \"learning_rate\" must be"},
		"batch":               {set("batch", 100000, "recipe"), "record: the batch size, 100000, is larger"},
		"precision":           {set("precision", "quantum\x1b[31m"), `record: "quantum\x1b[31m" contains characters that do not print`},
		"weights":             {set("weights", weights("../../x.pth")), `record: the weights file is named "../../x.pth"`},
		"profile":             {set("profile", "xx", "parity"), `record: unknown parity profile "xx"`},
		"channels":            {set("channels", 17, "recipe"), "files: "},
		"another precision":   {set("precision", "fp16"), `record: unknown precision "fp16"`},
		"timeline":            {set("timeline", "may2020", "parity"), `record: unknown timeline "may2020"`},
		"optimizer":           {set("optimizer", "Adam", "recipe"), `the recipe's key "optimizer" must be SGD, not "Adam"`},
		"images of the test":  {evaluated("images", 900), "record: dataset definition: it has 450 images of ori-test, but the record has 900"},
		"set of the record":   {evaluated("set", "x-test"), "record: dataset definition: it has the evaluation set ori-test where the record has x-test"},
		"pixels":              {set("mean", list{1, 2, 3}, "dataset_definition"), "record: dataset definition: it differs from that of digits"},
		"low loss":            {evaluated("loss", list{0.1, 0.1}), "record: ori-test: loss[0] is 0.1, less than"},
		"momentum":            {set("momentum", 1.5, "recipe"), "record: the recipe's key \"momentum\" must be from 0 to below 1, not 1.5"},
		"weights of another":  {set("weights", weights("0002-0778.pth")), "this trial's is 0002-0777.pth"},
		"a version's newline": {set("gomlx", "v0\nfine", "versions"), `record: "v0\nfine" contains characters that do not print`},
	} {
		for _, version := range []int{1, 2} {
			var r object
			if err := json.Unmarshal(whole, &r); err != nil {
				t.Fatal(err)
			}
			r["format_version"] = version
			x.change(r)
			text, err := json.MarshalIndent(r, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if version == 2 {
				text = seal.Seal(text)
			}
			if err := os.WriteFile(path, text, 0o666); err != nil {
				t.Fatal(err)
			}
			stdout, _, code := nb201("verify", c.Dir)
			if x.want == "" && code != 0 || x.want != "" && (code != 3 || !strings.Contains(stdout, x.want)) {
				t.Errorf("%s, format version %d: code %d, want %q in\n%s", name, version, code, x.want, stdout)
			}
			if unsealed := "1 of 1 records contain no SHA-256; an older version wrote them"; version == 1 != strings.Contains(stdout, unsealed) && name != "channels" {
				t.Errorf("format version %d:\n%s", version, stdout)
			}
		}
	}
	stdout, _, _ := nb201("verify", "testdata/campaign", "--json")
	var report verify.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || report.Unsealed != 1 {
		t.Errorf("%v: %d records without a SHA-256", err, report.Unsealed)
	}
}

// TestReevaluate trains a trial. Its weights must give the accuracies in its record, and verify must
// notice that a record was altered.
func TestReevaluate(t *testing.T) {
	dir := t.TempDir()
	_, stderr, code := nb201("train", "4", "--dataset", "digits", "--epochs", "2", "--seed", "777", "--channels", "2", "--cells", "1", "--out", dir)
	if code != 0 {
		t.Fatal(stderr)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "running")); err != nil || len(left) > 0 {
		t.Errorf("the trained trial left %v (%v)", left, err)
	}
	stdout, stderr, code := nb201("verify", dir, "--reevaluate", "--json")
	var report verify.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
		t.Fatalf("code %d, %s\n%s", code, stderr, stdout)
	}
	if last := report.Checks[len(report.Checks)-1]; last != (verify.Count{Check: verify.CheckReevaluation, Checked: 1}) {
		t.Errorf("evaluated again: %+v", last)
	}
	c := results.Campaign{Dir: dir}
	trial := results.Trial{Arch: 4, Dataset: "digits", Epochs: 2, Seed: 777}
	r, err := c.Record(trial)
	if err != nil {
		t.Fatal(err)
	}
	r.Eval[0].Loss[1] *= 1.01
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.RecordPath(trial), text, 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, _, code = nb201("verify", dir, "--reevaluate")
	if code != 3 || !strings.Contains(stdout, "reevaluation: ori-test: the weights give a loss of") {
		t.Errorf("code %d:\n%s", code, stdout)
	}
}
