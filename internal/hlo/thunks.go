package hlo

import (
	"errors"
	"regexp"
	"strings"
)

// Launches counts what the host does to run a program.
type Launches struct {
	Graphs int // command buffers, which are CUDA graphs; each is a single launch
	// Turn is the number of launches, copies and library calls in one iteration of the loop. Each
	// costs the host a few microseconds. It is 0 if the loop is inside a graph, and -1 if the
	// program has no loop.
	Turn int
	// Whole is the number for a call of the program, without the iterations of its loop.
	Whole int
}

// thunkLine matches the line of a thunk: its number, then its kind. The condition and body of a loop
// follow under headings and are indented further than the loop.
var thunkLine = regexp.MustCompile(`^( *)\d+: (k\w+)`)

// CountLaunches parses XLA's dump of a program's thunks (ThunkSequence::ToString in
// xla/backends/gpu/runtime/thunk.cc).
func CountLaunches(list string) (Launches, error) {
	l := Launches{Turn: -1}
	var graphs []int // columns of the command buffers around the current line
	loop := -1       // column of the loop around the current line
	inBody, found := false, false
	for line := range strings.Lines(list) {
		if loop >= 0 && strings.TrimSpace(line) == "body:" {
			inBody = true
			continue
		}
		m := thunkLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		found = true
		column, kind := len(m[1]), m[2]
		for len(graphs) > 0 && column <= graphs[len(graphs)-1] {
			graphs = graphs[:len(graphs)-1]
		}
		if loop >= 0 && column <= loop && inBody {
			loop, inBody = -1, false
		}
		inGraph := len(graphs) > 0
		switch kind {
		case "kCommandBuffer":
			l.Graphs++
			graphs = append(graphs, column)
		case "kWhile":
			l.Turn = max(l.Turn, 0)
			if loop < 0 && !inGraph {
				loop = column
			}
		}
		switch {
		case inGraph:
		case inBody:
			l.Turn++
		case loop < 0 || kind == "kWhile":
			l.Whole++
		}
	}
	if !found {
		return l, errors.New("XLA's list of thunks is empty")
	}
	return l, nil
}
