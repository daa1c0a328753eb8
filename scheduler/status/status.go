// Package status finds out how far a campaign is, from its files alone.
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

// Status is how far a campaign is, as its files tell.
type Status struct {
	Campaign string       `json:"campaign"`
	HasPlan  bool         `json:"has_plan"`
	Trials   []Group      `json:"trials"` // by dataset and schedule
	Totals   state.Totals `json:"totals"`
	// NotPlanned counts the trials that are done but not in the plan. Without a plan
	// every trial that is done, running or failed is counted as planned.
	NotPlanned int              `json:"done_but_not_in_the_plan"`
	Runs       []Run            `json:"runs"`      // the oldest first
	LastHour   state.Throughput `json:"last_hour"` // of the runs at work
	Hours      Hours            `json:"hours"`
	// Failures are those of trials that are not done, in the order of Trial.Compare;
	// SetAside tells those that are failed from those that will be tried again.
	Failures []attempt.Failure `json:"failures"`
	Problems []string          `json:"problems"` // files that could not be read, but for records
	// Damaged says of the damaged records what is wrong with them, in the order of
	// Trial.Compare. Of a campaign of more than some thousands only those count that were
	// emptied or cut; a run, and verify, read all.
	Damaged []string `json:"damaged_records"`
}

// Group is the trials on a dataset along a schedule.
type Group struct {
	Dataset string `json:"dataset"`
	Epochs  int    `json:"epochs"`
	state.Totals
	Hours float64 `json:"hours"` // of the trials done, see Hours
}

// Run is a run that works on the campaign, or one that ended without a word.
type Run struct {
	state.Run
	Seen  time.Time `json:"seen"`            // when it last told its state
	Stale string    `json:"stale,omitempty"` // why it does not count as at work
}

// Hours are times that trials take, summed over trials, whether or not they share a
// device.
type Hours struct {
	// Done is what the trials done took, without interruptions, by their records: when
	// Records is less than the number of trials done, an estimate from that many.
	Done    float64 `json:"done"`
	Records int     `json:"records_read"`
	Running float64 `json:"running"` // so far, since their attempts began
	Work    float64 `json:"work"`    // of one worker for what is running and left; zero: not known
	Left    float64 `json:"left"`    // until the runs at work are done; zero: not known, or none is at work
}

// staleAfter is how long after it last told its state a run counts as dead: it tells it
// every few seconds. A state from as far ahead is not from now either.
const staleAfter = time.Minute

// Read finds out how far a campaign is. It changes nothing, and runs may go on
// meanwhile. It lists the records' names, looks for damaged ones, and adds up the times of
// a sample. Errors are usage errors when dir is no campaign or its
// plan cannot be read; other files that cannot be read are told of in Problems.
func Read(ctx context.Context, dir string) (*Status, error) {
	now := time.Now()
	p, err := plan.Read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := &Status{Campaign: dir, HasPlan: p != nil}
	s.readRuns(now)
	s.readFailures()
	running, failed := s.unfinished()
	c := newCensus(p)
	// What has ended since is found among the records, and counted once.
	var recorded []results.Trial
	for t, err := range s.recorded() {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return nil, err
		}
		recorded = append(recorded, t)
	}
	damaged, err := results.Campaign{Dir: dir}.Damaged(ctx, recorded, false)
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
		if f.SetAside {
			delete(running, f.Trial)
			c.addFailed(f.Trial)
		}
	}
	for t := range running {
		c.addRunning(t)
	}
	var rate *plan.Rate
	var readers errgroup.Group
	readers.Go(func() error { return c.read(ctx, s) })
	if p != nil {
		readers.Go(func() (err error) {
			rate, err = c.rate(ctx, results.Campaign{Dir: dir})
			return err
		})
	}
	if err := readers.Wait(); err != nil {
		return nil, err
	}
	// Several readers may have met the same file, in any order.
	slices.Sort(s.Problems)
	s.Problems = slices.Compact(s.Problems)
	s.sum(c, rate)
	s.forecast(running, now)
	return s, nil
}

// recorded is results.Campaign.Trials; where there is a plan, none need have been published.
func (s *Status) recorded() iter.Seq2[results.Trial, error] {
	begun := s.HasPlan || len(s.Failures)+len(s.Runs) > 0
	if _, err := os.Stat(filepath.Join(s.Campaign, "trials")); begun && errors.Is(err, fs.ErrNotExist) {
		return func(func(results.Trial, error) bool) {}
	}
	return results.Campaign{Dir: s.Campaign}.Trials()
}

// each calls read with the files of the campaign that match a pattern. Those that cannot
// be read are problems; those that went meanwhile are none.
func (s *Status) each(pattern string, read func(path string) error) {
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

// readRuns reads what runs tell of themselves.
func (s *Status) readRuns(now time.Time) {
	host, _ := os.Hostname() // unknown: no run is known to be of this host
	s.each("running/*.json", func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		told, err := state.ReadRun(path)
		if err != nil {
			return err
		}
		run := Run{Run: told, Seen: info.ModTime()}
		switch silent := now.Sub(run.Seen); {
		case run.Host == host && !state.Alive(run.PID):
			run.Stale = "its process is gone"
		case silent > staleAfter:
			run.Stale = "silent for " + state.Span(silent)
		case silent < -staleAfter:
			run.Stale = fmt.Sprintf("its file is dated %s ahead of this host's clock: set the clocks of the hosts alike", state.Span(-silent))
		}
		s.Runs = append(s.Runs, run)
		return nil
	})
	slices.SortFunc(s.Runs, func(a, b Run) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID))
	})
}

// readFailures reads what is known of failed attempts.
func (s *Status) readFailures() {
	s.each("failed/*/*/*.json", func(path string) error {
		f, err := attempt.ReadFailure(path)
		if err == nil {
			s.Failures = append(s.Failures, f)
		}
		return err
	})
	slices.SortFunc(s.Failures, func(a, b attempt.Failure) int { return a.Trial.Compare(b.Trial) })
}

// unfinished tells which trials are running, as runs at work tell, with the times at
// which their attempts began, and which have failed.
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

// workers are those of the runs at work.
func (s *Status) workers() []state.Worker {
	var workers []state.Worker
	for _, r := range s.Runs {
		if r.Stale == "" {
			workers = append(workers, r.Workers...)
		}
	}
	return workers
}

// sum makes the rest of s from what was counted.
func (s *Status) sum(c *census, rate *plan.Rate) {
	for _, key := range slices.SortedFunc(maps.Keys(c.groups), groupKey.compare) {
		g := c.groups[key]
		g.Left = g.Planned - g.Done - g.Damaged - g.Running - g.Failed
		g.Work = g.unfinished(rate)
		g.Hours = g.spent()
		s.Totals.Add(g.Totals)
		s.Hours.Done += g.Hours
		s.Hours.Records += len(g.beside)
		if g.Planned > 0 {
			s.Trials = append(s.Trials, g.Group)
		}
	}
	s.NotPlanned = c.notPlanned
}

// forecast tells from the work that is left, or from the rate, when it will be done.
func (s *Status) forecast(running map[results.Trial]time.Time, now time.Time) {
	for _, began := range running {
		s.Hours.Running += max(now.Sub(began), 0).Hours()
	}
	if s.Totals.Work > 0 {
		done := time.Duration(s.Hours.Running * float64(time.Hour))
		s.Totals.Work = max(s.Totals.Work-done, time.Second)
	}
	s.Hours.Work = s.Totals.Work.Hours()
	var perHour float64
	for _, r := range s.Runs {
		if r.Stale == "" {
			s.LastHour.Trials += r.LastHour.Trials
			s.LastHour.Images += r.LastHour.Images
			s.LastHour.Seconds = max(s.LastHour.Seconds, r.LastHour.Seconds)
			perHour += r.LastHour.TrialsPerHour()
		}
	}
	if s.HasPlan {
		s.Hours.Left = s.Totals.TimeLeft(len(s.workers()), perHour).Hours()
	}
}
