// Package status computes the progress of a campaign from its files alone: the plan, the records,
// the failure files and the state files of runs. Start reading at [Read].
package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/scheduler/state"
)

// Status is the progress of a campaign.
type Status struct {
	Campaign string       `json:"campaign"`
	HasPlan  bool         `json:"has_plan"`
	Trials   []Group      `json:"trials"` // by dataset and schedule
	Totals   state.Totals `json:"totals"`
	// NotPlanned counts finished trials that the plan does not name. Without a plan, every
	// trial that is done, running or failed counts as planned.
	NotPlanned int              `json:"done_but_not_in_the_plan"`
	Runs       []Run            `json:"runs"`      // oldest first
	LastHour   state.Throughput `json:"last_hour"` // of active runs
	Hours      Hours            `json:"hours"`
	// Failures lists failed attempts at trials that are not done, in the order of Trial.Compare.
	// TrialFailed distinguishes failed trials from trials that will be retried.
	Failures []attempt.Failure `json:"failures"`
	Problems []string          `json:"problems"` // files other than records that cannot be read
	// Damaged says what is wrong with each damaged record, in the order of Trial.Compare. In a
	// campaign of more than 8192 records, a record without a SHA-256 (format version 1) is only
	// checked for being empty or truncated; run and verify decode it.
	Damaged []string `json:"damaged_records"`
}

// Group counts the trials of one dataset and schedule.
type Group struct {
	Dataset  string `json:"dataset"`
	Schedule string `json:"schedule"`
	Epochs   int    `json:"epochs"`
	state.Totals
	Hours float64 `json:"hours"` // of finished trials: see Hours.Done
}

// Run is a run that is active, or one that ended without removing its state file.
type Run struct {
	state.Run
	Seen  time.Time `json:"seen"`            // when it last wrote its state
	Stale string    `json:"stale,omitempty"` // why it does not count as active; empty when it does
}

// Hours sums the hours of trials, whether or not they share a device.
type Hours struct {
	// Done is the time that finished trials took, without interruptions. When Records is less
	// than their number, it is an estimate from that many records.
	Done    float64 `json:"done"`
	Records int     `json:"records_read"`
	Running float64 `json:"running"` // so far, since the current attempts began
	Work    float64 `json:"work"`    // that a single worker needs for running and left trials; zero if unknown
	Left    float64 `json:"left"`    // until the active runs are done; zero if unknown or no run is active
}

// staleAfter is how old the state of a run may be before the run counts as dead. A run writes its
// state about once a second. A state from further than this in the future does not count either.
const staleAfter = time.Minute

// Read computes the progress of a campaign. It changes nothing, and runs may continue meanwhile.
// It lists all records, looks for damaged ones, and estimates times from a sample. It returns a
// usage error when dir is not a campaign or its plan cannot be read, and reports other files that
// cannot be read in [Status.Problems].
func Read(ctx context.Context, dir string) (*Status, error) {
	now := time.Now()
	p, err := plan.Read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := &Status{Campaign: dir, HasPlan: p != nil}
	if p != nil {
		if err := results.CampaignAt(dir).CheckSpace(p.Space.Space()); err != nil {
			s.Problems = append(s.Problems, err.Error())
		}
	}
	s.readRuns(now)
	s.readFailures()
	running, failed := s.unfinished()
	c := newCensus(p)
	// List the records last: a trial that finishes meanwhile is then counted once, as done.
	var recorded []results.Trial
	for t, err := range s.recorded() {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return nil, err
		}
		recorded = append(recorded, t)
	}
	damaged, err := results.CampaignAt(dir).Damaged(ctx, recorded, false)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	for _, t := range recorded {
		if reason := damaged[t]; reason != nil {
			s.Damaged = append(s.Damaged, reason.Error())
			delete(failed, t)
			if _, again := running[t]; !again {
				c.addDamaged(t)
			}
			continue
		}
		c.addDone(t)
		delete(running, t)
		delete(failed, t)
	}
	s.Failures = slices.DeleteFunc(s.Failures, func(f attempt.Failure) bool { return !failed[f.Trial] })
	for _, f := range s.Failures {
		if f.TrialFailed {
			delete(running, f.Trial)
			c.addFailed(f.Trial)
		}
	}
	for t := range running {
		c.addRunning(t)
	}
	var rate *plan.Rate
	var readers errgroup.Group
	readers.Go(func() error { return c.readSample(ctx, s) })
	if p != nil {
		readers.Go(func() (err error) {
			rate, err = c.measureRate(ctx, results.Campaign{Dir: dir})
			return err
		})
	}
	if err := readers.Wait(); err != nil {
		return nil, err
	}
	// Several readers may have met the same file, in any order.
	slices.Sort(s.Problems)
	s.Problems = slices.Compact(s.Problems)
	s.addGroups(c, rate)
	s.forecast(running, now)
	return s, nil
}

// recorded yields the trials that have a record. In a campaign that has begun there may be none.
func (s *Status) recorded() iter.Seq2[results.Trial, error] {
	begun := s.HasPlan || len(s.Failures)+len(s.Runs) > 0
	if _, err := os.Stat(filepath.Join(s.Campaign, "trials")); begun && errors.Is(err, fs.ErrNotExist) {
		return func(func(results.Trial, error) bool) {}
	}
	return results.Campaign{Dir: s.Campaign}.Trials()
}

// eachFile calls read with the path of each file of the campaign that matches pattern. It adds
// errors to Problems, except those of files that have been removed meanwhile.
func (s *Status) eachFile(pattern string, read func(path string) error) {
	matches, err := fs.Glob(os.DirFS(s.Campaign), pattern)
	if err != nil {
		panic(err) // the pattern is malformed
	}
	for _, match := range matches {
		if err := read(filepath.Join(s.Campaign, match)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Problems = append(s.Problems, err.Error())
		}
	}
}

// readRuns reads the state files of runs.
func (s *Status) readRuns(now time.Time) {
	host, _ := os.Hostname() // if unknown, no run is taken to be on this host
	s.eachFile("running/*.json", func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		published, err := state.ReadRun(path)
		if err != nil {
			return err
		}
		run := Run{Run: published, Seen: info.ModTime()}
		if year := run.Seen.Year(); year < 0 || year > 9999 {
			run.Seen = time.Time{} // JSON has no such time
		}
		switch silent := now.Sub(run.Seen); {
		case run.Host == host && !state.Alive(run.PID):
			run.Stale = "its process is gone"
		case silent > staleAfter:
			run.Stale = "silent for " + state.FormatDuration(silent)
		case silent < -staleAfter:
			run.Stale = fmt.Sprintf("its state file is dated %s ahead of this host's clock; synchronize the hosts' clocks", state.FormatDuration(-silent))
		}
		s.Runs = append(s.Runs, run)
		return nil
	})
	slices.SortFunc(s.Runs, func(a, b Run) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID))
	})
}

// readFailures reads the failure files.
func (s *Status) readFailures() {
	s.eachFile("failed/*/*/*.json", func(path string) error {
		f, err := attempt.ReadFailure(path)
		if err == nil {
			s.Failures = append(s.Failures, f)
		}
		return err
	})
	slices.SortFunc(s.Failures, func(a, b attempt.Failure) int { return a.Trial.Compare(b.Trial) })
}

// unfinished returns the trials that active runs are training, with the times at which their
// attempts began, and the trials with failed attempts.
func (s *Status) unfinished() (running map[results.Trial]time.Time, failed map[results.Trial]bool) {
	running, failed = map[results.Trial]time.Time{}, map[results.Trial]bool{}
	for _, w := range s.workers() {
		if w.Trial != nil {
			running[*w.Trial] = w.Since
		}
	}
	for _, f := range s.Failures {
		failed[f.Trial] = true
	}
	return running, failed
}

// workers returns the workers of the active runs.
func (s *Status) workers() []state.Worker {
	var workers []state.Worker
	for _, r := range s.Runs {
		if r.Stale == "" {
			workers = append(workers, r.Workers...)
		}
	}
	return workers
}

// addGroups fills in the groups and the totals from the census.
func (s *Status) addGroups(c *census, rate *plan.Rate) {
	for _, key := range slices.SortedFunc(maps.Keys(c.groups), groupKey.Compare) {
		g := c.groups[key]
		g.Left = g.Planned - g.Done - g.Damaged - g.Running - g.Failed
		g.Work = g.timeNeeded(rate)
		g.Hours = g.hoursSpent()
		s.Totals.Add(g.Totals)
		s.Hours.Done += g.Hours
		s.Hours.Records += len(g.overhead)
		if g.Planned > 0 {
			s.Trials = append(s.Trials, g.Group)
		}
	}
	s.NotPlanned = c.notPlanned
}

// forecast estimates the remaining time from the work that is left or, if that is unknown, from
// the rate of the active runs.
func (s *Status) forecast(running map[results.Trial]time.Time, now time.Time) {
	for _, began := range running {
		s.Hours.Running += max(now.Sub(began), 0).Hours()
	}
	if s.Totals.Work > 0 {
		done := time.Duration(s.Hours.Running * float64(time.Hour))
		s.Totals.Work = max(s.Totals.Work-done, time.Second)
	}
	s.Hours.Work = s.Totals.Work.Hours()
	perHour := s.sumLastHour()
	if s.HasPlan {
		s.Hours.Left = s.Totals.TimeLeft(len(s.workers()), perHour).Hours()
	}
}

// sumLastHour sums up what the active runs did in the last hour. It returns the trials per hour of
// all of them.
func (s *Status) sumLastHour() (perHour float64) {
	s.LastHour = state.Throughput{}
	for _, r := range s.Runs {
		if r.Stale == "" {
			s.LastHour.Trials += r.LastHour.Trials
			s.LastHour.Images += r.LastHour.Images
			s.LastHour.Seconds = max(s.LastHour.Seconds, r.LastHour.Seconds)
			perHour += r.LastHour.TrialsPerHour()
		}
	}
	return perHour
}

// WithRuns returns a copy of s in which the runs are as they are now. It reads their state files only;
// all counts stay as they are.
func (s *Status) WithRuns() *Status {
	now := *s
	now.Runs = nil
	now.Problems = nil
	now.readRuns(time.Now())
	now.Problems = slices.Concat(s.Problems, now.Problems)
	slices.Sort(now.Problems)
	now.Problems = slices.Compact(now.Problems)
	now.sumLastHour()
	return &now
}
