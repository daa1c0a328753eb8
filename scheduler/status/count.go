package status

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"nb201/results"
	"nb201/scheduler/plan"
)

// census counts the trials of a campaign by dataset and schedule, and draws a sample of
// those that are done.
type census struct {
	plan       *plan.Plan // nil: none
	groups     map[groupKey]*group
	last       *group // that was asked for: trials come in order
	notPlanned int
	random     *rand.Rand
}

type groupKey struct {
	dataset string
	epochs  int
}

func (k groupKey) trial() results.Trial { return results.Trial{Dataset: k.dataset, Epochs: k.epochs} }

func (k groupKey) compare(other groupKey) int { return k.trial().Compare(other.trial()) }

// group is what is counted of the trials on a dataset along a schedule.
type group struct {
	Group
	work   plan.Work       // of a planned trial; its MFLOPs are the sum over those that are not done or failed
	done   int             // planned or not
	sample []results.Trial // of these, each as likely as the others

	// What the records of the sample tell.
	took   float64   // seconds to train and to evaluate, of all of them together
	beside []float64 // seconds that each took besides: reading images, compiling
}

// sampleSize is how many records of a group are read. Reading all of a whole benchmark
// would take minutes; from 32, the sum of the hours is known to some percent.
const sampleSize = 32

// newCensus counts what is planned.
func newCensus(p *plan.Plan) *census {
	c := &census{plan: p, groups: map[groupKey]*group{}, last: new(group), random: rand.New(rand.NewPCG(1, 1))}
	if p == nil {
		return c
	}
	for t := range p.Trials() {
		g := c.groupOf(t)
		g.Planned++
		mflops := g.work.MFLOPs
		g.work = p.Work(t)
		g.work.MFLOPs += mflops
	}
	return c
}

func (c *census) groupOf(t results.Trial) *group {
	if c.last.Dataset == t.Dataset && c.last.Epochs == t.Epochs {
		return c.last
	}
	key := groupKey{t.Dataset, t.Epochs}
	g := c.groups[key]
	if g == nil {
		g = &group{Group: Group{Dataset: t.Dataset, Epochs: t.Epochs}}
		c.groups[key] = g
	}
	c.last = g
	return g
}

// planned tells whether a trial that is done, running or failed is planned. Without a
// plan it is, by being so.
func (c *census) planned(t results.Trial) bool {
	if c.plan == nil {
		c.groupOf(t).Planned++
		return true
	}
	return c.plan.Has(t)
}

func (c *census) addDone(t results.Trial) {
	g := c.groupOf(t)
	if c.planned(t) {
		g.Done++
		g.settle(c.plan, t)
	} else {
		c.notPlanned++
	}
	g.done++
	// Reservoir sampling.
	if len(g.sample) < sampleSize {
		g.sample = append(g.sample, t)
	} else if i := c.random.IntN(g.done); i < sampleSize {
		g.sample[i] = t
	}
}

func (c *census) addDamaged(t results.Trial) {
	if g := c.groupOf(t); c.planned(t) {
		g.Damaged++
	}
}

func (c *census) addFailed(t results.Trial) {
	if g := c.groupOf(t); c.planned(t) {
		g.Failed++
		g.settle(c.plan, t)
	}
}

func (c *census) addRunning(t results.Trial) {
	if g := c.groupOf(t); c.planned(t) {
		g.Running++
	}
}

// settle takes a planned trial out of the work that is left.
func (g *group) settle(p *plan.Plan, t results.Trial) {
	if p != nil {
		g.work.MFLOPs -= p.Work(t).MFLOPs
	}
}

// read reads the records of the samples; those that cannot be read are problems of s.
func (c *census) read(ctx context.Context, s *Status) error {
	campaign := results.Campaign{Dir: s.Campaign}
	var mu sync.Mutex
	var readers errgroup.Group
	readers.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, g := range c.groups {
		for _, t := range g.sample {
			readers.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r, err := campaign.Record(t)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					s.Problems = append(s.Problems, err.Error())
					return nil
				}
				took := r.Seconds()
				g.took += took
				g.beside = append(g.beside, max(r.Finished.Sub(r.Started).Seconds()-took, 0))
				return nil
			})
		}
	}
	return readers.Wait()
}

// spent is how many hours the trials done took, by those whose records were read: the
// mean of their training and evaluation and the median of the rest, which in a trial that
// was interrupted is as long as the interruption.
func (g *group) spent() float64 {
	n := len(g.beside)
	if n == 0 {
		return 0
	}
	slices.Sort(g.beside)
	return (g.took/float64(n) + g.beside[n/2]) * float64(g.done) / 3600
}

// unfinished is how long one worker would take at a rate for the planned trials that are
// running, damaged or left.
func (g *group) unfinished(rate *plan.Rate) time.Duration {
	n := float64(g.Running + g.Damaged + g.Left)
	if n == 0 || rate == nil {
		return 0
	}
	// Time is linear in the FLOPs: the mean trial takes the mean time.
	mean := g.work
	mean.MFLOPs /= n
	return time.Duration(n * rate.Seconds(mean) * float64(time.Second))
}

// rate is how fast trials of the plan were done, nil when none was.
func (c *census) rate(ctx context.Context, campaign results.Campaign) (*plan.Rate, error) {
	var sample []results.Trial
	for _, g := range c.groups {
		for i, t := range g.sample {
			if i%2 == 0 || len(g.sample) < sampleSize { // half of a full sample will do
				sample = append(sample, t)
			}
		}
	}
	slices.SortFunc(sample, results.Trial.Compare)
	return plan.MeasureRate(ctx, campaign, sample, c.plan.Settings.Precision)
}
