package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/data"
	"nb201/internal/usage"
)

// severalOptions holds the flags of several.
type severalOptions struct {
	stepOptions
	counts    string
	processes []int  // parsed counts
	under     string // command with its arguments that starts the processes of nb201
}

func newSeveralCommand() *cobra.Command {
	var o severalOptions
	c := &cobra.Command{
		Use:   "several",
		Short: "Measure several processes on one device",
		Long: `several runs several processes on one device at the same time, and measures the images per
second that they train on together. On a GPU the processes take turns, unless NVIDIA's MPS is
running. The processes of nb201 share compiled programs.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.add(c, defaults{archs: "0,median", datasets: "cifar10", modes: "none"})
	o.addTurns(c, 5, 5)
	c.Flags().StringVar(&o.counts, "processes", "1,2,3", "`LIST` of numbers of processes")
	c.Flags().StringVar(&o.under, "under", "", "start nb201's processes by `COMMAND`, such as a profiler with its arguments")
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		for count := range splitList(o.counts) {
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 {
				return usage.Errorf("--processes %s: %q is not a positive number; use a list such as 1,2,3", o.counts, count)
			}
			o.processes = append(o.processes, n)
		}
		return check(c, args)
	}
	return c
}

// severalRow is a row of the table: a number of processes of a side on one architecture.
type severalRow struct {
	Arch            string    `json:"arch"`
	Dataset         string    `json:"dataset"`
	Side            string    `json:"side"`
	Processes       int       `json:"processes"`
	ImagesPerSecond Spread    `json:"images_per_second"` // of all processes together
	Gain            float64   `json:"gain"`              // over the first number of processes
	Turns           []float64 `json:"turns"`             // images per second
	Memory          `json:"memory"`
}

var severalColumns = []column[severalRow]{
	{"arch", func(r severalRow) string { return r.Arch }},
	{"images", func(r severalRow) string { return r.Dataset }},
	{"side", func(r severalRow) string { return r.Side }},
	{"processes", func(r severalRow) string { return strconv.Itoa(r.Processes) }},
	{"images/s together", func(r severalRow) string { return r.ImagesPerSecond.String() }},
	{"gain", func(r severalRow) string { return figure("%.2f", r.Gain) }},
	{"peak RSS together, GiB", func(r severalRow) string { return gib(r.RSS) }},
	{"GPU memory together, GiB", func(r severalRow) string { return gib(r.Device) }},
}

// measure makes the table. With an error it returns the rows so far. A side that fails is skipped on
// that architecture; if it is nb201's, measure returns its error at the end.
func (o *severalOptions) measure(ctx context.Context) (t *table[severalRow], err error) {
	t = newTable("several", &o.common, severalColumns)
	defer func() { t.Partial = err != nil }()
	title := "Training in several processes at once on one device"
	if os.Getenv("CUDA_MPS_PIPE_DIRECTORY") != "" {
		title += ", with MPS"
	}
	t.Title = fmt.Sprintf(title+": medians (extremes) of %d turns of %d steps and the evaluation of a batch.", o.rounds, o.steps)
	sides, err := o.usableSides(ctx, &t.Setting)
	if err != nil {
		return t, err
	}
	sides[0].command = append(strings.Fields(o.under), sides[0].command...) // nb201's
	kept, err := os.MkdirTemp("", "nb201-bench-")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(kept)
	var failed error
	for _, d := range o.datasets {
		for _, a := range o.archs {
			for i, s := range sides {
				var first severalRow
				for _, n := range o.processes {
					what := fmt.Sprintf("architecture %s, images of %s, %d processes of %s", a.Label(), d.Name, n, s.name)
					logf("%s", what)
					row, err := o.measureTogether(ctx, s, n, a, d, kept, &t.Setting)
					if ctx.Err() != nil {
						return t, ctx.Err()
					}
					if err != nil {
						t.skip(what, err)
						if i == 0 {
							failed = errors.Join(failed, fmt.Errorf("%s: %w", what, err))
						}
						break
					}
					if first.Processes == 0 {
						first = row
					}
					row.Gain = row.ImagesPerSecond.Median / first.ImagesPerSecond.Median
					if err := t.show(&o.common, append(t.Rows, row)); err != nil {
						return t, err
					}
				}
			}
		}
	}
	return t, failed
}

// measureTogether lets n processes of a side take their turns at the same time. Compiled programs are
// kept in a directory.
func (o *severalOptions) measureTogether(ctx context.Context, s side, n int, a cell.Arch, d data.Definition, kept string, setting *Setting) (severalRow, error) {
	row := severalRow{Arch: a.Label(), Dataset: d.Name, Side: s.name, Processes: n}
	task := o.newTask(a, d, o.steps, o.rounds)
	task.EvalSteps = 1
	dir, err := os.MkdirTemp("", "nb201-bench-")
	if err != nil {
		return row, err
	}
	defer os.RemoveAll(dir)
	if err := task.writeFiles(dir); err != nil {
		return row, err
	}
	programs := o.programsOf(slices.Repeat([]side{s}, n)...)
	defer stopAll(programs)
	for _, p := range programs {
		p.env = []string{keptPrograms + "=" + kept}
		if err := p.begin(ctx, task); err != nil {
			return row, err
		}
	}
	for round := range o.rounds {
		began := time.Now()
		var group errgroup.Group
		for _, p := range programs {
			group.Go(p.turn)
		}
		if err := group.Wait(); err != nil {
			return row, err
		}
		seconds := time.Since(began).Seconds()
		logf("turn %d of %d took %.3f s", round+1, o.rounds, seconds)
		row.Turns = append(row.Turns, float64(n*o.steps*o.batch)/seconds)
	}
	for _, p := range programs { // one after another, as in contest
		if err := p.finish(); err != nil {
			return row, err
		}
		setting.addVersions(p.closing.Versions)
		row.RSS += p.closing.PeakRSS
		row.Device += p.device
	}
	if o.under != "" {
		for _, p := range programs {
			if err := p.end(); err != nil {
				return row, err
			}
		}
	}
	row.ImagesPerSecond = spreadOf(row.Turns)
	return row, nil
}
