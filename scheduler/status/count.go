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

// census counts the trials of a campaign by dataset and schedule, and samples the finished ones.
type census struct {
	plan       *plan.Plan // nil without a plan
	groups     map[groupKey]*group
	last       *group // cache of groupOf: trials come in order
	notPlanned int
	random     *rand.Rand
}

// groupKey is a trial without architecture and seed.
type groupKey = results.Trial

// keyOf returns the key of a trial's group.
func keyOf(t results.Trial) groupKey {
	return groupKey{Dataset: t.Dataset, Recipe: t.Recipe, Epochs: t.Epochs}
}

// group counts the trials of one dataset and schedule.
type group struct {
	Group
	key    groupKey
	work   plan.Work       // images of one planned trial; its MFLOPs are summed over the planned trials neither done nor failed
	done   int             // finished trials, planned or not
	sample []results.Trial // uniform sample of the finished trials

	// From the records of the sample, in seconds.
	passes   float64   // training and evaluation, summed over the sample
	overhead []float64 // the rest of each trial: reading images, compiling
}

// sampleSize is the number of records read per group. Reading all records of a whole benchmark
// would take minutes; 32 are enough to estimate the hours to within a few percent.
const sampleSize = 32

// newCensus returns a census with the planned trials counted. p may be nil.
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

// groupOf returns the group of a trial, creating it if necessary.
func (c *census) groupOf(t results.Trial) *group {
	key := keyOf(t)
	if c.last.key == key {
		return c.last
	}
	g := c.groups[key]
	if g == nil {
		g = &group{key: key, Group: Group{Dataset: t.Dataset, Schedule: t.Schedule(), Epochs: t.Epochs}}
		c.groups[key] = g
	}
	c.last = g
	return g
}

// countPlanned reports whether a trial that is done, running, damaged or failed is in the plan.
// Without a plan it counts the trial as planned and returns true.
func (c *census) countPlanned(t results.Trial) bool {
	if c.plan == nil {
		c.groupOf(t).Planned++
		return true
	}
	return c.plan.Has(t)
}

func (c *census) addDone(t results.Trial) {
	g := c.groupOf(t)
	if c.countPlanned(t) {
		g.Done++
		g.subtractWork(c.plan, t)
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
	if g := c.groupOf(t); c.countPlanned(t) {
		g.Damaged++
	}
}

func (c *census) addFailed(t results.Trial) {
	if g := c.groupOf(t); c.countPlanned(t) {
		g.Failed++
		g.subtractWork(c.plan, t)
	}
}

func (c *census) addRunning(t results.Trial) {
	if g := c.groupOf(t); c.countPlanned(t) {
		g.Running++
	}
}

// subtractWork removes a planned trial that is done or failed from the work that is left.
func (g *group) subtractWork(p *plan.Plan, t results.Trial) {
	if p != nil {
		g.work.MFLOPs -= p.Work(t).MFLOPs
	}
}

// readSample reads the records of the samples, and adds errors to s.Problems.
func (c *census) readSample(ctx context.Context, s *Status) error {
	campaign := results.CampaignAt(s.Campaign)
	var mu sync.Mutex
	var readers errgroup.Group
	readers.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, g := range c.groups {
		for _, t := range g.sample {
			readers.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				passes, overhead, err := secondsOf(campaign, t)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					s.Problems = append(s.Problems, err.Error())
					return nil
				}
				g.passes += passes
				g.overhead = append(g.overhead, overhead)
				return nil
			})
		}
	}
	return readers.Wait()
}

// secondsOf returns how long the passes of a finished trial took, and the rest of it.
func secondsOf(c results.Campaign, t results.Trial) (passes, overhead float64, err error) {
	if c.Kind == results.Evaluated {
		r, err := c.Evaluation(t)
		if err != nil {
			return 0, 0, err
		}
		for _, s := range r.Sets {
			passes += s.Seconds
		}
		return passes, 0, nil
	}
	r, err := c.Record(t)
	if err != nil {
		return 0, 0, err
	}
	passes = r.Seconds()
	return passes, max(r.Finished.Sub(r.Started).Seconds()-passes, 0), nil
}

// hoursSpent estimates, from the sample, how many hours the finished trials took: the mean time
// of training and evaluation plus the median overhead, times their number. The median is used
// because the overhead of an interrupted trial includes the interruption.
func (g *group) hoursSpent() float64 {
	n := len(g.overhead)
	if n == 0 {
		return 0
	}
	slices.Sort(g.overhead)
	return (g.passes/float64(n) + g.overhead[n/2]) * float64(g.done) / 3600
}

// timeNeeded returns how long a single worker would need, at a rate, for the planned trials that
// are running, damaged or left; zero when rate is nil.
func (g *group) timeNeeded(rate *plan.Rate) time.Duration {
	n := float64(g.Running + g.Damaged + g.Left)
	if n == 0 || rate == nil {
		return 0
	}
	// Time is linear in the FLOPs, so a trial of mean FLOPs takes the mean time.
	mean := g.work
	mean.MFLOPs /= n
	return time.Duration(n * rate.Seconds(mean) * float64(time.Second))
}

// measureRate measures the rate of finished trials: see [plan.MeasureRate]. It returns nil when
// there are none.
func (c *census) measureRate(ctx context.Context, campaign results.Campaign) (*plan.Rate, error) {
	var sample []results.Trial
	for _, g := range c.groups {
		for i, t := range g.sample {
			if i%2 == 0 || len(g.sample) < sampleSize { // half of a full sample is enough
				sample = append(sample, t)
			}
		}
	}
	slices.SortFunc(sample, results.Trial.Compare)
	return plan.MeasureRate(ctx, campaign, sample, c.plan.Settings.Precision)
}
