// Package shell quotes words for a POSIX shell.
package shell

import (
	"regexp"
	"strings"
)

var plain = regexp.MustCompile(`^[\w.,:@%+/=-]+$`)

// Plain reports whether text is one word for a shell without quotes.
func Plain(text string) bool { return plain.MatchString(text) }

// Quote returns text as one word for a shell, with quotes if it needs them.
func Quote(text string) string {
	if Plain(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
