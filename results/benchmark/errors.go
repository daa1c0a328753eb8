package benchmark

import (
	"errors"
	"fmt"

	"nb201/internal/usage"
)

var (
	// ErrNotHeld reports that a benchmark does not hold what it was asked for: an
	// architecture, a schedule, a trial, an evaluation set, an epoch, a measure. It is a
	// usage error whose text says what there is instead.
	ErrNotHeld = errors.New("the benchmark does not hold it")
	// ErrNoTrial is ErrNotHeld of a trial: none has the dataset key or the seed.
	ErrNoTrial = fmt.Errorf("no such trial: %w", ErrNotHeld)
)

func notHeld(format string, args ...any) error {
	return usage.Mark(ErrNotHeld, usage.Errorf(format, args...))
}

func noTrial(format string, args ...any) error {
	return usage.Mark(ErrNoTrial, usage.Errorf(format, args...))
}
