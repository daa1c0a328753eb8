package plan

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"nb201/cell"
	"nb201/configs"
	"nb201/results"
)

// unit is the trials of one architecture, dataset and schedule, with all seeds. One worker trains
// them in sequence.
type unit struct {
	space   cell.Name
	arch    int
	dataset *Dataset
	recipe  *configs.Recipe
	seeds   []uint32 // ascending
}

// units yields the units of the plan in running order: short schedules first, then by
// architecture, then by dataset.
func (p *Plan) units() iter.Seq[unit] {
	return func(yield func(unit) bool) {
		for i := range p.Schedules {
			s := &p.Schedules[i]
			parts := make([][]*Part, len(p.Datasets)) // by dataset: the parts that name it and s
			for j := range p.Parts {
				part := &p.Parts[j]
				for k, d := range p.Datasets {
					if part.hasSchedule(scheduled(&s.Recipe)) && slices.Contains(part.Datasets, d.Key) {
						parts[k] = append(parts[k], part)
					}
				}
			}
			for arch := range p.Space.Space().Count() {
				for k := range p.Datasets {
					seeds := seedsOf(parts[k], arch)
					if len(seeds) > 0 && !yield(unit{p.Space, arch, &p.Datasets[k], &s.Recipe, seeds}) {
						return
					}
				}
			}
		}
	}
}

// seedsOf returns the union of the seeds of the parts that name an architecture, in order.
func seedsOf(parts []*Part, arch int) []uint32 {
	var seeds []uint32
	single := true // only one of the parts names it
	for _, part := range parts {
		if !part.archs.Has(arch) {
			continue
		}
		if seeds == nil {
			seeds = part.Seeds
		} else {
			seeds, single = slices.Concat(seeds, part.Seeds), false
		}
	}
	if !single {
		slices.Sort(seeds)
		seeds = slices.Compact(seeds)
	}
	return seeds
}

// trials yields the trials of the unit and reports whether to continue.
func (u *unit) trials(yield func(results.Trial) bool) bool {
	for _, seed := range u.seeds {
		if !yield(results.Trial{Space: u.space, Arch: u.arch, Dataset: u.dataset.Key, Recipe: u.recipe.Name, Epochs: u.recipe.Epochs, Seed: seed}) {
			return false
		}
	}
	return true
}

// Trials yields every trial once, in running order: by schedule, the shortest first, then by
// architecture, dataset and seed.
func (p *Plan) Trials() iter.Seq[results.Trial] {
	return func(yield func(results.Trial) bool) {
		for u := range p.units() {
			if !u.trials(yield) {
				return
			}
		}
	}
}

// Len returns the number of trials.
func (p *Plan) Len() int {
	n := 0
	for u := range p.units() {
		n += len(u.seeds)
	}
	return n
}

// Units returns the number of units. A unit is the trials of one architecture, dataset and
// schedule, with all seeds; chunks do not divide it.
func (p *Plan) Units() int {
	n := 0
	for range p.units() {
		n++
	}
	return n
}

// Chunk yields the trials of chunk i of n in running order. It panics unless 1 <= i <= n.
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

// Chunks yields every trial once, in running order, with the number of its chunk, from 1 to n.
// Chunks do not divide units, and have about the same number of trials and cost of each schedule.
// They depend only on the plan.
func (p *Plan) Chunks(n int) iter.Seq2[int, results.Trial] {
	return func(yield func(int, results.Trial) bool) {
		units := slices.Collect(p.units())
		chunks := p.assignChunks(units, n)
		for k := range units {
			if !units[k].trials(func(t results.Trial) bool { return yield(chunks[k]+1, t) }) {
				return
			}
		}
	}
}

// assignChunks returns the chunk of each unit, from 0 to n-1. It deals the units of a schedule
// like cards, ordered by number of seeds and then by cost, the largest first, from the first
// chunk to the last and back. Chunks therefore differ by a unit or two at most.
func (p *Plan) assignChunks(units []unit, n int) []int {
	type card struct {
		unit int
		cost float64
	}
	cards := make([]card, len(units))
	for i := range units {
		w := p.work(units[i].arch, units[i].dataset, units[i].recipe)
		cards[i] = card{i, (w.Train + w.Eval/trainingCost) * w.MFLOPs}
	}
	slices.SortFunc(cards, func(a, b card) int {
		x, y := &units[a.unit], &units[b.unit]
		return cmp.Or(
			scheduled(x.recipe).CompareSchedule(scheduled(y.recipe)),
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
