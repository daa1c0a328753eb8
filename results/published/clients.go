package published

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published/internal/pickled"
)

// This file reads values pickled by the Python classes in nas_201_api/api_utils.py:
// ArchResults.state_dict and ResultsCount.state_dict. It does not check values: they may be out
// of range or not finite. A wrong type or a missing key is an error.

// loader reads the tensors of a trial's net_state_dict. state is the value in the pickle, without
// the elements of the tensors.
type loader func(state any, t results.Trial) (torchfile.StateDict, error)

// hps maps the keys of the two schedules in archive and merged files to the names that the
// client uses for them (nas_201_api/api_201.py, __init__).
var hps = []struct{ slot, hp string }{{"less", "12"}, {"full", "200"}}

// readSlots reads an architecture in an archive or merged file: a dict with two schedules. path
// is the archive file, or "" for a merged file, which does not contain weights.
func readSlots(index int, v any, path string) (*benchmark.Architecture, error) {
	d, err := pickled.AsDict(v)
	if err != nil {
		return nil, err
	}
	a, err := benchmark.NewArchitecture(cell.Topology{}, index)
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

// addSchedule reads an ArchResults.state_dict and adds it to a, unless it has no trials.
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
	if err := refuseSpace(a.Space, genotype); err != nil {
		return err
	}
	if index != a.Index || genotype != a.Genotype {
		return fmt.Errorf("it is architecture %d, %s; expected %d, %s", index, genotype, a.Index, a.Genotype)
	}
	all, err := pickled.Field(d, "all_results", pickled.AsDict)
	if err != nil {
		return err
	}
	results := &benchmark.ArchResults{Index: a.Index, Genotype: a.Genotype, HP: hp}
	for _, item := range all {
		key, err := parseKey(item.Key)
		if err != nil {
			return err
		}
		key.Space, key.Arch = a.Space.Name(), a.Index
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

// parseKey parses a key of all_results: a tuple of dataset key and seed.
func parseKey(v any) (results.Trial, error) {
	wrong := fmt.Errorf("all_results has the key %v; expected a dataset key and a seed", v)
	key, ok := v.(pickle.Tuple)
	if !ok || len(key) != 2 {
		return results.Trial{}, wrong
	}
	dataset, err1 := pickled.AsString(key[0])
	seed, err2 := pickled.AsInt(key[1])
	if errors.Join(err1, err2) != nil || seed < 0 || seed > math.MaxUint32 {
		return results.Trial{}, wrong
	}
	return results.Trial{Dataset: dataset, Seed: uint32(seed)}, nil
}

// checkSeeds checks that dataset_seed, by which the clients look up trials, lists exactly the
// trials in all_results.
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
			held := slices.ContainsFunc(r.Results, func(c *benchmark.ResultsCount) bool { return c.Dataset == dataset && int64(c.Seed) == pickle.Unwrap(v) })
			if !held {
				return fmt.Errorf("dataset_seed lists seed %v of %s, which is not in all_results", v, dataset)
			}
			n++
		}
	}
	if n != len(r.Results) {
		return fmt.Errorf("dataset_seed lists %d trials, but all_results has %d", n, len(r.Results))
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
		pickled.FieldInto(d, "name", pickled.AsString, &name),
		pickled.FieldInto(d, "seed", parseSeed, &seed),
		pickled.FieldInto(d, "epochs", pickled.AsInt, &r.Epochs),
		pickled.FieldInto(d, "flop", pickled.AsFloat, &r.FLOPs),
		pickled.FieldInto(d, "params", pickled.AsFloat, &r.Params),
		pickled.FieldInto(d, "latency", pickled.Optional(pickled.AsFloats), &r.Latencies),
		pickled.FieldInto(d, "train_losses", parseEpochs, &r.Training.Loss),
		pickled.FieldInto(d, "train_acc1es", parseEpochs, &r.Training.Top1),
		pickled.FieldInto(d, "train_acc5es", pickled.Optional(parseEpochs), &r.Training.Top5),
		pickled.FieldInto(d, "train_times", pickled.Optional(parseEpochs), &r.Training.Seconds),
		pickled.FieldInto(d, "eval_names", pickled.AsList, &names),
		pickled.FieldInto(d, "arch_config", pickled.AsDict, &config),
	)
	if err != nil {
		return nil, err
	}
	err = cmp.Or(
		pickled.FieldInto(config, "arch_str", pickled.AsString, &r.Genotype),
		pickled.FieldInto(config, "class_num", pickled.AsInt, &r.Classes),
		readerOf(t.Space.Space()).archConfig(config, r),
	)
	if err != nil {
		return nil, fmt.Errorf("arch_config: %w", err)
	}
	if text, err := pickled.Field(d, RecipeKey, pickled.AsString); err == nil {
		if r.Recipe = ownRecipe(text); r.Recipe != nil {
			r.Trial.Recipe = r.Recipe.Name
		}
	}
	if n, err := strconv.ParseUint(seed, 10, 32); name != t.Dataset || err != nil || uint32(n) != t.Seed {
		return nil, fmt.Errorf("its name and seed are those of the trial on %s with seed %s", name, seed)
	}
	for _, v := range names {
		set, err := pickled.AsString(v)
		if _, twice := r.Set(set); err != nil || twice {
			return nil, fmt.Errorf("eval_names contains %v, which is not a string or is listed twice", v)
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

// readEvaluation reads a dict with keys 'SET@EPOCH' into one series of each set. If discover is
// set, it adds sets that r lacks; otherwise they are an error.
func readEvaluation(d pickled.Dict, name string, r *benchmark.ResultsCount, series func(*benchmark.Measures) *benchmark.Series, discover bool) error {
	items, err := pickled.Field(d, name, pickled.AsDict)
	if err != nil {
		return err
	}
	var set string
	var s *benchmark.Series // of set
	for _, item := range items {
		key, err := pickled.AsString(item.Key)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		at := strings.LastIndexByte(key, '@')
		epoch, err := strconv.Atoi(key[at+1:])
		if at < 0 || err != nil || epoch < 0 {
			return fmt.Errorf("%s has the key %q; expected a set and an epoch, such as x-valid@11", name, key)
		}
		if s == nil || key[:at] != set { // the epochs of a set mostly follow one another
			m, ok := r.Set(key[:at])
			if !ok && discover {
				r.Evaluation = append(r.Evaluation, benchmark.SetMeasures{Set: key[:at]})
				m, ok = r.Set(key[:at])
			}
			if !ok {
				return fmt.Errorf("%s has the key %q, which names an unknown evaluation set", name, key)
			}
			s, set = series(m), key[:at]
		}
		value, err := pickled.AsFloat(item.Value)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, key, err)
		}
		if *s == nil { // most series have all epochs
			*s = make(benchmark.Series, 0, max(0, min(r.Epochs, len(items))))
		}
		*s = append(*s, benchmark.Point{Epoch: epoch, Value: value})
	}
	for i := range r.Evaluation {
		if err := sortSeries(*series(&r.Evaluation[i].Measures)); err != nil {
			return fmt.Errorf("%s of %s: %w", name, r.Evaluation[i].Set, err)
		}
	}
	return nil
}

// sortSeries sorts the points by epoch. An epoch that occurs twice is an error.
func sortSeries(s benchmark.Series) error {
	slices.SortFunc(s, func(a, b benchmark.Point) int { return a.Epoch - b.Epoch })
	for i := 1; i < len(s); i++ {
		if s[i].Epoch == s[i-1].Epoch {
			return fmt.Errorf("epoch %d occurs twice", s[i].Epoch)
		}
	}
	return nil
}

// parseSeed reads a seed as text. Older files contain numbers (777) instead of strings ('0777').
func parseSeed(v any) (string, error) {
	if n, ok := pickle.Unwrap(v).(int64); ok {
		return strconv.FormatInt(n, 10), nil
	}
	return pickled.AsString(v)
}

// parseEpochs reads a dict that maps epochs to values.
func parseEpochs(v any) (benchmark.Series, error) {
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
			if key, err := parseKey(item.Key); err == nil && key.Dataset == t.Dataset && key.Seed == t.Seed {
				trial, err := pickled.AsDict(item.Value)
				if err != nil {
					return nil, err
				}
				return trial.Get("net_state_dict")
			}
		}
		return nil, fmt.Errorf("it no longer contains %v", t)
	})
}
