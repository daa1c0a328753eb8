package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/compare"
	"nb201/results/resultstest"
)

func TestCompare(t *testing.T) {
	a := resultstest.Fill(t, resultstest.Grid(4, 11)...)
	b := resultstest.Fill(t, results.Trial{Arch: 11, Dataset: "cifar10", Epochs: 2, Seed: 222},
		results.Trial{Arch: 4, Dataset: "cifar100", Epochs: 3, Seed: 777})
	page := filepath.Join(t.TempDir(), "compare.html")
	stdout, stderr, code := nb201("compare", a.Dir, b.Dir, "--report", page)
	if code != 0 {
		t.Fatal(stderr)
	}
	stdout = strings.Join(strings.Fields(stdout), " ")
	for _, want := range []string{
		"in common: 2 architectures",
		"cifar100 3 ori-test 1 1 0.000 - 0.000 0.000 0.410 - 0.000 - -",
		"A and B have no such trial in common",
		"seed A B difference cifar10 2 ori-test 11 mean ",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "</html>") {
		t.Errorf("the page: %v\n%s", err, text)
	}
	stdout, _, code = nb201("compare", a.Dir, a.Dir, "--json")
	var report compare.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 || report.Common != 2 || len(report.Comparisons) != 26 ||
		report.Comparisons[0].Top1.MaxAbs != 0 || *report.Comparisons[0].Top1.Kendall != 1 || *report.Comparisons[0].Top1.Spearman != 1 {
		t.Errorf("code %d, %v:\n%s", code, err, stdout)
	}
	_, stderr, code = nb201("compare", b.Dir, resultstest.Fill(t, results.Trial{Arch: 5, Dataset: "digits", Epochs: 1, Seed: 1}).Dir)
	if code != 2 || !strings.Contains(stderr, "have nothing in common to compare") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}
