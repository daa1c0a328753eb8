package results

import (
	"fmt"
	"slices"
	"sync"
)

// Experiments groups trials whose settings agree, to find those that do not belong with the
// rest. The zero value is empty and ready to use. It is safe for concurrent use.
type Experiments struct {
	mu         sync.Mutex
	bySchedule map[Trial][]*experiment // the key has a dataset key and a schedule only
	byDataset  map[Trial][]*experiment // the key has a dataset key only
}

// experiment is a group of trials that agree, with the settings of the first in order.
type experiment struct {
	digest string
	first  Settings
	trials []Trial
}

// Add adds the trial of s.
func (e *Experiments) Add(s Settings) {
	schedule, dataset := s.digest(ofSchedule), s.digest(ofDataset)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bySchedule == nil {
		e.bySchedule, e.byDataset = map[Trial][]*experiment{}, map[Trial][]*experiment{}
	}
	key := Trial{Dataset: s.Dataset, Recipe: s.Recipe}
	if s.Recipe == "" {
		key.Epochs = s.Epochs
	}
	addToGroup(e.bySchedule, key, schedule, s)
	addToGroup(e.byDataset, Trial{Dataset: s.Dataset}, dataset, s)
}

func addToGroup(groups map[Trial][]*experiment, key Trial, digest string, s Settings) {
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

// Odd is a trial whose settings differ from those of most trials with its dataset key, or
// with its dataset key and schedule.
type Odd struct {
	Trial
	Differences       // from Usual
	Usual       Trial // one of the majority
}

// Odd lists the trials that differ from the majority, in the order of [Trial.Compare]. When
// two groups are equally large, the one with the first trial in that order is the majority.
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
					continue // the digests differ only because one file gives more settings
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

// Unequal describes the differences of the odd trials in words: each difference once, with
// the number of trials that have it and an example.
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
