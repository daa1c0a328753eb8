package results

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"nb201/internal/usage"
)

// This file answers what needs all architectures of a benchmark. They are read on all
// processors, one at a time on each, and none is kept.

// Progress is told, one call at a time, how many architectures of all are read. It may
// be nil.
type Progress func(done, total int)

// scan reads all architectures that b holds, and has visit see them, one call at a
// time, in any order.
func (b *Benchmark) scan(ctx context.Context, progress Progress, visit func(*Architecture)) error {
	group, scanning := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	done := 0
	for _, index := range b.evaluated {
		group.Go(func() error {
			if err := scanning.Err(); err != nil {
				return err
			}
			a, err := b.source.architecture(index)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			visit(a)
			if done++; progress != nil {
				progress(done, len(b.evaluated))
			}
			return nil
		})
	}
	return group.Wait()
}

// Search says what FindBest looks for.
type Search struct {
	// Dataset and Set name where the accuracy counts. The set is TrainingSet, an
	// evaluation set, or "valid" or "test" as the clients' find_best has them: of
	// cifar10 x-valid after training on cifar10-valid and ori-test, of cifar100 and
	// ImageNet16-120 x-valid and x-test.
	Dataset, Set string
	HP           string  // the schedule
	MaxFLOPs     float64 // millions; 0: any number
	MaxParams    float64 // millions; 0: any number
	Progress     Progress
}

// Best is the architecture with the highest accuracy.
type Best struct {
	Index    int     `json:"architecture"`
	Genotype string  `json:"genotype"`
	Dataset  string  `json:"dataset"` // that was trained on
	Set      string  `json:"set"`
	HP       string  `json:"schedule"`
	Accuracy float64 `json:"top1_percent"` // after the last epoch, mean over the seeds
	FLOPs    float64 `json:"flops_millions"`
	Params   float64 `json:"params_millions"`
	// Compared counts the architectures within the limits, Beyond the others, Lacking
	// those without what was asked for.
	Compared int `json:"compared"`
	Beyond   int `json:"beyond_limits"`
	Lacking  int `json:"lacking"`
	// Unequal says in which settings trials that were compared differ.
	Unequal []string `json:"unequal_trials,omitempty"`
}

// FindBest finds the architecture with the highest accuracy after the last epoch, mean
// over the seeds, among those within the limits: find_best. Of equals it is the one
// with the smallest index. Architectures without what is asked for are passed over,
// where the clients fail; when none is left it is a usage error.
func (b *Benchmark) FindBest(ctx context.Context, s Search) (*Best, error) {
	dataset, set := remap(s.Dataset, s.Set)
	best := &Best{Index: -1, Dataset: dataset, Set: set, HP: s.HP}
	var lacking lack
	var experiments Experiments
	err := b.scan(ctx, s.Progress, func(a *Architecture) {
		costs, metrics, err := a.last(s.HP, dataset, set)
		switch {
		case err != nil:
			lacking.add(a, err)
			return
		case s.MaxFLOPs > 0 && costs.FLOPs > s.MaxFLOPs || s.MaxParams > 0 && costs.Params > s.MaxParams:
			best.Beyond++
			return
		}
		best.Compared++
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
	})
	best.Lacking = lacking.architectures
	switch {
	case err != nil:
		return nil, err
	case best.Compared > 0:
		best.Unequal = experiments.Unequal()
		return best, nil
	case best.Beyond > 0:
		return nil, usage.Errorf("%s: all %d architectures with %s of %s along schedule %s are beyond the limits: raise them",
			b.Path, best.Beyond, set, dataset, s.HP)
	default:
		return nil, b.nothing(lacking)
	}
}

// last tells the costs, and the metrics after the last epoch as means over the seeds.
func (a *Architecture) last(hp, dataset, set string) (costs Costs, m Metrics, err error) {
	trials, err := a.Schedule(hp)
	if err == nil {
		costs, err = trials.ComputeCosts(dataset)
	}
	if err == nil {
		m, err = trials.Metrics(dataset, set, Last, Mean())
	}
	return costs, m, err
}

// lack counts the architectures that lack what is asked for, and keeps what the first
// of them lacks.
type lack struct {
	architectures int
	first         int
	err           error
}

func (l *lack) add(a *Architecture, err error) {
	if l.architectures++; l.err == nil || a.Index < l.first {
		l.first, l.err = a.Index, err
	}
}

// nothing is the error of a question that no architecture answers.
func (b *Benchmark) nothing(l lack) error {
	if l.err == nil {
		return usage.Errorf("%s holds no architecture", b.Path)
	}
	return usage.Errorf("%s: no architecture has what is asked for: %w", b.Path, l.err)
}

// Statistics counts the architectures that have so many trials on a dataset along a
// schedule, by the number of trials: statistics. As in nats_bench the architectures
// held are counted, where nas_201_api fails unless it holds all. One without a trial
// counts for 0, but that all are without is a usage error.
func (b *Benchmark) Statistics(ctx context.Context, dataset, hp string, progress Progress) (map[int]int, error) {
	counts := map[int]int{}
	var lacking lack
	err := b.scan(ctx, progress, func(a *Architecture) {
		var trials []*ResultsCount
		schedule, err := a.Schedule(hp)
		if err == nil {
			trials, err = schedule.Query(dataset)
		}
		if err != nil {
			lacking.add(a, err)
		}
		counts[len(trials)]++
	})
	if err == nil && lacking.architectures == len(b.evaluated) {
		err = b.nothing(lacking)
	}
	return counts, err
}

// AvailableHPs lists the names of the schedules that there are trials of, in order of
// their epochs: avaliable_hps. (Those of one architecture are Architecture.HPs.)
func (b *Benchmark) AvailableHPs(ctx context.Context, progress Progress) ([]string, error) {
	epochs := map[string]int{}
	err := b.scan(ctx, progress, func(a *Architecture) {
		for _, s := range a.Schedules {
			epochs[s.HP] = s.Results[0].Epochs
		}
	})
	return slices.SortedFunc(maps.Keys(epochs), func(a, b string) int {
		return cmp.Or(cmp.Compare(epochs[a], epochs[b]), cmp.Compare(a, b))
	}), err
}
