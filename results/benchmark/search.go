package benchmark

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"nb201/internal/usage"
	"nb201/results"
)

// The queries in this file read all architectures of a benchmark, one at a time on each
// processor, and keep none of them.

// Progress receives the number of architectures read so far and their total. Calls do not
// overlap. A nil Progress is allowed.
type Progress func(done, total int)

// scan reads all architectures that b holds and calls visit with each, in any order; calls do
// not overlap. It ends with the first error of reading or of visit.
func (b *Benchmark) scan(ctx context.Context, progress Progress, visit func(*Architecture) error) error {
	return readAll(ctx, b.evaluated, progress, b.read, visit)
}

// SalvageEach reads as much as possible of each of the architectures with these indices, which b
// must hold, and calls visit with each, as [Benchmark.Salvage] returns it, in any order; calls do
// not overlap. The error is that of ctx.
func (b *Benchmark) SalvageEach(ctx context.Context, indices []int, progress Progress, visit func(index int, a *Architecture, damage []error)) error {
	type salvaged struct {
		index  int
		a      *Architecture
		damage []error
	}
	return readAll(ctx, indices, progress, func(index int) (salvaged, error) {
		a, damage := b.Salvage(index)
		return salvaged{index, a, damage}, nil
	}, func(s salvaged) error {
		visit(s.index, s.a, s.damage)
		return nil
	})
}

// readAll reads architectures and calls visit with each, in any order; calls do not overlap. It ends
// with the first error of read or of visit.
func readAll[T any](ctx context.Context, indices []int, progress Progress, read func(index int) (T, error), visit func(T) error) error {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	done := 0
	for _, index := range indices {
		group.Go(func() error {
			if err := reading.Err(); err != nil {
				return err
			}
			a, err := read(index)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if err := visit(a); err != nil {
				return err
			}
			if done++; progress != nil {
				progress(done, len(indices))
			}
			return nil
		})
	}
	return group.Wait()
}

// Search configures [Benchmark.FindBest].
type Search struct {
	// Dataset and Set name the accuracy to compare. Set is TrainingSet, an evaluation set, or
	// "valid" or "test" as in the clients' find_best. On cifar10, "valid" means x-valid after
	// training on cifar10-valid, and "test" means ori-test; on cifar100 and ImageNet16-120
	// they mean x-valid and x-test.
	Dataset, Set string
	HP           string  // name of the schedule
	MaxFLOPs     float64 // limit in millions; 0: no limit
	MaxParams    float64 // limit in millions; 0: no limit
	Progress     Progress
	// Visit, if not nil, receives each architecture that is compared, in any order. Calls do not
	// overlap.
	Visit func(Compared)
}

// Compared is an architecture that a search compared.
type Compared struct {
	Index    int
	Accuracy float64 // percent, mean over the seeds
	FLOPs    float64 // millions
}

// Best is the result of [Benchmark.FindBest].
type Best struct {
	Index    int     `json:"architecture"`
	Genotype string  `json:"genotype"`
	Dataset  string  `json:"dataset"`         // dataset key that was trained on
	Set      string  `json:"set"`             // TrainingSet or an evaluation set
	HP       string  `json:"schedule"`        // name of the schedule
	Accuracy float64 `json:"top1_percent"`    // 0 to 100, after the last epoch, mean over the seeds
	FLOPs    float64 `json:"flops_millions"`  // multiply-adds for one image, in millions
	Params   float64 `json:"params_millions"` // parameters, in millions
	// Compared counts the architectures within the limits, Beyond those beyond them, and
	// Lacking those without the trials or measures asked for.
	Compared int `json:"compared"`
	Beyond   int `json:"beyond_limits"`
	Lacking  int `json:"lacking"`
	// Unequal lists settings in which the compared trials differ from each other.
	Unequal []string `json:"unequal_trials,omitempty"`
}

// FindBest finds the architecture with the highest top-1 accuracy after the last epoch, as a
// mean over the seeds, among those within the limits (find_best). Ties go to the smallest
// index. Architectures that lack the trials or measures are skipped, where the clients fail; if
// all lack them, the error is [ErrNotHeld]. The search ends with an error if an architecture
// cannot be read, or if all are beyond the limits.
func (b *Benchmark) FindBest(ctx context.Context, s Search) (*Best, error) {
	dataset, set := remapNames(s.Dataset, s.Set)
	best := &Best{Index: -1, Dataset: dataset, Set: set, HP: s.HP}
	var lacking lackingCount
	var experiments results.Experiments
	err := b.scan(ctx, s.Progress, func(a *Architecture) error {
		costs, metrics, err := a.lastMetrics(s.HP, dataset, set)
		switch {
		case err != nil:
			return lacking.add(a, err)
		case s.MaxFLOPs > 0 && costs.FLOPs > s.MaxFLOPs || s.MaxParams > 0 && costs.Params > s.MaxParams:
			best.Beyond++
			return nil
		}
		best.Compared++
		if s.Visit != nil {
			s.Visit(Compared{a.Index, metrics.Accuracy, costs.FLOPs})
		}
		if schedule, err := a.Schedule(s.HP); err == nil {
			for _, r := range schedule.Results {
				if r.Dataset == dataset {
					experiments.Add(r.Settings())
				}
			}
		}
		if best.Index < 0 || cmp.Or(cmp.Compare(best.Accuracy, metrics.Accuracy), a.Index-best.Index) < 0 {
			best.Index, best.Genotype, best.Accuracy = a.Index, a.Genotype, metrics.Accuracy
			best.FLOPs, best.Params = costs.FLOPs, costs.Params
		}
		return nil
	})
	best.Lacking = lacking.architectures
	switch {
	case err != nil:
		return nil, err
	case best.Compared > 0:
		best.Unequal = experiments.Unequal()
		return best, nil
	case best.Beyond > 0:
		return nil, usage.Errorf("%s: none of the %d architectures with %s of %s and schedule %s is within the limits; raise the limits",
			b.Path, best.Beyond, set, dataset, s.HP)
	default:
		return nil, b.noneHolds(lacking)
	}
}

// lackingCount counts the architectures that lack what is asked for, and keeps the error of the
// one with the smallest index.
type lackingCount struct {
	architectures int
	first         int
	err           error
}

// add counts an architecture if err is ErrNotHeld, and returns any other error.
func (l *lackingCount) add(a *Architecture, err error) error {
	if !errors.Is(err, ErrNotHeld) {
		return err
	}
	if l.architectures++; l.err == nil || a.Index < l.first {
		l.first, l.err = a.Index, err
	}
	return nil
}

// noneHolds returns the error for a query that no architecture can answer.
func (b *Benchmark) noneHolds(l lackingCount) error {
	if l.err == nil {
		return notHeld("%s does not hold any architecture", b.Path)
	}
	return usage.Errorf("%s: no architecture has the results that the query needs; for example: %w", b.Path, l.err)
}

// Statistics counts the architectures by their number of trials on a dataset with a schedule:
// the result maps each number of trials to a number of architectures (statistics). It counts
// the architectures that the benchmark holds, as nats_bench does; nas_201_api fails unless it
// holds all. Architectures without a trial count under 0; if none has one, the error is
// [ErrNotHeld].
func (b *Benchmark) Statistics(ctx context.Context, dataset, hp string, progress Progress) (map[int]int, error) {
	counts := map[int]int{}
	var lacking lackingCount
	err := b.scan(ctx, progress, func(a *Architecture) error {
		var trials []*ResultsCount
		schedule, err := a.Schedule(hp)
		if err == nil {
			trials, err = schedule.Query(dataset)
		}
		if err != nil {
			if err := lacking.add(a, err); err != nil {
				return err
			}
		}
		counts[len(trials)]++
		return nil
	})
	if err == nil && lacking.architectures == len(b.evaluated) {
		err = b.noneHolds(lacking)
	}
	return counts, err
}

// AvailableHPs returns the names of the schedules that have trials, in order of their epochs
// (avaliable_hps). For one architecture, use [Architecture.HPs].
func (b *Benchmark) AvailableHPs(ctx context.Context, progress Progress) ([]string, error) {
	epochs := map[string]int{}
	err := b.scan(ctx, progress, func(a *Architecture) error {
		for _, s := range a.Schedules {
			epochs[s.HP] = s.Results[0].Epochs
		}
		return nil
	})
	return slices.SortedFunc(maps.Keys(epochs), func(a, b string) int {
		return cmp.Or(cmp.Compare(epochs[a], epochs[b]), cmp.Compare(a, b))
	}), err
}
