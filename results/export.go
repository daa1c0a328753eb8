package results

import (
	"cmp"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/internal/atomicfile"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// Formats lists the formats that Export writes.
func Formats() []Format { return []Format{Archive, NASBench201} }

// Options of an export.
type Options struct {
	Format Format
	// To is the directory to make (Archive), or the file (NASBench201). A NASBench201
	// file may also be put into a directory that is there: it is then called
	// NAS-Bench-201-HHHHHH.pth with the last six hex digits of its MD5, as the
	// published files are. What stands at To already is never touched.
	To string
	// Less and Full are the schedules that fill the slots 'less' and 'full' of an
	// architecture, which the client calls '12' and '200'. 0 means 12 and 200.
	Less, Full int
	// Progress, if any, is told after every architecture how many are done.
	Progress func(done, total int)
}

// Report says what an export holds, and what it lacks.
type Report struct {
	Path          string `json:"path"` // of the file or directory made
	Architectures int    `json:"architectures"`
	Trials        int    `json:"trials"`
	Slots         []Slot `json:"slots"`
	// OtherSchedules are the epochs of trials that have no slot and were left out.
	OtherSchedules []int `json:"other_schedules"`
	// Listed counts the architectures of the benchmark that a NASBench201 file is to
	// the client: Architectures, or 15,625.
	Listed int `json:"listed_architectures,omitzero"`
	// WithoutWeights counts trials of an Archive whose weights were dropped,
	// WithoutLatency those whose latency was not measured.
	WithoutWeights int `json:"without_weights"`
	WithoutLatency int `json:"without_latency"`
}

// Slot is one of the two schedules of an architecture in a NAS-Bench-201 file.
type Slot struct {
	Name     string     `json:"name"` // less or full
	Epochs   int        `json:"epochs"`
	Coverage []Coverage `json:"coverage"`
	Absent   []string   `json:"absent"` // dataset keys of the benchmark without a trial
}

// Coverage counts the architectures that have a trial on a dataset with a seed.
type Coverage struct {
	Dataset       string `json:"dataset"`
	Seed          uint32 `json:"seed"`
	Architectures int    `json:"architectures"`
}

// Warnings lists in sentences what a user of the Python client will miss.
func (r *Report) Warnings() []string {
	var w []string
	warn := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	for _, s := range r.Slots {
		name := fmt.Sprintf("%d epochs ('%s')", s.Epochs, s.Name)
		if len(s.Coverage) == 0 {
			warn("%s: no trial at all; the client opens the file, but what it asks of these epochs fails, api.show and api.get_net_config too", name)
			continue
		}
		if len(s.Absent) > 0 {
			warn("%s: no trial on %s", name, strings.Join(s.Absent, ", "))
		}
		for i, c := range s.Coverage {
			if !slices.Contains(published, c.Dataset) && (i == 0 || s.Coverage[i-1].Dataset != c.Dataset) {
				warn("%s: %s is no dataset of the benchmark; api.show of the client wants x-valid and x-test of it", name, c.Dataset)
			}
			if c.Architectures < r.Architectures {
				warn("%s: %s with seed %d has %d of %d architectures", name, c.Dataset, c.Seed, c.Architectures, r.Architectures)
			}
		}
	}
	if len(r.OtherSchedules) > 0 {
		warn("trials of other schedules were left out: %s epochs", join(r.OtherSchedules))
	}
	if r.WithoutWeights > 0 {
		warn("%d trials have no weights: get_net_param answers None for them", r.WithoutWeights)
	}
	if r.WithoutLatency > 0 {
		warn("%d trials have no latency: get_latency fails for them", r.WithoutLatency)
	}
	switch {
	case r.Listed > r.Architectures:
		warn("%d of the %d architectures listed: api.statistics of the client fails, and queries of the others", r.Architectures, r.Listed)
	case r.Listed > 0 && r.Listed < cell.Count:
		warn("architectures 0 to %d alone: to the client this is a benchmark of %d", r.Listed-1, r.Listed)
	}
	return w
}

func join(numbers []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ", ")
}

// Export makes a file of a published format from the trials of a campaign that are
// done. It is made whole or, on an error or when ctx ends, not at all. One
// architecture at a time is in memory. What is wrong with the options or the campaign
// is a usage error.
func Export(ctx context.Context, c Campaign, o Options) (*Report, error) {
	o.Less, o.Full = cmp.Or(o.Less, 12), cmp.Or(o.Full, 200)
	if o.Less < 1 || o.Full < 1 || o.Less == o.Full {
		return nil, usage.Errorf("schedules %d and %d cannot fill the two slots: name two different numbers of epochs", o.Less, o.Full)
	}
	if dir := filepath.Dir(o.To); o.To == "" {
		return nil, usage.Errorf("an export needs a place to be written to")
	} else if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, usage.Errorf("cannot export to %s: there is no directory %s", o.To, dir)
	}
	if err := atomicfile.CheckCreate(o.To); err != nil {
		return nil, usage.Errorf("cannot export to %s: %w", o.To, err)
	}
	e := &exporter{ctx: ctx, campaign: c, options: o}
	if err := e.plan(); err != nil {
		return nil, err
	}
	var err error
	switch o.Format {
	case Archive:
		err = e.archive()
	case NASBench201:
		err = e.merged()
	default:
		err = usage.Errorf("unknown format %q: use one of %v", o.Format, Formats())
	}
	if errors.Is(err, fs.ErrExist) {
		err = usage.Errorf("%s is there already: remove it or choose another place", e.report.Path)
	}
	if err != nil {
		return nil, err
	}
	return &e.report, nil
}

type exporter struct {
	ctx      context.Context
	campaign Campaign
	options  Options
	archs    []archTrials
	report   Report
}

// archTrials are the trials of an architecture that are exported, by slot: less, full.
type archTrials struct {
	index int
	slots [2][]Trial
}

// plan finds the trials to export.
func (e *exporter) plan() error {
	epochs := []int{e.options.Less, e.options.Full} // of the slots
	others := map[int]bool{}
	coverage := [2]map[Coverage]int{{}, {}}
	for t, err := range e.campaign.Trials() {
		if err != nil {
			return err
		}
		slot := slices.Index(epochs, t.Epochs)
		if slot < 0 {
			others[t.Epochs] = true
			continue
		}
		if len(e.archs) == 0 || e.archs[len(e.archs)-1].index != t.Arch {
			e.archs = append(e.archs, archTrials{index: t.Arch})
		}
		a := &e.archs[len(e.archs)-1]
		a.slots[slot] = append(a.slots[slot], t)
		coverage[slot][Coverage{Dataset: t.Dataset, Seed: t.Seed}]++
		e.report.Trials++
	}
	e.report.OtherSchedules = slices.Sorted(maps.Keys(others))
	if len(e.archs) == 0 {
		has := "it has none at all"
		if len(others) > 0 {
			has = "it has trials of " + join(e.report.OtherSchedules) + " epochs"
		}
		return usage.Errorf("campaign %s has no trial of %d or %d epochs to export: %s", e.campaign.Dir, e.options.Less, e.options.Full, has)
	}
	e.report.Architectures = len(e.archs)
	e.report.Slots = []Slot{newSlot("less", epochs[0], coverage[0]), newSlot("full", epochs[1], coverage[1])}
	return nil
}

// newSlot sums up a slot from the architectures that it has for each Coverage whose
// own count is 0.
func newSlot(name string, epochs int, architectures map[Coverage]int) Slot {
	s := Slot{Name: name, Epochs: epochs, Absent: slices.Clone(published)}
	for c, n := range architectures {
		c.Architectures = n
		s.Coverage = append(s.Coverage, c)
		s.Absent = slices.DeleteFunc(s.Absent, func(key string) bool { return key == c.Dataset })
	}
	slices.SortFunc(s.Coverage, func(a, b Coverage) int {
		return cmp.Or(compareDatasets(a.Dataset, b.Dataset), cmp.Compare(a.Seed, b.Seed))
	})
	return s
}

// archive makes the directory of exps/NAS-Bench-201/statistics.py (save_total_result).
func (e *exporter) archive() error {
	e.report.Path = e.options.To
	return atomicfile.CreateDir(e.options.To, func(dir string) error {
		for done, a := range e.archs {
			records, err := e.records(a)
			if err != nil {
				return err
			}
			for _, kind := range []struct {
				name    string
				weights bool
			}{{"FULL", true}, {"SIMPLE", false}} {
				value, err := e.architecture(a.index, records, kind.weights)
				if err != nil {
					return err
				}
				path := filepath.Join(dir, fmt.Sprintf("%06d-%s.pth", a.index, kind.name))
				if err := atomicfile.Create(path, func(w io.Writer) error { return torchfile.Write(w, value) }); err != nil {
					return err
				}
			}
			e.progress(done + 1)
		}
		return nil
	})
}

// merged makes the one file that NASBench201API opens.
func (e *exporter) merged() error {
	e.report.Listed = cell.Count
	if last := len(e.archs) - 1; e.archs[last].index == last { // they are in order, each once
		e.report.Listed = len(e.archs)
	}
	write := func(w io.Writer) error { return torchfile.Write(w, e.benchmark()) }
	if info, err := os.Stat(e.options.To); err == nil && info.IsDir() {
		e.report.Path, err = atomicfile.CreateNamed(e.options.To, func(w io.Writer) (string, error) {
			sum := md5.New()
			err := write(io.MultiWriter(w, sum))
			return fmt.Sprintf("NAS-Bench-201-%x.pth", sum.Sum(nil)[13:]), err
		})
		return err
	}
	e.report.Path = e.options.To
	return atomicfile.Create(e.options.To, write)
}

// benchmark is what NASBench201API reads (nas_201_api/api_201.py, __init__).
func (e *exporter) benchmark() pickle.Dict {
	archs := make(pickle.List, 0, e.report.Listed)
	for i, a := range cell.All() {
		if i == e.report.Listed {
			break
		}
		archs = append(archs, a.String())
	}
	evaluated := make(pickle.List, len(e.archs))
	for i, a := range e.archs {
		evaluated[i] = a.index
	}
	infos := func(emit func(key, value any) error) error {
		for done, a := range e.archs {
			records, err := e.records(a)
			if err != nil {
				return err
			}
			value, err := e.architecture(a.index, records, false)
			if err != nil {
				return err
			}
			if err := emit(a.index, value); err != nil {
				return err
			}
			e.progress(done + 1)
		}
		return nil
	}
	return pickle.Dict{
		{Key: "meta_archs", Value: archs},
		{Key: "total_archs", Value: len(archs)},
		{Key: "arch2infos", Value: pickle.DictSeq(infos)},
		{Key: "evaluated_indexes", Value: evaluated},
	}
}

func (e *exporter) progress(done int) {
	if e.options.Progress != nil {
		e.options.Progress(done, len(e.archs))
	}
}

// records reads the records of an architecture, by slot.
func (e *exporter) records(a archTrials) (records [2][]*Record, err error) {
	for slot, trials := range a.slots {
		for _, t := range trials {
			if err := e.ctx.Err(); err != nil {
				return records, err
			}
			r, err := e.campaign.Record(t)
			if err != nil {
				return records, err
			}
			if r.Latency == nil {
				e.report.WithoutLatency++
			}
			records[slot] = append(records[slot], r)
		}
	}
	return records, nil
}

// architecture is the value of an architecture's file: an ArchResults.state_dict
// (nas_201_api/api_utils.py) for each slot. The client cannot load a file in which
// one is missing, so a slot without trials is an ArchResults without results.
func (e *exporter) architecture(index int, records [2][]*Record, withWeights bool) (pickle.Dict, error) {
	var slots [2]pickle.Dict
	for i := range slots {
		var err error
		if slots[i], err = e.archResults(index, records[i], withWeights); err != nil {
			return nil, err
		}
	}
	return pickle.Dict{{Key: "full", Value: slots[1]}, {Key: "less", Value: slots[0]}}, nil
}

func (e *exporter) archResults(index int, records []*Record, withWeights bool) (pickle.Dict, error) {
	arch, err := cell.ByIndex(index)
	if err != nil {
		return nil, err
	}
	var all, seeds pickle.Dict
	for i, r := range records {
		network, err := r.Network()
		if err != nil {
			return nil, err
		}
		if i == 0 || records[i-1].Dataset != r.Dataset {
			seeds = append(seeds, pickle.Pair{Key: r.Dataset, Value: pickle.List{}})
		} else if first, _ := records[i-1].Network(); first != network {
			// The client takes one cost for all seeds.
			return nil, usage.Errorf("%s and %s are of different networks: a published file cannot hold both",
				e.campaign.RecordPath(records[i-1].Trial), e.campaign.RecordPath(r.Trial))
		}
		var weights any
		if withWeights {
			state, err := e.campaign.Weights(r)
			if err != nil {
				return nil, err
			}
			if state != nil {
				weights = state
			} else {
				e.report.WithoutWeights++
			}
		}
		last := &seeds[len(seeds)-1]
		last.Value = append(last.Value.(pickle.List), int64(r.Seed))
		// The client looks up the evaluation times of every epoch and seed, or of none.
		timed := !slices.ContainsFunc(records, func(other *Record) bool {
			return other.Dataset == r.Dataset && slices.ContainsFunc(other.Eval, func(e Evaluation) bool { return e.FirstEpoch > 0 })
		})
		all = append(all, pickle.Pair{
			Key:   pickle.Tuple{r.Dataset, int64(r.Seed)},
			Value: resultsCount(r, network, weights, timed),
		})
	}
	return pickle.Dict{
		{Key: "arch_index", Value: index},
		{Key: "arch_str", Value: arch.String()},
		{Key: "all_results", Value: all},
		{Key: "dataset_seed", Value: seeds},
		{Key: "clear_net_done", Value: !withWeights},
	}, nil
}

// resultsCount is a ResultsCount.state_dict (nas_201_api/api_utils.py). weights is a
// state dict or nil; timed tells whether the evaluation times are given.
func resultsCount(r *Record, network cell.Network, weights any, timed bool) pickle.Dict {
	names := make(pickle.List, len(r.Eval))
	var top1, losses, seconds pickle.Dict
	for i, e := range r.Eval {
		names[i] = e.Set
		key := func(i int) any { return fmt.Sprintf("%s@%d", e.Set, e.FirstEpoch+i) }
		top1 = append(top1, curve(e.Top1, key)...)
		losses = append(losses, curve(e.Loss, key)...)
		if timed {
			seconds = append(seconds, curve(e.Seconds, key)...)
		}
	}
	var latency any
	if r.Latency != nil {
		list := make(pickle.List, len(r.Latency))
		for i, s := range r.Latency {
			list[i] = s
		}
		latency = list
	}
	epoch := func(i int) any { return i }
	return pickle.Dict{
		{Key: "name", Value: r.Dataset},
		{Key: "net_state_dict", Value: weights},
		{Key: "train_acc1es", Value: curve(r.Train.Top1, epoch)},
		{Key: "train_acc5es", Value: curve(r.Train.Top5, epoch)},
		{Key: "train_losses", Value: curve(r.Train.Loss, epoch)},
		{Key: "train_times", Value: curve(r.Train.Seconds, epoch)},
		{Key: "arch_config", Value: pickle.Dict{
			{Key: "channel", Value: network.Channels},
			{Key: "num_cells", Value: network.Cells},
			{Key: "arch_str", Value: r.Genotype},
			{Key: "class_num", Value: network.Classes},
		}},
		{Key: "params", Value: network.Params()},
		{Key: "flop", Value: network.FLOPs()},
		{Key: "seed", Value: fmt.Sprintf("%04d", r.Seed)},
		{Key: "epochs", Value: r.Epochs},
		{Key: "latency", Value: latency},
		{Key: "eval_names", Value: names},
		{Key: "eval_acc1es", Value: top1},
		{Key: "eval_times", Value: seconds},
		{Key: "eval_losses", Value: losses},
	}
}

// curve is a dict of the values by what key makes of their places.
func curve(values []float64, key func(i int) any) pickle.Dict {
	d := make(pickle.Dict, len(values))
	for i, v := range values {
		d[i] = pickle.Pair{Key: key(i), Value: v}
	}
	return d
}
