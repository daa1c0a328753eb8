// Package inert shows text of files on terminals and in logs. A dataset name, a reason of a
// failure, a file name may hold anything: what moves the cursor, changes colours, turns
// the direction of writing round or begins a line is shown as Go escapes it.
package inert

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text is s with everything that does not print escaped: line breaks and tabs, other
// control characters, controls of direction and width, and what is not UTF-8.
func Text(s string) string {
	if Is(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if fits(r, n) {
			b.WriteString(s[:n])
		} else {
			quoted := strconv.Quote(s[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// Is reports whether Text leaves s as it is.
func Is(s string) bool {
	for i, r := range s {
		n := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, n = utf8.DecodeRuneInString(s[i:])
		}
		if !fits(r, n) {
			return false
		}
	}
	return true
}

// fits reports whether a character of n bytes prints.
func fits(r rune, n int) bool {
	return strconv.IsGraphic(r) && r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || n > 1)
}

// Fprintf is fmt.Fprintf with what the operands show escaped as by Text. The format is
// ours, and is not.
func Fprintf(w io.Writer, format string, operands ...any) (int, error) {
	for i, v := range operands {
		operands[i] = wrap(v)
	}
	return fmt.Fprintf(w, format, operands...)
}

// wrap leaves alone what cannot show text, such as a width.
func wrap(v any) any {
	if v == nil {
		return v
	}
	_, formats := v.(fmt.Stringer)
	_, fails := v.(error)
	if kind := reflect.TypeOf(v).Kind(); kind <= reflect.Complex128 && !formats && !fails {
		return v
	}
	return operand{v}
}

type operand struct{ v any }

// Format implements fmt.Formatter.
func (o operand) Format(s fmt.State, verb rune) {
	_, _ = io.WriteString(s, Text(fmt.Sprintf(fmt.FormatString(s, verb), o.v))) // fmt keeps no error of it
}
