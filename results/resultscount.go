package results

import (
	"fmt"
	"slices"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/inert"
	"nb201/internal/torchfile"
)

// ResultsCount is what a benchmark tells of one trial, whatever file it comes from:
// nas_201_api's class of this name. A published file may lack evaluations, times,
// latency, top-5 accuracies and the recipe; what it lacks is absent, never zero.
type ResultsCount struct {
	Trial
	Genotype                 string
	Channels, Cells, Classes int
	FLOPs, Params            float64   // millions, as the file says
	Latencies                []float64 // seconds per batch of 256; nil: not measured
	Training                 Measures
	Evaluation               []SetMeasures // in the file's order
	Recipe                   *configs.Recipe
	Record                   *Record // of a campaign's trial; nil in any other file

	// load reads the trained state dict; nil where none was kept.
	load func() (torchfile.StateDict, error)
}

// Measures of the passes over a set of images. A series that the file does not keep
// is nil.
type Measures struct {
	Loss    Series // mean cross entropy
	Top1    Series // accuracy, percent
	Top5    Series
	Seconds Series // wall time of the whole pass
}

// SetMeasures are the measures of an evaluation set.
type SetMeasures struct {
	Set string
	Measures
}

// Series holds the values of a measure in ascending order of epochs, which count
// from 0. Epochs that a file lacks are absent.
type Series []Point

// Point is the value of a measure after an epoch.
type Point struct {
	Epoch int
	Value float64
}

// Consecutive is the series of the values of consecutive epochs.
func Consecutive(first int, values []float64) Series {
	s := make(Series, len(values))
	for i, v := range values {
		s[i] = Point{first + i, v}
	}
	return s
}

// At is the value after an epoch, and whether there is one.
func (s Series) At(epoch int) (float64, bool) {
	i, ok := slices.BinarySearchFunc(s, epoch, func(p Point, epoch int) int { return p.Epoch - epoch })
	if !ok {
		return 0, false
	}
	return s[i].Value, true
}

// Complete tells whether s has each of the epochs 0 to epochs-1 and no other.
func (s Series) Complete(epochs int) bool {
	return len(s) == epochs && (epochs == 0 || s[0].Epoch == 0 && s[epochs-1].Epoch == epochs-1)
}

// Set finds the measures of an evaluation set.
func (r *ResultsCount) Set(name string) (*Measures, bool) {
	for i := range r.Evaluation {
		if r.Evaluation[i].Set == name {
			return &r.Evaluation[i].Measures, true
		}
	}
	return nil, false
}

// HasWeights tells whether the trained weights were kept.
func (r *ResultsCount) HasWeights() bool { return r.load != nil }

// Weights reads the trained state dict, nil where none was kept: get_net_param. What is wrong with
// the file is a usage error.
func (r *ResultsCount) Weights() (torchfile.StateDict, error) {
	if r.load == nil {
		return nil, nil
	}
	return r.load()
}

// ArchResults are the trials of one architecture along one schedule: nas_201_api's
// class of this name.
type ArchResults struct {
	Index    int // of the architecture
	Genotype string
	HP       string          // the schedule's name in the file: "12" (less), "200" (full), ...
	Results  []*ResultsCount // in the order of Trial.Compare
}

// Architecture is what a benchmark holds of one architecture: a value for each
// schedule, in order of their epochs.
type Architecture struct {
	Index     int
	Genotype  string
	Schedules []*ArchResults
}

// check refuses what no benchmark has, and what would do harm on a terminal, in a table or
// in a drawing: names that are none, and more epochs than could be trained.
func (a *Architecture) check() error {
	for _, s := range a.Schedules {
		const longest = 64
		if !inert.Is(s.HP) || len(s.HP) > longest {
			return fmt.Errorf("schedule %.80q: use up to %d characters that print", s.HP, longest)
		}
		for _, r := range s.Results {
			if err := configs.CheckName(r.Dataset); err != nil {
				return fmt.Errorf("dataset key %w", err)
			}
			for _, e := range r.Evaluation {
				if err := configs.CheckName(e.Set); err != nil {
					return fmt.Errorf("evaluation set %w", err)
				}
			}
			if r.Epochs > configs.MaxEpochs {
				return fmt.Errorf("a schedule of %d epochs: more than %d cannot be", r.Epochs, configs.MaxEpochs)
			}
		}
	}
	return nil
}

// newArchitecture is an architecture without trials.
func newArchitecture(index int) (*Architecture, error) {
	arch, err := cell.ByIndex(index)
	if err != nil {
		return nil, err
	}
	return &Architecture{Index: index, Genotype: arch.String()}, nil
}

// put adds a trial to the schedule hp, which is new or not.
func (a *Architecture) put(hp string, r *ResultsCount) {
	at := slices.IndexFunc(a.Schedules, func(s *ArchResults) bool { return s.HP == hp })
	if at < 0 {
		at = len(a.Schedules)
		a.Schedules = append(a.Schedules, &ArchResults{Index: a.Index, Genotype: a.Genotype, HP: hp})
	}
	a.Schedules[at].Results = append(a.Schedules[at].Results, r)
}

// ResultsCount is what r tells, without the weights.
func (r *Record) ResultsCount() *ResultsCount {
	measures := func(first int, v Curve) Measures {
		return Measures{
			Loss: Consecutive(first, v.Loss), Top1: Consecutive(first, v.Top1),
			Top5: Consecutive(first, v.Top5), Seconds: Consecutive(first, v.Seconds),
		}
	}
	result := &ResultsCount{
		Trial: r.Trial, Genotype: r.Genotype, Channels: r.Recipe.Channels, Cells: r.Recipe.Cells, Classes: r.Classes,
		FLOPs: r.FLOPs, Params: r.Params, Latencies: r.Latency,
		Training: measures(0, r.Train.Curve), Recipe: &r.Recipe, Record: r,
	}
	for _, e := range r.Eval {
		result.Evaluation = append(result.Evaluation, SetMeasures{e.Set, measures(e.FirstEpoch, e.Curve)})
	}
	return result
}

// IsAccuracy reports whether v can be an accuracy in percent. The original's float32 makes
// more than 100 of some batches that are right throughout (xautodl/utils/evaluation_utils.py,
// obtain_accuracy), by less than a hundredth.
func IsAccuracy(v float64) bool { return v >= 0 && v <= 100.01 }
