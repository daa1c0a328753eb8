// Package usage marks errors that the user can fix: wrong arguments, missing or damaged
// input, a place that is not writable. A command that ends with one exits with code 2.
package usage

import (
	"errors"
	"fmt"
)

// Error reports wrong usage or input. Its text is one sentence that says where something is
// wrong, what is wrong, and what to do.
type Error struct{ err error }

func (e *Error) Error() string { return e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// Errorf returns an Error, formatted like fmt.Errorf; %w wraps a cause.
func Errorf(format string, args ...any) error {
	return &Error{fmt.Errorf(format, args...)}
}

// Is reports whether err is, or wraps, an Error.
func Is(err error) bool {
	var e *Error
	return errors.As(err, &e)
}

// Mark attaches a sentinel error, kind, to err. The result has the text of err, and errors.Is
// finds both.
func Mark(kind, err error) error { return &marked{err, kind} }

type marked struct {
	error
	kind error
}

func (m *marked) Unwrap() []error { return []error{m.error, m.kind} }
