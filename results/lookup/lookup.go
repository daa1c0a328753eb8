// Package lookup answers questions about one architecture of a benchmark: its trials, their means
// over the seeds, and their metrics. nb201 query prints the answer, and nb201 serve sends it.
package lookup

import (
	"cmp"
	"errors"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// Question selects results of an architecture. An empty field selects all.
type Question struct {
	Dataset  string
	Schedule string // its name in the benchmark
	Set      string // TrainingSet, or an evaluation set
	Seed     *uint32
	Epoch    int // counted from 0, or benchmark.Last
}

// Answer contains the results of an architecture.
type Answer struct {
	Path     string           `json:"path"`
	Format   benchmark.Format `json:"format"`
	Space    cell.Name        `json:"space,omitzero"` // search space of the architecture
	Index    int              `json:"architecture"`
	Genotype string           `json:"genotype"` // string of the architecture
	Trials   []Trial          `json:"trials"`
	Means    []Trial          `json:"means,omitempty"` // over the seeds, if there are several

	set string // that was selected
}

// Trial describes a trial, or the mean over the trials on a dataset with a schedule.
type Trial struct {
	Schedule string     `json:"schedule"`
	Dataset  string     `json:"dataset"`
	Seed     *uint32    `json:"seed,omitzero"` // nil for a mean
	Epochs   int        `json:"epochs"`
	FLOPs    float64    `json:"flops_millions"`
	Params   float64    `json:"params_millions"`
	Latency  *float64   `json:"latency_seconds_per_batch_of_256,omitzero"`
	Measured []Measured `json:"measured"`
	// Unequal lists the settings in which the trials of a mean differ.
	Unequal []string `json:"unequal_trials,omitempty"`
	// Curve has all epochs: see [Answer.AddCurves].
	Curve []Curve `json:"curve,omitempty"`

	// Results holds everything that the benchmark has of the trial; nil for a mean.
	Results *benchmark.ResultsCount `json:"-"`
}

// Measured holds the metrics of a set of images after an epoch.
type Measured struct {
	Set string `json:"set"`
	benchmark.Metrics
}

// Curve is the learning curve of a set of images.
type Curve struct {
	Set    string              `json:"set"`
	Epochs []benchmark.Metrics `json:"epochs"`
}

// Ask finds the results of an architecture, an index or its string, that q selects. It leaves
// out trials without the set or the epoch. Errors are those of [benchmark.Benchmark]; if no trial
// remains, the error is a usage error.
func (q Question) Ask(b *benchmark.Benchmark, arch string) (*Answer, error) {
	index, err := b.QueryIndexByArch(arch)
	if err != nil {
		return nil, err
	}
	a, err := b.Architecture(index)
	if err != nil {
		return nil, err
	}
	schedules := a.Schedules
	if q.Schedule != "" {
		s, err := a.Schedule(q.Schedule)
		if err != nil {
			return nil, inFile(b, err)
		}
		schedules = []*benchmark.ArchResults{s}
	}
	answer := &Answer{Path: b.Path, Format: b.Format, Space: a.Space.Name(), Index: a.Index, Genotype: a.Genotype, Trials: []Trial{}, set: q.Set}
	var lacking error
	lack := func(err error) { lacking = cmp.Or(lacking, err) }
	for _, s := range schedules {
		datasets := s.DatasetNames()
		if q.Dataset != "" {
			datasets = []string{q.Dataset}
		}
		for _, dataset := range datasets {
			var seeds []uint32
			if q.Seed != nil {
				seeds = append(seeds, *q.Seed)
			}
			trials, err := s.Query(dataset, seeds...)
			if errors.Is(err, benchmark.ErrNotHeld) {
				lack(err)
				continue
			}
			if err != nil {
				return nil, inFile(b, err)
			}
			shown := 0
			for _, r := range trials {
				view, err := q.viewTrial(s, r)
				if errors.Is(err, benchmark.ErrNotHeld) {
					lack(err)
					continue
				}
				if err != nil {
					return nil, inFile(b, err)
				}
				answer.Trials = append(answer.Trials, *view)
				shown++
			}
			if shown > 1 {
				mean, err := q.viewMean(s, dataset)
				switch {
				case err == nil:
					answer.Means = append(answer.Means, *mean)
				case !errors.Is(err, benchmark.ErrNotHeld):
					return nil, inFile(b, err)
				}
			}
		}
	}
	if len(answer.Trials) == 0 {
		return nil, inFile(b, cmp.Or(lacking, usage.Errorf("architecture %d has no trial; query another architecture", a.Index)))
	}
	return answer, nil
}

// inFile adds the benchmark's path to a usage error.
func inFile(b *benchmark.Benchmark, err error) error { return usage.Errorf("%s: %w", b.Path, err) }

// viewTrial describes a trial, with the metrics that q selects.
func (q Question) viewTrial(s *benchmark.ArchResults, r *benchmark.ResultsCount) (*Trial, error) {
	view := &Trial{
		Schedule: s.HP, Dataset: r.Dataset, Seed: &r.Seed, Epochs: r.Epochs,
		FLOPs: r.FLOPs, Params: r.Params, Latency: r.Latency(), Results: r,
	}
	return view, q.addMetrics(view, r.EvalSet(), func(set string) (benchmark.Metrics, error) { return r.Metrics(set, q.Epoch) })
}

// viewMean describes the mean over the trials on a dataset, with the metrics that q selects.
func (q Question) viewMean(s *benchmark.ArchResults, dataset string) (*Trial, error) {
	costs, err1 := s.ComputeCosts(dataset)
	epochs, err2 := s.TotalEpoch(dataset)
	trials, err3 := s.Query(dataset)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	view := &Trial{
		Schedule: s.HP, Dataset: dataset, Epochs: epochs,
		FLOPs: costs.FLOPs, Params: costs.Params, Latency: costs.Latency,
		Unequal: benchmark.Unequal(trials),
	}
	return view, q.addMetrics(view, trials[0].EvalSet(), func(set string) (benchmark.Metrics, error) {
		return s.Metrics(dataset, set, q.Epoch, benchmark.Mean())
	})
}

// addMetrics adds the metrics of the set that q selects. If q selects none, it adds those of the
// training set, which must exist, and of every evaluation set that has any after the epoch.
func (q Question) addMetrics(view *Trial, sets []string, metrics func(set string) (benchmark.Metrics, error)) error {
	sets = append([]string{benchmark.TrainingSet}, sets...)
	if q.Set != "" {
		sets = []string{q.Set}
	}
	for i, set := range sets {
		m, err := metrics(set)
		if err != nil && (i == 0 || !errors.Is(err, benchmark.ErrNotHeld)) {
			return err
		}
		if err == nil {
			view.Measured = append(view.Measured, Measured{set, m})
		}
	}
	return nil
}

// AddCurves adds the learning curves of the trials, of the set that was selected or of all sets.
func (a *Answer) AddCurves() {
	for i := range a.Trials {
		t := &a.Trials[i]
		for _, s := range t.Results.Sets() {
			if a.set != "" && s.Set != a.set {
				continue
			}
			curve := Curve{Set: s.Set}
			for _, p := range s.Top1 {
				if m, err := t.Results.Metrics(s.Set, p.Epoch); err == nil {
					curve.Epochs = append(curve.Epochs, m)
				}
			}
			t.Curve = append(t.Curve, curve)
		}
	}
}

// Rows yields the trials in order, each mean after the trials that it is taken over.
func (a *Answer) Rows(yield func(Trial) bool) {
	means := a.Means
	for i, r := range a.Trials {
		if !yield(r) {
			return
		}
		last := i+1 == len(a.Trials) || a.Trials[i+1].Schedule != r.Schedule || a.Trials[i+1].Dataset != r.Dataset
		if last && len(means) > 0 && means[0].Schedule == r.Schedule && means[0].Dataset == r.Dataset {
			if !yield(means[0]) {
				return
			}
			means = means[1:]
		}
	}
}
