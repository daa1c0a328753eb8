package export

import (
	"slices"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// choose returns what the export contains of an architecture of the source, and adds it
// to the totals in p: the schedules under the names of their slots, each trial with the
// times and costs to write. A fixed slot is kept even without trials. The result is nil if
// there are no trials at all.
func (e *exporter) choose(a *benchmark.Architecture, p *part) (*benchmark.Architecture, error) {
	o := &e.options
	chosen := &benchmark.Architecture{Space: a.Space, Index: a.Index, Genotype: a.Genotype}
	slots := e.slots()
	for _, s := range a.Schedules {
		hasSlot := slices.ContainsFunc(slots, func(slot slot) bool { return slot.schedule == s.HP })
		switch {
		case hasSlot || len(s.Results) == 0:
		case slots == nil:
			chosen.Schedules = append(chosen.Schedules, copyOf(s, s.HP))
		case !slices.Contains(p.Left, s.HP):
			p.Left = append(p.Left, s.HP)
		}
	}
	for _, slot := range slots {
		s := &benchmark.ArchResults{Index: a.Index, Genotype: a.Genotype}
		if i := slices.IndexFunc(a.Schedules, func(s *benchmark.ArchResults) bool { return s.HP == slot.schedule }); i >= 0 {
			s = a.Schedules[i]
		}
		if e.writer.fixedSlots(a.Space) || len(s.Results) > 0 {
			chosen.Schedules = append(chosen.Schedules, copyOf(s, slot.name))
		}
	}
	if e.writer.OneSeed {
		e.chooseCurves(chosen, p)
	}
	if !slices.ContainsFunc(chosen.Schedules, func(s *benchmark.ArchResults) bool { return len(s.Results) > 0 }) {
		return nil, nil
	}
	if o.Times == Published {
		if err := e.original.times(a, chosen, e.original.less(o)); err != nil {
			return nil, usage.Errorf("%s: %w", e.benchmark.Path, err)
		}
	}
	for _, s := range chosen.Schedules {
		for _, r := range s.Results {
			if e.writer.dropsWeights && s.HP == e.original.unweighted {
				r.SetWeights(nil)
			}
			if len(e.latencies) > 0 && !e.latencies.setLatency(r) {
				p.OwnLatency++
			}
		}
		for trials := range byDataset(s) {
			if !e.writer.clients && !e.writer.trueCosts {
				continue // such formats write a trial unchanged
			}
			corrected, err := correctCosts(e.benchmark.Path, trials)
			if err != nil {
				return nil, err
			}
			p.CorrectedCosts += corrected
			if e.writer.completeTimes {
				completeTimes(trials)
			}
		}
	}
	p.add(chosen, e.weights())
	for _, s := range chosen.Schedules {
		for trials := range byDataset(s) {
			var first results.Settings
			for i, r := range trials {
				settings := r.Settings()
				if i == 0 {
					first = settings
				}
				p.addSettings(slotSettings{s.HP, r.Trial, settings.Digest()})
				if !o.Mixed && settings.Differ(first) != nil { // in its initial weights too
					return nil, e.refuseMixed(r.Trial, s.HP, strings.Join(benchmark.Unequal(trials), "; "))
				}
			}
		}
	}
	return chosen, nil
}

// chooseCurves keeps the trials with the seed asked for and complete curves, and adds to the totals in p.
func (e *exporter) chooseCurves(a *benchmark.Architecture, p *part) {
	for _, s := range a.Schedules {
		s.Results = slices.DeleteFunc(s.Results, func(r *benchmark.ResultsCount) bool { return slices.Contains(e.writer.omits, r.Dataset) })
		hasTrials := len(s.Results) > 0
		s.Results = slices.DeleteFunc(s.Results, func(r *benchmark.ResultsCount) bool { return r.Seed != e.options.seed() })
		if hasTrials && len(s.Results) == 0 {
			p.WithoutSeed++
		}
		s.Results = slices.DeleteFunc(s.Results, func(r *benchmark.ResultsCount) bool {
			set := curveSet(r)
			if set == nil {
				p.WithoutCurves++
				return true
			}
			p.Sets = addSet(p.Sets, CurveSet{r.Dataset, set.Set, 1})
			return false
		})
	}
}

// seed returns the seed of the trials in a format that holds one.
func (o *Options) seed() uint32 {
	if o.Seed == nil {
		return publishedSeed
	}
	return *o.Seed
}

// copyOf returns a copy of s under another name, whose trials may be changed.
func copyOf(s *benchmark.ArchResults, name string) *benchmark.ArchResults {
	c := &benchmark.ArchResults{Index: s.Index, Genotype: s.Genotype, HP: name}
	for _, r := range s.Results {
		trial := *r
		trial.Evaluation = slices.Clone(r.Evaluation)
		c.Results = append(c.Results, &trial)
	}
	return c
}

// correctCosts sets the FLOPs and parameters of a dataset's trials, of all seeds, to those
// of their network, and counts the trials that had others: the clients take one cost for
// all seeds, and some published trials have another network's. Trials of different
// networks are a usage error that names path.
func correctCosts(path string, trials []*benchmark.ResultsCount) (corrected int, err error) {
	first := trials[0]
	for _, r := range trials {
		network, known, err := networkOf(r)
		if err != nil {
			return 0, err
		}
		same := r.Channels == first.Channels && r.Cells == first.Cells && r.Classes == first.Classes && imageSize(r) == imageSize(first)
		if !known { // nothing to compare the file with
			same = same && r.FLOPs == first.FLOPs && r.Params == first.Params
		}
		if !same {
			return 0, usage.Errorf("%s: %v and %v trained different networks, which cannot share a published file; export them from separate campaigns",
				path, first.Trial, r.Trial)
		}
		if !known {
			continue
		}
		if flops, params := network.FLOPs(), network.Params(); !results.SameCost(r.FLOPs, flops) || !results.SameCost(r.Params, params) {
			corrected++
		}
		r.FLOPs, r.Params = network.FLOPs(), network.Params()
	}
	return corrected, nil
}

// networkOf returns the network of a trial, and whether the size of its images is known.
func networkOf(r *benchmark.ResultsCount) (network cell.Network, known bool, err error) {
	arch, err := r.Architecture()
	network = cell.Network{Arch: arch, Channels: r.Channels, Cells: r.Cells, Classes: r.Classes, Size: imageSize(r)}
	if err == nil && network.Size > 0 {
		err = network.Validate()
	}
	return network, network.Size > 0, err
}

// imageSize returns the side in pixels of a trial's images, or 0 if it is unknown.
func imageSize(r *benchmark.ResultsCount) int {
	if r.Record != nil {
		return r.Record.ImageSize
	}
	d, _ := configs.FindDataset(r.Dataset)
	return d.Size
}

// timeFurtherSets gives further evaluation sets, which were evaluated once, the same time in every
// epoch, as the published files have it: the clients add up the times of all epochs up to the one
// asked for.
func timeFurtherSets(r *benchmark.ResultsCount) {
	for i := range r.Evaluation {
		if e := &r.Evaluation[i]; e.Further > 0 && len(e.Seconds) > 0 {
			e.Seconds = constant(r.Epochs, e.Seconds[len(e.Seconds)-1].Value)
		}
	}
}

// completeTimes drops incomplete times: the clients need those of every seed and epoch, or
// none.
func completeTimes(trials []*benchmark.ResultsCount) {
	for _, r := range trials {
		timeFurtherSets(r)
	}
	train := !slices.ContainsFunc(trials, func(r *benchmark.ResultsCount) bool { return !isTrainTimed(r) })
	eval := !slices.ContainsFunc(trials, func(r *benchmark.ResultsCount) bool { return !isEvalTimed(r) })
	for _, r := range trials {
		if !train {
			r.Training.Seconds = nil
		}
		if !eval {
			for i := range r.Evaluation {
				r.Evaluation[i].Seconds = nil
			}
		}
	}
}
