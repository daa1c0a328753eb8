package export

import (
	"cmp"
	"fmt"
	"slices"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// encoding pickles trials as objects of the Python clients.
type encoding struct {
	of original
	// weights converts a state dict to a value to pickle; nil leaves weights out.
	weights func(torchfile.StateDict) (any, error)
	// kept, if not nil, is pickled instead of weights.
	kept any
	// constant is set if the times are the same in every epoch; the value is then
	// pickled once and referred to.
	constant bool
}

// torchWeights returns weights as they are pickled in a torch checkpoint.
func torchWeights(s torchfile.StateDict) (any, error) { return s, nil }

// archResults returns an ArchResults.state_dict (nas_201_api/api_utils.py).
func (c encoding) archResults(index int, genotype string, s *benchmark.ArchResults) (pickle.Dict, error) {
	var all, seeds pickle.Dict
	cleared := c.weights == nil && c.kept == nil || s.HP == c.of.unweighted
	for _, r := range c.of.inOrder(s.Results) {
		weights, err := c.encodeWeights(r)
		if err != nil {
			return nil, err
		}
		all = append(all, pickle.Pair{Key: pickle.Tuple{r.Dataset, int64(r.Seed)}, Value: c.resultsCount(r, weights)})
	}
	for trials := range byDataset(s) {
		var list pickle.List
		for _, r := range trials {
			list = append(list, int64(r.Seed))
		}
		seeds = append(seeds, pickle.Pair{Key: trials[0].Dataset, Value: list})
	}
	return pickle.Dict{
		{Key: "arch_index", Value: index},
		{Key: "arch_str", Value: genotype},
		{Key: "all_results", Value: all},
		{Key: "dataset_seed", Value: seeds},
		{Key: "clear_net_done", Value: cleared},
	}, nil
}

// inOrder returns the trials of a schedule in the order in which the original's files list them.
func (x *original) inOrder(trials []*benchmark.ResultsCount) []*benchmark.ResultsCount {
	if !x.bySeed {
		return trials
	}
	return slices.SortedStableFunc(slices.Values(trials), func(a, b *benchmark.ResultsCount) int { return cmp.Compare(a.Seed, b.Seed) })
}

// encodeWeights returns the trained weights of a trial as they are pickled, or nil if there
// are none.
func (c encoding) encodeWeights(r *benchmark.ResultsCount) (any, error) {
	switch {
	case !r.HasWeights():
		return nil, nil
	case c.kept != nil:
		return c.kept, nil
	case c.weights == nil:
		return nil, nil
	}
	s, err := r.Weights()
	if err != nil {
		return nil, err
	}
	return c.weights(s)
}

// resultsCount returns a ResultsCount.state_dict (nas_201_api/api_utils.py).
func (c encoding) resultsCount(r *benchmark.ResultsCount, weights any) pickle.Dict {
	names := make(pickle.List, len(r.Evaluation))
	var top1, losses, seconds pickle.Dict
	for i := range r.Evaluation {
		e := &r.Evaluation[i]
		names[i] = e.Set
		top1 = append(top1, perEpoch(e.Top1, setAtEpoch(e.Set), asFloat)...)
		losses = append(losses, perEpoch(e.Loss, setAtEpoch(e.Set), asFloat)...)
		seconds = append(seconds, perEpoch(secondsOfAll(r, &e.Measures), setAtEpoch(e.Set), c.asSeconds)...)
	}
	state := pickle.Pair{Key: "net_state_dict", Value: weights}
	last := c.of.clearedLast && weights == nil
	d := pickle.Dict{{Key: "name", Value: r.Dataset}}
	if !last {
		d = append(d, state)
	}
	d = append(d, pickle.Dict{
		{Key: "train_acc1es", Value: perEpoch(r.Training.Top1, byEpoch, asFloat)},
		{Key: "train_acc5es", Value: noneIfEmpty(perEpoch(r.Training.Top5, byEpoch, asFloat))},
		{Key: "train_losses", Value: perEpoch(r.Training.Loss, byEpoch, asFloat)},
		{Key: "train_times", Value: c.trainTimes(r)},
		{Key: "arch_config", Value: c.of.archConfig(r)},
		{Key: "params", Value: r.Params},
		{Key: "flop", Value: r.FLOPs},
		{Key: "seed", Value: fmt.Sprintf("%04d", r.Seed)},
		{Key: "epochs", Value: r.Epochs},
		{Key: "latency", Value: latency(r)},
		{Key: "eval_names", Value: names},
		{Key: "eval_acc1es", Value: top1},
		{Key: "eval_times", Value: seconds},
		{Key: "eval_losses", Value: losses},
	}...)
	if last {
		d = append(d, state)
	}
	if r.Recipe != nil && r.Recipe.Name != "" { // the clients ignore keys that they do not know
		d = append(d, pickle.Pair{Key: published.RecipeKey, Value: string(r.Recipe.JSON())})
	}
	return d
}

// trainTimes returns the times of training, or None.
func (c encoding) trainTimes(r *benchmark.ResultsCount) any {
	d := perEpoch(r.Training.Seconds, byEpoch, c.asSeconds)
	if c.of.orderedTimes && len(d) > 0 {
		return pickle.OrderedDict{Items: d}
	}
	return noneIfEmpty(d)
}

// secondsOfAll returns the times of an evaluation set. The clients add up the times of all epochs, so
// those that a recipe does not evaluate get 0 seconds.
func secondsOfAll(r *benchmark.ResultsCount, e *benchmark.Measures) benchmark.Series {
	if len(e.Seconds) == 0 || e.Seconds.Complete(r.Epochs) {
		return e.Seconds
	}
	all := make(benchmark.Series, r.Epochs)
	for epoch := range all {
		seconds, timed := e.Seconds.At(epoch)
		if !timed && (r.Recipe == nil || r.Recipe.Evaluates(epoch)) {
			return e.Seconds
		}
		all[epoch] = benchmark.Point{Epoch: epoch, Value: seconds}
	}
	return all
}

// latency returns a list of one value, the mean latency, as reset_latency (nas_201_api/api_utils.py,
// nats_bench/api_utils.py) leaves it: some programs read the first value of the list alone. It returns None
// if nothing was measured.
func latency(r *benchmark.ResultsCount) any {
	mean := r.Latency()
	if mean == nil {
		return nil
	}
	return pickle.List{*mean}
}

// perEpoch returns a series as a dict.
func perEpoch(s benchmark.Series, key func(epoch int) any, value func(float64) any) pickle.Dict {
	d := make(pickle.Dict, len(s))
	for i, p := range s {
		d[i] = pickle.Pair{Key: key(p.Epoch), Value: value(p.Value)}
	}
	return d
}

func byEpoch(epoch int) any { return epoch }

// setAtEpoch returns the clients' keys for the epochs of an evaluation set.
func setAtEpoch(set string) func(epoch int) any {
	return func(epoch int) any { return fmt.Sprintf("%s@%d", set, epoch) }
}

func asFloat(v float64) any { return v }

func (c encoding) asSeconds(v float64) any {
	if c.constant {
		return pickle.Repeated(v)
	}
	return v
}

// noneIfEmpty replaces an empty dict by None.
func noneIfEmpty(d pickle.Dict) any {
	if len(d) == 0 {
		return nil
	}
	return d
}

// metaArchs returns the strings of the first n architectures of a space in the official order.
func metaArchs(space cell.Space, n int) pickle.List {
	archs := make(pickle.List, 0, n)
	for i, a := range space.All() {
		if i == n {
			break
		}
		archs = append(archs, a.String())
	}
	return archs
}

// encodeSlots returns the value of an architecture in Archive and NASBench201 files: an
// ArchResults.state_dict for each slot. The client cannot load a file that lacks one, so a
// slot without trials is an ArchResults without results.
func (c encoding) encodeSlots(a *benchmark.Architecture) (pickle.Dict, error) {
	less, err := c.archResults(a.Index, a.Genotype, a.Schedules[0])
	if err != nil {
		return nil, err
	}
	full, err := c.archResults(a.Index, a.Genotype, a.Schedules[1])
	return pickle.Dict{{Key: "full", Value: full}, {Key: "less", Value: less}}, err
}

// byDataset yields the trials of each dataset, which are adjacent, with all their seeds.
func byDataset(s *benchmark.ArchResults) func(yield func([]*benchmark.ResultsCount) bool) {
	return func(yield func([]*benchmark.ResultsCount) bool) {
		for from := 0; from < len(s.Results); {
			to := from
			for to < len(s.Results) && s.Results[to].Dataset == s.Results[from].Dataset {
				to++
			}
			if !yield(s.Results[from:to]) {
				return
			}
			from = to
		}
	}
}
