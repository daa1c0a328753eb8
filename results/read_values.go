package results

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
)

// This file reads what the Python classes of nas_201_api/api_utils.py pickle:
// ArchResults.state_dict and ResultsCount.state_dict. Values are taken as they are,
// be they out of range or not finite; what has another form is an error.

// loader reads the tensors of a trial's net_state_dict, which was read as state.
type loader func(state any, t Trial) (torchfile.StateDict, error)

// hps are the names of the two schedules in archive and merged files, and what the
// client calls them (nas_201_api/api_201.py, __init__).
var hps = []struct{ slot, hp string }{{"less", "12"}, {"full", "200"}}

// readSlots reads the dict of two schedules that stands for an architecture in
// archive and merged files. path is that of the archive file, "" in a merged file,
// which keeps no weights.
func readSlots(index int, v any, path string) (*Architecture, error) {
	d, err := dictOf(v)
	if err != nil {
		return nil, err
	}
	a, err := newArchitecture(index)
	if err != nil {
		return nil, err
	}
	for _, slot := range hps {
		v, err := d.get(slot.slot)
		if err != nil {
			return nil, err
		}
		var load loader
		if path != "" {
			load = func(_ any, t Trial) (torchfile.StateDict, error) { return loadSlot(path, slot.slot, t) }
		}
		if err := a.add(slot.hp, v, load); err != nil {
			return nil, fmt.Errorf("'%s': %w", slot.slot, err)
		}
	}
	return a, nil
}

// readNATSRecord reads the dict of schedules by name that stands for an architecture
// in NATS-Bench's files.
func readNATSRecord(index int, v any) (*Architecture, error) {
	d, err := dictOf(v)
	if err != nil {
		return nil, err
	}
	a, err := newArchitecture(index)
	if err != nil {
		return nil, err
	}
	for _, item := range d {
		hp, ok := item.Key.(string)
		if !ok {
			return nil, fmt.Errorf("the schedule %v is not a string", item.Key)
		}
		if err := a.add(hp, item.Value, embedded); err != nil {
			return nil, fmt.Errorf("'%s': %w", hp, err)
		}
	}
	return a, nil
}

// add reads an ArchResults.state_dict, unless it holds no trial.
func (a *Architecture) add(hp string, v any, load loader) error {
	d, err := dictOf(v)
	if err != nil {
		return err
	}
	index, err := field(d, "arch_index", intOf)
	if err != nil {
		return err
	}
	genotype, err := field(d, "arch_str", stringOf)
	if err != nil {
		return err
	}
	if index != a.Index || genotype != a.Genotype {
		return fmt.Errorf("it is of architecture %d, %s, where %d, %s, is due", index, genotype, a.Index, a.Genotype)
	}
	all, err := field(d, "all_results", dictOf)
	if err != nil {
		return err
	}
	results := &ArchResults{Index: a.Index, Genotype: a.Genotype, HP: hp}
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
	slices.SortFunc(results.Results, func(a, b *ResultsCount) int { return a.Trial.Compare(b.Trial) })
	if err := checkSeeds(d, results); err != nil {
		return err
	}
	a.Schedules = append(a.Schedules, results)
	return nil
}

// keyOf reads the key of all_results: (dataset key, seed).
func keyOf(v any) (Trial, error) {
	key, ok := v.(pickle.Tuple)
	if !ok || len(key) != 2 {
		return Trial{}, fmt.Errorf("all_results has the key %v in place of a dataset key and a seed", v)
	}
	dataset, err1 := stringOf(key[0])
	seed, err2 := intOf(key[1])
	if errors.Join(err1, err2) != nil || seed < 0 || seed > math.MaxUint32 {
		return Trial{}, fmt.Errorf("all_results has the key %v in place of a dataset key and a seed", v)
	}
	return Trial{Dataset: dataset, Seed: uint32(seed)}, nil
}

// checkSeeds makes sure that dataset_seed, by which the clients look up trials, names
// those that are there.
func checkSeeds(d dict, r *ArchResults) error {
	listed, err := field(d, "dataset_seed", dictOf)
	if err != nil {
		return err
	}
	n := 0
	for _, item := range listed {
		dataset, err := stringOf(item.Key)
		if err != nil {
			return fmt.Errorf("dataset_seed: %w", err)
		}
		seeds, err := listOf(item.Value)
		if err != nil {
			return fmt.Errorf("dataset_seed of %s: %w", dataset, err)
		}
		for _, v := range seeds {
			held := slices.ContainsFunc(r.Results, func(c *ResultsCount) bool { return c.Dataset == dataset && int64(c.Seed) == v })
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
func readResultsCount(t Trial, v any, load loader) (*ResultsCount, error) {
	d, err := dictOf(v)
	if err != nil {
		return nil, err
	}
	r := &ResultsCount{Trial: t}
	var config dict
	var name, seed string
	var names []any
	err = cmp.Or(
		take(d, "name", stringOf, &name),
		take(d, "seed", seedOf, &seed),
		take(d, "epochs", intOf, &r.Epochs),
		take(d, "flop", floatOf, &r.FLOPs),
		take(d, "params", floatOf, &r.Params),
		take(d, "latency", optional(floatsOf), &r.Latencies),
		take(d, "train_losses", epochsOf, &r.Training.Loss),
		take(d, "train_acc1es", epochsOf, &r.Training.Top1),
		take(d, "train_acc5es", optional(epochsOf), &r.Training.Top5),
		take(d, "train_times", optional(epochsOf), &r.Training.Seconds),
		take(d, "eval_names", listOf, &names),
		take(d, "arch_config", dictOf, &config),
	)
	if err != nil {
		return nil, err
	}
	err = cmp.Or(
		take(config, "arch_str", stringOf, &r.Genotype),
		take(config, "channel", intOf, &r.Channels),
		take(config, "num_cells", intOf, &r.Cells),
		take(config, "class_num", intOf, &r.Classes),
	)
	if err != nil {
		return nil, fmt.Errorf("arch_config: %w", err)
	}
	if n, err := strconv.ParseUint(seed, 10, 32); name != t.Dataset || err != nil || uint32(n) != t.Seed {
		return nil, fmt.Errorf("it is the trial on %s with seed %s", name, seed)
	}
	for _, v := range names {
		set, err := stringOf(v)
		if _, twice := r.Set(set); err != nil || twice {
			return nil, fmt.Errorf("eval_names holds %v, which is no name of an evaluation set or not the only one", v)
		}
		r.Evaluation = append(r.Evaluation, SetMeasures{Set: set})
	}
	for _, m := range []struct {
		field  string
		series func(*Measures) *Series
	}{{"eval_losses", lossOf}, {"eval_acc1es", top1Of}, {"eval_times", secondsOf}} {
		if err := readEvaluation(d, m.field, r, m.series, false); err != nil {
			return nil, err
		}
	}
	state, err := d.get("net_state_dict")
	if err != nil {
		return nil, err
	}
	if state != nil && load != nil {
		r.load = func() (torchfile.StateDict, error) { return load(state, r.Trial) }
	}
	return r, nil
}

func lossOf(m *Measures) *Series    { return &m.Loss }
func top1Of(m *Measures) *Series    { return &m.Top1 }
func top5Of(m *Measures) *Series    { return &m.Top5 }
func secondsOf(m *Measures) *Series { return &m.Seconds }

// readEvaluation reads a dict whose keys are 'SET@EPOCH' into a series of each set.
// Sets that r lacks are added when discover is set, else an error.
func readEvaluation(d dict, name string, r *ResultsCount, series func(*Measures) *Series, discover bool) error {
	items, err := field(d, name, dictOf)
	if err != nil {
		return err
	}
	for _, item := range items {
		key, err := stringOf(item.Key)
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
			r.Evaluation = append(r.Evaluation, SetMeasures{Set: key[:at]})
			m, ok = r.Set(key[:at])
		}
		if !ok {
			return fmt.Errorf("%s has the key %q of an unknown evaluation set", name, key)
		}
		value, err := floatOf(item.Value)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, key, err)
		}
		s := series(m)
		*s = append(*s, Point{epoch, value})
	}
	for i := range r.Evaluation {
		if err := series(&r.Evaluation[i].Measures).sort(); err != nil {
			return fmt.Errorf("%s of %s: %w", name, r.Evaluation[i].Set, err)
		}
	}
	return nil
}

// sort puts the points in order of their epochs, each of which may stand there once.
func (s Series) sort() error {
	slices.SortFunc(s, func(a, b Point) int { return a.Epoch - b.Epoch })
	for i := 1; i < len(s); i++ {
		if s[i].Epoch == s[i-1].Epoch {
			return fmt.Errorf("epoch %d stands there twice", s[i].Epoch)
		}
	}
	return nil
}

// dict is a dict or an OrderedDict as it was read.
type dict pickle.Dict

func (d dict) get(name string) (any, error) {
	for _, item := range d {
		if item.Key == name {
			return item.Value, nil
		}
	}
	return nil, fmt.Errorf("it has no %q", name)
}

// field reads an item of d.
func field[T any](d dict, name string, as func(any) (T, error)) (T, error) {
	v, err := d.get(name)
	if err != nil {
		var none T
		return none, err
	}
	value, err := as(v)
	if err != nil {
		return value, fmt.Errorf("%s: %w", name, err)
	}
	return value, nil
}

// take is field into a variable.
func take[T any](d dict, name string, as func(any) (T, error), into *T) (err error) {
	*into, err = field(d, name, as)
	return err
}

// optional takes None for nothing.
func optional[T any](as func(any) (T, error)) func(any) (T, error) {
	return func(v any) (none T, err error) {
		if v == nil {
			return none, nil
		}
		return as(v)
	}
}

func dictOf(v any) (dict, error) {
	switch v := v.(type) {
	case *pickle.Dict:
		return dict(*v), nil
	case *pickle.OrderedDict:
		return dict(v.Items), nil
	}
	return nil, unexpected(v, "a dict")
}

func listOf(v any) ([]any, error) {
	switch v := v.(type) {
	case *pickle.List:
		return *v, nil
	case pickle.Tuple:
		return v, nil
	case *pickle.Set:
		return *v, nil
	}
	return nil, unexpected(v, "a list")
}

func stringOf(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return "", unexpected(v, "a string")
}

func intOf(v any) (int, error) {
	if n, ok := v.(int64); ok {
		return int(n), nil
	}
	return 0, unexpected(v, "a whole number")
}

func boolOf(v any) (bool, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, unexpected(v, "a truth value")
}

func floatOf(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	}
	return 0, unexpected(v, "a number")
}

func floatsOf(v any) ([]float64, error) {
	list, err := listOf(v)
	if err != nil {
		return nil, err
	}
	values := make([]float64, len(list))
	for i, v := range list {
		if values[i], err = floatOf(v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// seedOf takes '0777' and 777: older files hold numbers.
func seedOf(v any) (string, error) {
	if n, ok := v.(int64); ok {
		return strconv.FormatInt(n, 10), nil
	}
	return stringOf(v)
}

// epochsOf reads a dict of values by epoch.
func epochsOf(v any) (Series, error) {
	items, err := dictOf(v)
	if err != nil {
		return nil, err
	}
	s := make(Series, len(items))
	for i, item := range items {
		epoch, err := intOf(item.Key)
		if err != nil {
			return nil, err
		}
		value, err := floatOf(item.Value)
		if err != nil {
			return nil, fmt.Errorf("epoch %d: %w", epoch, err)
		}
		s[i] = Point{epoch, value}
	}
	return s, s.sort()
}

func unexpected(v any, want string) error {
	return fmt.Errorf("%s where %s is due", pickle.Describe(v), want)
}
