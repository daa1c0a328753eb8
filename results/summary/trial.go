package summary

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"nb201/results"
	"nb201/results/benchmark"
)

// newTrial keeps what a summary needs of a trial of an architecture, with its curves at the epochs of
// a grid. Its sets are those that it has itself; see placement.
func newTrial(arch int, r *benchmark.ResultsCount, grid []int) Trial {
	t := Trial{Arch: arch, Seed: r.Seed, FLOPs: r.FLOPs, Params: r.Params, Latency: nan, Seconds: nan, Made: newMade(r.Record)}
	if v := r.Latency(); v != nil {
		t.Latency = *v
	}
	if r.Training.Seconds.Complete(r.Epochs) {
		t.Seconds = 0
		for _, p := range r.Training.Seconds {
			t.Seconds += p.Value
		}
	}
	measures := r.Sets()
	var sets []Set
	for i, m := range measures {
		sets = addSet(sets, Set{m.Set, r.Images(i)})
	}
	slices.SortFunc(sets, Set.compare)
	t.held = newLayout(sets)
	width := curvesOf(grid)
	t.Sets, t.curves = missingValues(len(sets)), missingCurves(len(sets)*width)
	for _, m := range measures {
		at := find(sets, m.Set)
		v := &t.Sets[at]
		top1, held := m.Top1.At(r.Epochs - 1)
		if held && !benchmark.IsAccuracy(top1) {
			t.leftOut++
			continue
		}
		if held {
			v.Top1 = top1
		}
		if loss, ok := m.Loss.At(r.Epochs - 1); ok && isLoss(loss) {
			v.Loss = loss
		}
		if width > 0 {
			curves := t.curves[at*width : (at+1)*width]
			keepCurve(curves[:width/2], grid, m.Top1, benchmark.IsAccuracy)
			keepCurve(curves[width/2:], grid, m.Loss, isLoss)
		}
	}
	return t
}

func isLoss(v float64) bool { return benchmark.IsFinite(v) && v >= 0 }

// curvesOf returns the number of values that are kept of the curves on a set.
func curvesOf(grid []int) int { return 2 * max(len(grid)-1, 0) }

// keepCurve keeps the values of a series at the epochs of a grid that are valid.
func keepCurve(curve []float32, grid []int, s benchmark.Series, valid func(float64) bool) {
	for at := range curve {
		if v, ok := s.At(grid[at]); ok && valid(v) {
			curve[at] = float32(v)
		}
	}
}

func missingValues(n int) []Values {
	values := make([]Values, n)
	for i := range values {
		values[i] = Values{nan, nan}
	}
	return values
}

func missingCurves(n int) []float32 {
	curves := make([]float32, n)
	for i := range curves {
		curves[i] = float32(nan)
	}
	return curves
}

// newMade returns how a trial was made, nil without its record.
func newMade(r *results.Record) *Made {
	if r == nil {
		return nil
	}
	return &Made{
		Properties: unique.Make(Properties{
			Device: r.Device, Program: r.Versions.Program, GoMLX: r.Versions.GoMLX, Plugin: r.Versions.Plugin, Kernels: cmp.Or(r.Versions.Kernels, r.Versions.GPUKernels),
			Precision: r.Precision, Parity: r.Parity, Channels: r.Recipe.Channels, Cells: r.Recipe.Cells, Batch: r.Recipe.Batch,
			Attempts: r.Attempts,
		}),
		Started: r.Started, Finished: r.Finished, Spent: time.Duration(r.Seconds() * float64(time.Second)),
	}
}

// compare puts the training set first, then the others by name.
func (s Set) compare(other Set) int {
	rank := func(s Set) int {
		if s.Name == benchmark.TrainingSet {
			return 0
		}
		return 1
	}
	return cmp.Or(rank(s)-rank(other), cmp.Compare(s.Name, other.Name))
}

// find returns the position of a set by its name, or -1.
func find(sets []Set, name string) int {
	return slices.IndexFunc(sets, func(s Set) bool { return s.Name == name })
}

// addSet adds a set. If trials differ in the number of its images, the largest counts.
func addSet(sets []Set, s Set) []Set {
	at := find(sets, s.Name)
	if at < 0 {
		return append(sets, Set{s.Name, max(s.Images, 0)})
	}
	sets[at].Images = max(sets[at].Images, s.Images)
	return sets
}

// layout lists the sets that a trial has. Few differ, so that a trial takes a pointer.
type layout unique.Handle[string]

func newLayout(sets []Set) layout {
	var text strings.Builder
	for _, s := range sets {
		fmt.Fprintf(&text, "%d %q\n", s.Images, s.Name)
	}
	return layout(unique.Make(text.String()))
}

// sets returns the sets of a layout, in their order.
func (l layout) sets() []Set {
	var sets []Set
	for line := range strings.Lines(unique.Handle[string](l).Value()) {
		images, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.Atoi(images)
		name, err2 := strconv.Unquote(quoted)
		if err := cmp.Or(err, err2); err != nil {
			panic(err) // newLayout did not write it
		}
		sets = append(sets, Set{name, n})
	}
	return sets
}

// placement lists for each set of a group its position among the sets of a trial, -1: none.
type placement []int

func newPlacement(from, to []Set) placement {
	p := make(placement, len(to))
	for i, s := range to {
		p[i] = find(from, s.Name)
	}
	return p
}

// place returns the trial with its values at the positions of a group's sets, given the number of
// values of a set's curves.
func (p placement) place(t Trial, width int) Trial {
	if len(p) == len(t.Sets) && !slices.Contains(p, -1) {
		return t // both are in the order of Set.compare
	}
	sets, curves := missingValues(len(p)), missingCurves(len(p)*width)
	for at, from := range p {
		if from >= 0 {
			sets[at] = t.Sets[from]
			copy(curves[at*width:(at+1)*width], t.curves[from*width:])
		}
	}
	t.Sets, t.curves = sets, curves
	return t
}

// equal reports whether nothing distinguishes two trials.
func (t *Trial) equal(other *Trial) bool {
	return t.Arch == other.Arch && t.Seed == other.Seed && t.leftOut == other.leftOut && t.held == other.held &&
		same(t.FLOPs, other.FLOPs) && same(t.Params, other.Params) && same(t.Latency, other.Latency) && same(t.Seconds, other.Seconds) &&
		slices.EqualFunc(t.Sets, other.Sets, func(a, b Values) bool { return same(a.Top1, b.Top1) && same(a.Loss, b.Loss) }) &&
		slices.EqualFunc(t.curves, other.curves, func(a, b float32) bool { return same(float64(a), float64(b)) }) &&
		t.Made.equal(other.Made)
}

func (m *Made) equal(other *Made) bool {
	if m == nil || other == nil {
		return m == other
	}
	return m.Properties == other.Properties && m.Started.Equal(other.Started) && m.Finished.Equal(other.Finished) && m.Spent == other.Spent
}
