package export

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/resultstest"
)

// toyWriter writes a format that only this test knows: NNNNNN.toy with the number of trials.
func toyWriter() writer {
	return writer{
		Traits: Traits{Format: "toy", About: "toys", Weights: ChoiceAsked},
		layout: func(*Options, cell.Space) layout {
			return layout{begin: func(dir string) (partWriter, error) { return toys(dir), nil }, fill: moveParts}
		},
	}
}

type toys string

func (dir toys) add(a *benchmark.Architecture) error {
	trials := 0
	for _, s := range a.Schedules {
		trials += len(s.Results)
	}
	return writeFile(filepath.Join(string(dir), fmt.Sprintf("%06d.toy", a.Index)), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "toy %d\n", trials)
		return err
	})
}

func (toys) close() error { return nil }

// TestNewFormat adds a format: its writer is everything that listing formats, checking
// options and exporting need.
func TestNewFormat(t *testing.T) {
	all := append(allWriters(), toyWriter())
	b := open(t, resultstest.Fill(t, trial(3, "cifar10", 2, 1), trial(3, "cifar10", 2, 2), trial(40, "digits", 3, 1)).Dir)
	defer b.Close()
	to := filepath.Join(t.TempDir(), "toys")
	if _, err := Run(t.Context(), b, Options{Format: "toy", To: to}); !usage.Is(err) || !strings.Contains(err.Error(), `unknown format "toy"`) {
		t.Fatalf("without its writer: %v", err)
	}
	if _, err := all.run(t.Context(), b, Options{Format: "toys", To: to}); err == nil || !strings.Contains(err.Error(), "parquet, csv, toy") {
		t.Errorf("listed: %v", err)
	}
	if _, err := all.run(t.Context(), b, Options{Format: "csv", Weights: true, To: to}); err == nil || !strings.Contains(err.Error(), "only nats and toy can add them") {
		t.Errorf("weights: %v", err)
	}
	if _, err := all.run(t.Context(), b, Options{Format: "toy", Merged: true, To: to}); err == nil || !strings.Contains(err.Error(), "toy has no merged form; only nats has one") {
		t.Errorf("merged: %v", err)
	}
	report, err := all.run(t.Context(), b, Options{Format: "toy", To: to})
	if err != nil || report.Architectures != 2 || report.Trials != 3 || len(report.Slots) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	for name, want := range map[string]string{"000003.toy": "toy 2\n", "000040.toy": "toy 1\n"} {
		if text, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
	}
}
