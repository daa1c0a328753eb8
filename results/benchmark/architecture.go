package benchmark

import (
	"fmt"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/inert"
)

// Architecture holds all trials of one architecture in a benchmark, by schedule.
type Architecture struct {
	Space     cell.Space     // search space of the architecture
	Index     int            // index of the architecture
	Genotype  string         // string of the architecture, such as a genotype string
	Schedules []*ArchResults // in order of their epochs; each has at least one trial
}

// NewArchitecture returns an architecture without trials. An index that is out of range is a
// usage error.
func NewArchitecture(space cell.Space, index int) (*Architecture, error) {
	arch, err := space.ByIndex(index)
	if err != nil {
		return nil, err
	}
	return &Architecture{Space: space, Index: index, Genotype: arch.String()}, nil
}

// Add adds a trial to the schedule named hp, which it appends if needed. A name that is not a number is
// that of a user's own recipe.
func (a *Architecture) Add(hp string, r *ResultsCount) {
	if configs.CheckRecipeName(hp) == nil {
		r.Trial.Recipe = hp
	}
	at := slices.IndexFunc(a.Schedules, func(s *ArchResults) bool { return s.HP == hp })
	if at < 0 {
		at = len(a.Schedules)
		a.Schedules = append(a.Schedules, &ArchResults{Index: a.Index, Genotype: a.Genotype, HP: hp})
	}
	a.Schedules[at].Results = append(a.Schedules[at].Results, r)
}

// check refuses invalid names and impossible numbers of epochs, which could do harm on a
// terminal, in a table or in a drawing.
func (a *Architecture) check() error {
	for _, s := range a.Schedules {
		const longest = 64
		if !inert.IsInert(s.HP) || len(s.HP) > longest {
			return fmt.Errorf("schedule %.80q: a name has at most %d characters, all printable", s.HP, longest)
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
				return fmt.Errorf("the schedule has %d epochs; at most %d are possible", r.Epochs, configs.MaxEpochs)
			}
		}
	}
	return nil
}

// Schedule returns the trials of the schedule named hp, such as "12" or "200". If there are
// none, the error is [ErrNotHeld].
func (a *Architecture) Schedule(hp string) (*ArchResults, error) {
	for _, s := range a.Schedules {
		if s.HP == hp {
			return s, nil
		}
	}
	return nil, notHeld("architecture %d has no schedule %q; it has %s", a.Index, hp, joinItems(a.HPs()))
}

// HPs returns the names of the schedules, in the order of Schedules.
func (a *Architecture) HPs() []string {
	names := make([]string, len(a.Schedules))
	for i, s := range a.Schedules {
		names[i] = s.HP
	}
	return names
}

// lastMetrics returns the costs, and the metrics after the last epoch as means over the seeds.
func (a *Architecture) lastMetrics(hp, dataset, set string) (costs Costs, m Metrics, err error) {
	trials, err := a.Schedule(hp)
	if err == nil {
		costs, err = trials.ComputeCosts(dataset)
	}
	if err == nil {
		m, err = trials.Metrics(dataset, set, Last, Mean())
	}
	return costs, m, err
}

// info returns the text that the clients' _show prints for an architecture.
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
