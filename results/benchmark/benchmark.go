package benchmark

import (
	"fmt"
	"iter"
	"slices"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
)

// Format is the name of a form in which a benchmark is kept: of a campaign or of one of the
// published formats, which package published reads.
type Format string

// Benchmark answers for the trials of a campaign or of a published file, one
// architecture at a time: no more of it is in memory. It is safe for concurrent use.
type Benchmark struct {
	Path   string
	Format Format
	// Listed counts the architectures that the benchmark is of, 0 to Listed-1 (the
	// clients' meta_archs); it may hold fewer.
	Listed int

	evaluated []int // architectures that it holds, ascending
	source    Source
}

// Source is where a Benchmark reads from: a reader of one format.
type Source interface {
	// Architecture reads what is held of an architecture among the evaluated ones. What is
	// wrong with a file is a usage error that names it, and results.ErrDamaged unless the
	// system refused to read it.
	Architecture(index int) (*Architecture, error)
	// CheckFile checks one file of the benchmark by itself, as far as that takes no
	// Architecture: faults are what is wrong with it, and note what its owner should know,
	// "" for nothing. They name the file.
	CheckFile(path string) (note string, faults []error)
	Close() error
}

// salvager is a Source that can read a part of an architecture.
type salvager interface {
	Salvage(index int) (*Architecture, []error)
}

// ofCampaign is a Source that reads a campaign.
type ofCampaign interface{ Campaign() results.Campaign }

// New is the benchmark at path that source reads: it is of the first listed architectures
// and holds those of evaluated, given in any order.
func New(path string, format Format, listed int, evaluated []int, source Source) *Benchmark {
	return &Benchmark{Path: path, Format: format, Listed: listed, evaluated: slices.Sorted(slices.Values(evaluated)), source: source}
}

// Close frees what the benchmark holds open.
func (b *Benchmark) Close() error { return b.source.Close() }

// Evaluated lists the indices of the architectures that the benchmark holds, in
// ascending order. Do not change it.
func (b *Benchmark) Evaluated() []int { return b.evaluated }

// Campaign is the campaign that the benchmark is; ok is false for published files.
func (b *Benchmark) Campaign() (c results.Campaign, ok bool) {
	s, ok := b.source.(ofCampaign)
	if ok {
		c = s.Campaign()
	}
	return c, ok
}

// Architecture reads what the benchmark holds of an architecture. Asking for one that
// it does not hold is ErrNotHeld.
func (b *Benchmark) Architecture(index int) (*Architecture, error) {
	if err := b.checkHeld(index); err != nil {
		return nil, err
	}
	return b.read(index)
}

// checkHeld refuses an architecture that the benchmark does not hold.
func (b *Benchmark) checkHeld(index int) error {
	if _, ok := slices.BinarySearch(b.evaluated, index); ok {
		return nil
	}
	if _, err := cell.ByIndex(index); err != nil {
		return usage.Mark(ErrNotHeld, err)
	}
	return notHeld("%s does not hold architecture %d: it holds %s", b.Path, index, describeIndices(b.evaluated))
}

// read reads an architecture that the benchmark holds, and refuses what only a file that
// is damaged or made to do harm has.
func (b *Benchmark) read(index int) (*Architecture, error) {
	a, err := b.source.Architecture(index)
	if err == nil {
		if err := a.check(); err != nil {
			return nil, usage.Mark(results.ErrDamaged, usage.Errorf("%s: architecture %d: %w", b.Path, index, err))
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

// Salvage reads what can be read of an architecture, and says what is wrong with the
// rest: a damaged record of a campaign costs its trial alone, in other formats a
// damaged file costs the architecture, which is then nil.
func (b *Benchmark) Salvage(index int) (*Architecture, []error) {
	if s, ok := b.source.(salvager); ok {
		return s.Salvage(index)
	}
	a, err := b.Architecture(index)
	if err != nil {
		return nil, []error{err}
	}
	return a, nil
}

// CheckFile checks one of the files below Path by itself: see Source.
func (b *Benchmark) CheckFile(path string) (note string, faults []error) {
	return b.source.CheckFile(path)
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
