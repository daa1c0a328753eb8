package fullsize

import (
	"path/filepath"
	"strconv"
	"testing"

	"nb201/internal/needs"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// synthetic is a [benchmark.Source] that makes the trials of an architecture when it is read.
type synthetic struct{ t *testing.T }

func (s synthetic) Architecture(index int) (*benchmark.Architecture, error) {
	a, err := benchmark.NewArchitecture(index)
	if err != nil {
		return nil, err
	}
	for _, trial := range trials(index) {
		a.Add(strconv.Itoa(trial.Epochs), benchmark.FromRecord(resultstest.Synthetic(s.t, trial)))
	}
	return a, nil
}

func (synthetic) CheckFile(string) (string, []error) { return "", nil }

func (synthetic) Close() error { return nil }

// TestSynthetic writes the benchmark that make pictures draws.
func TestSynthetic(t *testing.T) {
	to := filepath.Join(needs.FullSize(t), "synthetic")
	archs := make([]int, architectures(t))
	for i := range archs {
		archs[i] = i
	}
	b := benchmark.New(t.TempDir(), "synthetic", len(archs), archs, synthetic{t})
	if _, err := export.Run(t.Context(), b, export.Options{Format: published.Parquet, To: to}); err != nil {
		t.Fatal(err)
	}
}
