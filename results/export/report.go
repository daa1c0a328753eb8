package export

import (
	"fmt"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/quantity"
	"nb201/results"
	"nb201/results/benchmark"
)

// Report lists what an export contains and what it lacks.
type Report struct {
	Path          string           `json:"path"` // the file or directory created
	Format        benchmark.Format `json:"format"`
	Space         cell.Name        `json:"space,omitzero"` // search space of the architectures
	Architectures int              `json:"architectures"`
	Trials        int              `json:"trials"`
	Slots         []Slot           `json:"slots"`
	// OtherSchedules lists the schedules without a slot, whose trials were left out.
	OtherSchedules []string `json:"other_schedules"`
	// Listed is the number of architectures that the client believes a NASBench201 or NATS
	// file covers: see [Listing].
	Listed int `json:"listed_architectures,omitzero"`
	// The Without fields count trials that lack what a client can query.
	WithoutWeights int `json:"without_weights"`
	WithoutLatency int `json:"without_latency"`
	WithoutTimes   int `json:"without_times"`
	// OwnLatency counts the trials of networks that Options.Latencies, if given, does not
	// cover.
	OwnLatency int `json:"own_latency,omitzero"`
	// CorrectedCosts counts the trials whose FLOPs or parameters in the source are not
	// those of their architecture; the export contains the architecture's.
	CorrectedCosts int `json:"corrected_costs"`
	// WithoutSeed counts the architectures that a NASLib export lacks, having no trial with Options.Seed, and
	// WithoutCurves the trials that it lacks, having no evaluation set with a value for every epoch.
	WithoutSeed   int `json:"without_seed,omitzero"`
	WithoutCurves int `json:"without_curves,omitzero"`
	// Sets counts the evaluation sets of the curves in a NASLib export.
	Sets  []CurveSet `json:"curve_sets,omitempty"`
	Times Times      `json:"times"`
	// Mixed lists, with Options.Mixed, how trials that share a slot and a dataset key
	// differ in their settings.
	Mixed []string `json:"mixed,omitempty"`
}

// Slot is a schedule in an export.
type Slot struct {
	Name     string     `json:"name"`            // less or full, 12 or 200, or the schedule's own name
	Recipe   string     `json:"recipe,omitzero"` // name of a user's own recipe that fills a slot
	Epochs   int        `json:"epochs"`
	Coverage []Coverage `json:"coverage"`
	Absent   []string   `json:"absent"` // dataset keys of the benchmark that have no trials
}

// Warnings lists, one sentence each, what users of the export will miss.
func (r *Report) Warnings() []string {
	format, known := allWriters().find(r.Format)
	forClients := format.clients || !known
	var w []string
	warn := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	for _, s := range r.Slots {
		name := fmt.Sprintf("%s ('%s')", quantity.Format(s.Epochs, "epoch"), s.Name)
		if s.Recipe != "" {
			name = fmt.Sprintf("recipe %s ('%s')", s.Recipe, s.Name)
		}
		if len(s.Coverage) == 0 {
			warn("%s: no trials; the client opens the file, but queries of this schedule fail, and so do api.show and api.get_net_config", name)
			continue
		}
		if len(s.Absent) > 0 {
			warn("%s: no trials on %s", name, strings.Join(s.Absent, ", "))
		}
		for i, c := range s.Coverage {
			if forClients && !slices.Contains(configs.BenchmarkKeys(), c.Dataset) && (i == 0 || s.Coverage[i-1].Dataset != c.Dataset) {
				warn("%s: %s is not a dataset of the benchmark; the client opens the file and answers queries of it, "+
					"but api.show needs x-valid and x-test, and api.simulate_train_eval and api.statistics refuse it", name, c.Dataset)
			}
			if c.Architectures < r.Architectures {
				warn("%s: %s with seed %d covers %d of %d architectures", name, c.Dataset, c.Seed, c.Architectures, r.Architectures)
			}
		}
	}
	for _, difference := range r.Mixed {
		warn("trials with different settings are mixed: %s", difference)
	}
	if len(r.OtherSchedules) > 0 {
		unit := " epochs"
		if slices.ContainsFunc(r.OtherSchedules, func(name string) bool { return configs.CheckRecipeName(name) == nil }) {
			unit = "" // names of recipes
		}
		warn("trials of other schedules were left out: %s%s", strings.Join(r.OtherSchedules, ", "), unit)
	}
	if r.OwnLatency > 0 {
		warn("no latency is given for the networks of %s; a trial's own was written where it has one", quantity.Format(r.OwnLatency, "trial"))
	}
	if r.CorrectedCosts > 0 {
		warn("FLOPs or parameters of another network were replaced by those of the architecture in %s", quantity.Format(r.CorrectedCosts, "trial"))
	}
	if r.WithoutSeed > 0 {
		warn("%s left out, because of no trial with the seed asked for", quantity.Format(r.WithoutSeed, "architecture"))
	}
	if r.WithoutCurves > 0 {
		warn("%s left out, because no set was evaluated after every epoch", quantity.Format(r.WithoutCurves, "trial"))
	}
	for i, s := range r.Sets {
		if i > 0 && s.Dataset == r.Sets[i-1].Dataset {
			warn("%s: the curves of %s are of %s, those of %s of %s", s.Dataset,
				quantity.Format(r.Sets[i-1].Architectures, "architecture"), r.Sets[i-1].Set, quantity.Format(s.Architectures, "architecture"), s.Set)
		}
	}
	if !forClients {
		return w
	}
	if r.WithoutTimes > 0 {
		reason := benchmark.OriginalOf(r.Space.Space()).Untimed
		if r.Times == Published {
			reason = "their architecture has no timed trial on cifar10-valid with seed 777 on the short schedule, or the number of images of their dataset is unknown"
		}
		warn("no times for some or all epochs of %s: %s", quantity.Format(r.WithoutTimes, "trial"), reason)
	}
	if r.WithoutWeights > 0 {
		reason := ""
		if hp := originalOf(r.Space.Space()).unweighted; hp != "" {
			reason = fmt.Sprintf(" (the published files have none of schedule '%s')", hp)
		}
		warn("no weights of %s, for which get_net_param returns None%s", quantity.Format(r.WithoutWeights, "trial"), reason)
	}
	if r.WithoutLatency > 0 && !format.NoLatencies {
		warn("no latency of %s, for which get_latency fails", quantity.Format(r.WithoutLatency, "trial"))
	}
	switch {
	case r.Listed > r.Architectures:
		warn("%d of the %d listed architectures have trials: queries of the others fail, and so does api.statistics", r.Architectures, r.Listed)
	case r.Listed > 0 && r.Listed < r.Space.Space().Count():
		warn("only architectures 0 to %d: to the client this is a benchmark of %d", r.Listed-1, r.Listed)
	}
	return w
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

// finish sorts the coverage, and lists the dataset keys without trials, but for those that the format omits.
func (s *Slot) finish(omits []string) {
	trial := func(c Coverage) results.Trial { return results.Trial{Dataset: c.Dataset, Seed: c.Seed} }
	slices.SortFunc(s.Coverage, func(a, b Coverage) int { return trial(a).Compare(trial(b)) })
	s.Absent = slices.DeleteFunc(configs.BenchmarkKeys(), func(key string) bool { return slices.Contains(omits, key) })
	for _, c := range s.Coverage {
		s.Absent = slices.DeleteFunc(s.Absent, func(key string) bool { return key == c.Dataset })
	}
}
