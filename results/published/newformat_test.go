package published

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/verify"
)

// toyReader reads a format that exists only in this test: NNNNNN.toy contains "toy ACCURACY" for
// the only trial of an architecture.
func toyReader() reader {
	name := regexp.MustCompile(`^(\d{6})\.toy$`)
	return reader{
		name: "toy", noun: "toys", clients: ofTopology("toys-v1"), example: "000000.toy",
		file: name, inDir: listMatching(name),
		open: func(_ context.Context, o *opening) (*benchmark.Benchmark, error) {
			paths, err := pathsByArchitecture(o.files, name, cell.Topology{})
			if err != nil {
				return nil, err
			}
			return benchmark.New(o.path, "toy", cell.Topology{}, cell.Topologies, slices.Collect(maps.Keys(paths)), toySource{paths, o}), nil
		},
		recognise: func(c *content) (Kind, bool) {
			return Kind{Format: "toy", what: "a toy", todo: "rename it, such as to 000000.toy"}, bytes.HasPrefix(c.head, []byte("toy "))
		},
	}
}

type toySource struct {
	paths map[int]string
	*opening
}

func (toySource) Close() error { return nil }

func (toySource) CheckFile(path string) (note string, faults []error) {
	if text, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(text, []byte("\n")) {
		faults = append(faults, fmt.Errorf("%s: no line", path))
	}
	return "", faults
}

func (s toySource) Architecture(index int) (*benchmark.Architecture, error) {
	text, err := os.ReadFile(s.paths[index])
	var accuracy float64
	if err == nil {
		_, err = fmt.Sscanf(string(text), "toy %g", &accuracy)
	}
	if err != nil {
		return nil, s.refuse(s.paths[index], usage.Errorf("%s: %w", s.paths[index], err))
	}
	a, err := benchmark.NewArchitecture(cell.Topology{}, index)
	if err != nil {
		return nil, err
	}
	measures := benchmark.Measures{Loss: benchmark.Consecutive(0, []float64{1}), Top1: benchmark.Consecutive(0, []float64{accuracy})}
	network, err := cell.Topology{}.ByIndex(index)
	if err != nil {
		return nil, err
	}
	n := cell.Network{Arch: network, Channels: 4, Cells: 1, Classes: 10, Size: 32}
	a.Add("1", &benchmark.ResultsCount{
		Trial: results.Trial{Arch: index, Dataset: "cifar10", Epochs: 1, Seed: 7}, Genotype: a.Genotype,
		Channels: 4, Cells: 1, Classes: 10, FLOPs: n.FLOPs(), Params: n.Params(),
		Training: measures, Evaluation: []benchmark.SetMeasures{{Set: "ori-test", Measures: measures}},
	})
	return a, nil
}

// TestNewFormat adds a format and checks that its reader is all that is needed to open, refuse,
// recognise, verify and list it.
func TestNewFormat(t *testing.T) {
	all := append(allReaders(), toyReader())
	dir := t.TempDir()
	for name, text := range map[string]string{"000003.toy": "toy 50\n", "000007.toy": "toy 60\n", "000009.toy": "toy 40\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "is neither a campaign nor a benchmark in a published format") {
		t.Fatalf("without its reader: %v", err)
	}
	b, err := all.openPath(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	best, err := b.FindBest(t.Context(), benchmark.Search{Dataset: "cifar10", Set: "test", HP: "1"})
	if err != nil || best.Index != 7 || best.Compared != 3 {
		t.Errorf("best %+v, %v", best, err)
	}
	one, err := all.openPath(t.Context(), filepath.Join(dir, "000003.toy"))
	if err != nil || !slices.Equal(one.Evaluated(), []int{3}) {
		t.Errorf("a file alone: %v, %v", one, err)
	}

	if r, err := verify.Run(t.Context(), b, verify.Options{}); err != nil || len(r.Faults) > 0 || r.Trials != 3 || r.Format != "toy" {
		t.Errorf("verified: %+v, %v", r, err)
	}
	bad := filepath.Join(dir, "000009.toy")
	if err := os.WriteFile(bad, []byte("toy x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Architecture(9); !errors.Is(err, results.ErrDamaged) || !strings.Contains(err.Error(), bad) {
		t.Errorf("damaged: %v", err)
	}
	r, err := verify.Run(t.Context(), b, verify.Options{})
	if err != nil || len(r.Faults) != 2 || r.Faults[0].Check != verify.CheckFiles || !strings.Contains(r.Faults[0].What, bad) {
		t.Errorf("damaged: verified: %+v, %v", r, err)
	}

	renamed := filepath.Join(t.TempDir(), "renamed.pth")
	if err := os.WriteFile(renamed, []byte("toy 50\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := all.openPath(t.Context(), renamed); !usage.Is(err) || err.Error() != renamed+" is a toy; rename it, such as to 000000.toy" {
		t.Errorf("renamed: %v", err)
	}
	if _, err := all.openPath(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "000000.pickle.pbz2 or nb201_cifar10_full_training.pickle or 000000.toy") {
		t.Errorf("an empty directory: %v", err)
	}
	getenv := func(string) string { return "/torch" }
	if path, err := all.defaultPath(getenv, "toy", cell.Topology{}); err != nil || path != "/torch/toys-v1" {
		t.Errorf("default path %s, %v", path, err)
	}
	if text := all.describe(); !strings.HasSuffix(text, ", toys") {
		t.Errorf("described as %s", text)
	}
}
