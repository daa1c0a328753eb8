package report

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"

	"nb201/internal/inert"
	"nb201/results"
	"nb201/results/benchmark"
)

// collection holds what a report shows of a benchmark's trials.
type collection struct {
	archs   []int // that have trials, ascending
	groups  []*trialGroup
	health  census
	damaged []string // what could not be read
	left    int      // sets of trials with an accuracy out of range, which are left out
}

// trialGroup holds the trials on one dataset with one schedule.
type trialGroup struct {
	dataset, schedule string
	epochs            int
	sets              []setInfo
	grid              []int // epochs, counted from 0, of which curves are kept; the last is the last
	trials            []trial
}

// setInfo describes a set of images of a group.
type setInfo struct {
	name   string
	images int // 0: unknown
}

// trial holds what is kept of a trial.
type trial struct {
	arch             int
	seed             uint32
	flops, params    float64 // millions
	latency, seconds float64 // NaN: not measured
	sets             []setValues
	// curves has the accuracies and then the losses at the epochs of the grid, set by set; NaN where
	// the benchmark has none. It is shorter than the sets of the group if the last have none.
	curves []float32
}

// setValues holds the measures of a trial on a set after the last epoch; NaN where the benchmark
// has none.
type setValues struct{ top1, loss float64 }

// top1At and lossAt return the measures on a set at a position of a grid of n epochs.
func (t *trial) top1At(set, at, n int) float64 { return t.curveAt((2*set)*n + at) }
func (t *trial) lossAt(set, at, n int) float64 { return t.curveAt((2*set+1)*n + at) }

func (t *trial) curveAt(i int) float64 {
	if i >= len(t.curves) {
		return math.NaN()
	}
	return float64(t.curves[i])
}

// maxValues bounds the values of curves that are kept: 64 MB of them.
const maxValues = 16_000_000

// collect reads all trials of a benchmark. Architectures and records that are damaged are left out
// and listed.
func collect(ctx context.Context, b *benchmark.Benchmark, progress benchmark.Progress) (*collection, error) {
	c := &collector{curves: affordable(b), groups: map[groupKey]*trialGroup{}, health: newCensus(), damaged: map[int][]string{}}
	if err := b.SalvageAll(ctx, progress, c.add); err != nil {
		return nil, err
	}
	return c.finish(), nil
}

// groupKey identifies a trialGroup.
type groupKey struct {
	dataset, schedule string
	epochs            int
}

func (k groupKey) compare(other groupKey) int {
	return cmp.Or(
		results.Trial{Dataset: k.dataset, Epochs: k.epochs}.Compare(results.Trial{Dataset: other.dataset, Epochs: other.epochs}),
		cmp.Compare(k.schedule, other.schedule),
	)
}

// collector collects architectures in any order.
type collector struct {
	curves  int // epochs that are kept of a curve, at most
	groups  map[groupKey]*trialGroup
	health  census
	damaged map[int][]string
	left    int
}

// add adds the trials of an architecture; a may be nil.
func (c *collector) add(index int, a *benchmark.Architecture, damage []error) {
	for _, err := range damage {
		c.damaged[index] = append(c.damaged[index], inert.Text(err.Error()))
	}
	if a == nil {
		return
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			c.addTrial(s.HP, r)
		}
	}
}

// affordable returns the number of epochs of curves that can be kept of all trials, by the number
// of trials of a few architectures.
func affordable(b *benchmark.Benchmark) int {
	const few, fewest = 16, 2
	most := 1
	evaluated := b.Evaluated()
	for _, i := range spread(len(evaluated), few) {
		a, _ := b.Salvage(evaluated[i]) // collect reports damage
		if a == nil {
			continue
		}
		curves := 0
		for _, s := range a.Schedules {
			for _, r := range s.Results {
				curves += 2 * (1 + len(r.Evaluation)) // accuracy and loss
			}
		}
		most = max(most, curves)
	}
	return max(maxValues/(most*max(len(evaluated), 1)), fewest)
}

func (c *collector) addTrial(schedule string, r *benchmark.ResultsCount) {
	k := groupKey{r.Dataset, schedule, r.Epochs}
	g := c.groups[k]
	if g == nil {
		g = &trialGroup{dataset: r.Dataset, schedule: schedule, epochs: r.Epochs, grid: spread(r.Epochs, c.curves)}
		c.groups[k] = g
	}
	t := trial{arch: r.Arch, seed: r.Seed, flops: r.FLOPs, params: r.Params, latency: math.NaN(), seconds: math.NaN()}
	if v := r.Latency(); v != nil {
		t.latency = *v
	}
	if r.Training.Seconds.Complete(r.Epochs) {
		t.seconds = 0
		for _, p := range r.Training.Seconds {
			t.seconds += p.Value
		}
	}
	sets := r.Sets()
	t.sets, t.curves = make([]setValues, 0, len(sets)), make([]float32, 0, 2*len(sets)*len(g.grid))
	for i, m := range sets {
		at := g.position(m.Set, r.Images(i))
		for len(t.sets) <= at {
			t.sets = append(t.sets, setValues{math.NaN(), math.NaN()})
		}
		v := &t.sets[at]
		top1, held := m.Top1.At(r.Epochs - 1)
		if held && !benchmark.IsAccuracy(top1) {
			c.left++
			continue
		}
		if held {
			v.top1 = top1
		}
		if loss, ok := m.Loss.At(r.Epochs - 1); ok && isFinite(loss) && loss >= 0 {
			v.loss = loss
		}
		t.setCurve(2*at, g.grid, m.Top1, benchmark.IsAccuracy)
		t.setCurve(2*at+1, g.grid, m.Loss, func(v float64) bool { return isFinite(v) && v >= 0 })
	}
	g.trials = append(g.trials, t)
	c.health.add(r)
}

// position returns the position of a set of images in the group.
func (g *trialGroup) position(name string, images int) int {
	at := slices.IndexFunc(g.sets, func(s setInfo) bool { return s.name == name })
	if at < 0 {
		at = len(g.sets)
		g.sets = append(g.sets, setInfo{name: name})
	}
	g.sets[at].images = max(g.sets[at].images, images)
	return at
}

// spread returns n of the epochs 0 to epochs-1, evenly spread, or all if there are not more. The
// first and the last are among them if n is at least 2; if it is 1, the last.
func spread(epochs, n int) []int {
	if epochs <= 0 {
		return nil
	}
	n = min(n, epochs)
	if n == 1 {
		return []int{epochs - 1}
	}
	grid := make([]int, n)
	for i := range grid {
		grid[i] = (i*(epochs-1) + (n-1)/2) / (n - 1)
	}
	return grid
}

// setCurve keeps curve i of the trial: the values of a series at the epochs of a grid that are valid.
func (t *trial) setCurve(i int, grid []int, s benchmark.Series, valid func(float64) bool) {
	for len(t.curves) < (i+1)*len(grid) {
		t.curves = append(t.curves, float32(math.NaN()))
	}
	for at, epoch := range grid {
		if v, ok := s.At(epoch); ok && valid(v) {
			t.curves[i*len(grid)+at] = float32(v)
		}
	}
}

// finish sorts what was collected.
func (c *collector) finish() *collection {
	all := &collection{health: c.health, left: c.left}
	for _, k := range slices.SortedFunc(maps.Keys(c.groups), groupKey.compare) {
		g := c.groups[k]
		slices.SortFunc(g.trials, func(a, b trial) int { return cmp.Or(cmp.Compare(a.arch, b.arch), cmp.Compare(a.seed, b.seed)) })
		g.sortSets()
		for _, t := range g.trials {
			all.archs = append(all.archs, t.arch)
		}
		all.groups = append(all.groups, g)
	}
	slices.Sort(all.archs)
	all.archs = slices.Compact(all.archs)
	for _, index := range slices.Sorted(maps.Keys(c.damaged)) {
		all.damaged = append(all.damaged, c.damaged[index]...)
	}
	return all
}

// sortSets puts the sets into an order that does not depend on which trial was read first: the
// training set, then the others by name.
func (g *trialGroup) sortSets() {
	order := make([]int, len(g.sets))
	for i := range order {
		order[i] = i
	}
	rank := func(i int) int {
		if g.sets[i].name == benchmark.TrainingSet {
			return 0
		}
		return 1
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Or(rank(i)-rank(j), cmp.Compare(g.sets[i].name, g.sets[j].name)) })
	sorted := make([]setInfo, len(order))
	for at, i := range order {
		sorted[at] = g.sets[i]
	}
	g.sets = sorted
	n := 2 * len(g.grid)
	for k := range g.trials {
		t := &g.trials[k]
		if len(t.sets) == len(order) && slices.IsSorted(order) {
			continue
		}
		sets, curves := make([]setValues, len(order)), make([]float32, 0, n*len(order))
		for at, i := range order {
			sets[at] = setValues{math.NaN(), math.NaN()}
			if i < len(t.sets) {
				sets[at] = t.sets[i]
			}
			for position := range n {
				curves = append(curves, float32(t.curveAt(i*n+position)))
			}
		}
		t.sets, t.curves = sets, curves
	}
}

// thin returns a collection of about n of the architectures, evenly spread.
func (c *collection) thin(n int) *collection {
	few := &collection{}
	for _, at := range spread(len(c.archs), n) {
		few.archs = append(few.archs, c.archs[at])
	}
	for _, g := range c.groups {
		part := *g
		part.trials = nil
		for trials := range g.byArch {
			if _, ok := slices.BinarySearch(few.archs, trials[0].arch); ok {
				part.trials = append(part.trials, trials...)
			}
		}
		few.groups = append(few.groups, &part)
	}
	return few
}

// byArch yields the trials of each architecture, in order of their indices.
func (g *trialGroup) byArch(yield func(trials []trial) bool) {
	for first := 0; first < len(g.trials); {
		next := first + 1
		for next < len(g.trials) && g.trials[next].arch == g.trials[first].arch {
			next++
		}
		if !yield(g.trials[first:next]) {
			return
		}
		first = next
	}
}
