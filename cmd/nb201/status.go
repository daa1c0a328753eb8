package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/quantity"
	"nb201/scheduler/attempt"
	"nb201/scheduler/slurm"
	"nb201/scheduler/state"
	"nb201/scheduler/status"
)

func newStatusCommand() *cobra.Command {
	var failed, asJSON bool
	c := &cobra.Command{
		Use:   "status DIR",
		Short: "Show a campaign's progress, running trials and failures",
		Long: `status shows the progress of the campaign DIR. It changes nothing, and can be used while
runs are working. Its exit code is 0 even if trials failed.

Each trial of the plan is counted as one of
  done     it is finished: its record exists and can be read
  damaged  its record exists but cannot be read: nb201 run keeps it under another name and
           trains the trial again. With more than 8192 records, those without a SHA-256
           (format version 1) are counted here only if they are empty or cut short
  running  a worker of a run, on this host or another, has it
  failed   its attempts are used up: see nb201 run --max-attempts
  left     none of these: not started, interrupted, or waiting for another attempt
Finished trials that are not in the plan are counted separately. Without a plan, only
trials that are done, running or failed are counted.

Hours come from the trials' records: two trials that share a device for an hour count as two
hours. For a dataset and schedule with more than 32 finished trials, they are estimated from
32 records. The rate covers the last hour, or less if the runs started later.

A run is stale if it was silent for a minute, its process is gone, or its file is dated more
than a minute ahead. Its trials count as left, and the next run resumes them. On a Slurm
cluster, status also shows how many elements of the campaign's arrays wait and run.`,
		Example: `  nb201 status campaign
  nb201 status campaign --failed
  nb201 status campaign --json`,
		Args: oneArgument("DIR", "a campaign directory"),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := readStatus(c.Context(), args[0])
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(c, s)
			case failed:
				return printFailures(human(c), s)
			}
			return printStatus(human(c), s)
		},
	}
	c.Flags().BoolVar(&failed, "failed", false, "show only trials with failed attempts, and every attempt")
	c.Flags().BoolVar(&asJSON, "json", false, jsonUsage+", with every attempt")
	return c
}

// statusView is the status of a campaign and of its arrays in Slurm's queue, as nb201 status --json
// prints it.
type statusView struct {
	*status.Status
	Arrays []slurm.Queued `json:"arrays,omitempty"`
}

// readStatus reads the status of the campaign dir and, if Slurm is installed, its queue. An error of
// Slurm is listed among the problems, like a file that cannot be read.
func readStatus(ctx context.Context, dir string) (statusView, error) {
	s, err := status.Read(ctx, dir)
	if err != nil {
		return statusView{}, err
	}
	arrays, err := slurm.ReadQueue(ctx, dir)
	if err != nil && !errors.Is(err, slurm.ErrAbsent) {
		s.Problems = append(s.Problems, err.Error())
	}
	return statusView{s, arrays}, nil
}

// printStatus prints the status as text.
func printStatus(w io.Writer, s statusView) error {
	t := layout.NewNumbers(w, 2)
	// There is a column of damaged records only if there are any.
	column := func(format string, v any) string {
		if s.Totals.Damaged == 0 {
			return ""
		}
		return fmt.Sprintf(format+"\t", v)
	}
	fmt.Fprintf(t, "dataset\tschedule\ttrials\tdone\t%srunning\tfailed\tleft\thours\t\n", column("%s", "damaged"))
	printTotals := func(dataset, schedule string, n state.Totals, hours float64) {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s%d\t%d\t%d\t%.2f\t\n",
			dataset, schedule, n.Planned, n.Done, column("%d", n.Damaged), n.Running, n.Failed, n.Left, hours)
	}
	for _, g := range s.Trials {
		printTotals(g.Dataset, g.Schedule, g.Totals, g.Hours)
	}
	if len(s.Trials) != 1 {
		printTotals("total", "", s.Totals, s.Hours.Done)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	printSums(w, s)
	for _, r := range s.Runs {
		printRun(w, r)
	}
	printLastFailures(w, s.Campaign, s.Failures)
	printUnread(w, s)
	return nil
}

// printUnread lists the first files that cannot be read.
func printUnread(w io.Writer, s statusView) {
	unread := slices.Concat(s.Damaged, s.Problems)
	for i, problem := range unread[:min(len(unread), mostFailures)] {
		if i == 0 {
			fmt.Fprintln(w, "\ncannot be read:")
		}
		inert.Fprintf(w, "  %s\n", problem)
	}
	if more := len(unread) - mostFailures; more > 0 {
		fmt.Fprintf(w, "  and %d more: nb201 status %s --json\n", more, s.Campaign)
	}
}

// printSums prints the sums over all trials.
func printSums(w io.Writer, s statusView) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	if s.HasPlan {
		line("plan", "%d of %s done (%s)", s.Totals.Done, quantity.Format(s.Totals.Planned, "trial"), state.Percent(s.Totals.Done, s.Totals.Planned))
	} else {
		line("plan", "none")
	}
	if n := len(s.Damaged); n > 0 {
		line("damaged", "%s cannot be read: nb201 run keeps such records under another name and trains their trials again", quantity.Format(n, "record"))
	}
	if s.NotPlanned > 0 {
		line("besides", "%s done, not in the plan", quantity.Format(s.NotPlanned, "trial"))
	}
	if h := s.LastHour; h.Seconds > 0 {
		line("rate", "%s trials and %s million images an hour, over the last %s",
			state.Rate(h.TrialsPerHour()), state.Rate(h.ImagesPerHour()/1e6), state.FormatDuration(hoursToDuration(h.Seconds/3600)))
	}
	spent := formatHours(s.Hours.Done) + " in trials that are done"
	if done := s.Totals.Done + s.NotPlanned; s.Hours.Records < done {
		spent = fmt.Sprintf("about %s (estimated from %d of %s)", spent, s.Hours.Records, quantity.Format(done, "record"))
	}
	if s.Hours.Running > 0 {
		spent += fmt.Sprintf(", %s in running ones", formatHours(s.Hours.Running))
	}
	line("spent", "%s", spent)
	if s.Hours.Work > 0 {
		line("to do", "about %s of one worker", formatHours(s.Hours.Work))
	}
	if s.Hours.Left > 0 {
		line("time left", "about %s", state.FormatDuration(hoursToDuration(s.Hours.Left)))
	}
	for _, a := range s.Arrays {
		line("Slurm", "%v", a)
	}
}

// formatHours formats a number of hours, below one in minutes and seconds.
func formatHours(h float64) string {
	if h < 1 {
		return state.FormatDuration(hoursToDuration(h))
	}
	return fmt.Sprintf("%.1f hours", h)
}

func hoursToDuration(hours float64) time.Duration { return time.Duration(hours * float64(time.Hour)) }

// printRun prints the state of a run: its workers, and what it has done.
func printRun(w io.Writer, r status.Run) {
	inert.Fprintf(w, "\nrun on %s, process %d", r.Host, r.PID)
	if r.Chunk != "" {
		inert.Fprintf(w, ", chunk %s", r.Chunk)
	}
	if r.Stale != "" {
		inert.Fprintf(w, ": stale, %s\n", r.Stale)
		return
	}
	since := time.Since(r.Started)
	rate := state.Rate(float64(r.Finished)/since.Hours()) + " an hour"
	if since <= 0 {
		rate = "it started ahead of this host's clock: synchronize the clocks of the hosts"
	}
	fmt.Fprintf(w, ", for %s: %s done (%s), %d failed\n", state.FormatDuration(since), quantity.Format(r.Finished, "trial"), rate, r.Failed)
	if r.Paused != "" {
		inert.Fprintf(w, "  paused: %s\n", r.Paused)
	}
	const indent = "  "
	for line := range strings.Lines(r.WorkerTable(max(layout.Width(w)-len(indent), 0), nil)) {
		fmt.Fprint(w, indent, line)
	}
}

// printFailures prints every failed attempt, and lists the files that cannot be read: a failure may
// be in one of them.
func printFailures(w io.Writer, s statusView) error {
	for i, f := range s.Failures {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%v: %s\n", f.Trial, describeOutcome(f))
		for k, a := range f.Attempts {
			inert.Fprintf(w, "  attempt %d, %s, on %s (%s): %s\n    %s\n",
				k+1, a.When.Format(time.DateTime), a.Host, a.Device, a.Kind, a.Reason)
			printLog(w, a)
		}
	}
	var err error
	if len(s.Failures) == 0 {
		_, err = fmt.Fprintln(w, "no trial has failed attempts")
	}
	printUnread(w, s)
	return err
}

// describeOutcome describes a trial with failed attempts.
func describeOutcome(f attempt.Failure) string {
	if f.TrialFailed {
		return "failed after " + quantity.Format(len(f.Attempts), "attempt")
	}
	return quantity.Format(len(f.Attempts), "failed attempt") + ", to be retried"
}

// printLog prints the path of a failed attempt's log. Attempts of nb201 train have none.
func printLog(w io.Writer, a attempt.FailedAttempt) {
	if a.Log != "" {
		inert.Fprintf(w, "    %s\n", a.Log)
	}
}

// mostFailures is the number of failures, and of unreadable files, that printStatus lists.
const mostFailures = 10

// printLastFailures prints the last attempt of the first failures: trials that have failed first, then
// those to be retried.
func printLastFailures(w io.Writer, dir string, failures []attempt.Failure) {
	if len(failures) == 0 {
		return
	}
	var failed, others []attempt.Failure
	for _, f := range failures {
		if f.TrialFailed {
			failed = append(failed, f)
		} else {
			others = append(others, f)
		}
	}
	failures = append(failed, others...)
	fmt.Fprintln(w, "\nfailures:")
	for _, f := range failures[:min(len(failures), mostFailures)] {
		fmt.Fprintf(w, "  %v: %s\n", f.Trial, describeOutcome(f))
		if n := len(f.Attempts); n > 0 {
			last := f.Attempts[n-1]
			inert.Fprintf(w, "    %.94s\n", fmt.Sprintf("%s: %s", last.Kind, last.Reason))
			printLog(w, last)
		}
	}
	if more := len(failures) - mostFailures; more > 0 {
		fmt.Fprintf(w, "  and %d more: nb201 status %s --failed\n", more, dir)
	}
}
