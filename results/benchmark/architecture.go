package benchmark

import (
	"fmt"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/inert"
)

// Architecture is what a benchmark holds of one architecture: a value for each
// schedule, in order of their epochs.
type Architecture struct {
	Index     int
	Genotype  string
	Schedules []*ArchResults
}

// NewArchitecture is an architecture without trials.
func NewArchitecture(index int) (*Architecture, error) {
	arch, err := cell.ByIndex(index)
	if err != nil {
		return nil, err
	}
	return &Architecture{Index: index, Genotype: arch.String()}, nil
}

// Add adds a trial to the schedule hp, which is new or not.
func (a *Architecture) Add(hp string, r *ResultsCount) {
	at := slices.IndexFunc(a.Schedules, func(s *ArchResults) bool { return s.HP == hp })
	if at < 0 {
		at = len(a.Schedules)
		a.Schedules = append(a.Schedules, &ArchResults{Index: a.Index, Genotype: a.Genotype, HP: hp})
	}
	a.Schedules[at].Results = append(a.Schedules[at].Results, r)
}

// check refuses what no benchmark has, and what would do harm on a terminal, in a table or
// in a drawing: names that are none, and more epochs than could be trained.
func (a *Architecture) check() error {
	for _, s := range a.Schedules {
		const longest = 64
		if !inert.IsInert(s.HP) || len(s.HP) > longest {
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

// Schedule finds the trials along the schedule named hp, such as "12" or "200". A
// schedule that it lacks is ErrNotHeld.
func (a *Architecture) Schedule(hp string) (*ArchResults, error) {
	for _, s := range a.Schedules {
		if s.HP == hp {
			return s, nil
		}
	}
	return nil, notHeld("architecture %d has no schedule %q: it has %s", a.Index, hp, listed(a.HPs()))
}

// HPs lists the names of the schedules, in the file's order.
func (a *Architecture) HPs() []string {
	names := make([]string, len(a.Schedules))
	for i, s := range a.Schedules {
		names[i] = s.HP
	}
	return names
}

// last returns the costs, and the metrics after the last epoch as means over the seeds.
func (a *Architecture) last(hp, dataset, set string) (costs Costs, m Metrics, err error) {
	trials, err := a.Schedule(hp)
	if err == nil {
		costs, err = trials.ComputeCosts(dataset)
	}
	if err == nil {
		m, err = trials.Metrics(dataset, set, Last, Mean())
	}
	return costs, m, err
}

// info is what _show of the clients prints of an architecture.
func (a *Architecture) info() (string, error) {
	var lines []string
	for _, schedule := range a.Schedules {
		text, err := schedule.info("None")
		if err != nil {
			return "", err
		}
		epochs, err := schedule.TotalEpoch("")
		if err != nil {
			return "", err
		}
		rule := strings.Repeat(">", 40)
		lines = append(lines, fmt.Sprintf("%s %03d epochs %s", rule, epochs, rule), text)
	}
	rule := strings.Repeat("<", 40)
	return strings.Join(append(lines, rule+"------------"+rule), "\n"), nil
}
