package export

import (
	"fmt"
	"io"
	"path/filepath"

	"nb201/cell"
	"nb201/internal/torchfile"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// archiveWriter describes the format of two torch checkpoints per architecture.
func archiveWriter() writer {
	return writer{
		Traits: Traits{
			Format: published.Archive, Slots: FixedSlots, Weights: ChoiceAlways, OneSpace: true, Published: true, clients: true,
			About: `a directory of NNNNNN-FULL.pth (with weights) and NNNNNN-SIMPLE.pth
for each architecture, which NASBench201API.reload reads`,
		},
		completeTimes: true,
		layout: func(o *Options, space cell.Space) layout {
			c := encoding{of: originalOf(space), constant: o.Times == Published}
			return layout{begin: func(dir string) (partWriter, error) { return archive{dir, c}, nil }, fill: moveParts, published: published.ArchiveName}
		},
	}
}

// archive writes the files that exps/NAS-Bench-201/statistics.py (simplify) writes.
type archive struct {
	dir string
	encoding
}

func (w archive) add(a *benchmark.Architecture) error {
	for _, kind := range []struct {
		name    string
		weights func(torchfile.StateDict) (any, error)
	}{{"FULL", torchWeights}, {"SIMPLE", nil}} {
		w.weights = kind.weights
		value, err := w.encodeSlots(a)
		if err != nil {
			return err
		}
		path := filepath.Join(w.dir, fmt.Sprintf("%06d-%s.pth", a.Index, kind.name))
		if err := writeFile(path, func(w io.Writer) error { return torchfile.Write(w, value) }); err != nil {
			return err
		}
	}
	return nil
}

func (archive) close() error { return nil }
