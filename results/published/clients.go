package published

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published/internal/pickled"
)

// This file reads what the Python classes of nas_201_api/api_utils.py pickle:
// ArchResults.state_dict and ResultsCount.state_dict. Values are taken as they are,
// be they out of range or not finite; what has another form is an error.

// loader reads the tensors of a trial's net_state_dict, which was read as state.
type loader func(state any, t results.Trial) (torchfile.StateDict, error)

// hps are the names of the two schedules in archive and merged files, and what the
// client calls them (nas_201_api/api_201.py, __init__).
var hps = []struct{ slot, hp string }{{"less", "12"}, {"full", "200"}}

// readSlots reads the dict of two schedules that stands for an architecture in
// archive and merged files. path is that of the archive file, "" in a merged file,
// which keeps no weights.
func readSlots(index int, v any, path string) (*benchmark.Architecture, error) {
	d, err := pickled.AsDict(v)
	if err != nil {
		return nil, err
	}
	a, err := benchmark.NewArchitecture(index)
	if err != nil {
		return nil, err
	}
	for _, slot := range hps {
		v, err := d.Get(slot.slot)
		if err != nil {
			return nil, err
		}
		var load loader
		if path != "" {
			load = func(_ any, t results.Trial) (torchfile.StateDict, error) { return loadSlot(path, slot.slot, t) }
		}
		if err := addSchedule(a, slot.hp, v, load); err != nil {
			return nil, fmt.Errorf("'%s': %w", slot.slot, err)
		}
	}
	return a, nil
}

// addSchedule reads an ArchResults.state_dict, unless it holds no trial.
func addSchedule(a *benchmark.Architecture, hp string, v any, load loader) error {
	d, err := pickled.AsDict(v)
	if err != nil {
		return err
	}
	index, err := pickled.Field(d, "arch_index", pickled.AsInt)
	if err != nil {
		return err
	}
	genotype, err := pickled.Field(d, "arch_str", pickled.AsString)
	if err != nil {
		return err
	}
	if index != a.Index || genotype != a.Genotype {
		return fmt.Errorf("it is of architecture %d, %s, where %d, %s, is due", index, genotype, a.Index, a.Genotype)
	}
	all, err := pickled.Field(d, "all_results", pickled.AsDict)
	if err != nil {
		return err
	}
	results := &benchmark.ArchResults{Index: a.Index, Genotype: a.Genotype, HP: hp}
	for _, item := range all {
		key, err := keyOf(item.Key)
		if err != nil {
			return err
		}
		key.Arch = a.Index
		r, err := readResultsCount(key, item.Value, load)
		if err != nil {
			return fmt.Errorf("(%s, %d): %w", key.Dataset, key.Seed, err)
		}
		results.Results = append(results.Results, r)
	}
	if len(results.Results) == 0 {
		return nil
	}
	slices.SortFunc(results.Results, func(a, b *benchmark.ResultsCount) int { return a.Trial.Compare(b.Trial) })
	if err := checkSeeds(d, results); err != nil {
		return err
	}
	a.Schedules = append(a.Schedules, results)
	return nil
}

// keyOf reads the key of all_results: (dataset key, seed).
func keyOf(v any) (results.Trial, error) {
	key, ok := v.(pickle.Tuple)
	if !ok || len(key) != 2 {
		return results.Trial{}, fmt.Errorf("all_results has the key %v in place of a dataset key and a seed", v)
	}
	dataset, err1 := pickled.AsString(key[0])
	seed, err2 := pickled.AsInt(key[1])
	if errors.Join(err1, err2) != nil || seed < 0 || seed > math.MaxUint32 {
		return results.Trial{}, fmt.Errorf("all_results has the key %v in place of a dataset key and a seed", v)
	}
	return results.Trial{Dataset: dataset, Seed: uint32(seed)}, nil
}

// checkSeeds makes sure that dataset_seed, by which the clients look up trials, names
// those that are there.
func checkSeeds(d pickled.Dict, r *benchmark.ArchResults) error {
	listed, err := pickled.Field(d, "dataset_seed", pickled.AsDict)
	if err != nil {
		return err
	}
	n := 0
	for _, item := range listed {
		dataset, err := pickled.AsString(item.Key)
		if err != nil {
			return fmt.Errorf("dataset_seed: %w", err)
		}
		seeds, err := pickled.AsList(item.Value)
		if err != nil {
			return fmt.Errorf("dataset_seed of %s: %w", dataset, err)
		}
		for _, v := range seeds {
			held := slices.ContainsFunc(r.Results, func(c *benchmark.ResultsCount) bool { return c.Dataset == dataset && int64(c.Seed) == v })
			if !held {
				return fmt.Errorf("dataset_seed lists seed %v of %s, which all_results lacks", v, dataset)
			}
			n++
		}
	}
	if n != len(r.Results) {
		return fmt.Errorf("dataset_seed lists %d trials, all_results holds %d", n, len(r.Results))
	}
	return nil
}

// readResultsCount reads a ResultsCount.state_dict.
func readResultsCount(t results.Trial, v any, load loader) (*benchmark.ResultsCount, error) {
	d, err := pickled.AsDict(v)
	if err != nil {
		return nil, err
	}
	r := &benchmark.ResultsCount{Trial: t}
	var config pickled.Dict
	var name, seed string
	var names []any
	err = cmp.Or(
		pickled.Take(d, "name", pickled.AsString, &name),
		pickled.Take(d, "seed", seedOf, &seed),
		pickled.Take(d, "epochs", pickled.AsInt, &r.Epochs),
		pickled.Take(d, "flop", pickled.AsFloat, &r.FLOPs),
		pickled.Take(d, "params", pickled.AsFloat, &r.Params),
		pickled.Take(d, "latency", pickled.Optional(pickled.AsFloats), &r.Latencies),
		pickled.Take(d, "train_losses", epochsOf, &r.Training.Loss),
		pickled.Take(d, "train_acc1es", epochsOf, &r.Training.Top1),
		pickled.Take(d, "train_acc5es", pickled.Optional(epochsOf), &r.Training.Top5),
		pickled.Take(d, "train_times", pickled.Optional(epochsOf), &r.Training.Seconds),
		pickled.Take(d, "eval_names", pickled.AsList, &names),
		pickled.Take(d, "arch_config", pickled.AsDict, &config),
	)
	if err != nil {
		return nil, err
	}
	err = cmp.Or(
		pickled.Take(config, "arch_str", pickled.AsString, &r.Genotype),
		pickled.Take(config, "channel", pickled.AsInt, &r.Channels),
		pickled.Take(config, "num_cells", pickled.AsInt, &r.Cells),
		pickled.Take(config, "class_num", pickled.AsInt, &r.Classes),
	)
	if err != nil {
		return nil, fmt.Errorf("arch_config: %w", err)
	}
	if n, err := strconv.ParseUint(seed, 10, 32); name != t.Dataset || err != nil || uint32(n) != t.Seed {
		return nil, fmt.Errorf("it is the trial on %s with seed %s", name, seed)
	}
	for _, v := range names {
		set, err := pickled.AsString(v)
		if _, twice := r.Set(set); err != nil || twice {
			return nil, fmt.Errorf("eval_names holds %v, which is no name of an evaluation set or not the only one", v)
		}
		r.Evaluation = append(r.Evaluation, benchmark.SetMeasures{Set: set})
	}
	for _, m := range []struct {
		field  string
		series func(*benchmark.Measures) *benchmark.Series
	}{{"eval_losses", lossOf}, {"eval_acc1es", top1Of}, {"eval_times", secondsOf}} {
		if err := readEvaluation(d, m.field, r, m.series, false); err != nil {
			return nil, err
		}
	}
	state, err := d.Get("net_state_dict")
	if err != nil {
		return nil, err
	}
	if state != nil && load != nil {
		r.SetWeights(func() (torchfile.StateDict, error) { return load(state, r.Trial) })
	}
	return r, nil
}

func lossOf(m *benchmark.Measures) *benchmark.Series { return &m.Loss }

func top1Of(m *benchmark.Measures) *benchmark.Series { return &m.Top1 }

func top5Of(m *benchmark.Measures) *benchmark.Series { return &m.Top5 }

func secondsOf(m *benchmark.Measures) *benchmark.Series { return &m.Seconds }

// readEvaluation reads a dict whose keys are 'SET@EPOCH' into a series of each set.
// Sets that r lacks are added when discover is set, else an error.
func readEvaluation(d pickled.Dict, name string, r *benchmark.ResultsCount, series func(*benchmark.Measures) *benchmark.Series, discover bool) error {
	items, err := pickled.Field(d, name, pickled.AsDict)
	if err != nil {
		return err
	}
	for _, item := range items {
		key, err := pickled.AsString(item.Key)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		at := strings.LastIndexByte(key, '@')
		epoch, err := strconv.Atoi(key[at+1:])
		if at < 0 || err != nil || epoch < 0 {
			return fmt.Errorf("%s has the key %q in place of a set and an epoch, such as x-valid@11", name, key)
		}
		m, ok := r.Set(key[:at])
		if !ok && discover {
			r.Evaluation = append(r.Evaluation, benchmark.SetMeasures{Set: key[:at]})
			m, ok = r.Set(key[:at])
		}
		if !ok {
			return fmt.Errorf("%s has the key %q of an unknown evaluation set", name, key)
		}
		value, err := pickled.AsFloat(item.Value)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, key, err)
		}
		s := series(m)
		*s = append(*s, benchmark.Point{Epoch: epoch, Value: value})
	}
	for i := range r.Evaluation {
		if err := sortSeries(*series(&r.Evaluation[i].Measures)); err != nil {
			return fmt.Errorf("%s of %s: %w", name, r.Evaluation[i].Set, err)
		}
	}
	return nil
}

// sortSeries puts the points in order of their epochs, each of which may stand there once.
func sortSeries(s benchmark.Series) error {
	slices.SortFunc(s, func(a, b benchmark.Point) int { return a.Epoch - b.Epoch })
	for i := 1; i < len(s); i++ {
		if s[i].Epoch == s[i-1].Epoch {
			return fmt.Errorf("epoch %d stands there twice", s[i].Epoch)
		}
	}
	return nil
}

// seedOf takes '0777' and 777: older files hold numbers.
func seedOf(v any) (string, error) {
	if n, ok := v.(int64); ok {
		return strconv.FormatInt(n, 10), nil
	}
	return pickled.AsString(v)
}

// epochsOf reads a dict of values by epoch.
func epochsOf(v any) (benchmark.Series, error) {
	items, err := pickled.AsDict(v)
	if err != nil {
		return nil, err
	}
	s := make(benchmark.Series, len(items))
	for i, item := range items {
		epoch, err := pickled.AsInt(item.Key)
		if err != nil {
			return nil, err
		}
		value, err := pickled.AsFloat(item.Value)
		if err != nil {
			return nil, fmt.Errorf("epoch %d: %w", epoch, err)
		}
		s[i] = benchmark.Point{Epoch: epoch, Value: value}
	}
	return s, sortSeries(s)
}

// loadSlot reads the weights of a trial from an archive file.
func loadSlot(path, slot string, t results.Trial) (torchfile.StateDict, error) {
	return loadState(path, func(root pickled.Dict) (any, error) {
		results, err := pickled.Field(root, slot, pickled.AsDict)
		if err != nil {
			return nil, err
		}
		all, err := pickled.Field(results, "all_results", pickled.AsDict)
		if err != nil {
			return nil, err
		}
		for _, item := range all {
			if key, err := keyOf(item.Key); err == nil && key.Dataset == t.Dataset && key.Seed == t.Seed {
				trial, err := pickled.AsDict(item.Value)
				if err != nil {
					return nil, err
				}
				return trial.Get("net_state_dict")
			}
		}
		return nil, fmt.Errorf("it no longer holds %v", t)
	})
}
