package results

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"nb201/cell"
	"nb201/internal/usage"
)

// Benchmark answers for the trials of a campaign or of a published file, one
// architecture at a time: no more of it is in memory. It is safe for concurrent use.
type Benchmark struct {
	Path   string
	Format Format
	// Listed counts the architectures that the benchmark is of, 0 to Listed-1 (the
	// clients' meta_archs); it may hold fewer.
	Listed int

	evaluated []int // architectures that it holds, ascending
	source    source
}

// source is where a Benchmark reads from.
type source interface {
	// architecture reads what is held of an architecture among the evaluated ones.
	architecture(index int) (*Architecture, error)
	close() error
}

// Close frees what the benchmark holds open.
func (b *Benchmark) Close() error { return b.source.close() }

// Evaluated lists the indices of the architectures that the benchmark holds, in
// ascending order. Do not change it.
func (b *Benchmark) Evaluated() []int { return b.evaluated }

// Architecture reads what the benchmark holds of an architecture. Asking for one that
// it does not hold is a usage error.
func (b *Benchmark) Architecture(index int) (*Architecture, error) {
	if _, ok := slices.BinarySearch(b.evaluated, index); !ok {
		if _, err := cell.ByIndex(index); err != nil {
			return nil, err
		}
		return nil, usage.Errorf("%s does not hold architecture %d: it holds %s", b.Path, index, describeIndices(b.evaluated))
	}
	return b.read(index)
}

// read reads an architecture that the benchmark holds, and refuses what only a file that
// is damaged or made to do harm has.
func (b *Benchmark) read(index int) (*Architecture, error) {
	a, err := b.source.architecture(index)
	if err == nil {
		if err := a.check(); err != nil {
			return nil, usage.Errorf("%s: architecture %d: %w", b.Path, index, err)
		}
	}
	return a, err
}

// Architectures reads all that the benchmark holds, in order of their indices. It ends
// with the first error.
func (b *Benchmark) Architectures() iter.Seq2[*Architecture, error] {
	return func(yield func(*Architecture, error) bool) {
		for _, index := range b.evaluated {
			a, err := b.read(index)
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// describeIndices names a few indices and how many there are.
func describeIndices(indices []int) string {
	switch n := len(indices); {
	case n == 0:
		return "none"
	case n == 1:
		return fmt.Sprintf("architecture %d alone", indices[0])
	case n == indices[n-1]-indices[0]+1:
		return fmt.Sprintf("the %d architectures %d to %d", n, indices[0], indices[n-1])
	default:
		return fmt.Sprintf("%d architectures from %d to %d", n, indices[0], indices[n-1])
	}
}

// campaignSource reads the records of a campaign. The trials are those that are done
// when it is asked.
type campaignSource struct{ Campaign }

func openCampaign(dir string) (*Benchmark, error) {
	b := &Benchmark{Path: dir, Format: CampaignFormat, Listed: cell.Count, source: campaignSource{Campaign{Dir: dir}}}
	folders, err := names(dir, "trials")
	if err != nil {
		return nil, usage.Errorf("%s is no campaign: it has no folder trials", dir)
	}
	for _, folder := range folders {
		if index, ok := parseArch(folder); ok {
			b.evaluated = append(b.evaluated, index)
		}
	}
	return b, nil
}

func (s campaignSource) close() error { return nil }

func (s campaignSource) architecture(index int) (*Architecture, error) {
	a, errs := s.salvage(index)
	if len(errs) > 0 && errors.Is(errs[0], ErrDamaged) {
		return nil, usage.Errorf("%w: nb201 run %s keeps it under another name, and trains the trial again if the plan has it", errs[0], s.Dir)
	}
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return a, nil
}
