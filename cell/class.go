package cell

import (
	"slices"
	"strings"
	"sync"
)

// UniqueString is equal for two architectures exactly when they are of one
// isomorphism class: Structure.to_unique_str(consider_zero=True) in
// xautodl/models/cell_searchs/genotypes.py, get_unique_str of the NATS-Bench
// client. A skip_connect passes its input's string on, none gives the zero "#",
// and a node is the sorted sum of its edges.
//
// The rule is the published one, to the letter, and narrower than equality of
// functions: zeros stay terms of a sum, so that a node of two none edges, "#+#",
// does not count as zero; and a sum that a skip_connect passes on stays one term.
func (a Arch) UniqueString() string {
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

// classes gives for each index the smallest index of its isomorphism class.
var classes = sync.OnceValue(func() *[Count]uint16 {
	smallest := make(map[string]uint16)
	of := new([Count]uint16)
	for i, a := range All() {
		unique := a.UniqueString()
		if _, seen := smallest[unique]; !seen {
			smallest[unique] = uint16(i)
		}
		of[i] = smallest[unique]
	}
	return of
})

// Class names the architecture's isomorphism class by its canonical
// representative: the smallest official index in it.
func (a Arch) Class() int { return int(classes()[a.Index()]) }
