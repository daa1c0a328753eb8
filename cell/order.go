package cell

import (
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"

	"nb201/internal/random"
	"nb201/internal/usage"
)

// Count is the number of architectures in the search space.
const Count = 15625

// orderSeed is the seed of the shuffle that makes the official order: generate_meta_info
// in exps/NAS-Bench-201/main.py.
const orderSeed = 88

type order struct {
	archs [Count]Arch
	index [Count]uint16 // by rank
}

// official returns the official order: itertools.product over the operations, the last
// edge varying fastest, then shuffled as CPython does.
var official = sync.OnceValue(func() *order {
	o := new(order)
	for rank := range o.archs {
		for rest, edge := rank, edges-1; edge >= 0; edge-- {
			o.archs[rank][edge] = Op(rest % len(opNames))
			rest /= len(opNames)
		}
	}
	random.NewPython(orderSeed).Shuffle(Count, func(i, j int) {
		o.archs[i], o.archs[j] = o.archs[j], o.archs[i]
	})
	for i, a := range o.archs {
		o.index[a.rank()] = uint16(i)
	}
	return o
})

// rank returns the architecture's position in the unshuffled product.
func (a Arch) rank() int {
	rank := 0
	for _, op := range a {
		if int(op) >= len(opNames) {
			panic("cell: architecture with " + op.String())
		}
		rank = rank*len(opNames) + int(op)
	}
	return rank
}

// All yields every architecture with its index, in the official order.
func All() iter.Seq2[int, Arch] { return slices.All(official().archs[:]) }

// ByIndex returns the architecture with index i, 0 to 15624, in the official order. Any
// other i is a usage error.
func ByIndex(i int) (Arch, error) {
	if i < 0 || i >= Count {
		return Arch{}, outOfRange(strconv.Itoa(i))
	}
	return official().archs[i], nil
}

// Index returns the architecture's index in the official order, 0 to 15624.
func (a Arch) Index() int { return int(official().index[a.rank()]) }

// Resolve returns the architecture that a user names by its index or its genotype string.
// Anything else is a usage error.
func Resolve(s string) (Arch, error) {
	i, err := strconv.Atoi(s)
	switch {
	case err == nil:
		return ByIndex(i)
	case errors.Is(err, strconv.ErrRange):
		return Arch{}, outOfRange(s)
	case strings.ContainsAny(s, "|~+"):
		return Parse(s)
	}
	return Arch{}, usage.Errorf("unknown architecture %.120q; use an index from 0 to %d or a genotype string |op~0|+|op~0|op~1|+|op~0|op~1|op~2|", s, Count-1)
}

func outOfRange(index string) error {
	return usage.Errorf("architecture index %.40s is out of range; use 0 to %d", index, Count-1)
}
