// Package cell defines the search spaces of NAS-Bench-201 and NATS-Bench.
//
// A [Space] numbers its architectures and knows how they are written and what was published. An
// architecture ([Arch]) knows its index, its string and the modules of its network.
//
//   - The topology search space ([Topology], "tss") is that of NAS-Bench-201: an architecture is a
//     cell ([Cell]), and there are 15,625 of them. Every stage of the network repeats the cell.
//   - The size search space ([Size], "sss") is NATS-Bench's: an architecture is a choice of five
//     widths ([Widths]) of a network with a fixed cell, and there are 32,768 of them.
//
// A cell is a directed acyclic graph of 4 nodes and 6 edges. Node 0 is the input and node 3 the
// output. An edge leads to each node from every earlier one and applies one of 5 operations
// ([Op]); a node's value is the sum over its incoming edges.
//
// A [Network] is what gets trained: a stem, cells with residual blocks between them, and a
// classifier. It knows its costs and its PyTorch state dict.
//
// Start with [Resolve], which finds an architecture by its index or its string. File and function
// names in comments refer to AutoDL-Projects, the original program.
package cell

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nb201/internal/usage"
)

// Op is the operation on an edge.
type Op uint8

// The operations in the original's order: NAS_BENCH_201 in
// xautodl/models/cell_operations.py.
const (
	None        Op = iota // zero: the edge contributes nothing
	SkipConnect           // identity
	NorConv1x1            // ReLU, 1x1 convolution, batch normalisation
	NorConv3x3            // ReLU, 3x3 convolution, batch normalisation
	AvgPool3x3            // 3x3 average pooling, stride 1
)

var opNames = [...]string{"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"}

// Ops lists all operations, in order.
func Ops() []Op { return []Op{None, SkipConnect, NorConv1x1, NorConv3x3, AvgPool3x3} }

// String returns the operation's name in genotype strings, such as "nor_conv_3x3".
func (o Op) String() string {
	if int(o) >= len(opNames) {
		return fmt.Sprintf("Op(%d)", uint8(o))
	}
	return opNames[o]
}

// kernel returns the side of the operation's convolution kernel, or 0 if it has none.
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
	edges = len(Cell{})
)

// Cell is a cell, and the architecture of the topology search space that consists of it: the
// operations on the edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1 and 3<-2, in the order of the genotype string
// and of the state dict.
type Cell [6]Op

// endpoints lists the nodes that each edge joins, in the order of [Cell].
var endpoints = [edges]struct{ from, to int }{{0, 1}, {0, 2}, {1, 2}, {0, 3}, {1, 3}, {2, 3}}

// String returns the genotype string, as Structure.tostr does in
// xautodl/models/cell_searchs/genotypes.py.
func (a Cell) String() string {
	var b strings.Builder
	for i, inputs := range a.Lists() {
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteByte('|')
		for _, in := range inputs {
			b.WriteString(in.Op.String()) // fmt would take three times as long
			b.WriteByte('~')
			b.WriteString(strconv.Itoa(in.Node))
			b.WriteByte('|')
		}
	}
	return b.String()
}

// Input is an edge as seen from the node that it leads to.
type Input struct {
	Op   Op
	Node int // the node that Op is applied to
}

// Lists returns the inputs of nodes 1, 2 and 3, as the published client's str2lists does
// (nas_201_api/api_201.py).
func (a Cell) Lists() [][]Input {
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

// Matrix returns the adjacency matrix: row i, column j holds the operation on the edge
// i<-j as a number, as in the published client's str2matrix (nas_201_api/api_201.py).
// Below the diagonal, 0 means None; elsewhere it means that no edge exists.
func (a Cell) Matrix() [4][4]int {
	var m [4][4]int
	for i, inputs := range a.Lists() {
		for _, in := range inputs {
			m[i+1][in.Node] = int(in.Op)
		}
	}
	return m
}

// parseCell reads a genotype string. It accepts only the published spelling, with every edge
// present and in order. For anything else it returns a usage error that names the byte
// offset and, if the fault is in an edge, the edge.
func parseCell(s string) (Cell, error) {
	fail := func(offset int, format string, args ...any) (Cell, error) {
		return Cell{}, usage.Errorf("genotype string %.120q, byte %d: %s", s, offset, fmt.Sprintf(format, args...))
	}
	groups := strings.Split(s, "+")
	if len(groups) != nodes-1 {
		// The offset is that of the first superfluous '+', or the end if one is missing.
		end := len(strings.Join(groups[:min(len(groups), nodes-1)], "+"))
		return fail(end, "want %d nodes joined by '+' as in |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, have %d", nodes-1, len(groups))
	}
	var a Cell
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
				return fail(offset, "edge %d<-%d has unknown operation %.40q; use one of %s", node, from, name, strings.Join(opNames[:], ", "))
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
