package results

import (
	"fmt"
	"slices"
	"sync"
)

// Experiments sorts trials by what they agree in. The zero value has none. It is safe for
// concurrent use.
type Experiments struct {
	mu         sync.Mutex
	bySchedule map[Trial][]*experiment // of a dataset key and a schedule
	byDataset  map[Trial][]*experiment // of a dataset key
}

// experiment is trials that agree, with the settings of the first of them.
type experiment struct {
	digest string
	first  Settings
	trials []Trial
}

// Add adds a trial.
func (e *Experiments) Add(s Settings) {
	schedule, dataset := s.digest(ofSchedule), s.digest(ofDataset)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bySchedule == nil {
		e.bySchedule, e.byDataset = map[Trial][]*experiment{}, map[Trial][]*experiment{}
	}
	put(e.bySchedule, Trial{Dataset: s.Dataset, Epochs: s.Epochs}, schedule, s)
	put(e.byDataset, Trial{Dataset: s.Dataset}, dataset, s)
}

func put(groups map[Trial][]*experiment, key Trial, digest string, s Settings) {
	i := slices.IndexFunc(groups[key], func(x *experiment) bool { return x.digest == digest })
	if i < 0 {
		i = len(groups[key])
		groups[key] = append(groups[key], &experiment{digest: digest, first: s})
	}
	x := groups[key][i]
	if s.Trial.Compare(x.first.Trial) < 0 {
		x.first = s
	}
	x.trials = append(x.trials, s.Trial)
}

// Odd is a trial that differs from most others on its dataset key, or along its schedule.
type Odd struct {
	Trial
	Differences
	Usual Trial // one of those that it differs from
}

// Odd lists the trials that differ from most, in the order of Trial.Compare. Of as many
// that differ from each other the first are the usual ones.
func (e *Experiments) Odd() []Odd {
	e.mu.Lock()
	defer e.mu.Unlock()
	var odd []Odd
	known := map[Trial]bool{}
	for _, within := range []scope{ofSchedule, ofDataset} {
		groups := e.bySchedule
		if within == ofDataset {
			groups = e.byDataset
		}
		for _, group := range groups {
			usual := group[0]
			for _, x := range group {
				if len(x.trials) > len(usual.trials) || len(x.trials) == len(usual.trials) && x.first.Compare(usual.first.Trial) < 0 {
					usual = x
				}
			}
			for _, x := range group {
				if x == usual {
					continue
				}
				differences := x.first.differ(usual.first, within)
				if differences == nil {
					continue // one file says more than the other
				}
				for _, t := range x.trials {
					if !known[t] {
						known[t] = true
						odd = append(odd, Odd{t, differences, usual.first.Trial})
					}
				}
			}
		}
	}
	slices.SortFunc(odd, func(a, b Odd) int { return a.Trial.Compare(b.Trial) })
	return odd
}

// Unequal says in words what odd trials differ in, each difference once with how many
// trials have it.
func (e *Experiments) Unequal() []string {
	var texts []string
	count, first := map[string]int{}, map[string]Odd{}
	for _, o := range e.Odd() {
		text := o.Differences.String()
		if count[text]++; count[text] == 1 {
			texts, first[text] = append(texts, text), o
		}
	}
	for i, text := range texts {
		texts[i] = fmt.Sprintf("%s (%d trials, such as %v)", text, count[text], first[text].Trial)
	}
	return texts
}
