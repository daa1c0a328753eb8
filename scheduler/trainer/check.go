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

// CheckPlan makes sure, before workers fail for it, that the files of the plan's datasets
// are there, and that what the plan trains is of the same experiment as the trials of the
// campaign that are finished. It decodes no image: a damaged file is found by the worker
// that loads it. Errors are usage errors.
func CheckPlan(ctx context.Context, c results.Campaign, p *plan.Plan, dataRoot string) error {
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
				return usage.Errorf("campaign %s cannot go on with other settings than those of its finished trials: on %s, %d epochs, %v, as of %v: a campaign is one experiment, so bring back what they were trained with, or plan another directory (nb201 plan DIR)",
					c.Dir, t.Dataset, t.Epochs, differences, with)
			}
		}
	}
	return nil
}

// anyFinished reports whether a campaign has the record of any trial.
func anyFinished(c results.Campaign) bool {
	for _, err := range c.Trials() {
		return err == nil
	}
	return false
}

// firstTrials yields the first trial of the plan on a dataset along each schedule.
func firstTrials(p *plan.Plan, dataset string) func(yield func(results.Trial) bool) {
	return func(yield func(results.Trial) bool) {
		var seen []int
		for t := range p.Trials() {
			if t.Dataset != dataset || slices.Contains(seen, t.Epochs) {
				continue
			}
			seen = append(seen, t.Epochs)
			if !yield(t) || len(seen) == len(p.Schedules) {
				return
			}
		}
	}
}

// CheckTrial makes sure that a trial is of the same experiment as the campaign's plan, if
// it has one, and the trials that are finished. Anything else is a usage error.
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

// checkFinished is CheckTrial for a trial of the campaign's plan.
func checkFinished(c results.Campaign, config train.Config) error {
	settings, err := config.Experiment()
	if err != nil {
		return err
	}
	return c.CheckSettings(settings)
}
