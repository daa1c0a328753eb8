package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/resultstest"
)

func TestSpaceOfAnArchitecture(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"arch 8:8:8:16:32", "architecture  11 of the size search space\nwidths        8:8:8:16:32\n"},
		{"arch 11 --space sss", "widths        8:8:8:16:32\n"},
		{"arch 11", "genotype           |"},
		{"arch 11 --space tss", "genotype           |"},
		{"recipe list --space sss", "\n01 "},
		{"recipe show 90 --space sss", "schedule 90, SHA-256 fa51cd09ddf0"},
	} {
		stdout, stderr, code := nb201(strings.Fields(c.args)...)
		if code != 0 || !strings.Contains(stdout, c.want) {
			t.Errorf("%s exits with %d: %s%s", c.args, code, stdout, stderr)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"arch 8:8:8:8:8 --space tss", "is of the size search space, not of the topology search space"},
		{"arch 20000", "use 0 to 15624 in the topology search space, or the size search space (sss)"},
		{"arch 40000", "use 0 to 15624 in the topology search space"},
		{"arch 32768 --space sss", "use 0 to 32767 in the size search space"},
		{"arch 0 --space x", `unknown search space "x"; use tss (topology search space) or sss (size search space)`},
		{"arch 8:8:8:8", "want 5 widths joined by ':'"},
		{"arch 8:8:8:8:8 --channels 16", "--channels does not apply to the size search space"},
		{"arch --all --space sss --cells 5 --json", "--cells does not apply to the size search space"},
		{"train 8:8:8:8:8 --dataset digits --epochs 1 --seed 1 --out new --cells 1", "--cells does not apply to the size search space"},
		{"latency --archs 0,8:8:8:8:8 --channels 2", "--channels does not apply to the size search space"},
		{"init-weights 0 --space sss --channels 8 --seed 1 --to new.pth", "--channels does not apply to the size search space"},
		{"plan new --preset nats-sss-v1_0 --space tss", "preset nats-sss-v1_0 is of the size search space (sss), not of tss"},
		{"plan new --archs 8:8:8:8:8 --space tss --datasets digits --epochs 1 --seeds 1", "is of the size search space, not of the topology search space"},
		{"plan new --archs 15625 --datasets digits --epochs 1 --seeds 1", "out of range; use 0 to 15624 in the topology search space"},
	} {
		stdout, stderr, code := nb201(strings.Fields(c.args)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s exits with %d: %s%s, want 2 and %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

func TestArchOfSizesAsJSON(t *testing.T) {
	var view struct {
		Space, Genotype string
		Index           int
		Lists, Matrix   any
		Costs           []map[string]any
	}
	stdout, stderr, code := nb201("arch", "24:40:56:8:64", "--json")
	if err := json.Unmarshal([]byte(stdout), &view); err != nil || code != 0 {
		t.Fatalf("%d: %v: %s", code, err, stderr)
	}
	if view.Space != "sss" || view.Genotype != "24:40:56:8:64" || view.Index != 10631 || view.Lists != nil || view.Matrix != nil || len(view.Costs) != 4 {
		t.Errorf("%s", stdout)
	}
	for _, c := range view.Costs {
		if c["channels"] != nil || c["cells"] != nil || c["flops_millions"] == nil {
			t.Errorf("costs %v", c)
		}
	}
	svg := filepath.Join(t.TempDir(), "widths.svg")
	if _, stderr, code := nb201("arch", "24:40:56:8:64", "--svg", svg); code != 0 {
		t.Fatalf("--svg: %s", stderr)
	}
	if _, stderr, code := nb201("arch", "0", "--svg", svg); code != 0 { // replaces an earlier drawing
		t.Errorf("--svg: %s", stderr)
	}
}

// The initial weights differ between architectures of the same index.
func TestInitialWeightsOfSizes(t *testing.T) {
	to := filepath.Join(t.TempDir(), "initial.pth")
	if _, stderr, code := nb201("init-weights", "11", "--space", "sss", "--seed", "777", "--to", to); code != 0 {
		t.Fatal(stderr)
	}
	weights, err := torchfile.ReadStateDict(to)
	if err != nil || len(weights) != 135 || !slices.Equal(weights[0].Shape, []int{8, 3, 3, 3}) {
		t.Errorf("%d tensors, %v", len(weights), err)
	}
}

// A directory has architectures of one space, and extending a plan keeps its space.
func TestSpaceOfACampaign(t *testing.T) {
	trial := results.Trial{Space: "sss", Arch: 11, Dataset: "digits", Epochs: 1, Seed: 777}
	dir := resultstest.Fill(t, trial).Dir
	if _, err := os.Stat(filepath.Join(dir, "trials", "sss-000011", "digits", "0001-0777.json")); err != nil {
		t.Error(err)
	}
	stdout, stderr, code := nb201("query", dir, "8:8:8:16:32", "--schedule", "01")
	if code != 0 || !strings.Contains(stdout, "architecture 11  8:8:8:16:32") {
		t.Errorf("query exits with %d: %s%s", code, stdout, stderr)
	}
	_, stderr, code = nb201("query", dir, "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
	if code != 2 || !strings.Contains(stderr, "is of the topology search space, not of the size search space") {
		t.Errorf("a genotype string exits with %d: %s", code, stderr)
	}
	_, stderr, code = nb201("train", "11", "--dataset", "digits", "--epochs", "1", "--seed", "777", "--out", dir)
	if code != 2 || !strings.Contains(stderr, "holds trials of the size search space, not of the topology search space; use another directory") {
		t.Errorf("training in it exits with %d: %s", code, stderr)
	}
	plan := func(args ...string) (stdout, stderr string, code int) {
		return nb201(append([]string{"plan", dir, "--datasets", "digits", "--epochs", "1", "--seeds", "777", "--batch", "64"}, args...)...)
	}
	if _, stderr, code = plan("--archs", "8:8:8:8:8"); code != 0 {
		t.Fatal(stderr)
	}
	if stdout, stderr, code = plan("--archs", "32767"); code != 0 || !strings.Contains(stdout, "0,32767 (2)") && !strings.Contains(stdout, "0, 32767 (2)") {
		t.Errorf("an index exits with %d: %s%s", code, stdout, stderr)
	}
	if _, stderr, code = plan("--archs", "0", "--space", "tss"); code != 2 || !strings.Contains(stderr, "the existing plan is of the size search space, not of the topology search space") {
		t.Errorf("the other space exits with %d: %s", code, stderr)
	}
	copied := t.TempDir()
	for _, campaign := range []string{dir, resultstest.Fill(t, results.Trial{Arch: 11, Dataset: "digits", Epochs: 1, Seed: 777}).Dir} {
		if err := os.CopyFS(filepath.Join(copied, "trials"), os.DirFS(filepath.Join(campaign, "trials"))); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code = nb201("query", copied, "11"); code != 2 || !strings.Contains(stderr, "architectures of two search spaces, such as trials/000011 and trials/sss-000011") {
		t.Errorf("a directory of both spaces exits with %d: %s", code, stderr)
	}
}
