// Package usage marks errors that the user can mend: wrong arguments, missing or
// damaged input, an unwritable place. Commands that end in one exit with code 2.
package usage

import (
	"errors"
	"fmt"
)

// Error is a wrong use or a wrong input; its text is one sentence that says what
// is wrong, where, and what to do.
type Error struct{ err error }

func (e *Error) Error() string { return e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// Errorf formats an Error; %w wraps a cause.
func Errorf(format string, args ...any) error {
	return &Error{fmt.Errorf(format, args...)}
}

// Is tells whether err is, or wraps, an Error.
func Is(err error) bool {
	var e *Error
	return errors.As(err, &e)
}

// Mark gives an error a kind, a sentinel: the result has the text of err, and
// errors.Is finds both.
func Mark(kind, err error) error { return &marked{err, kind} }

type marked struct {
	error
	kind error
}

func (m *marked) Unwrap() []error { return []error{m.error, m.kind} }
