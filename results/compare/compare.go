// Package compare compares two benchmarks, A and B, by the measures of the last epoch.
//
// A trial in common is one that both hold: the same architecture, dataset key,
// schedule and seed. An architecture in common has trials on the dataset along the
// schedule in both, with whatever seeds; it is compared by the mean over the seeds.
// Differences are B less A. The spread between seeds is the standard deviation among
// the trials of an architecture, pooled over the architectures.
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

	"nb201/configs"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// Report is a comparison of two benchmarks.
type Report struct {
	A      Side `json:"a"`
	B      Side `json:"b"`
	Common int  `json:"architectures_in_common"` // held by both, on any dataset
	// Skipped counts the sets, over the trials of both, without a finite loss and an
	// accuracy of 0 to 100.01 % after the last epoch; they are left out.
	Skipped     int          `json:"skipped_sets_of_trials"`
	Comparisons []Comparison `json:"comparisons"`
}

// Side is one of the two benchmarks.
type Side struct {
	Path          string           `json:"path"`
	Format        benchmark.Format `json:"format"`
	Architectures int              `json:"architectures"`
}

// Comparison is that on one set of images of a dataset, along one schedule.
type Comparison struct {
	Dataset string `json:"dataset"`
	Epochs  int    `json:"epochs"` // the schedule
	Set     string `json:"set"`    // benchmark.TrainingSet or an evaluation set
	// Trials and Architectures are those in common. Without trials in common it is
	// the architectures' means over the seeds whose differences are given.
	Trials        int      `json:"trials_in_common"`
	Architectures int      `json:"architectures_in_common"`
	Top1          *Measure `json:"top1_percent"`
	Loss          *Measure `json:"loss"`
	// Worst are the ten with the largest differences of accuracy.
	Worst []Pair `json:"worst"`

	points []point // in order of architectures and seeds
}

// Measure compares the values of a measure. Values that there are not, such as the
// spread between seeds where no architecture has two, are absent.
type Measure struct {
	Mean    float64  `json:"mean_difference"`
	SD      *float64 `json:"sd_of_difference,omitempty"`
	MeanAbs float64  `json:"mean_absolute_difference"`
	MaxAbs  float64  `json:"largest_absolute_difference"`
	// SpreadA and SpreadB are those between seeds.
	SpreadA *float64 `json:"spread_between_seeds_a,omitempty"`
	SpreadB *float64 `json:"spread_between_seeds_b,omitempty"`
	// Relative is the root mean square difference over the one that other seeds alone
	// would make: 0 for equal benchmarks, about 1 for a repetition with other seeds.
	Relative *float64 `json:"difference_relative_to_seeds,omitempty"`
	// Kendall (tau-b) and Spearman (rho) are the rank correlations over the
	// architectures in common. Means that are one number of images are tied.
	Kendall  *float64 `json:"kendall_tau,omitempty"`
	Spearman *float64 `json:"spearman_rho,omitempty"`
}

// Pair is a trial in common or, without a seed, an architecture.
type Pair struct {
	Arch int     `json:"architecture"`
	Seed *uint32 `json:"seed,omitempty"`
	A    float64 `json:"a"`
	B    float64 `json:"b"`
}

// Options of a comparison.
type Options struct {
	// Progress, if any, is told after every architecture in common how many are done.
	Progress func(done, total int)
}

// Run compares two benchmarks. A few numbers of each trial are in memory, and as many
// architectures as there are cores. Benchmarks with nothing in common are a usage
// error that says what each holds.
func Run(ctx context.Context, a, b *benchmark.Benchmark, o Options) (*Report, error) {
	var common []int
	for _, index := range a.Evaluated() {
		if _, ok := slices.BinarySearch(b.Evaluated(), index); ok {
			common = append(common, index)
		}
	}
	c := &collector{progress: o.Progress, total: len(common), groups: map[key]*group{}, held: [2]map[string]bool{{}, {}}}
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
				values[side], n = last(arch)
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
		r.Comparisons = append(r.Comparisons, c.groups[k].comparison(k))
	}
	if len(r.Comparisons) == 0 {
		return nil, usage.Errorf("%s and %s have nothing in common to compare: %s; %s", a.Path, b.Path,
			holds("the first", a.Evaluated(), common, c.held[0]), holds("the second", b.Evaluated(), common, c.held[1]))
	}
	return r, nil
}

// holds says what one of two benchmarks holds that have no comparison.
func holds(which string, archs, common []int, schedules map[string]bool) string {
	if len(common) > 0 {
		return fmt.Sprintf("of the %d architectures in both %s holds %s", len(common), which, strings.Join(slices.Sorted(maps.Keys(schedules)), ", "))
	}
	few := archs[:min(len(archs), 5)]
	text := strings.ReplaceAll(strings.Trim(fmt.Sprint(few), "[]"), " ", ", ")
	if len(few) < len(archs) {
		text += fmt.Sprintf(", ... (%d)", len(archs))
	}
	return fmt.Sprintf("%s holds the architectures %s", which, cmp.Or(text, "none"))
}

// key names what is compared.
type key struct {
	dataset string
	epochs  int
	set     string
}

func (k key) compare(other key) int {
	return cmp.Or(
		results.Trial{Dataset: k.dataset, Epochs: k.epochs}.Compare(results.Trial{Dataset: other.dataset, Epochs: other.epochs}),
		cmp.Compare(bit(k.set != benchmark.TrainingSet), bit(other.set != benchmark.TrainingSet)),
		cmp.Compare(k.set, other.set),
	)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// value is what a trial measured on a set after its last epoch.
type value struct {
	seed       uint32
	top1, loss float64
	images     int // in the set; 0: not known
}

// last lists what the trials of an architecture measured last, in order of seeds, and
// how often a trial measured no possible value on a set.
func last(a *benchmark.Architecture) (values map[key][]value, skipped int) {
	values = map[key][]value{}
	add := func(r *benchmark.ResultsCount, set string, m *benchmark.Measures, images int) {
		top1, ok1 := m.Top1.At(r.Epochs - 1)
		loss, ok2 := m.Loss.At(r.Epochs - 1)
		if !ok1 || !ok2 || !benchmark.IsAccuracy(top1) || !isFinite(loss) {
			skipped++
			return
		}
		k := key{r.Dataset, r.Epochs, set}
		values[k] = append(values[k], value{r.Seed, top1, loss, images})
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			d, _ := configs.FindDataset(r.Dataset)
			images := d.Train
			if r.Record != nil {
				images = r.Record.Train.Images
			}
			add(r, benchmark.TrainingSet, &r.Training, images)
			for i := range r.Evaluation {
				set := r.Evaluation[i].Set
				images := d.Images(set)
				if r.Record != nil {
					images = r.Record.Eval[i].Images
				}
				add(r, set, &r.Evaluation[i].Measures, images)
			}
		}
	}
	return values, skipped
}

// point is a trial or an architecture in A and B.
type point struct {
	arch       int
	seed       uint32
	top1, loss [2]float64
}

// collector gathers what architectures give.
type collector struct {
	progress func(done, total int) // may be nil
	total    int                   // architectures

	mu            sync.Mutex
	done, skipped int
	groups        map[key]*group
	held          [2]map[string]bool // datasets and schedules of A and B, for people
}

// group gathers what architectures give for one comparison.
type group struct {
	trials []point
	archs  []archPoint
	images [2]int // in the set; 0: not known
}

// archPoint is an architecture: the means over its seeds, how many there are in A and
// B, and their squared deviations from the means.
type archPoint struct {
	point
	seeds                    [2]float64
	top1Squares, lossSquares [2]float64
	values                   [2][]value
}

// add takes what an architecture's trials measured in A and B.
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
			c.held[side][fmt.Sprintf("%s at %d epochs", k.dataset, k.epochs)] = true
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

// add adds an architecture that both have trials of.
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

// comparison sums up what was gathered, in an order that does not depend on how it was.
func (g *group) comparison(k key) Comparison {
	slices.SortFunc(g.archs, func(a, b archPoint) int { return cmp.Compare(a.arch, b.arch) })
	slices.SortFunc(g.trials, func(a, b point) int { return cmp.Or(cmp.Compare(a.arch, b.arch), cmp.Compare(a.seed, b.seed)) })
	c := Comparison{Dataset: k.dataset, Epochs: k.epochs, Set: k.set, Trials: len(g.trials), Architectures: len(g.archs)}
	c.points = g.trials
	if len(g.trials) == 0 {
		for _, p := range g.archs {
			c.points = append(c.points, p.point)
		}
	}
	c.Top1 = g.measure(c.points, func(p point) [2]float64 { return p.top1 }, func(p archPoint) [2]float64 { return p.top1Squares })
	c.Loss = g.measure(c.points, func(p point) [2]float64 { return p.loss }, func(p archPoint) [2]float64 { return p.lossSquares })
	c.Top1.correlate(g.levels(0, g.thousandths(0)), g.levels(1, g.thousandths(1)))
	c.Loss.correlate(g.levels(0, billionths), g.levels(1, billionths))
	c.Worst = worst(c.points, len(g.trials) > 0)
	return c
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
	var share [2]float64 // of the variance between seeds that a value of points has
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
	// Where one has no spread to tell, that of the other stands for it.
	if a, b := cmp.Or(spread[0], spread[1]), cmp.Or(spread[1], spread[0]); a != nil {
		m.Relative = finite(math.Sqrt(meanSquare / (share[0]*square(*a) + share[1]*square(*b))))
	}
	return m
}

// correlate compares the order of the architectures in A and B.
func (m *Measure) correlate(a, b []float64) {
	m.Kendall, m.Spearman = finite(kendall(a, b)), finite(spearman(a, b))
}

// finite is nil for what is not.
func finite(v float64) *float64 {
	if !isFinite(v) {
		return nil
	}
	return &v
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// worst lists the ten points with the largest differences of accuracy.
func worst(points []point, trials bool) []Pair {
	by := slices.Clone(points)
	slices.SortStableFunc(by, func(a, b point) int {
		return cmp.Compare(math.Abs(b.top1[1]-b.top1[0]), math.Abs(a.top1[1]-a.top1[0]))
	})
	var pairs []Pair
	for _, p := range by[:min(len(by), 10)] {
		pair := Pair{Arch: p.arch, A: p.top1[0], B: p.top1[1]}
		if trials {
			pair.Seed = &p.seed
		}
		pairs = append(pairs, pair)
	}
	return pairs
}
