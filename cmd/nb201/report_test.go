package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan/plantest"
)

// The report of a campaign has its progress and its failures before the first trial has finished. What
// has no plan either is not a campaign.
func TestReportBegun(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "report.html")
	campaign := filepath.Join(dir, "campaign")
	if err := os.Mkdir(campaign, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201("report", campaign, "--to", page); code != 2 || !strings.Contains(stderr, "neither a campaign") {
		t.Errorf("without a plan: code %d, stderr %q", code, stderr)
	}
	plantest.Digits(t, campaign, 3, []int{2}, 1)
	f := attempt.Failure{
		Trial:    results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 1},
		Attempts: []attempt.FailedAttempt{{Host: "node1", Device: "cpu", Kind: attempt.OutOfMemory, Reason: "RESOURCE_EXHAUSTED: 3 GiB"}},
	}
	if err := f.Write(campaign); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := nb201("report", campaign, "--to", page)
	if want := page + ": 0 trials of 0 architectures in " + campaign + "\n"; code != 0 || stdout != want {
		t.Fatalf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"planned":3`, `"reason":"RESOURCE_EXHAUSTED: 3 GiB"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the page lacks %s", part)
		}
	}
}
