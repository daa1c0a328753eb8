package hlo

import (
	"errors"
	"regexp"
	"strings"
)

// Launches is what the host does to run a program.
type Launches struct {
	Graphs int // command buffers: CUDA graphs, each of which is one launch
	// Turn is the number of launches, copies and calls of libraries in one turn of the
	// loop, each of which costs the host some microseconds. It is 0 where the loop lies in
	// a graph, and -1 of a program without a loop.
	Turn int
	// Whole is that of a call of the program, without the turns of its loop.
	Whole int
}

// thunkLine is a line of a thunk: its number, then its kind. Condition and body of a loop
// are under headings, indented further than the loop.
var thunkLine = regexp.MustCompile(`^( *)\d+: (k\w+)`)

// CountLaunches reads XLA's dump of a program's thunks (ThunkSequence::ToString in
// xla/backends/gpu/runtime/thunk.cc).
func CountLaunches(list string) (Launches, error) {
	l := Launches{Turn: -1}
	var graphs []int // the columns of the command buffers that a line lies in
	loop := -1       // column of the loop that a line lies in
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
		return l, errors.New("XLA's list of thunks has none")
	}
	return l, nil
}
