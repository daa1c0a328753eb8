package published

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/tables"
)

// tableSource reads the rows of an architecture from both tables. The rows are located once,
// and read on demand.
type tableSource struct {
	dir    string
	space  cell.Space // search space of the architectures
	trials table[tables.TrialRow]
	epochs table[tables.EpochRow]
}

// table reads the rows of one architecture from a table.
type table[Row any] interface {
	// architectures lists the architectures that have rows, in ascending order.
	architectures() ([]int, error)
	rows(architecture int) ([]Row, error)
	io.Closer
}

// openTables opens a directory with the two tables.
func openTables[T table[tables.TrialRow], E table[tables.EpochRow]](
	o *opening, f benchmark.Format, trials func(path string) (T, error), epochs func(path string) (E, error),
) (*benchmark.Benchmark, error) {
	extension := "." + string(f)
	t, err := trials(filepath.Join(o.path, tables.TrialsTable+extension))
	if err != nil {
		return nil, err
	}
	e, err := epochs(filepath.Join(o.path, tables.EpochsTable+extension))
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	s := &tableSource{dir: o.path, trials: t, epochs: e}
	evaluated, err := t.architectures()
	if err == nil {
		s.space = spaceOfFirst(evaluated, s.spaceOf)
		err = checkIndices(filepath.Join(o.path, tables.TrialsTable+extension), s.space, evaluated)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return benchmark.New(o.path, f, s.space, s.space.Count(), evaluated, s), nil
}

// spaceOf returns the search space of an architecture, by its string; ok is false if that cannot be read.
func (s *tableSource) spaceOf(index int) (space cell.Space, ok bool) {
	trials, err := s.trials.rows(index)
	if err != nil || len(trials) == 0 {
		return nil, false
	}
	return cell.SpaceOf(trials[0].Genotype)
}

func (s *tableSource) Close() error { return errors.Join(s.trials.Close(), s.epochs.Close()) }

// TimesOfEvaluated reports that the times are those of the evaluated epochs: see
// [benchmark.Benchmark.TimesOfEvaluated].
func (*tableSource) TimesOfEvaluated() bool { return true }

func (*tableSource) CheckFile(path string) (note string, faults []error) { return checkFile(path) }

func (s *tableSource) Architecture(index int) (*benchmark.Architecture, error) {
	trials, err := s.trials.rows(index)
	if err != nil {
		return nil, err
	}
	epochs, err := s.epochs.rows(index)
	if err != nil {
		return nil, err
	}
	a, err := tables.ArchitectureOf(s.space, trials, epochs)
	if err != nil {
		return nil, results.AsDamaged(usage.Errorf("%s: %w", s.dir, err))
	}
	return a, nil
}

// checkIndices refuses indices of architectures that do not exist.
func checkIndices(path string, space cell.Space, indices []int) error {
	for _, i := range indices {
		if _, err := space.ByIndex(i); err != nil {
			return results.AsDamaged(usage.Errorf("%s: %w", path, err))
		}
	}
	return nil
}

// findTable returns an inDir that finds the table of trials with a file extension.
func findTable(extension string) func(dir string, entries []os.DirEntry) ([]string, error) {
	return func(dir string, entries []os.DirEntry) ([]string, error) {
		for _, e := range entries {
			if e.Name() == tables.TrialsTable+extension {
				return []string{filepath.Join(dir, e.Name())}, nil
			}
		}
		return nil, nil
	}
}

// oneTable describes a file that is one of a benchmark's two tables. If otherwise is not "", the
// file's name decides whether it is one, and otherwise describes any other file.
func oneTable(path, extension, otherwise string) Kind {
	both := fmt.Sprintf("%s%s and %s%s", tables.TrialsTable, extension, tables.EpochsTable, extension)
	if name := filepath.Base(path); otherwise == "" || name == tables.TrialsTable+extension || name == tables.EpochsTable+extension {
		return Kind{what: "one of the two tables of a benchmark", todo: fmt.Sprintf("name the directory with %s, %s", both, filepath.Dir(path))}
	}
	return Kind{what: otherwise, todo: "a benchmark in this format is a directory with " + both}
}
