// Package export makes files of the published formats from a benchmark: from the
// trials of a campaign that are done, or from a file of another format.
//
// A format either has two slots for schedules, less and full, which the Python clients
// call '12' and '200', or it takes every schedule under its own name. What the clients
// want of a file and the source lacks is left out and told of in the Report.
//
// An export is made in parts, a part for some architectures, by as many workers as
// there are cores. Parts lie in a folder PATH.partial beside the export until it is
// whole, so that an export that was stopped or killed goes on where it was; a part is
// named after what went into it and never used for anything else. In memory there is
// one architecture for each worker.
package export

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nb201/cell"
	"nb201/internal/atomicfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// Times says which times an export tells.
type Times string

const (
	// Measured are the times that the source holds.
	Measured Times = "measured"
	// Published are times by the rule of the published files; see rule.
	Published Times = "published"
)

// AllTimes lists the kinds of times.
func AllTimes() []Times { return []Times{Measured, Published} }

// Options of an export.
type Options struct {
	Format benchmark.Format
	// To is the file or directory to make. What stands there already is never touched,
	// but into a directory that stands there NASBench201 and NATS put their file, or
	// directory, under the name of the published ones with the last digits of its own
	// MD5: NAS-Bench-201-HHHHHH.pth, NATS-tss-v1_0-HHHHH.pickle.pbz2 and
	// NATS-tss-v1_0-HHHHH-simple (or -full), the MD5 of a directory being that of its
	// files one after the other, in order of their names.
	To string
	// Merged makes one file of NATS in place of a directory, as a name To that ends in
	// .pickle.pbz2 does too.
	Merged bool
	// Less and Full name the schedules that fill the slots. 0 means 12 and 200. NATS has
	// slots, '12' and '200', when one of them is given, else it takes every schedule
	// under its own name, like the tables of Parquet and CSV.
	Less, Full int
	// Weights keeps the trained weights in NATS. Runs and Archive always hold them.
	Weights bool
	Times   Times // "" means Measured
	// Mixed puts trials on one dataset key and along one schedule together though they
	// differ in their settings, which is refused else.
	Mixed bool
	// RawCells leaves text in CSV as it is. Without it, text that a spreadsheet would take
	// for a formula gets an apostrophe in front.
	RawCells bool
	// Latencies take the place of what the trials of their architectures and datasets
	// have measured themselves, perhaps beside others on a busy device.
	Latencies []*results.LatencyTable
	// Progress, if any, is told after every architecture how many of the source's are
	// done. Only one call is made at a time.
	Progress func(done, total int)
}

// check refuses options that cannot be, and finds the writer of the format.
func (all writers) check(o *Options, b *benchmark.Benchmark) (w writer, err error) {
	w, known := all.find(o.Format)
	_, isCampaign := b.Campaign()
	is := func(choice Choice) func(Traits) bool { return func(t Traits) bool { return t.Weights == choice } }
	switch {
	case !known:
		return w, usage.Errorf("unknown format %q: use one of %v", o.Format, all.formats(func(Traits) bool { return true }))
	case !slices.Contains(AllTimes(), o.Times):
		return w, usage.Errorf("unknown times %q: use one of %v", o.Times, AllTimes())
	case o.Merged && w.Merged != Asked:
		return w, usage.Errorf("%s has no merged form: that is for %s", o.Format, and(all.formats(func(t Traits) bool { return t.Merged == Asked })))
	case o.Weights && w.Weights != Asked:
		return w, usage.Errorf("weights cannot be asked for in %s: %s always hold them, of the others only %s can", o.Format, and(all.formats(is(Always))), and(all.formats(is(Asked))))
	case o.RawCells && !w.RawCells:
		return w, usage.Errorf("%s has no cells: raw ones are for %s", o.Format, and(all.formats(func(t Traits) bool { return t.RawCells })))
	case len(o.Latencies) > 0 && w.NoLatencies:
		return w, usage.Errorf("%s has no place for latencies", o.Format)
	case w.FromCampaign && !isCampaign:
		return w, usage.Errorf("%s can be made from a campaign alone: a file of format %s does not tell the recipe of a run", o.Format, b.Format)
	}
	if less, full := cmp.Or(o.Less, 12), cmp.Or(o.Full, 200); less < 1 || full < 1 || less == full {
		return w, usage.Errorf("schedules %d and %d cannot fill the two slots: name two different numbers of epochs", less, full)
	}
	if o.To == "" {
		return w, usage.Errorf("an export needs a place to be written to")
	}
	return w, nil
}

// Run makes an export of a benchmark. It is made whole or not at all; when ctx ends, or
// on an error once parts are done, the error is a *Partial and what is done is kept for
// the next Run with the same options. What is wrong with the options or the source, and
// a full disk, is a usage error.
func Run(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	return allWriters().run(ctx, b, o)
}

func (all writers) run(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	o.Times = cmp.Or(o.Times, Measured)
	w, err := all.check(&o, b)
	if err != nil {
		return nil, err
	}
	o.To = filepath.Clean(o.To)
	given, err := newLatencies(o.Latencies)
	if err != nil {
		return nil, err
	}
	e := &exporter{benchmark: b, options: o, writer: w, latencies: given}
	e.layout = w.layout(&e.options)
	if info, err := os.Stat(o.To); err == nil && info.IsDir() && e.layout.name != nil {
		e.into = true
		e.partial = filepath.Join(o.To, "."+string(o.Format)+".partial")
	} else {
		if _, err := os.Lstat(o.To); err == nil {
			return nil, isThere(o.To)
		}
		e.partial = o.To + ".partial"
	}
	if dir := filepath.Dir(e.partial); !isDir(dir) {
		return nil, usage.Errorf("cannot export to %s: there is no directory %s", o.To, dir)
	}
	if err := atomicfile.CheckCreate(e.partial); err != nil {
		return nil, usage.Errorf("cannot export to %s: %w", o.To, err)
	}
	return e.run(ctx)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isThere(path string) error {
	return usage.Errorf("%s is there already: remove it or choose another place", path)
}

// Partial is the error of an export that ended before it was whole: Dir holds what is
// done of it.
type Partial struct {
	Dir         string
	Done, Total int // architectures
	Err         error
}

func (p *Partial) Error() string { return p.Err.Error() }

func (p *Partial) Unwrap() error { return p.Err }

// Note says in a sentence how to go on.
func (p *Partial) Note() string {
	return fmt.Sprintf("%d of %d architectures are done and kept in %s: the same command goes on from there", p.Done, p.Total, p.Dir)
}

// Report says what an export holds, and what it lacks.
type Report struct {
	Path          string           `json:"path"` // of the file or directory made
	Format        benchmark.Format `json:"format"`
	Architectures int              `json:"architectures"`
	Trials        int              `json:"trials"`
	Slots         []Slot           `json:"slots"`
	// OtherSchedules are those of trials that have no slot and were left out.
	OtherSchedules []string `json:"other_schedules"`
	// Listed counts the architectures of the benchmark that a NASBench201 or NATS file
	// is to the client: Architectures when they are the first ones of the official
	// order, else 15,625.
	Listed int `json:"listed_architectures,omitzero"`
	// Without count trials that lack what the client may ask for.
	WithoutWeights int `json:"without_weights"`
	WithoutLatency int `json:"without_latency"`
	WithoutTimes   int `json:"without_times"`
	// OwnLatency counts the trials of networks that are not in Options.Latencies, if any
	// are given.
	OwnLatency int `json:"own_latency,omitzero"`
	// CorrectedCosts counts trials whose FLOPs or parameters in the source are not those
	// of their architecture, which the export tells instead.
	CorrectedCosts int   `json:"corrected_costs"`
	Times          Times `json:"times"`
	// Mixed says in what the trials of a slot and a dataset key differ, with Options.Mixed.
	Mixed []string `json:"mixed,omitempty"`
}

// Slot is a schedule in an export.
type Slot struct {
	Name     string     `json:"name"` // less or full, 12 or 200, or the schedule's own
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

// Warnings lists in sentences what a user of the export will miss.
func (r *Report) Warnings() []string {
	format, known := allWriters().find(r.Format)
	forClients := format.clients || !known
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
			if forClients && !slices.Contains(results.PublishedDatasets(), c.Dataset) && (i == 0 || s.Coverage[i-1].Dataset != c.Dataset) {
				warn("%s: %s is no dataset of the benchmark; the client opens the file and answers for it, but api.show wants x-valid and x-test, and api.simulate_train_eval and api.statistics refuse it", name, c.Dataset)
			}
			if c.Architectures < r.Architectures {
				warn("%s: %s with seed %d has %d of %d architectures", name, c.Dataset, c.Seed, c.Architectures, r.Architectures)
			}
		}
	}
	for _, difference := range r.Mixed {
		warn("trials of different experiments are mixed: %s", difference)
	}
	if len(r.OtherSchedules) > 0 {
		warn("trials of other schedules were left out: %s epochs", strings.Join(r.OtherSchedules, ", "))
	}
	if r.OwnLatency > 0 {
		warn("%d trials are of networks whose latency was not given: their own was written, where they have one", r.OwnLatency)
	}
	if !forClients {
		return w
	}
	if r.CorrectedCosts > 0 {
		warn("%d trials had FLOPs or parameters of another network: those of their architecture were written", r.CorrectedCosts)
	}
	if r.WithoutTimes > 0 {
		reason := "the client answers None"
		if r.Times == Published {
			reason = "their architecture has no trial on cifar10-valid with seed 777 and times along the short schedule, or they are on a dataset whose images cannot be counted"
		}
		warn("%d trials have no times, or not of every epoch: %s", r.WithoutTimes, reason)
	}
	if r.WithoutWeights > 0 {
		warn("%d trials have no weights: get_net_param answers None for them", r.WithoutWeights)
	}
	if r.WithoutLatency > 0 && !format.NoLatencies {
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

// report sums up the parts.
func (e *exporter) report(parts []*part) (*Report, error) {
	o := &e.options
	slices.Sort(e.mixed)
	r := &Report{Path: o.To, Format: o.Format, Times: o.Times, Mixed: e.mixed}
	for _, s := range e.slots() {
		epochs, err := strconv.Atoi(s.schedule)
		if err != nil {
			return nil, err
		}
		r.Slots = append(r.Slots, Slot{Name: s.name, Epochs: epochs})
	}
	for _, p := range parts {
		r.Architectures += len(p.Architectures)
		r.Trials += p.Trials
		r.WithoutWeights += p.WithoutWeights
		r.WithoutLatency += p.WithoutLatency
		r.WithoutTimes += p.WithoutTimes
		r.OwnLatency += p.OwnLatency
		r.CorrectedCosts += p.CorrectedCosts
		for _, c := range p.Coverage {
			s := findSlot(r, c.Slot)
			s.Epochs = c.Epochs
			s.add(c.Coverage)
		}
		for _, schedule := range p.Left {
			if !slices.Contains(r.OtherSchedules, schedule) {
				r.OtherSchedules = append(r.OtherSchedules, schedule)
			}
		}
	}
	slices.SortFunc(r.OtherSchedules, func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) }) // as numbers
	if e.slots() == nil {
		slices.SortFunc(r.Slots, func(a, b Slot) int { return cmp.Or(a.Epochs-b.Epochs, cmp.Compare(a.Name, b.Name)) })
	}
	for i := range r.Slots {
		r.Slots[i].finish()
	}
	if r.Architectures == 0 {
		return nil, e.nothing(r.OtherSchedules)
	}
	if e.writer.listed {
		r.Listed = cell.Count
		last := parts[len(parts)-1].Architectures
		if last[len(last)-1] == r.Architectures-1 { // they are in order, each once
			r.Listed = r.Architectures
		}
	}
	return r, nil
}

func findSlot(r *Report, name string) *Slot {
	for i := range r.Slots {
		if r.Slots[i].Name == name {
			return &r.Slots[i]
		}
	}
	r.Slots = append(r.Slots, Slot{Name: name})
	return &r.Slots[len(r.Slots)-1]
}

func (s *Slot) add(c Coverage) {
	for i := range s.Coverage {
		if s.Coverage[i].Dataset == c.Dataset && s.Coverage[i].Seed == c.Seed {
			s.Coverage[i].Architectures += c.Architectures
			return
		}
	}
	s.Coverage = append(s.Coverage, c)
}

func (s *Slot) finish() {
	trial := func(c Coverage) results.Trial { return results.Trial{Dataset: c.Dataset, Seed: c.Seed} }
	slices.SortFunc(s.Coverage, func(a, b Coverage) int { return trial(a).Compare(trial(b)) })
	s.Absent = results.PublishedDatasets()
	for _, c := range s.Coverage {
		s.Absent = slices.DeleteFunc(s.Absent, func(key string) bool { return key == c.Dataset })
	}
}

// nothing is the error of an export without a trial.
func (e *exporter) nothing(others []string) error {
	has := "it has none at all"
	if len(others) > 0 {
		has = fmt.Sprintf("it has trials of %s epochs", strings.Join(others, ", "))
	}
	var wanted []string
	for _, s := range e.slots() {
		wanted = append(wanted, s.schedule)
	}
	of := ""
	if wanted != nil {
		of = " of " + strings.Join(wanted, " or ") + " epochs"
	}
	return usage.Errorf("%s has no trial%s to export: %s", e.benchmark.Path, of, has)
}
