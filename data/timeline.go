package data

import "nb201/configs"

// ForTimeline returns the definition with the evaluation sets that a timeline uses. Nov2019
// uses one: the first that is held out from the stored split of the training set (x-valid
// of cifar10-valid), or else the first of all (ori-test of the other published keys). This
// holds for users' datasets too. Other timelines use all, and so does every timeline of a dataset of
// evaluation sets alone, since a timeline says what training evaluates.
func (d Definition) ForTimeline(t configs.Timeline) Definition {
	if t != configs.Nov2019 || d.EvaluationOnly() {
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
