package plan

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/usage"
	"nb201/results"
)

// Extend returns p with the parts of more added, or p itself when more names no new trial. The
// settings, and the datasets and schedules that both have, must be equal. If not, Extend returns a
// usage error that says what differs and how many of the finished trials in done it affects.
func (p *Plan) Extend(more *Plan, done []results.Trial) (*Plan, error) {
	if difference, concerns := p.conflict(more); difference != "" {
		finished, all := 0, 0
		for _, t := range done {
			if p.Has(t) {
				all++
				if concerns(t) {
					finished++
				}
			}
		}
		if all == 0 {
			return nil, usage.Errorf("the existing plan differs: %s; none of its trials has finished, so use --replace to replace it", difference)
		}
		return nil, usage.Errorf("the existing plan differs: %s; finished trials trained with it: %d of %d; plan a new campaign in another directory",
			difference, finished, all)
	}
	extended := *p
	extended.Datasets, extended.Schedules, extended.Parts = slices.Clone(p.Datasets), slices.Clone(p.Schedules), slices.Clone(p.Parts)
	for _, d := range more.Datasets {
		if p.dataset(d.Key) == nil {
			extended.Datasets = append(extended.Datasets, d)
		}
	}
	for _, s := range more.Schedules {
		if p.schedule(scheduled(&s.Recipe)) == nil {
			extended.Schedules = append(extended.Schedules, s)
		}
	}
	for _, part := range more.Parts {
		extended.addPart(part)
	}
	if err := extended.resolve(); err != nil {
		return nil, err
	}
	if extended.Len() == p.Len() {
		return p, nil
	}
	return &extended, nil
}

// conflict returns the difference that keeps more from extending p, or "", and a function that
// reports whether it affects a trial.
func (p *Plan) conflict(more *Plan) (difference string, concerns func(results.Trial) bool) {
	if p.Space != more.Space {
		return fmt.Sprintf("search space is %s, not %s", p.Space, more.Space), func(results.Trial) bool { return true }
	}
	if d := firstDifference(p.Settings, more.Settings); d != "" {
		return d, func(results.Trial) bool { return true }
	}
	for _, d := range more.Datasets {
		if known := p.dataset(d.Key); known != nil {
			if c := known.conflict(d); c != "" {
				return "definition of " + d.Key + ": " + c, func(t results.Trial) bool { return t.Dataset == d.Key }
			}
		}
	}
	for _, s := range more.Schedules {
		if known := p.schedule(scheduled(&s.Recipe)); known != nil {
			if c := firstDifference(known.Recipe, s.Recipe); c != "" {
				return fmt.Sprintf("recipe %s: %s", s.Recipe.Schedule(), c), func(t results.Trial) bool { return p.schedule(t) == known }
			}
		}
	}
	return "", nil
}

// conflict returns how another dataset of the same key differs, or "".
func (d *Dataset) conflict(other Dataset) string {
	if c := firstDifference(d.Definition, other.Definition); c != "" {
		return c
	}
	if d.Images != other.Images {
		return firstDifference(d.Images, other.Images)
	}
	if d.Directory != other.Directory {
		return fmt.Sprintf("directory is %q, not %q", d.Directory, other.Directory)
	}
	return ""
}

// firstDifference returns the first key, in alphabetical order, in which two values differ as
// JSON objects, and both its values; or "" when they are equal.
func firstDifference(a, b any) string {
	var trees [2]map[string]jsontext.Value
	for i, v := range []any{a, b} {
		text, err := json.Marshal(v, jsontext.CanonicalizeRawInts(true), jsontext.CanonicalizeRawFloats(true))
		if err == nil {
			err = json.Unmarshal(text, &trees[i])
		}
		if err != nil {
			return err.Error() // cannot happen with parts of a plan
		}
	}
	keys := slices.Concat(slices.Collect(maps.Keys(trees[0])), slices.Collect(maps.Keys(trees[1])))
	slices.Sort(keys)
	for _, key := range keys {
		x, y := trees[0][key], trees[1][key]
		if !bytes.Equal(x, y) {
			return fmt.Sprintf("%s is %s, not %s", key, valueOrUnset(x), valueOrUnset(y))
		}
	}
	return ""
}

// valueOrUnset returns the text of a value, or "not set" for nil.
func valueOrUnset(v jsontext.Value) string {
	if v == nil {
		return "not set"
	}
	return string(v)
}

// addPart adds a part to the plan. It merges it with an existing part from which it differs in at
// most one list.
func (p *Plan) addPart(part Part) {
	for i := range p.Parts {
		if whole, ok := p.Parts[i].join(part); ok {
			// The merged part may be mergeable with another one.
			p.Parts = slices.Delete(p.Parts, i, i+1)
			p.addPart(whole)
			return
		}
	}
	p.Parts = append(p.Parts, part)
}

// join returns the part that names exactly the trials of both. It exists, and ok is true, when the
// parts differ in at most one list.
func (part Part) join(other Part) (Part, bool) {
	differing := 0
	for _, same := range []bool{
		part.archs == other.archs,
		slices.Equal(part.Datasets, other.Datasets),
		slices.Equal(part.Epochs, other.Epochs) && slices.Equal(part.Recipes, other.Recipes),
		slices.Equal(part.Seeds, other.Seeds),
	} {
		if !same {
			differing++
		}
	}
	if differing > 1 {
		return Part{}, false
	}
	return newPart(
		part.archs.union(&other.archs),
		slices.Concat(part.Datasets, other.Datasets),
		slices.Concat(part.Epochs, other.Epochs),
		slices.Concat(part.Recipes, other.Recipes),
		slices.Concat(part.Seeds, other.Seeds),
	), true
}

// Done returns the finished trials of a campaign, without those whose record is found to be
// damaged. The directory need not exist.
func Done(ctx context.Context, dir string) ([]results.Trial, error) {
	if _, err := os.Stat(filepath.Join(dir, "trials")); os.IsNotExist(err) {
		return nil, nil
	}
	campaign := results.Campaign{Dir: dir}
	var done []results.Trial
	for t, err := range campaign.Trials() {
		if err != nil {
			return nil, err
		}
		done = append(done, t)
	}
	damaged, err := campaign.Damaged(ctx, done, false)
	return slices.DeleteFunc(done, func(t results.Trial) bool { return damaged[t] != nil }), err
}

// Adopt checks that finished trials, which were not trained by this plan, have the settings that
// the plan would have given them. It returns a usage error otherwise.
func (p *Plan) Adopt(ctx context.Context, c results.Campaign, trials []results.Trial) error {
	for _, t := range trials {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := c.Record(t)
		if err != nil {
			return err
		}
		if difference := p.recordDiffers(r); difference != "" {
			return usage.Errorf("%v has already finished with settings that differ from the plan: %s; plan a new campaign in another directory", t, difference)
		}
	}
	return nil
}

// CheckRecord returns an error if the plan has the dataset and the schedule of a record, but with other
// settings, such as another recipe of the same name.
func (p *Plan) CheckRecord(r *results.Record) error {
	if p.dataset(r.Dataset) == nil || p.schedule(r.Trial) == nil {
		return nil
	}
	if difference := p.recordDiffers(r); difference != "" {
		return fmt.Errorf("its settings differ from those of plan.json: %s", difference)
	}
	return nil
}

// recordDiffers returns how the settings of a record differ from the plan's, or "".
func (p *Plan) recordDiffers(r *results.Record) string {
	planned, err := p.TrialSettings(r.Trial, nil)
	if err != nil {
		return err.Error()
	}
	return r.Settings().Differ(planned).String()
}

// TrialSettings returns the settings that the plan gives a trial. files are the files with the
// trial's images, or nil if unknown. A dataset or schedule that is not in the plan is a usage
// error.
func (p *Plan) TrialSettings(t results.Trial, files []results.File) (results.Settings, error) {
	d, s := p.dataset(t.Dataset), p.schedule(t)
	if d == nil || s == nil {
		return results.Settings{}, usage.Errorf("%v: its dataset or schedule is not in the plan; add it with nb201 plan", t)
	}
	definition, err := json.Marshal(d.definition)
	if err != nil {
		return results.Settings{}, fmt.Errorf("cannot encode the dataset definition: %w", err)
	}
	r := results.Record{
		Trial: t, DataFiles: files, Recipe: s.Recipe, Definition: definition, Precision: p.Settings.Precision,
		Parity: results.Parity{Profile: p.Settings.Parity, Timeline: p.Settings.Timeline, Workers: p.Settings.Workers},
	}
	return r.Settings(), nil
}

// Check returns a usage error when a trial is of another search space than the plan, or its settings differ
// from the plan's. It accepts trials
// whose dataset or schedule is not in the plan.
func (p *Plan) Check(s results.Settings) error {
	if s.Space != p.Space {
		return usage.Errorf("the plan of the campaign is of the %s, not of the %s; use another directory", p.Space.Space().Title(), s.Space.Space().Title())
	}
	planned, err := p.TrialSettings(s.Trial, nil)
	if err != nil {
		return nil
	}
	if d := s.Differ(planned); d != nil {
		return usage.Errorf("%v: settings differ from the plan: %v; use the plan's settings, or another directory", s.Trial, d)
	}
	return nil
}
