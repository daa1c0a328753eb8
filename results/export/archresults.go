package export

import (
	"fmt"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/results/benchmark"
)

// encoding is how the objects of the Python clients are pickled.
type encoding struct {
	// weights turns a state dict into what is pickled; nil: none are.
	weights func(torchfile.StateDict) (any, error)
	// constant tells that times are the same in each epoch, so that each need be
	// written once.
	constant bool
}

// torchWeights are weights in a torch checkpoint.
func torchWeights(s torchfile.StateDict) (any, error) { return s, nil }

// archResults is an ArchResults.state_dict (nas_201_api/api_utils.py).
func (c encoding) archResults(index int, genotype string, s *benchmark.ArchResults) (pickle.Dict, error) {
	var all, seeds pickle.Dict
	for trials := range byDataset(s) {
		var list pickle.List
		for _, r := range trials {
			weights, err := c.state(r)
			if err != nil {
				return nil, err
			}
			list = append(list, int64(r.Seed))
			all = append(all, pickle.Pair{Key: pickle.Tuple{r.Dataset, int64(r.Seed)}, Value: c.resultsCount(r, weights)})
		}
		seeds = append(seeds, pickle.Pair{Key: trials[0].Dataset, Value: list})
	}
	return pickle.Dict{
		{Key: "arch_index", Value: index},
		{Key: "arch_str", Value: genotype},
		{Key: "all_results", Value: all},
		{Key: "dataset_seed", Value: seeds},
		{Key: "clear_net_done", Value: c.weights == nil},
	}, nil
}

// state is the trained state dict of a trial as it is pickled; nil without one.
func (c encoding) state(r *benchmark.ResultsCount) (any, error) {
	if c.weights == nil || !r.HasWeights() {
		return nil, nil
	}
	s, err := r.Weights()
	if err != nil {
		return nil, err
	}
	return c.weights(s)
}

// resultsCount is a ResultsCount.state_dict (nas_201_api/api_utils.py).
func (c encoding) resultsCount(r *benchmark.ResultsCount, weights any) pickle.Dict {
	names := make(pickle.List, len(r.Evaluation))
	var top1, losses, seconds pickle.Dict
	for i := range r.Evaluation {
		e := &r.Evaluation[i]
		names[i] = e.Set
		top1 = append(top1, perEpoch(e.Top1, at(e.Set), number)...)
		losses = append(losses, perEpoch(e.Loss, at(e.Set), number)...)
		seconds = append(seconds, perEpoch(e.Seconds, at(e.Set), c.seconds)...)
	}
	return pickle.Dict{
		{Key: "name", Value: r.Dataset},
		{Key: "net_state_dict", Value: weights},
		{Key: "train_acc1es", Value: perEpoch(r.Training.Top1, epoch, number)},
		{Key: "train_acc5es", Value: orNone(perEpoch(r.Training.Top5, epoch, number))},
		{Key: "train_losses", Value: perEpoch(r.Training.Loss, epoch, number)},
		{Key: "train_times", Value: orNone(perEpoch(r.Training.Seconds, epoch, c.seconds))},
		{Key: "arch_config", Value: pickle.Dict{
			{Key: "channel", Value: r.Channels},
			{Key: "num_cells", Value: r.Cells},
			{Key: "arch_str", Value: r.Genotype},
			{Key: "class_num", Value: r.Classes},
		}},
		{Key: "params", Value: r.Params},
		{Key: "flop", Value: r.FLOPs},
		{Key: "seed", Value: fmt.Sprintf("%04d", r.Seed)},
		{Key: "epochs", Value: r.Epochs},
		{Key: "latency", Value: latency(r)},
		{Key: "eval_names", Value: names},
		{Key: "eval_acc1es", Value: top1},
		{Key: "eval_times", Value: seconds},
		{Key: "eval_losses", Value: losses},
	}
}

func latency(r *benchmark.ResultsCount) any {
	if r.Latencies == nil {
		return nil
	}
	list := make(pickle.List, len(r.Latencies))
	for i, s := range r.Latencies {
		list[i] = s
	}
	return list
}

// perEpoch is a dict of the values of a series.
func perEpoch(s benchmark.Series, key func(epoch int) any, value func(float64) any) pickle.Dict {
	d := make(pickle.Dict, len(s))
	for i, p := range s {
		d[i] = pickle.Pair{Key: key(p.Epoch), Value: value(p.Value)}
	}
	return d
}

func epoch(e int) any { return e }

// at is the key of the clients for an epoch of an evaluation set.
func at(set string) func(epoch int) any {
	return func(epoch int) any { return fmt.Sprintf("%s@%d", set, epoch) }
}

func number(v float64) any { return v }

func (c encoding) seconds(v float64) any {
	if c.constant {
		return pickle.Repeated(v)
	}
	return v
}

// orNone is None in place of an empty dict.
func orNone(d pickle.Dict) any {
	if len(d) == 0 {
		return nil
	}
	return d
}

// metaArchs are the strings of the first architectures in the official order.
func metaArchs(n int) pickle.List {
	archs := make(pickle.List, 0, n)
	for i, a := range cell.All() {
		if i == n {
			break
		}
		archs = append(archs, a.String())
	}
	return archs
}

// slots is the value of an architecture in Archive and NASBench201 files: an
// ArchResults.state_dict for each slot. The client cannot load a file in which one is
// missing, so a slot without trials is an ArchResults without results.
func (c encoding) slots(a *benchmark.Architecture) (pickle.Dict, error) {
	less, err := c.archResults(a.Index, a.Genotype, a.Schedules[0])
	if err != nil {
		return nil, err
	}
	full, err := c.archResults(a.Index, a.Genotype, a.Schedules[1])
	return pickle.Dict{{Key: "full", Value: full}, {Key: "less", Value: less}}, err
}

// byDataset yields the trials of each dataset, of all its seeds: they stand together.
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
