package cell

import (
	"slices"
	"strings"
	"sync"
)

// UniqueString returns a string that two architectures share exactly when they are in the
// same isomorphism class. It is Structure.to_unique_str(consider_zero=True) in
// xautodl/models/cell_searchs/genotypes.py, and get_unique_str in the NATS-Bench client:
// skip_connect passes its input's string on, none yields the zero "#", and a node is the
// sorted sum of its edges.
//
// The published rule is stricter than equality of functions, and is kept to the letter.
// Zeros remain terms of a sum, so a node with two none edges, "#+#", does not count as
// zero; and a sum that passes through a skip_connect remains a single term.
func (a Cell) UniqueString() string {
	values := [nodes]string{"0"}
	for i, inputs := range a.Lists() {
		terms := make([]string, len(inputs))
		for j, in := range inputs {
			switch value := values[in.Node]; {
			case in.Op == None || value == "#":
				terms[j] = "#"
			case in.Op == SkipConnect:
				terms[j] = value
			default:
				terms[j] = "(" + value + ")@" + in.Op.String()
			}
		}
		slices.Sort(terms)
		values[i+1] = strings.Join(terms, "+")
	}
	return values[nodes-1]
}

// classes returns, for each index, the smallest index in its isomorphism class.
var classes = sync.OnceValue(func() *[Topologies]uint16 {
	smallest := make(map[string]uint16)
	class := new([Topologies]uint16)
	for i, a := range official().archs {
		unique := a.UniqueString()
		if _, seen := smallest[unique]; !seen {
			smallest[unique] = uint16(i)
		}
		class[i] = smallest[unique]
	}
	return class
})

// Class implements [Arch].
func (a Cell) Class() int { return int(classes()[a.Index()]) }
