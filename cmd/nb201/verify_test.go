package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/resultstest"
	"nb201/results/verify"
)

func TestVerify(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(4)...)
	stdout, _, code := nb201("verify", c.Dir)
	lines := strings.Split(stdout, "\n")
	if code != 0 || !strings.Contains(stdout, "trials         12, 12 with weights\n") || !slices.Contains(lines, c.Dir+"  sound") {
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
		"notes:\n  " + c.Dir + "/trials/note has not the name of a trial's file",
		"faults:\n  architecture 4 on cifar10, 3 epochs, seed 888: weights: cannot read weights: open ",
		c.Dir + "  1 fault\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if code != 3 || !strings.HasSuffix(stderr, "nb201: "+c.Dir+" is not sound: 1 fault\n") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	stdout, _, code = nb201("verify", c.Dir, "--json")
	var report verify.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 3 || len(report.Faults) != 1 || *report.Faults[0].Trial != gone {
		t.Errorf("code %d, %v:\n%s", code, err, stdout)
	}
}

// TestReevaluate trains a trial and has its weights give what its record says, and an
// altered record found out.
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
	if last := report.Checks[len(report.Checks)-1]; last != (verify.Count{Check: verify.Reevaluation, Checked: 1}) {
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
