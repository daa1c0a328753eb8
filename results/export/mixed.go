package export

import (
	"errors"
	"fmt"
	"slices"

	"nb201/internal/usage"
	"nb201/results"
)

// errMixed reports trials of different experiments in one slot.
var errMixed = errors.New("trials that differ cannot share a slot")

// compare compares the settings of a part with those that came before. It refuses what
// differs, or notes it with Options.Mixed.
func (e *exporter) compare(p *part) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range p.Settings {
		i := slices.IndexFunc(e.settings, s.shares)
		if i < 0 {
			e.settings = append(e.settings, s)
			continue
		}
		first := e.settings[i]
		if first.Digest == s.Digest {
			continue
		}
		if s.Trial.Compare(first.Trial) < 0 { // parts end in any order
			first, s = s, first
		}
		a, err1 := e.settingsOf(first.Trial)
		b, err2 := e.settingsOf(s.Trial)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		differences := b.Differ(a)
		if differences == nil {
			continue // one file says more than the other
		}
		text := fmt.Sprintf("%v for %v, as of %v", differences, s.Trial, first.Trial)
		if !e.options.Mixed {
			return e.refuseMixed(s.Trial, s.Slot, text)
		}
		e.mixed = append(e.mixed, fmt.Sprintf("schedule '%s', %s: %s", s.Slot, s.Trial.Dataset, text))
	}
	return nil
}

// refuseMixed is the error of trials of a dataset key that differ and would share a slot.
func (e *exporter) refuseMixed(t results.Trial, slot, differences string) error {
	return usage.Errorf("%s: %w: on %s, schedule '%s', %s: export them from directories of their own, or with --allow-mixed",
		e.benchmark.Path, errMixed, t.Dataset, slot, differences)
}

// settingsOf reads the settings of a trial of the source.
func (e *exporter) settingsOf(t results.Trial) (results.Settings, error) {
	a, err := e.benchmark.Architecture(t.Arch)
	if err != nil {
		return results.Settings{}, err
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			if r.Trial == t {
				return r.Settings(), nil
			}
		}
	}
	return results.Settings{}, usage.Errorf("%s no longer holds %v", e.benchmark.Path, t)
}
