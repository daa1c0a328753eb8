// Package progresstest renders the output of package progress for tests.
package progresstest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Output is a buffer that may be read while another goroutine writes to it.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *Output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// control matches the control codes that a progress.Display sends: move up, return to the start of
// the line, clear to the end of the screen, line feed.
var control = regexp.MustCompile(`\x1b\[(\d+)A|\r|\x1b\[J|\n`)

// Screen returns what a terminal shows after text was written to it: its lines, each with a line
// break. It fails the test for text that it cannot interpret.
func Screen(t testing.TB, text string) string {
	t.Helper()
	lines, row, column := []string{""}, 0, 0
	for text != "" {
		next := control.FindStringSubmatchIndex(text)
		if next == nil {
			next = []int{len(text), len(text), -1, -1}
		}
		plain, code := text[:next[0]], text[next[0]:next[1]]
		if plain != "" && column != len(lines[row]) || strings.Contains(plain, "\x1b") {
			t.Fatalf("%q is written to column %d of %q", plain, column, lines[row])
		}
		lines[row] += plain
		column += len(plain)
		switch code {
		case "": // the end
		case "\r":
			column = 0
		case "\x1b[J":
			lines[row] = lines[row][:column]
			lines = lines[:row+1]
		case "\n":
			if row, column = row+1, 0; row == len(lines) {
				lines = append(lines, "")
			}
		default:
			up, err := strconv.Atoi(text[next[2]:next[3]])
			if err != nil || up > row {
				t.Fatalf("%d lines up from line %d: %v", up, row, err)
			}
			row -= up
			column = min(column, len(lines[row]))
		}
		text = text[next[1]:]
	}
	shown := strings.Join(lines, "\n")
	if shown != "" && !strings.HasSuffix(shown, "\n") {
		shown += "\n"
	}
	return shown
}
