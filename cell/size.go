package cell

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"nb201/internal/usage"
)

// Size is the size search space of NATS-Bench: 32,768 choices of five widths.
type Size struct{}

// Widths is an architecture of the size search space: the channels after each of five modules, each
// a multiple of 8 from 8 to 64. The first is also that of the stem.
//
// NATS-Bench's README reads the numbers as those of other modules; the original's code and the
// published costs agree with this order.
type Widths [5]uint8

const (
	widthStep = 8 // the least width, and the difference between two
	widths    = 8 // choices for each module
)

// sizeCell is the cell of every architecture of the size search space: cell number 9930 of the topology search
// space (exps/NATS-Bench/main-sss.py).
var sizeCell = Cell{NorConv3x3, NorConv3x3, NorConv3x3, SkipConnect, NorConv3x3, NorConv3x3}

// Name implements [Space].
func (Size) Name() Name { return "sss" }

// Title implements [Space].
func (Size) Title() string { return "size search space" }

// Form implements [Space].
func (Size) Form() string { return "five widths such as 64:64:64:64:64" }

// Count implements [Space].
func (Size) Count() int { return 1 << 15 }

// All implements [Space].
func (s Size) All() iter.Seq2[int, Arch] {
	return func(yield func(int, Arch) bool) {
		for i := range s.Count() {
			if !yield(i, byRank(i)) {
				return
			}
		}
	}
}

// ByIndex implements [Space]. The last width varies fastest: traverse_net in
// exps/NATS-Bench/main-sss.py.
func (s Size) ByIndex(i int) (Arch, error) {
	if err := checkIndex(s, i); err != nil {
		return nil, err
	}
	return byRank(i), nil
}

// byRank returns the architecture with index i, which must exist.
func byRank(i int) Widths {
	var a Widths
	for k := len(a) - 1; k >= 0; k-- {
		a[k] = uint8(widthStep * (1 + i%widths))
		i /= widths
	}
	return a
}

// Parse implements [Space]. It accepts only the published spelling: five widths, joined by colons.
func (Size) Parse(text string) (Arch, error) {
	fail := func(offset int, format string, args ...any) (Arch, error) {
		return nil, usage.Errorf("architecture %.120q, byte %d: %s", text, offset, fmt.Sprintf(format, args...))
	}
	var a Widths
	parts := strings.Split(text, ":")
	if len(parts) != len(a) {
		return fail(len(strings.Join(parts[:min(len(parts), len(a))], ":")), "want %d widths joined by ':' as in 64:64:64:64:64, have %d", len(a), len(parts))
	}
	offset := 0
	for k, part := range parts {
		width, err := strconv.Atoi(part)
		if err != nil || width < widthStep || width > widthStep*widths || width%widthStep != 0 || strconv.Itoa(width) != part {
			return fail(offset, "width %d is %.40q; use a multiple of %d from %d to %d", k+1, part, widthStep, widthStep, widthStep*widths)
		}
		a[k] = uint8(width)
		offset += len(part) + 1
	}
	return a, nil
}

// Costliest implements [Space].
func (s Size) Costliest() Arch { return byRank(s.Count() - 1) }

// Sample implements [Space]: the architectures whose widths are all equal.
func (s Size) Sample() []int {
	var sample []int
	for i := range widths {
		width := uint8(widthStep * (i + 1))
		sample = append(sample, Widths{width, width, width, width, width}.Index())
	}
	return sample
}

// NetworkName implements [Space].
func (Size) NetworkName() string { return "infer.shape.tiny" }

// Skeleton implements [Space]: the widths and one cell per stage fix the network.
func (Size) Skeleton() (channels, cells int) { return 0, 0 }

// Schedule implements [Space]: the published schedules are "01", "12" and "90".
func (Size) Schedule(epochs int) string { return fmt.Sprintf("%02d", epochs) }

// Preset implements [Space].
func (Size) Preset() string { return "nats-sss-v1_0" }

// Published implements [Space].
func (Size) Published() []Published {
	return []Published{
		{Epochs: 1, Seeds: []uint32{777}},
		{Epochs: 12, Seeds: []uint32{777, 888, 999}},
		{Epochs: 90, Seeds: []uint32{777}},
	}
}

// String returns the widths, joined by colons.
func (a Widths) String() string {
	parts := make([]string, len(a))
	for i, width := range a {
		parts[i] = strconv.Itoa(int(width))
	}
	return strings.Join(parts, ":")
}

// Label implements [Arch].
func (a Widths) Label() string { return a.String() }

// Genotype implements [Arch]. All architectures have the same cell.
func (a Widths) Genotype() string { return sizeCell.String() }

// Index implements [Arch].
func (a Widths) Index() int {
	index := 0
	for _, width := range a {
		index = index*widths + int(width)/widthStep - 1
	}
	return index
}

// Class implements [Arch]: no two architectures are isomorphic.
func (a Widths) Class() int { return a.Index() }

// Space implements [Arch].
func (a Widths) Space() Space { return Size{} }

// Shapes implements [Arch].
func (a Widths) Shapes() any { return a }

// modules returns cells and residual blocks in turn: DynamicShapeTinyNet in
// xautodl/models/shape_infers/InferTinyCellNet.py.
func (a Widths) modules(_, _ int) []Module {
	in := int(a[0])
	var all []Module
	for i, width := range a {
		m := Module{Reduction: i%2 == 1, In: in, Out: int(width)}
		if !m.Reduction {
			m.Cell = sizeCell
		}
		all = append(all, m)
		in = m.Out
	}
	return all
}

// checkSkeleton implements [Arch].
func (a Widths) checkSkeleton(channels, cells int) error {
	if channels != 0 || cells != 0 {
		return usage.Errorf("the widths of an architecture of the %s fix its channels and cells; give neither, also not in a recipe", a.Space().Title())
	}
	if slices.ContainsFunc(a[:], func(w uint8) bool { return w == 0 || w%widthStep != 0 || w > widthStep*widths }) {
		return usage.Errorf("architecture %v has a width that is not a multiple of %d from %d to %d", a, widthStep, widthStep, widthStep*widths)
	}
	return nil
}
