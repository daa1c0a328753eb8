// Package inert prints untrusted text, such as file names, dataset keys and the reasons of
// failures, on terminals and in logs. Characters that would move the cursor, change colours,
// reverse the direction of writing or begin a line are printed as Go escapes.
package inert

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text returns s with everything unprintable escaped: line breaks, tabs and other control
// characters, controls of direction and width, and bytes that are not UTF-8.
func Text(s string) string {
	if IsInert(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if isPrintable(r, n) {
			b.WriteString(s[:n])
		} else {
			quoted := strconv.Quote(s[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// IsInert reports whether [Text] returns s unchanged.
func IsInert(s string) bool {
	for i, r := range s {
		n := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, n = utf8.DecodeRuneInString(s[i:])
		}
		if !isPrintable(r, n) {
			return false
		}
	}
	return true
}

// isPrintable reports whether a character of n bytes is printable. A utf8.RuneError of one
// byte is a byte that is not UTF-8.
func isPrintable(r rune, n int) bool {
	return strconv.IsGraphic(r) && r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || n > 1)
}

// Fprintf is like fmt.Fprintf, but escapes the text of the operands, as [Text] does. It does
// not escape the format, which is trusted.
func Fprintf(w io.Writer, format string, operands ...any) (int, error) {
	for i, v := range operands {
		operands[i] = wrap(v)
	}
	return fmt.Fprintf(w, format, operands...)
}

// wrap returns v as an operand whose text is escaped. It returns numbers and booleans
// unchanged, as they contain no text and may be a width.
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
	_, _ = io.WriteString(s, Text(fmt.Sprintf(fmt.FormatString(s, verb), o.v))) // fmt ignores errors here
}
