package plan

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"nb201/cell"
	"nb201/results"
)

// unit is what is done in one go: all seeds of an architecture on a dataset along a
// schedule.
type unit struct {
	arch    int
	dataset *Dataset
	epochs  int
	seeds   []uint32 // ascending
}

// units yields the units of the plan in running order: short schedules first, then by
// architecture, then by dataset.
func (p *Plan) units() iter.Seq[unit] {
	return func(yield func(unit) bool) {
		for _, s := range p.Schedules {
			parts := make([][]*Part, len(p.Datasets)) // of each dataset along s
			for i := range p.Parts {
				part := &p.Parts[i]
				for k, d := range p.Datasets {
					if slices.Contains(part.Epochs, s.Recipe.Epochs) && slices.Contains(part.Datasets, d.Key) {
						parts[k] = append(parts[k], part)
					}
				}
			}
			for arch := range cell.Count {
				for k := range p.Datasets {
					seeds := seedsOf(parts[k], arch)
					if len(seeds) > 0 && !yield(unit{arch, &p.Datasets[k], s.Recipe.Epochs, seeds}) {
						return
					}
				}
			}
		}
	}
}

// seedsOf unites the seeds of the parts that have an architecture.
func seedsOf(parts []*Part, arch int) []uint32 {
	var seeds []uint32
	one := true
	for _, part := range parts {
		if !part.archs.Has(arch) {
			continue
		}
		if seeds == nil {
			seeds = part.Seeds
		} else {
			seeds, one = slices.Concat(seeds, part.Seeds), false
		}
	}
	if !one {
		slices.Sort(seeds)
		seeds = slices.Compact(seeds)
	}
	return seeds
}

func (u *unit) trials(yield func(results.Trial) bool) bool {
	for _, seed := range u.seeds {
		if !yield(results.Trial{Arch: u.arch, Dataset: u.dataset.Key, Epochs: u.epochs, Seed: seed}) {
			return false
		}
	}
	return true
}

// Trials yields every trial once, in running order: short schedules first; within a
// schedule by architecture, then by dataset, and all seeds of these together.
func (p *Plan) Trials() iter.Seq[results.Trial] {
	return func(yield func(results.Trial) bool) {
		for u := range p.units() {
			if !u.trials(yield) {
				return
			}
		}
	}
}

// Len is the number of trials.
func (p *Plan) Len() int {
	n := 0
	for u := range p.units() {
		n += len(u.seeds)
	}
	return n
}

// Units is the number of units, which no chunks divide: all seeds of an architecture on a
// dataset along a schedule.
func (p *Plan) Units() int {
	n := 0
	for range p.units() {
		n++
	}
	return n
}

// Chunk yields the trials of the i-th of n chunks, 1 <= i <= n, in running order.
func (p *Plan) Chunk(i, n int) iter.Seq[results.Trial] {
	if i < 1 || i > n {
		panic(fmt.Sprintf("plan: chunk %d of %d", i, n))
	}
	return func(yield func(results.Trial) bool) {
		for chunk, t := range p.Chunks(n) {
			if chunk == i && !yield(t) {
				return
			}
		}
	}
}

// Chunks yields every trial once, in running order, with the number of its chunk of n, from
// 1. Units stay whole, and of every schedule each chunk has about as many trials that cost
// about as much. Chunks depend on the plan alone.
func (p *Plan) Chunks(n int) iter.Seq2[int, results.Trial] {
	return func(yield func(int, results.Trial) bool) {
		units := slices.Collect(p.units())
		chunks := p.deal(units, n)
		for k := range units {
			if !units[k].trials(func(t results.Trial) bool { return yield(chunks[k]+1, t) }) {
				return
			}
		}
	}
}

// deal gives each unit one of the chunks 0..n-1. The units of a schedule are dealt like
// cards, those of most seeds first and of these the dearest, from the first chunk to the
// last and back: what a chunk has more than another is a unit or two.
func (p *Plan) deal(units []unit, n int) []int {
	type card struct {
		unit int
		cost float64
	}
	cards := make([]card, len(units))
	for i := range units {
		w := p.work(units[i].arch, units[i].dataset, units[i].epochs)
		cards[i] = card{i, (w.Train + w.Eval/trainingCost) * w.MFLOPs}
	}
	slices.SortFunc(cards, func(a, b card) int {
		x, y := &units[a.unit], &units[b.unit]
		return cmp.Or(
			cmp.Compare(x.epochs, y.epochs),
			cmp.Compare(len(y.seeds), len(x.seeds)),
			cmp.Compare(b.cost, a.cost),
			cmp.Compare(a.unit, b.unit),
		)
	})
	chunks := make([]int, len(units))
	for k, c := range cards {
		at := k % (2 * n)
		chunks[c.unit] = min(at, 2*n-1-at)
	}
	return chunks
}
