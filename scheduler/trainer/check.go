package trainer

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/plan"
	"nb201/train"
)

// CheckPlan checks, before any worker starts, that the image files of the plan's datasets exist,
// and that the plan's settings and files are those with which the campaign's finished trials were
// trained. It does not decode images: the worker that loads a damaged file reports it. Its errors
// are usage errors.
func CheckPlan(ctx context.Context, c results.Campaign, p *plan.Plan, dataRoot string) error {
	if err := c.CheckSpace(p.Space.Space()); err != nil {
		return err
	}
	finished := anyFinished(c)
	for _, d := range p.Datasets {
		definition, err := p.Definition(d.Key)
		if err != nil {
			return err
		}
		found, err := definition.ForTimeline(p.Settings.Timeline).FindFiles(dataRoot) // the files that a trial reads
		if err != nil {
			return err
		}
		if !finished {
			continue // nothing to compare them with
		}
		files, err := found.Describe(ctx)
		if err != nil {
			return err
		}
		for t := range firstTrials(p, d.Key) {
			if err := ctx.Err(); err != nil {
				return err
			}
			settings, err := p.TrialSettings(t, train.FilesOf(files))
			if err != nil {
				return err
			}
			if differences, with := c.Conflict(settings); differences != nil {
				return usage.Errorf("campaign %s: settings differ from those of finished trials: dataset %s, schedule %s: %v (compared with %v); "+
					"restore the settings or files they were trained with, or plan a new campaign in another directory with nb201 plan",
					c.Dir, t.Dataset, t.Schedule(), differences, with)
			}
		}
	}
	return nil
}

// anyFinished reports whether a campaign has at least one record.
func anyFinished(c results.Campaign) bool {
	for _, err := range c.Trials() {
		return err == nil
	}
	return false
}

// firstTrials yields the plan's first trial of each schedule on a dataset.
func firstTrials(p *plan.Plan, dataset string) func(yield func(results.Trial) bool) {
	return func(yield func(results.Trial) bool) {
		var seen []string
		for t := range p.Trials() {
			if t.Dataset != dataset || slices.Contains(seen, t.Schedule()) {
				continue
			}
			seen = append(seen, t.Schedule())
			if !yield(t) || len(seen) == len(p.Schedules) {
				return
			}
		}
	}
}

// CheckTrial returns a usage error when a trial's settings differ from those of the campaign's
// plan, if it has one, or of its finished trials.
func CheckTrial(c results.Campaign, config train.Config) error {
	p, err := plan.Read(c.Dir)
	if err == nil {
		var settings results.Settings
		if settings, err = config.Experiment(); err == nil {
			err = p.Check(settings)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return checkFinished(c, config)
}

// checkFinished returns a usage error when a trial's settings differ from those of the campaign's
// finished trials.
func checkFinished(c results.Campaign, config train.Config) error {
	settings, err := config.Experiment()
	if err != nil {
		return err
	}
	return c.CheckSettings(settings)
}
