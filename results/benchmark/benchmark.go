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
	Path   string     // file or directory that was opened
	Format Format     // format of its files
	Space  cell.Space // search space of its architectures
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

// recorder is a Source that can read what the original's programs wrote for an architecture, as it is.
type recorder interface {
	Record(index int) (any, error)
}

// Extension adds measures, read from its own files, to the trials of a benchmark.
type Extension interface {
	// Extend adds to the trials of an architecture. Its errors are usage errors that name a file.
	Extend(a *Architecture) []error
	// Files lists the files that Extend reads for an architecture.
	Files(index int) ([]string, error)
	// CheckFile is that of [Source] for the extension's own files; own is false for any other.
	CheckFile(path string) (note string, faults []error, own bool)
}

// extended is a Source that adds to the architectures of another.
type extended struct {
	Source
	extension Extension
	path      string // of the benchmark that is extended
}

func (e extended) Architecture(index int) (*Architecture, error) {
	a, err := e.Source.Architecture(index)
	if err != nil {
		return nil, err
	}
	if errs := e.extension.Extend(a); len(errs) > 0 {
		return nil, errs[0]
	}
	return a, nil
}

// Salvage implements salvager.
func (e extended) Salvage(index int) (*Architecture, []error) {
	a, errs := salvage(e.Source, index)
	if a != nil {
		errs = append(errs, e.extension.Extend(a)...)
	}
	return a, errs
}

func (e extended) CheckFile(path string) (note string, faults []error) {
	if note, faults, own := e.extension.CheckFile(path); own {
		return note, faults
	}
	return e.Source.CheckFile(path)
}

// campaignHolder is a Source that reads a campaign.
type campaignHolder interface{ Campaign() results.Campaign }

// New returns a benchmark at path that is read from source. It covers the architectures 0 to
// listed-1 of a space and holds results for the evaluated ones, given in any order.
func New(path string, format Format, space cell.Space, listed int, evaluated []int, source Source) *Benchmark {
	return &Benchmark{Path: path, Format: format, Space: space, Listed: listed, evaluated: slices.Sorted(slices.Values(evaluated)), source: source}
}

// With returns a benchmark at path with the trials of b, to which x adds when an architecture is read. Only
// one of the two benchmarks is to be closed.
func (b *Benchmark) With(path string, x Extension) *Benchmark {
	with := *b
	with.Path, with.source = path, extended{b.source, x, b.Path}
	return &with
}

// extensions returns the source without extensions, the path of the benchmark that it reads, and the
// extensions.
func (b *Benchmark) extensions() (source Source, path string, list []Extension) {
	source, path = b.source, b.Path
	for e, is := source.(extended); is; e, is = source.(extended) {
		source, path, list = e.Source, e.path, append(list, e.extension)
	}
	return source, path, list
}

// TrialsPath returns the path of the benchmark whose trials b has, which is not Path if those are
// extended from elsewhere: see [Benchmark.With].
func (b *Benchmark) TrialsPath() string {
	_, path, _ := b.extensions()
	return path
}

// partlyTimed is a Source of a format that may have the times of a set for the evaluated epochs alone.
type partlyTimed interface{ TimesOfEvaluated() bool }

// TimesOfEvaluated reports whether the format may have the times of a set for the evaluated epochs alone.
// The clients need those of all epochs.
func (b *Benchmark) TimesOfEvaluated() bool {
	source, _, _ := b.extensions()
	s, ok := source.(partlyTimed)
	return ok && s.TimesOfEvaluated()
}

// oneSet is a Source of a format that has one evaluation set of each trial.
type oneSet interface{ OneEvaluationSet() bool }

// OneEvaluationSet reports whether the format has one evaluation set of each trial, whichever others were
// evaluated.
func (b *Benchmark) OneEvaluationSet() bool {
	source, _, _ := b.extensions()
	s, ok := source.(oneSet)
	return ok && s.OneEvaluationSet()
}

// ExtensionFiles lists the files with what extends the trials of an architecture.
func (b *Benchmark) ExtensionFiles(index int) (files []string, err error) {
	_, _, list := b.extensions()
	for _, x := range list {
		more, err := x.Files(index)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, nil
}

// Close closes the files of the benchmark.
func (b *Benchmark) Close() error { return b.source.Close() }

// Evaluated returns the indices of the architectures that the benchmark holds, in ascending
// order. The caller must not modify the slice.
func (b *Benchmark) Evaluated() []int { return b.evaluated }

// Campaign returns the campaign that the benchmark reads; ok is false for published files.
func (b *Benchmark) Campaign() (c results.Campaign, ok bool) {
	source, _, _ := b.extensions()
	s, ok := source.(campaignHolder)
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

// Record reads what a file of the original's programs has for an architecture: the entry of its dict
// arch2infos, as package pickle reads it, with the names and order of its keys and the types of its values.
// ok is false if the benchmark has another format, or measures that are not in such a file. Tensors are
// those of package torchfile. Errors are those of [Benchmark.Architecture], but values are not checked.
func (b *Benchmark) Record(index int) (v any, ok bool, err error) {
	s, ok := b.source.(recorder)
	if !ok {
		return nil, false, nil
	}
	if err := b.checkHeld(index); err != nil {
		return nil, true, err
	}
	v, err = s.Record(index)
	return v, true, err
}

// checkHeld refuses an architecture that the benchmark does not hold.
func (b *Benchmark) checkHeld(index int) error {
	if _, ok := slices.BinarySearch(b.evaluated, index); ok {
		return nil
	}
	if _, err := b.Space.ByIndex(index); err != nil {
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
		err = b.check(a)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// check refuses an architecture with such values.
func (b *Benchmark) check(a *Architecture) error {
	if err := a.check(); err != nil {
		return usage.Mark(results.ErrDamaged, usage.Errorf("%s: architecture %d: %w", b.Path, a.Index, err))
	}
	return nil
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
	if err := b.checkHeld(index); err != nil {
		return nil, []error{err}
	}
	a, errs := salvage(b.source, index)
	if a != nil {
		if err := b.check(a); err != nil {
			return nil, append(errs, err)
		}
	}
	return a, errs
}

// salvage reads as much of an architecture as a source can.
func salvage(source Source, index int) (*Architecture, []error) {
	if s, ok := source.(salvager); ok {
		return s.Salvage(index)
	}
	a, err := source.Architecture(index)
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
