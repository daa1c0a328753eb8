package summary

import (
	"cmp"
	"context"
	"maps"
	"math/bits"
	"slices"

	"nb201/internal/inert"
	"nb201/results"
	"nb201/results/benchmark"
)

// Read reads all trials of a benchmark. Architectures and records that are damaged are left out and
// listed. The error is that of ctx.
func Read(ctx context.Context, b *benchmark.Benchmark, progress benchmark.Progress) (*Summary, error) {
	return new(Summary).Update(ctx, b, b.Evaluated(), progress)
}

// Update reads the architectures with these indices again, and returns the summary in which they are
// as they are now; those that b does not hold have no trial any more. s does not change. The two share
// what is equal, and are one if nothing is different.
//
// If the number of epochs that [Group.Grid] may have has changed, Update reads all that b holds.
// The summary is therefore always what Read returns. The error is that of ctx.
func (s *Summary) Update(ctx context.Context, b *benchmark.Benchmark, indices []int, progress benchmark.Progress) (*Summary, error) {
	indices = slices.Compact(slices.Sorted(slices.Values(indices)))
	held := slices.DeleteFunc(slices.Clone(indices), func(index int) bool { return !contains(b.Evaluated(), index) })
	curves := s.guess(b, held)
	if slices.ContainsFunc(s.Groups, func(g *Group) bool { return len(g.Grid) > 2*curves }) {
		return Read(ctx, b, progress) // in between, memory would be short
	}
	next, err := s.reread(ctx, b, indices, held, curves, progress)
	if err != nil {
		return nil, err
	}
	if curves := affordable(next.most(), len(next.Archs)); !next.keeps(curves) {
		return new(Summary).reread(ctx, b, b.Evaluated(), b.Evaluated(), curves, progress)
	}
	return next, nil
}

// maxValues bounds the values of curves that are kept: 64 MB of them. Tests change it.
var maxValues = 16_000_000

// affordable returns the number of epochs of curves that can be kept of a number of architectures, of
// which one has most curves. Beyond 16 it is rounded down, so that a campaign that grows is rarely
// read again.
func affordable(most, archs int) int {
	const fewest, digits = 2, 4 // binary digits that are not rounded
	n := max(maxValues/(max(most, 1)*max(archs, 1)), fewest)
	rounded := max(bits.Len(uint(n))-digits, 0)
	return n >> rounded << rounded
}

// keeps reports whether the curves of all groups have as many epochs as are affordable.
func (s *Summary) keeps(curves int) bool {
	return !slices.ContainsFunc(s.Groups, func(g *Group) bool { return len(g.Grid) != max(min(g.Epochs, curves), 0) })
}

// most returns the number of curves that are kept of the architecture with most.
func (s *Summary) most() int {
	curves := make([]int, len(s.Archs))
	for _, g := range s.Groups {
		at := 0
		for trials := range g.ByArch {
			for s.Archs[at] < trials[0].Arch {
				at++
			}
			curves[at] += 2 * len(g.Sets) * len(trials) // accuracy and loss
		}
	}
	return slices.Max(append(curves, 0))
}

// guess estimates how many epochs of curves will be affordable when these architectures are read. If
// they are many, it looks at a few of them.
func (s *Summary) guess(b *benchmark.Benchmark, held []int) int {
	const few = 16
	most, archs := s.most(), len(s.Archs)
	for _, index := range held {
		if !contains(s.Archs, index) {
			archs++
		}
	}
	if len(held) > few || len(s.Archs) == 0 {
		for _, i := range Spread(len(held), few) {
			a, _ := b.Salvage(held[i]) // reread reports damage
			if a == nil {
				continue
			}
			curves := 0
			for _, s := range a.Schedules {
				for _, r := range s.Results {
					curves += 2 * (1 + len(r.Evaluation))
				}
			}
			most = max(most, curves)
		}
	}
	return affordable(most, archs)
}

// contains reports whether a sorted list has an index.
func contains(indices []int, index int) bool {
	_, ok := slices.BinarySearch(indices, index)
	return ok
}

// reread is Update with a given number of epochs of the curves of new groups. held are the indices
// that b holds; both are ascending.
func (s *Summary) reread(ctx context.Context, b *benchmark.Benchmark, indices, held []int, curves int, progress benchmark.Progress) (*Summary, error) {
	c := &collector{curves: curves, groups: map[groupKey]*found{}}
	for _, g := range s.Groups {
		c.groups[g.key()] = &found{before: g}
	}
	if err := b.SalvageEach(ctx, held, progress, c.add); err != nil {
		return nil, err
	}
	return s.replace(indices, c), nil
}

// groupKey identifies a Group.
type groupKey struct {
	dataset, schedule string
	epochs            int
}

func (g *Group) key() groupKey { return groupKey{g.Dataset, g.Schedule, g.Epochs} }

func (k groupKey) compare(other groupKey) int {
	return cmp.Or(
		results.Trial{Dataset: k.dataset, Epochs: k.epochs}.Compare(results.Trial{Dataset: other.dataset, Epochs: other.epochs}),
		cmp.Compare(k.schedule, other.schedule),
	)
}

// collector collects architectures in any order.
type collector struct {
	curves int // epochs that are kept of a curve of a new group, at most
	groups map[groupKey]*found
	archs  []int // that have trials
	damage []damage
}

// found holds a group as it was, which may be empty, and the trials that were read.
type found struct {
	before *Group
	trials []Trial
}

// add adds what was read of an architecture; a may be nil.
func (c *collector) add(index int, a *benchmark.Architecture, errs []error) {
	if len(errs) > 0 {
		d := damage{arch: index}
		for _, err := range errs {
			d.texts = append(d.texts, inert.Text(err.Error()))
		}
		c.damage = append(c.damage, d)
	}
	if a == nil {
		return
	}
	n := 0
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			k := groupKey{r.Dataset, s.HP, r.Epochs}
			f := c.groups[k]
			if f == nil {
				f = &found{before: &Group{Dataset: k.dataset, Schedule: k.schedule, Epochs: k.epochs, Grid: Spread(k.epochs, c.curves)}}
				c.groups[k] = f
			}
			f.trials = append(f.trials, newTrial(index, r, f.before.Grid))
			n++
		}
	}
	if n > 0 {
		c.archs = append(c.archs, index)
	}
}

// replace returns the summary in which the architectures with these indices are as they were found.
func (s *Summary) replace(indices []int, c *collector) *Summary {
	next := &Summary{}
	changed := false
	for _, k := range slices.SortedFunc(maps.Keys(c.groups), groupKey.compare) {
		f := c.groups[k]
		slices.SortStableFunc(f.trials, func(a, b Trial) int { return cmp.Or(cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Seed, b.Seed)) })
		g := f.before.replace(indices, f.trials)
		changed = changed || g != f.before
		if len(g.Trials) > 0 {
			next.Groups = append(next.Groups, g)
			next.LeftOut += g.leftOut
		}
	}
	isRead := func(arch int) bool { return contains(indices, arch) }
	next.damage = slices.DeleteFunc(slices.Clone(s.damage), func(d damage) bool { return isRead(d.arch) })
	next.damage = append(next.damage, c.damage...)
	slices.SortFunc(next.damage, func(a, b damage) int { return a.arch - b.arch })
	if !changed && slices.EqualFunc(next.damage, s.damage, func(a, b damage) bool { return a.arch == b.arch && slices.Equal(a.texts, b.texts) }) {
		return s
	}
	for _, d := range next.damage {
		next.Damaged = append(next.Damaged, d.texts...)
	}
	next.Archs = append(slices.DeleteFunc(slices.Clone(s.Archs), isRead), c.archs...)
	slices.Sort(next.Archs)
	return next
}

// replace returns the group with these trials, in order, instead of those of the architectures with
// these indices, or the group itself if they are equal.
func (g *Group) replace(indices []int, trials []Trial) *Group {
	width := curvesOf(g.Grid)
	var kept [][]Trial // before the trials of each index, and after the last
	changed := false
	rest, fresh := g.Trials, trials
	for _, index := range indices {
		n, _ := slices.BinarySearchFunc(rest, index, func(t Trial, index int) int { return t.Arch - index })
		kept, rest = append(kept, rest[:n]), rest[n:]
		old, read := countOf(rest, index), countOf(fresh, index)
		changed = changed || !slices.EqualFunc(rest[:old], fresh[:read], func(a, b Trial) bool {
			b = newPlacement(b.held.sets(), g.Sets).place(b, width)
			return a.equal(&b)
		})
		rest, fresh = rest[old:], fresh[read:]
	}
	if !changed {
		return g
	}
	kept = append(kept, rest)

	next := &Group{Dataset: g.Dataset, Schedule: g.Schedule, Epochs: g.Epochs, Grid: g.Grid}
	layouts := map[layout]placement{}
	n := 0
	for _, part := range append(kept, trials) {
		n += len(part)
		for i := range part {
			next.leftOut += int(part[i].leftOut)
			if l := part[i].held; i == 0 || l != part[i-1].held {
				layouts[l] = nil
			}
		}
	}
	for l := range layouts {
		for _, s := range l.sets() {
			next.Sets = addSet(next.Sets, s)
		}
	}
	slices.SortFunc(next.Sets, Set.compare)
	for l := range layouts {
		layouts[l] = newPlacement(l.sets(), next.Sets)
	}
	before := newPlacement(g.Sets, next.Sets)
	unmoved := slices.EqualFunc(g.Sets, next.Sets, func(a, b Set) bool { return a.Name == b.Name })

	next.Trials = make([]Trial, 0, n)
	for i, part := range kept {
		at := len(next.Trials)
		next.Trials = append(next.Trials, part...)
		for k := at; k < len(next.Trials) && !unmoved; k++ {
			next.Trials[k] = before.place(next.Trials[k], width)
		}
		if i == len(indices) {
			break
		}
		for len(trials) > 0 && trials[0].Arch == indices[i] {
			next.Trials = append(next.Trials, layouts[trials[0].held].place(trials[0], width))
			trials = trials[1:]
		}
	}
	return next
}

// countOf returns the number of trials at the beginning that are of an architecture.
func countOf(trials []Trial, arch int) int {
	n := 0
	for n < len(trials) && trials[n].Arch == arch {
		n++
	}
	return n
}
