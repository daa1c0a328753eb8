package export

import (
	"errors"
	"fmt"
	"slices"

	"nb201/internal/usage"
	"nb201/results"
)

// errMixed reports trials with different settings in one slot.
var errMixed = errors.New("trials with different settings cannot share a slot")

// compareSettings compares the settings in a part with those in earlier parts. A
// difference is an error or, with Options.Mixed, recorded in e.mixed.
func (e *exporter) compareSettings(p *part) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range p.Settings {
		i := slices.IndexFunc(e.settings, s.sharesSlot)
		if i < 0 {
			e.settings = append(e.settings, s)
			continue
		}
		first := e.settings[i]
		if first.Digest == s.Digest {
			continue
		}
		if s.Trial.Compare(first.Trial) < 0 { // parts finish in any order
			first, s = s, first
		}
		a, err1 := e.settingsOf(first.Trial)
		b, err2 := e.settingsOf(s.Trial)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		differences := b.Differ(a)
		if differences == nil {
			continue // only one of them has a certain setting
		}
		text := fmt.Sprintf("%v: %v, as in %v", s.Trial, differences, first.Trial)
		if !e.options.Mixed {
			return e.refuseMixed(s.Trial, s.Slot, text)
		}
		e.mixed = append(e.mixed, fmt.Sprintf("schedule '%s', %s: %s", s.Slot, s.Trial.Dataset, text))
	}
	return nil
}

// refuseMixed returns the error of trials that share a slot and a dataset key but differ in
// their settings.
func (e *exporter) refuseMixed(t results.Trial, slot, differences string) error {
	return usage.Errorf("%s: %w: on %s, schedule '%s', %s; export them from separate campaigns, or add --allow-mixed",
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
	return results.Settings{}, usage.Errorf("%s no longer contains %v; run the export again", e.benchmark.Path, t)
}
