package data

import "nb201/internal/usage"

// Timeline says which evaluation sets an epoch goes through. Every loader draws
// when it starts, so the timelines part at the second epoch of training.
type Timeline string

const (
	// Dec2019 evaluates every evaluation set (69ca086 of the original and later).
	Dec2019 Timeline = "dec2019"
	// Nov2019 evaluates one set only (975fe4c); the published records of that time
	// have the others at the last epoch alone, from a later script.
	Nov2019 Timeline = "nov2019"
)

// ParseTimeline reads a timeline's name.
func ParseTimeline(s string) (Timeline, error) {
	switch t := Timeline(s); t {
	case Dec2019, Nov2019:
		return t, nil
	}
	return "", usage.Errorf("unknown timeline %q: use %s or %s", s, Dec2019, Nov2019)
}

// At narrows the definition to the evaluation sets of a timeline. Nov2019 keeps
// one: the first that is held out from the stored split that trains (x-valid of
// cifar10-valid), or else the first of all (ori-test of the other keys), for a
// user's dataset too.
func (d Definition) At(t Timeline) Definition {
	if t != Nov2019 {
		return d
	}
	kept := d.Eval[0]
	for _, p := range d.Eval {
		if p.From == d.Train.From {
			kept = p
			break
		}
	}
	d.Eval = []Part{kept}
	return d
}
