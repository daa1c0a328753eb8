// Package progresstest reads what package progress draws.
package progresstest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Output is an output that may be read while it is written to.
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

// Screen is what a terminal shows after text, of which it knows the one sequence that a
// Display uses: the cursor goes up some lines, and what is below vanishes.
func Screen(t testing.TB, text string) string {
	t.Helper()
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		for strings.HasPrefix(line, "\x1b[") {
			var up int
			if _, err := fmt.Sscanf(line, "\x1b[%dA\x1b[J", &up); err != nil || up > len(lines) {
				t.Fatalf("%d lines above %q: %v", len(lines), line, err)
			}
			_, line, _ = strings.Cut(line, "\x1b[J")
			lines = lines[:len(lines)-up]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
