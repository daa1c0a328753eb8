// Package compare compares two benchmarks, A and B, by the measures of the last epoch.
//
// Both benchmarks contain a trial in common: the same architecture, dataset key, schedule
// and seed. An architecture in common has trials on the dataset and schedule in both, with
// any seeds, and is compared by its mean over the seeds. Differences are B minus A. The
// spread between seeds is the standard deviation among the trials of an architecture,
// pooled over the architectures.
//
// Start at [Run]. Rank correlations are in package rank; package report draws the comparison.
package compare

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/rank"
)

// Report compares two benchmarks.
type Report struct {
	A      Side `json:"a"`
	B      Side `json:"b"`
	Common int  `json:"architectures_in_common"` // in both, on any dataset
	// Skipped counts the sets, over the trials of both, that were left out because they
	// lack a finite loss or an accuracy of 0 to 100.01 % after the last epoch.
	Skipped     int          `json:"skipped_sets_of_trials"`
	Comparisons []Comparison `json:"comparisons"`
}

// Side is one of the two benchmarks.
type Side struct {
	Path          string           `json:"path"`
	Format        benchmark.Format `json:"format"`
	Architectures int              `json:"architectures"`
}

// Comparison compares the trials on one schedule by one set of a dataset.
type Comparison struct {
	Dataset string `json:"dataset"`
	// Schedule is the name of a user's own recipe, or the number of epochs; with Options.Schedules,
	// both of their names. Epochs is then 0.
	Schedule string `json:"schedule"`
	Epochs   int    `json:"epochs"`
	Set      string `json:"set"` // benchmark.TrainingSet or an evaluation set
	// Trials and Architectures count those in common. Without trials in common, the
	// differences are between the architectures' means over the seeds.
	Trials        int      `json:"trials_in_common"`
	Architectures int      `json:"architectures_in_common"`
	Top1          *Measure `json:"top1_percent"`
	Loss          *Measure `json:"loss"`
	// Worst lists the ten pairs with the largest differences in accuracy.
	Worst []Pair `json:"worst"`

	// Means holds the accuracies of every architecture in common, the means over its seeds,
	// in order of indices.
	Means []Pair `json:"-"`
	// Differences holds the differences in accuracy, in percent, that Top1 summarizes: of the
	// trials in common in order of architectures and seeds, or else of Means.
	Differences []float64 `json:"-"`
}

// Measure compares the values of a measure: top-1 accuracy in percent, or loss. Undefined
// values are nil, such as the spread between seeds if no architecture has two.
type Measure struct {
	Mean    float64  `json:"mean_difference"`
	SD      *float64 `json:"sd_of_difference,omitempty"`
	MeanAbs float64  `json:"mean_absolute_difference"`
	MaxAbs  float64  `json:"largest_absolute_difference"`
	// SpreadA and SpreadB are the spreads between seeds.
	SpreadA *float64 `json:"spread_between_seeds_a,omitempty"`
	SpreadB *float64 `json:"spread_between_seeds_b,omitempty"`
	// Relative is the root mean square difference, divided by the one expected from the
	// spread between seeds alone: 0 for equal benchmarks, about 1 for a repetition with
	// other seeds.
	Relative *float64 `json:"difference_relative_to_seeds,omitempty"`
	// Kendall (tau-b) and Spearman (rho) are the rank correlations over the architectures
	// in common. Accuracies that are the same number of images are tied.
	Kendall  *float64 `json:"kendall_tau,omitempty"`
	Spearman *float64 `json:"spearman_rho,omitempty"`
}

// Pair holds the accuracies, in percent, of a trial in common or, if Seed is nil, of an
// architecture.
type Pair struct {
	Arch int     `json:"architecture"`
	Seed *uint32 `json:"seed,omitempty"`
	A    float64 `json:"a"`
	B    float64 `json:"b"`
}

// Options configures a comparison.
type Options struct {
	// Schedules, if not empty, are the names of a schedule of A and of one of B, which are compared with
	// each other. Otherwise each schedule is compared with the one of the same recipe or number of epochs.
	Schedules [2]string
	// Progress, if not nil, is called after every architecture in common with the number
	// of architectures compared, and their total.
	Progress func(done, total int)
}

// Run compares two benchmarks. It holds a few numbers of each trial, and one architecture
// per core, in memory. Benchmarks of different search spaces are a usage error, and so are those with
// nothing in common; the error then lists what each contains.
func Run(ctx context.Context, a, b *benchmark.Benchmark, o Options) (*Report, error) {
	if a.Space != b.Space {
		return nil, usage.Errorf("%s holds architectures of the %s, and %s those of the %s, which have none in common; compare benchmarks of the same space",
			a.Path, a.Space.Title(), b.Path, b.Space.Title())
	}
	var common []int
	for _, index := range a.Evaluated() {
		if _, ok := slices.BinarySearch(b.Evaluated(), index); ok {
			common = append(common, index)
		}
	}
	c := &collector{progress: o.Progress, total: len(common), groups: map[key]*group{}, contents: [2]map[string]bool{{}, {}}}
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for _, index := range common {
		workers.Go(func() error {
			var values [2]map[key][]value
			var skipped int
			for side, from := range []*benchmark.Benchmark{a, b} {
				if err := ctx.Err(); err != nil {
					return err
				}
				arch, err := from.Architecture(index)
				if err != nil {
					return err
				}
				n := 0
				values[side], n = lastValues(arch, o.Schedules[side])
				skipped += n
			}
			c.add(index, values, skipped)
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	r := &Report{
		A:      Side{a.Path, a.Format, len(a.Evaluated())},
		B:      Side{b.Path, b.Format, len(b.Evaluated())},
		Common: len(common), Skipped: c.skipped,
	}
	for _, k := range slices.SortedFunc(maps.Keys(c.groups), key.compare) {
		r.Comparisons = append(r.Comparisons, c.groups[k].comparison(k, o.Schedules))
	}
	if len(r.Comparisons) == 0 {
		return nil, usage.Errorf("%s and %s have nothing in common to compare: %s; %s", a.Path, b.Path,
			describe("the first", a.Evaluated(), common, c.contents[0]), describe("the second", b.Evaluated(), common, c.contents[1]))
	}
	return r, nil
}

// describe lists what one of two benchmarks without a comparison contains.
func describe(which string, archs, common []int, schedules map[string]bool) string {
	if len(common) > 0 {
		return fmt.Sprintf("for the %s in both, %s has %s", quantity.Format(len(common), "architecture"), which, strings.Join(slices.Sorted(maps.Keys(schedules)), ", "))
	}
	few := archs[:min(len(archs), 5)]
	text := strings.ReplaceAll(strings.Trim(fmt.Sprint(few), "[]"), " ", ", ")
	if len(few) < len(archs) {
		text += fmt.Sprintf(", ... (%d)", len(archs))
	}
	return fmt.Sprintf("%s has architectures %s", which, cmp.Or(text, "none"))
}

// key identifies a comparison.
type key struct {
	space           cell.Name
	dataset, recipe string
	epochs          int // 0: the schedules of the options
	set             string
}

func (k key) trial() results.Trial {
	return results.Trial{Space: k.space, Dataset: k.dataset, Recipe: k.recipe, Epochs: k.epochs}
}

func (k key) compare(other key) int {
	return cmp.Or(
		k.trial().Compare(other.trial()),
		cmp.Compare(boolToInt(k.set != benchmark.TrainingSet), boolToInt(other.set != benchmark.TrainingSet)),
		cmp.Compare(k.set, other.set),
	)
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// value holds the measures of a trial on a set after its last epoch.
type value struct {
	seed       uint32
	top1, loss float64
	images     int // in the set; 0 if unknown
}

// lastValues returns the values of an architecture's trials after their last epochs, in
// order of seeds, of one schedule or, if that is "", of all, and the number of sets skipped because a value is missing or invalid.
func lastValues(a *benchmark.Architecture, schedule string) (values map[key][]value, skipped int) {
	values = map[key][]value{}
	add := func(r *benchmark.ResultsCount, set string, m *benchmark.Measures, images int) {
		top1, ok1 := m.Top1.At(r.Epochs - 1)
		loss, ok2 := m.Loss.At(r.Epochs - 1)
		if !ok1 || !ok2 || !benchmark.IsAccuracy(top1) || !benchmark.IsFinite(loss) {
			skipped++
			return
		}
		k := key{space: r.Space, dataset: r.Dataset, set: set}
		if schedule == "" {
			k.recipe, k.epochs = r.Trial.Recipe, r.Epochs
		}
		values[k] = append(values[k], value{r.Seed, top1, loss, images})
	}
	for _, s := range a.Schedules {
		if schedule != "" && s.HP != schedule {
			continue
		}
		for _, r := range s.Results {
			for i, m := range r.Sets() {
				add(r, m.Set, &m.Measures, r.Images(i))
			}
		}
	}
	return values, skipped
}

// point holds the values of a trial or an architecture in A and B.
type point struct {
	arch       int
	seed       uint32
	top1, loss [2]float64
}

// pair returns the accuracies of the point, without a seed.
func (p point) pair() Pair { return Pair{Arch: p.arch, A: p.top1[0], B: p.top1[1]} }

// collector collects the values of architectures.
type collector struct {
	progress func(done, total int) // may be nil
	total    int                   // architectures

	mu            sync.Mutex
	done, skipped int
	groups        map[key]*group
	contents      [2]map[string]bool // datasets and schedules in A and B, for an error
}

// group collects the values of architectures for one comparison.
type group struct {
	trials []point
	archs  []archPoint
	images [2]int // in the set; 0 if unknown
}

// archPoint holds the means of an architecture over its seeds.
type archPoint struct {
	point
	seeds                    [2]float64 // their numbers in A and B
	top1Squares, lossSquares [2]float64 // sums of squared deviations from the means
	values                   [2][]value
}

// add adds the values of an architecture's trials in A and B.
func (c *collector) add(arch int, values [2]map[key][]value, skipped int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skipped += skipped
	c.done++
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
	for side := range values {
		for k := range values[side] {
			text := k.dataset + " at "
			switch {
			case k.recipe != "":
				text += "recipe " + k.recipe
			case k.epochs > 0:
				text += quantity.Format(k.epochs, "epoch")
			default:
				text = k.dataset
			}
			c.contents[side][text] = true
		}
	}
	for k, a := range values[0] {
		b := values[1][k]
		if len(b) == 0 {
			continue
		}
		g := c.groups[k]
		if g == nil {
			g = &group{}
			c.groups[k] = g
		}
		g.add(arch, [2][]value{a, b})
	}
}

// add adds an architecture that has trials in both.
func (g *group) add(arch int, values [2][]value) {
	p := archPoint{point: point{arch: arch}, values: values}
	for side, of := range values {
		n := float64(len(of))
		p.seeds[side] = n
		for _, v := range of {
			p.top1[side] += v.top1 / n
			p.loss[side] += v.loss / n
			g.images[side] = max(g.images[side], v.images)
		}
		for _, v := range of {
			p.top1Squares[side] += square(v.top1 - p.top1[side])
			p.lossSquares[side] += square(v.loss - p.loss[side])
		}
	}
	g.archs = append(g.archs, p)
	for _, a := range values[0] {
		i := slices.IndexFunc(values[1], func(b value) bool { return b.seed == a.seed })
		if i >= 0 {
			b := values[1][i]
			g.trials = append(g.trials, point{arch, a.seed, [2]float64{a.top1, b.top1}, [2]float64{a.loss, b.loss}})
		}
	}
}

func square(x float64) float64 { return x * x }

// comparison summarizes the group. The result does not depend on the order in which
// architectures were added.
func (g *group) comparison(k key, schedules [2]string) Comparison {
	slices.SortFunc(g.archs, func(a, b archPoint) int { return cmp.Compare(a.arch, b.arch) })
	slices.SortFunc(g.trials, func(a, b point) int { return cmp.Or(cmp.Compare(a.arch, b.arch), cmp.Compare(a.seed, b.seed)) })
	c := Comparison{Dataset: k.dataset, Schedule: k.trial().Schedule(), Epochs: k.epochs, Set: k.set, Trials: len(g.trials), Architectures: len(g.archs)}
	if k.epochs == 0 {
		c.Schedule = strings.Join(schedules[:], ", ")
	}
	points := g.trials
	for _, p := range g.archs {
		c.Means = append(c.Means, p.pair())
		if len(g.trials) == 0 {
			points = append(points, p.point)
		}
	}
	for _, p := range points {
		c.Differences = append(c.Differences, p.top1[1]-p.top1[0])
	}
	c.Top1 = g.measure(points, func(p point) [2]float64 { return p.top1 }, func(p archPoint) [2]float64 { return p.top1Squares })
	c.Loss = g.measure(points, func(p point) [2]float64 { return p.loss }, func(p archPoint) [2]float64 { return p.lossSquares })
	c.Top1.correlate(g.accuracies(0), g.accuracies(1))
	c.Loss.correlate(g.losses(0), g.losses(1))
	c.Worst = worst(points, len(g.trials) > 0)
	return c
}

// accuracies ranks the architectures of a side by their mean accuracies.
func (g *group) accuracies(side int) []float64 {
	return rank.Accuracies(g.values(side, func(v value) float64 { return v.top1 }), cmp.Or(g.images[side], g.images[1-side]))
}

// losses ranks the architectures of a side by their mean losses.
func (g *group) losses(side int) []float64 {
	return rank.Losses(g.values(side, func(v value) float64 { return v.loss }))
}

// values lists a measure of each architecture's trials.
func (g *group) values(side int, measure func(value) float64) [][]float64 {
	lists := make([][]float64, len(g.archs))
	for i, p := range g.archs {
		for _, v := range p.values[side] {
			lists[i] = append(lists[i], measure(v))
		}
	}
	return lists
}

// measure compares the values of points.
func (g *group) measure(points []point, value func(point) [2]float64, squares func(archPoint) [2]float64) *Measure {
	m := &Measure{}
	n := float64(len(points))
	difference := func(p point) float64 { v := value(p); return v[1] - v[0] }
	var meanSquare float64
	for _, p := range points {
		d := difference(p)
		m.Mean += d / n
		m.MeanAbs += math.Abs(d) / n
		m.MaxAbs = max(m.MaxAbs, math.Abs(d))
		meanSquare += d * d / n
	}
	var variance float64
	for _, p := range points {
		variance += square(difference(p)-m.Mean) / (n - 1)
	}
	m.SD = finite(math.Sqrt(variance))

	var spread [2]*float64
	var share [2]float64 // of the variance between seeds, in a value of points
	for side := range spread {
		var sum, freedom float64
		for _, p := range g.archs {
			sum += squares(p)[side]
			freedom += p.seeds[side] - 1
			share[side] += 1 / p.seeds[side] / float64(len(g.archs))
		}
		spread[side] = finite(math.Sqrt(sum / freedom))
		if len(g.trials) > 0 {
			share[side] = 1
		}
	}
	m.SpreadA, m.SpreadB = spread[0], spread[1]
	// A side without a spread is taken to have that of the other.
	if a, b := cmp.Or(spread[0], spread[1]), cmp.Or(spread[1], spread[0]); a != nil {
		m.Relative = finite(math.Sqrt(meanSquare / (share[0]*square(*a) + share[1]*square(*b))))
	}
	return m
}

// correlate compares the order of the architectures in A and B.
func (m *Measure) correlate(a, b []float64) {
	m.Kendall, m.Spearman = finite(rank.Kendall(a, b)), finite(rank.Spearman(a, b))
}

// finite returns v, or nil if it is infinite or NaN.
func finite(v float64) *float64 {
	if !benchmark.IsFinite(v) {
		return nil
	}
	return &v
}

// worst lists the ten points with the largest differences of accuracy.
func worst(points []point, trials bool) []Pair {
	by := slices.Clone(points)
	slices.SortStableFunc(by, func(a, b point) int {
		return cmp.Compare(math.Abs(b.top1[1]-b.top1[0]), math.Abs(a.top1[1]-a.top1[0]))
	})
	var pairs []Pair
	for _, p := range by[:min(len(by), 10)] {
		pair := p.pair()
		if trials {
			pair.Seed = &p.seed
		}
		pairs = append(pairs, pair)
	}
	return pairs
}
