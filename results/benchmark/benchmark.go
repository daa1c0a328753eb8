package benchmark

import (
	"fmt"
	"iter"
	"slices"

	"nb201/cell"
	"nb201/internal/shell"
	"nb201/internal/usage"
	"nb201/results"
)

// Format is the name of a format in which benchmarks are stored: "campaign", or one of the
// published formats. Package published defines and reads them.
type Format string

// Benchmark queries the trials of a campaign or of published files. It reads one architecture
// at a time and keeps none in memory. It is safe for concurrent use.
type Benchmark struct {
	Path   string // file or directory that was opened
	Format Format // format of its files
	// Listed is the number of architectures that the benchmark covers, 0 to Listed-1 (the
	// clients' meta_archs). It may hold results for fewer; see [Benchmark.Evaluated].
	Listed int

	evaluated []int // architectures with results, ascending
	source    Source
}

// Source reads the architectures of a benchmark in one format.
type Source interface {
	// Architecture reads an architecture, one of those given to [New] as evaluated. Errors in
	// a file are usage errors that name it, and results.ErrDamaged unless the system could
	// not read the file.
	Architecture(index int) (*Architecture, error)
	// CheckFile checks a single file of the benchmark, as far as that is possible without
	// reading an Architecture. It returns the faults, and a note that the file's owner should
	// read or "". Both name the file.
	CheckFile(path string) (note string, faults []error)
	Close() error
}

// salvager is a Source that can read an architecture in part.
type salvager interface {
	Salvage(index int) (*Architecture, []error)
}

// campaignHolder is a Source that reads a campaign.
type campaignHolder interface{ Campaign() results.Campaign }

// New returns a benchmark at path that is read from source. It covers the architectures 0 to
// listed-1 and holds results for the evaluated ones, given in any order.
func New(path string, format Format, listed int, evaluated []int, source Source) *Benchmark {
	return &Benchmark{Path: path, Format: format, Listed: listed, evaluated: slices.Sorted(slices.Values(evaluated)), source: source}
}

// Close closes the files of the benchmark.
func (b *Benchmark) Close() error { return b.source.Close() }

// Evaluated returns the indices of the architectures that the benchmark holds, in ascending
// order. The caller must not modify the slice.
func (b *Benchmark) Evaluated() []int { return b.evaluated }

// Campaign returns the campaign that the benchmark reads; ok is false for published files.
func (b *Benchmark) Campaign() (c results.Campaign, ok bool) {
	s, ok := b.source.(campaignHolder)
	if ok {
		c = s.Campaign()
	}
	return c, ok
}

// Architecture reads all trials of an architecture. If the benchmark does not hold it, the
// error is [ErrNotHeld]; if its file is damaged, [results.ErrDamaged].
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
	return notHeld("%s does not hold architecture %d; it holds %s%s", b.Path, index, describeIndices(b.evaluated), b.HowToFill())
}

// HowToFill returns advice for the end of an error: the command that trains the first trials of a
// campaign without any. It returns "" for other benchmarks.
func (b *Benchmark) HowToFill() string {
	if _, ok := b.Campaign(); !ok || len(b.evaluated) > 0 {
		return ""
	}
	return "; train its plan with `nb201 run " + shell.Quote(b.Path) + "`"
}

// read reads an architecture that the benchmark holds. It refuses values that only a damaged
// or malicious file can contain.
func (b *Benchmark) read(index int) (*Architecture, error) {
	a, err := b.source.Architecture(index)
	if err == nil {
		if err := a.check(); err != nil {
			return nil, usage.Mark(results.ErrDamaged, usage.Errorf("%s: architecture %d: %w", b.Path, index, err))
		}
	}
	return a, err
}

// Architectures reads all architectures that the benchmark holds, in order of their indices.
// It ends with the first error.
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

// Salvage reads as much of an architecture as possible, and returns the errors of the rest. In
// a campaign a damaged record costs only its trial; in other formats a damaged file costs the
// whole architecture, which is then nil.
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

// CheckFile checks a single file below Path, as [Source] describes.
func (b *Benchmark) CheckFile(path string) (note string, faults []error) {
	return b.source.CheckFile(path)
}

// describeIndices describes a list of indices briefly, for errors.
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
