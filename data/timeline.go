package data

import "nb201/configs"

// At narrows the definition to the evaluation sets of a timeline. Nov2019 keeps
// one: the first that is held out from the stored split that trains (x-valid of
// cifar10-valid), or else the first of all (ori-test of the other keys), for a
// user's dataset too.
func (d Definition) At(t configs.Timeline) Definition {
	if t != configs.Nov2019 {
		return d
	}
	kept := d.Eval[0]
	for _, p := range d.Eval {
		if p.From == d.Train.From {
			kept = p
			break
		}
	}
	d.Eval = []SplitDefinition{kept}
	return d
}
