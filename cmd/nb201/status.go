package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/progress"
	"nb201/scheduler/attempt"
	"nb201/scheduler/slurm"
	"nb201/scheduler/state"
	"nb201/scheduler/status"
)

func newStatusCommand() *cobra.Command {
	var failed, asJSON bool
	c := &cobra.Command{
		Use:   "status DIR",
		Short: "Tell how far a campaign is, what runs and what failed",
		Long: `Tell how far the campaign DIR is. Nothing is changed, and runs may go on meanwhile.

Every trial of the plan is one of
  done     its record is there and can be read
  damaged  its record is there and cannot be read: nb201 run keeps it under another name
           and trains the trial again; of a campaign of more than 8192 records only
           those that are empty or cut show here
  running  a run that is at work on this host or another has given it to a worker
  failed   set aside after so many failed attempts as "nb201 run" allows
  left     not begun yet, interrupted, or to be tried again
Finished trials that the plan lacks are counted apart. Of a campaign without a plan what
is done is told.

Hours are those of the trials, from the times in their records: two trials that share a
device for an hour are two hours. Of a dataset and schedule with more than 32 finished
trials the hours are estimated from 32 records. The rate counts the records of the last
hour. A run that has been silent for a minute, whose process is gone, or whose file is
dated ahead by more than a minute, is stale: what it was at is left, and the next run goes
on with it.

Where there is Slurm, its queue tells of the campaign's arrays: how many elements wait
and run.

The exit code does not depend on what is told: it is 0 also when trials failed.`,
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
				return printFailures(c.OutOrStdout(), s.Failures)
			}
			return printStatus(c.OutOrStdout(), s)
		},
	}
	c.Flags().BoolVar(&failed, "failed", false, "print the trials with failed attempts alone, with every attempt")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document, which holds every attempt")
	return c
}

// statusView is the status of a campaign, with its arrays in Slurm's queue.
type statusView struct {
	*status.Status
	Arrays []slurm.Queued `json:"arrays,omitempty"`
}

// readStatus also asks Slurm, where there is one. What it cannot tell is a problem like a
// file that cannot be read.
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

func printStatus(w io.Writer, s statusView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	// The column of damaged records is there when there are any.
	column := func(format string, v any) string {
		if s.Totals.Damaged == 0 {
			return ""
		}
		return fmt.Sprintf(format+"\t", v)
	}
	fmt.Fprintf(t, "dataset\tepochs\ttrials\tdone\t%srunning\tfailed\tleft\thours\t\n", column("%s", "damaged"))
	printTotals := func(dataset, epochs string, n state.Totals, hours float64) {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s%d\t%d\t%d\t%.2f\t\n",
			dataset, epochs, n.Planned, n.Done, column("%d", n.Damaged), n.Running, n.Failed, n.Left, hours)
	}
	for _, g := range s.Trials {
		printTotals(g.Dataset, fmt.Sprint(g.Epochs), g.Totals, g.Hours)
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
	return nil
}

// printSums prints what was counted over all trials.
func printSums(w io.Writer, s statusView) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	if s.HasPlan {
		line("plan", "%d of %s done (%s)", s.Totals.Done, progress.Quantity(s.Totals.Planned, "trial"), state.Percent(s.Totals.Done, s.Totals.Planned))
	} else {
		line("plan", "none")
	}
	if n := len(s.Damaged); n > 0 {
		line("damaged", "%s that cannot be read: nb201 run keeps them under another name and trains again", progress.Quantity(n, "record"))
	}
	if s.NotPlanned > 0 {
		line("besides", "%s done that the plan lacks", progress.Quantity(s.NotPlanned, "trial"))
	}
	if h := s.LastHour; h.Seconds > 0 {
		line("rate", "%.4g trials and %.4g million images an hour, over the last %s",
			h.TrialsPerHour(), h.ImagesPerHour()/1e6, state.Span(span(h.Seconds/3600)))
	}
	spent := hours(s.Hours.Done) + " in trials that are done"
	if done := s.Totals.Done + s.NotPlanned; s.Hours.Records < done {
		spent = fmt.Sprintf("about %s (by %d of %s)", spent, s.Hours.Records, progress.Quantity(done, "record"))
	}
	if s.Hours.Running > 0 {
		spent += fmt.Sprintf(", %s in running ones", hours(s.Hours.Running))
	}
	line("spent", "%s", spent)
	if s.Hours.Work > 0 {
		line("to do", "about %s of one worker", hours(s.Hours.Work))
	}
	if s.Hours.Left > 0 {
		line("time left", "about %s", state.Span(span(s.Hours.Left)))
	}
	for _, a := range s.Arrays {
		line("Slurm", "%v", a)
	}
}

// hours is a number of hours, as such or, below one, in minutes and seconds.
func hours(h float64) string {
	if h < 1 {
		return state.Span(span(h))
	}
	return fmt.Sprintf("%.1f hours", h)
}

func span(hours float64) time.Duration { return time.Duration(hours * float64(time.Hour)) }

// printRun prints what a run tells of itself.
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
	rate := fmt.Sprintf("%.3g an hour", float64(r.Finished)/since.Hours())
	if since <= 0 {
		rate = "it began ahead of this host's clock: set the clocks of the hosts alike"
	}
	fmt.Fprintf(w, ", for %s: %s done (%s), %d set aside\n", state.Span(since), progress.Quantity(r.Finished, "trial"), rate, r.Failed)
	if r.Paused != "" {
		inert.Fprintf(w, "  paused: %s\n", r.Paused)
	}
	for line := range strings.Lines(r.WorkerTable()) {
		fmt.Fprint(w, "  ", line)
	}
}

// printFailures prints every failed attempt.
func printFailures(w io.Writer, failures []attempt.Failure) error {
	for i, f := range failures {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%v: %s\n", f.Trial, outcome(f))
		for k, a := range f.Attempts {
			inert.Fprintf(w, "  attempt %d, %s, on %s (%s): %s\n    %s\n",
				k+1, a.When.Format(time.DateTime), a.Host, a.Device, a.Kind, a.Reason)
			printLog(w, a)
		}
	}
	if len(failures) == 0 {
		_, err := fmt.Fprintln(w, "no trial has failed attempts")
		return err
	}
	return nil
}

// outcome is what became of a trial with failed attempts.
func outcome(f attempt.Failure) string {
	if f.SetAside {
		return "set aside after " + progress.Quantity(len(f.Attempts), "failed attempt")
	}
	return progress.Quantity(len(f.Attempts), "failed attempt") + ", to be tried again"
}

// printLog prints where the log of a failed attempt is, if it has one: nb201 train keeps none.
func printLog(w io.Writer, a attempt.FailedAttempt) {
	if a.Log != "" {
		inert.Fprintf(w, "    %s\n", a.Log)
	}
}

// mostFailures is how many failures are listed beside everything else.
const mostFailures = 10

// printLastFailures prints the last attempt of the first failures, the trials set aside
// before the others.
func printLastFailures(w io.Writer, dir string, failures []attempt.Failure) {
	if len(failures) == 0 {
		return
	}
	var setAside, others []attempt.Failure
	for _, f := range failures {
		if f.SetAside {
			setAside = append(setAside, f)
		} else {
			others = append(others, f)
		}
	}
	failures = append(setAside, others...)
	fmt.Fprintln(w, "\nfailures:")
	for _, f := range failures[:min(len(failures), mostFailures)] {
		fmt.Fprintf(w, "  %v: %s\n", f.Trial, outcome(f))
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
