// Package cell is the search space of NAS-Bench-201.
//
// A cell is a directed acyclic graph of 4 nodes and 6 edges. Node 0 is the
// cell's input, node 3 its output; every node is joined to all nodes before it,
// and a node's value is the sum of what its edges bring. Each edge carries one
// of 5 operations (Op).
//
// An architecture (Arch) is one choice of the 6 operations. There are 15,625
// (Count), known by their index in the official order and by their genotype
// string |op~0|+|op~0|op~1|+|op~0|op~1|op~2|: one group a node, in it one
// operation~input for each edge. Architectures that compute the same function
// by the original's rule form one isomorphism class; there are 6,466.
//
// The macro skeleton (Network) repeats the cell: a stem, three stages of N cells
// with a residual reduction between two stages, and a classifier.
//
// File and function names in the comments are those of AutoDL-Projects, the
// original program.
package cell

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nb201/internal/usage"
)

// Op is the operation of one edge.
type Op uint8

// The operations in the original's order: NAS_BENCH_201 in
// xautodl/models/cell_operations.py.
const (
	None        Op = iota // zero: the edge brings nothing
	SkipConnect           // identity
	NorConv1x1            // ReLU, 1x1 convolution, batch normalisation
	NorConv3x3            // ReLU, 3x3 convolution, batch normalisation
	AvgPool3x3            // 3x3 average pooling, stride 1
)

var opNames = [...]string{"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"}

// String is the operation's name in a genotype string.
func (o Op) String() string {
	if int(o) >= len(opNames) {
		return fmt.Sprintf("Op(%d)", uint8(o))
	}
	return opNames[o]
}

// kernel is the side of the operation's convolution kernel, 0 where there is none.
func (o Op) kernel() int {
	switch o {
	case NorConv1x1:
		return 1
	case NorConv3x3:
		return 3
	}
	return 0
}

const (
	nodes = 4
	edges = len(Arch{})
)

// Arch is an architecture: the operations on the edges 1<-0, 2<-0, 2<-1, 3<-0,
// 3<-1, 3<-2, the order of the genotype string and of the state dict.
type Arch [6]Op

// String is the genotype string: Structure.tostr in
// xautodl/models/cell_searchs/genotypes.py.
func (a Arch) String() string {
	var b strings.Builder
	for i, inputs := range a.Lists() {
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteByte('|')
		for _, in := range inputs {
			fmt.Fprintf(&b, "%s~%d|", in.Op, in.Node)
		}
	}
	return b.String()
}

// Input is one edge as the node it leads to sees it: the operation, and the node
// that it is applied to.
type Input struct {
	Op   Op
	Node int
}

// Lists gives the inputs of nodes 1, 2 and 3, as str2lists of the published
// client does (nas_201_api/api_201.py).
func (a Arch) Lists() [][]Input {
	lists := make([][]Input, nodes-1)
	edge := 0
	for i := range lists {
		for from := range i + 1 {
			lists[i] = append(lists[i], Input{a[edge], from})
			edge++
		}
	}
	return lists
}

// Matrix gives in row i, column j the number of the operation on the edge i<-j,
// as str2matrix of the published client does (nas_201_api/api_201.py). Only the
// part below the diagonal says something: 0 there is None, elsewhere no edge.
func (a Arch) Matrix() [4][4]int {
	var m [4][4]int
	for i, inputs := range a.Lists() {
		for _, in := range inputs {
			m[i+1][in.Node] = int(in.Op)
		}
	}
	return m
}

// Parse reads a genotype string. Only the published spelling is accepted, with
// every edge present and in order; anything else is a usage error that names the
// byte offset and, where there is one, the edge.
func Parse(s string) (Arch, error) {
	fail := func(offset int, format string, args ...any) (Arch, error) {
		return Arch{}, usage.Errorf("genotype string %.120q, byte %d: %s", s, offset, fmt.Sprintf(format, args...))
	}
	groups := strings.Split(s, "+")
	if len(groups) != nodes-1 {
		// The place is the '+' too many, or the end where one is missing.
		end := len(strings.Join(groups[:min(len(groups), nodes-1)], "+"))
		return fail(end, "want %d nodes joined by '+' as in |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, have %d", nodes-1, len(groups))
	}
	var a Arch
	edge, offset := 0, 0
	for i, group := range groups {
		node := i + 1
		if !strings.HasPrefix(group, "|") {
			return fail(offset, "node %d must begin with '|'", node)
		}
		if len(group) < 2 || !strings.HasSuffix(group, "|") {
			return fail(offset+len(group), "node %d must end with '|'", node)
		}
		inputs := strings.Split(group[1:len(group)-1], "|")
		if len(inputs) != node {
			return fail(offset, "want %d edges into node %d, have %d", node, node, len(inputs))
		}
		offset++
		for from, input := range inputs {
			name, number, found := strings.Cut(input, "~")
			if !found {
				return fail(offset, "edge %d<-%d is %.40q, want operation~%d", node, from, input, from)
			}
			op := slices.Index(opNames[:], name)
			if op < 0 {
				return fail(offset, "edge %d<-%d has unknown operation %.40q: use one of %s", node, from, name, strings.Join(opNames[:], ", "))
			}
			if number != strconv.Itoa(from) {
				return fail(offset+len(name)+1, "edge %d<-%d has input node %.40q, want %d", node, from, number, from)
			}
			a[edge] = Op(op)
			edge++
			offset += len(input) + 1
		}
		offset++
	}
	return a, nil
}
