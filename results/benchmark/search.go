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

// This file answers what needs all architectures of a benchmark. They are read on all
// processors, one at a time on each, and none is kept.

// Progress is told, one call at a time, how many architectures of all are read. It may
// be nil.
type Progress func(done, total int)

// scan reads all architectures that b holds and calls visit with each, one call at a
// time, in any order. It ends with the first error of either.
func (b *Benchmark) scan(ctx context.Context, progress Progress, visit func(*Architecture) error) error {
	group, scanning := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	done := 0
	for _, index := range b.evaluated {
		group.Go(func() error {
			if err := scanning.Err(); err != nil {
				return err
			}
			a, err := b.read(index)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if err := visit(a); err != nil {
				return err
			}
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
// where the clients fail; when none is left it is ErrNotHeld. One that cannot be read ends
// the search.
func (b *Benchmark) FindBest(ctx context.Context, s Search) (*Best, error) {
	dataset, set := remap(s.Dataset, s.Set)
	best := &Best{Index: -1, Dataset: dataset, Set: set, HP: s.HP}
	var lacking lack
	var experiments results.Experiments
	err := b.scan(ctx, s.Progress, func(a *Architecture) error {
		costs, metrics, err := a.last(s.HP, dataset, set)
		switch {
		case err != nil:
			return lacking.add(a, err)
		case s.MaxFLOPs > 0 && costs.FLOPs > s.MaxFLOPs || s.MaxParams > 0 && costs.Params > s.MaxParams:
			best.Beyond++
			return nil
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
		return nil, usage.Errorf("%s: all %d architectures with %s of %s along schedule %s are beyond the limits: raise them",
			b.Path, best.Beyond, set, dataset, s.HP)
	default:
		return nil, b.nothing(lacking)
	}
}

// lack counts the architectures that lack what is asked for, and keeps what the first
// of them lacks.
type lack struct {
	architectures int
	first         int
	err           error
}

// add counts an architecture that does not hold what is asked for; any other error is returned.
func (l *lack) add(a *Architecture, err error) error {
	if !errors.Is(err, ErrNotHeld) {
		return err
	}
	if l.architectures++; l.err == nil || a.Index < l.first {
		l.first, l.err = a.Index, err
	}
	return nil
}

// nothing is the error of a question that no architecture answers.
func (b *Benchmark) nothing(l lack) error {
	if l.err == nil {
		return notHeld("%s holds no architecture", b.Path)
	}
	return usage.Errorf("%s: no architecture has what is asked for: %w", b.Path, l.err)
}

// Statistics counts the architectures that have so many trials on a dataset along a
// schedule, by the number of trials: statistics. As in nats_bench the architectures
// held are counted, where nas_201_api fails unless it holds all. One without a trial
// counts for 0, but that all are without is ErrNotHeld.
func (b *Benchmark) Statistics(ctx context.Context, dataset, hp string, progress Progress) (map[int]int, error) {
	counts := map[int]int{}
	var lacking lack
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
		err = b.nothing(lacking)
	}
	return counts, err
}

// AvailableHPs lists the names of the schedules that there are trials of, in order of
// their epochs: avaliable_hps. (Those of one architecture are Architecture.HPs.)
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
