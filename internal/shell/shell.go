// Package shell writes words of a POSIX shell's language.
package shell

import (
	"regexp"
	"strings"
)

var plain = regexp.MustCompile(`^[\w.,:@%+/=-]+$`)

// Plain tells whether text is one word for a shell as it is.
func Plain(text string) bool { return plain.MatchString(text) }

// Quote makes text one word of a shell, with quotes where it needs them.
func Quote(text string) string {
	if Plain(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
