package benchmark

import (
	"errors"
	"fmt"

	"nb201/internal/usage"
)

var (
	// ErrNotHeld reports that a benchmark does not hold what was asked for: an architecture,
	// a schedule, a trial, an evaluation set, an epoch or a measure. Errors that match it are
	// usage errors whose text lists what the benchmark holds instead.
	ErrNotHeld = errors.New("not in the benchmark")
	// ErrNoTrial reports that no trial has the requested dataset key or seed. Errors that
	// match it also match ErrNotHeld.
	ErrNoTrial = fmt.Errorf("no such trial: %w", ErrNotHeld)
)

func notHeld(format string, args ...any) error {
	return usage.Mark(ErrNotHeld, usage.Errorf(format, args...))
}

func noTrial(format string, args ...any) error {
	return usage.Mark(ErrNoTrial, usage.Errorf(format, args...))
}
