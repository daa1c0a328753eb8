package cell

import (
	"iter"
	"strconv"
	"sync"

	"nb201/internal/random"
	"nb201/internal/usage"
)

// Topology is the search space of NAS-Bench-201: 15,625 cells, in 6,466 isomorphism classes.
type Topology struct{}

// Topologies is the number of architectures of the topology search space.
const Topologies = 15625

// orderSeed is the seed of the shuffle that makes the official order: generate_meta_info
// in exps/NAS-Bench-201/main.py.
const orderSeed = 88

type order struct {
	archs [Topologies]Cell
	index [Topologies]uint16 // by rank
}

// official returns the official order of cells: itertools.product over the operations, the last
// edge varying fastest, then shuffled as CPython does.
var official = sync.OnceValue(func() *order {
	o := new(order)
	for rank := range o.archs {
		for rest, edge := rank, edges-1; edge >= 0; edge-- {
			o.archs[rank][edge] = Op(rest % len(opNames))
			rest /= len(opNames)
		}
	}
	random.NewPython(orderSeed).Shuffle(Topologies, func(i, j int) {
		o.archs[i], o.archs[j] = o.archs[j], o.archs[i]
	})
	for i, a := range o.archs {
		o.index[a.rank()] = uint16(i)
	}
	return o
})

// rank returns the architecture's position in the unshuffled product.
func (a Cell) rank() int {
	rank := 0
	for _, op := range a {
		if int(op) >= len(opNames) {
			panic("cell: architecture with " + op.String())
		}
		rank = rank*len(opNames) + int(op)
	}
	return rank
}

// Name implements [Space].
func (Topology) Name() Name { return "" }

// Title implements [Space].
func (Topology) Title() string { return "topology search space" }

// Form implements [Space].
func (Topology) Form() string { return "a genotype string |op~0|+|op~0|op~1|+|op~0|op~1|op~2|" }

// Count implements [Space].
func (Topology) Count() int { return Topologies }

// All implements [Space]. The order is the official one: see [Topology.ByIndex].
func (Topology) All() iter.Seq2[int, Arch] {
	return func(yield func(int, Arch) bool) {
		for i, a := range official().archs {
			if !yield(i, a) {
				return
			}
		}
	}
}

// ByIndex implements [Space]. The order is itertools.product over the operations, shuffled by
// generate_meta_info in exps/NAS-Bench-201/main.py.
func (s Topology) ByIndex(i int) (Arch, error) {
	if err := checkIndex(s, i); err != nil {
		return nil, err
	}
	return official().archs[i], nil
}

// Parse implements [Space] with genotype strings. It accepts only the published spelling, with
// every edge present and in order.
func (Topology) Parse(text string) (Arch, error) {
	a, err := parseCell(text)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Costliest implements [Space].
func (Topology) Costliest() Arch {
	var a Cell
	for edge := range a {
		a[edge] = NorConv3x3
	}
	return a
}

// Sample implements [Space]: the cost of a cell depends on how many edges carry a 3x3 and how many a
// 1x1 convolution, so there are 28 costs, from none to six 3x3 convolutions.
func (Topology) Sample() []int {
	var sample []int
	seen := map[any]bool{}
	for i, a := range official().archs {
		if shapes := a.Shapes(); !seen[shapes] {
			seen[shapes] = true
			sample = append(sample, i)
		}
	}
	return sample
}

// NetworkName implements [Space].
func (Topology) NetworkName() string { return "infer.tiny" }

// Skeleton implements [Space]: C=16 and N=5, as in exps/NAS-Bench-201/main.py.
func (Topology) Skeleton() (channels, cells int) { return 16, 5 }

// Schedule implements [Space].
func (Topology) Schedule(epochs int) string { return strconv.Itoa(epochs) }

// Preset implements [Space].
func (Topology) Preset() string { return "nas-bench-201-v1_1" }

// Published implements [Space].
func (Topology) Published() []Published {
	return []Published{
		{Epochs: 12, Seeds: []uint32{111}},
		{Epochs: 12, Seeds: []uint32{777}, Dataset: "cifar10-valid"},
		{Epochs: 200, Seeds: []uint32{777, 888, 999}},
	}
}

// Space implements [Arch].
func (a Cell) Space() Space { return Topology{} }

// Label implements [Arch].
func (a Cell) Label() string { return strconv.Itoa(a.Index()) }

// Genotype implements [Arch].
func (a Cell) Genotype() string { return a.String() }

// Index implements [Arch].
func (a Cell) Index() int { return int(official().index[a.rank()]) }

// Shapes implements [Arch].
func (a Cell) Shapes() any {
	var shapes struct{ of1x1, of3x3 int }
	for _, op := range a {
		switch op.kernel() {
		case 1:
			shapes.of1x1++
		case 3:
			shapes.of3x3++
		}
	}
	return shapes
}

// modules returns the cells of three stages, and the residual blocks between them, which double
// the channels: TinyNetwork in xautodl/models/cell_infers/tiny_network.py.
func (a Cell) modules(channels, cells int) []Module {
	const stages = 3
	var all []Module
	for stage := range stages {
		if stage > 0 {
			all = append(all, Module{Reduction: true, In: channels, Out: 2 * channels})
			channels *= 2
		}
		for range cells {
			all = append(all, Module{Cell: a, In: channels, Out: channels})
		}
	}
	return all
}

// checkSkeleton implements [Arch].
func (a Cell) checkSkeleton(channels, cells int) error {
	switch {
	case max(channels, cells) > most:
		return usage.Errorf("a network of %d channels and %d cells per stage is too large; channels and cells may each be at most %d", channels, cells, most)
	case channels < 1:
		return usage.Errorf("a network cannot have %d channels; use at least 1", channels)
	case cells < 1:
		return usage.Errorf("a network cannot have %d cells per stage; use at least 1", cells)
	}
	return nil
}
