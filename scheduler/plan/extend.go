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

// Extend is p with the parts of more that name a trial p has not, or p itself when
// there is none. A dataset or a schedule that both have, and the settings, must be the
// same: anything else is a usage error that says what differs, and how many of the
// trials done were trained with it.
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
			return nil, usage.Errorf("the plan differs: %s; none of its trials is finished: --replace starts anew", difference)
		}
		return nil, usage.Errorf("the plan differs: %s; %d of its %d finished trials were trained with that: plan another directory", difference, finished, all)
	}
	extended := *p
	extended.Datasets, extended.Schedules, extended.Parts = slices.Clone(p.Datasets), slices.Clone(p.Schedules), slices.Clone(p.Parts)
	for _, d := range more.Datasets {
		if p.dataset(d.Key) == nil {
			extended.Datasets = append(extended.Datasets, d)
		}
	}
	for _, s := range more.Schedules {
		if _, ok := p.Recipe(s.Recipe.Epochs); !ok {
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

// conflict says in what more cannot extend p, "" when it can, and which trials that
// concerns.
func (p *Plan) conflict(more *Plan) (difference string, concerns func(results.Trial) bool) {
	if d := differ(p.Settings, more.Settings); d != "" {
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
		if known, ok := p.Recipe(s.Recipe.Epochs); ok {
			if c := differ(known, s.Recipe); c != "" {
				return fmt.Sprintf("recipe of %d epochs: %s", known.Epochs, c),
					func(t results.Trial) bool { return t.Epochs == known.Epochs }
			}
		}
	}
	return "", nil
}

// conflict says in what another definition of the same key differs, "" when it does not.
func (d *Dataset) conflict(other Dataset) string {
	if c := differ(d.Definition, other.Definition); c != "" {
		return c
	}
	if d.Images != other.Images {
		return differ(d.Images, other.Images)
	}
	if d.Directory != other.Directory {
		return fmt.Sprintf("directory is %q, not %q", d.Directory, other.Directory)
	}
	return ""
}

// differ says which is the first key that two JSON objects differ in, and both values;
// "" when they are the same.
func differ(a, b any) string {
	var trees [2]map[string]jsontext.Value
	for i, v := range []any{a, b} {
		text, err := json.Marshal(v, jsontext.CanonicalizeRawInts(true), jsontext.CanonicalizeRawFloats(true))
		if err == nil {
			err = json.Unmarshal(text, &trees[i])
		}
		if err != nil {
			return err.Error() // never of what a plan holds
		}
	}
	keys := slices.Concat(slices.Collect(maps.Keys(trees[0])), slices.Collect(maps.Keys(trees[1])))
	slices.Sort(keys)
	for _, key := range keys {
		x, y := trees[0][key], trees[1][key]
		if !bytes.Equal(x, y) {
			return fmt.Sprintf("%s is %s, not %s", key, orNone(x), orNone(y))
		}
	}
	return ""
}

func orNone(v jsontext.Value) string {
	if v == nil {
		return "not set"
	}
	return string(v)
}

// addPart adds a part to the list, or to a part that it differs from in one list only.
func (p *Plan) addPart(part Part) {
	for i := range p.Parts {
		if whole, ok := p.Parts[i].join(part); ok {
			// The part has grown, and may now join another.
			p.Parts = slices.Delete(p.Parts, i, i+1)
			p.addPart(whole)
			return
		}
	}
	p.Parts = append(p.Parts, part)
}

// join is the part that names the trials of both and no others, where there is one:
// when all lists but one are the same.
func (part Part) join(other Part) (Part, bool) {
	differing := 0
	for _, same := range []bool{
		part.archs == other.archs,
		slices.Equal(part.Datasets, other.Datasets),
		slices.Equal(part.Epochs, other.Epochs),
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
		slices.Concat(part.Seeds, other.Seeds),
	), true
}

// Done lists the trials that are done in a campaign directory, which need not be there.
// Those whose records are found damaged are not.
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

// Adopt makes sure that finished trials, which were not trained by this plan, are what
// it would have trained. One that is not is a usage error.
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
			return usage.Errorf("%v is finished already and differs from the plan: %s: plan another directory", t, difference)
		}
	}
	return nil
}

// recordDiffers says in what a record differs from the plan, "" when it does not.
func (p *Plan) recordDiffers(r *results.Record) string {
	planned, err := p.TrialSettings(r.Trial, nil)
	if err != nil {
		return err.Error()
	}
	return r.Settings().Differ(planned).String()
}

// TrialSettings are the settings that the plan gives a trial of one of its datasets and
// schedules; files are those that its images are read from, if they are known. A dataset or
// a schedule that is not in the plan is a usage error.
func (p *Plan) TrialSettings(t results.Trial, files []results.File) (results.Settings, error) {
	d := p.dataset(t.Dataset)
	recipe, ok := p.Recipe(t.Epochs)
	if d == nil || !ok {
		return results.Settings{}, usage.Errorf("%v is on a dataset or along a schedule that is not in the plan", t)
	}
	definition, err := json.Marshal(d.definition)
	if err != nil {
		return results.Settings{}, fmt.Errorf("encode the dataset definition: %w", err)
	}
	r := results.Record{
		Trial: t, DataFiles: files, Recipe: recipe, Definition: definition, Precision: p.Settings.Precision,
		Parity: results.Parity{Profile: p.Settings.Parity, Timeline: p.Settings.Timeline, Workers: p.Settings.Workers},
	}
	return r.Settings(), nil
}

// Check refuses, as a usage error, a trial whose settings are not those of the plan. A
// trial on a dataset or along a schedule that the plan does not have passes.
func (p *Plan) Check(s results.Settings) error {
	planned, err := p.TrialSettings(s.Trial, nil)
	if err != nil {
		return nil
	}
	if d := s.Differ(planned); d != nil {
		return usage.Errorf("%v differs from the plan: %v: use another directory or the settings of the plan", s.Trial, d)
	}
	return nil
}
