package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/data"
	"nb201/internal/usage"
)

// severalOptions are the flags of several.
type severalOptions struct {
	stepOptions
	counts string
}

func newSeveralCommand() *cobra.Command {
	var o severalOptions
	c := &cobra.Command{
		Use:   "several",
		Short: "Several processes on one device",
		Long: `Several processes at once on one device: the images that they train on, in a second and
together. On a GPU the processes take turns, unless NVIDIA's MPS runs, which it does not
here.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.add(c, defaults{archs: "0,median", datasets: "cifar10", modes: "none"})
	o.addTurns(c, 5, 5)
	c.Flags().StringVar(&o.counts, "processes", "1,2,3", "numbers of processes, a `LIST`")
	return c
}

// severalRow is so many processes of a side on one architecture.
type severalRow struct {
	Arch            int       `json:"arch"`
	Dataset         string    `json:"dataset"`
	Side            string    `json:"side"`
	Processes       int       `json:"processes"`
	ImagesPerSecond Spread    `json:"images_per_second"` // of all together
	Gain            float64   `json:"gain"`              // to the first number of processes
	Turns           []float64 `json:"turns"`             // images a second
	Memory          `json:"memory"`
}

var severalColumns = []column[severalRow]{
	{"arch", func(r severalRow) string { return strconv.Itoa(r.Arch) }},
	{"images", func(r severalRow) string { return r.Dataset }},
	{"side", func(r severalRow) string { return r.Side }},
	{"processes", func(r severalRow) string { return strconv.Itoa(r.Processes) }},
	{"images/s together", func(r severalRow) string { return r.ImagesPerSecond.String() }},
	{"gain", func(r severalRow) string { return figure("%.2f", r.Gain) }},
	{"peak RSS together, GiB", func(r severalRow) string { return gib(r.RSS) }},
	{"GPU memory together, GiB", func(r severalRow) string { return gib(r.Device) }},
}

// measure makes the table. With an error it has what was found before.
func (o *severalOptions) measure(ctx context.Context) (*table[severalRow], error) {
	t := newTable("several", &o.common, severalColumns)
	t.Title = fmt.Sprintf("Training in several processes at once on one device (no MPS): medians (extremes) of %d turns of %d steps and the evaluation of a batch.", o.rounds, o.steps)
	sides, err := o.runnable(ctx, &t.Setting)
	if err != nil {
		return t, err
	}
	for _, d := range o.datasets {
		for _, a := range o.archs {
			for _, s := range sides {
				var first severalRow
				for count := range list(o.counts) {
					n, err := strconv.Atoi(count)
					if err != nil || n < 1 {
						return t, usage.Errorf("--processes %s: %q is no number of processes", o.counts, count)
					}
					note("architecture %d, %d processes of %s", a.Index(), n, s.name)
					row, err := o.together(ctx, s, n, a, d, &t.Setting)
					if err != nil {
						return t, fmt.Errorf("architecture %d, %d processes of %s: %w", a.Index(), n, s.name, err)
					}
					if first.Processes == 0 {
						first = row
					}
					row.Gain = row.ImagesPerSecond.Median / first.ImagesPerSecond.Median
					t.Rows = append(t.Rows, row)
				}
			}
		}
	}
	return t, nil
}

// together has n processes take their turns at the same time.
func (o *severalOptions) together(ctx context.Context, s side, n int, a cell.Arch, d data.Definition, setting *Setting) (severalRow, error) {
	row := severalRow{Arch: a.Index(), Dataset: d.Name, Side: s.name, Processes: n}
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
	var programs []*program
	for range n {
		programs = append(programs, &program{side: s})
	}
	defer stopAll(programs)
	for _, p := range programs {
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
		note("turn %d of %d took %.3f s", round+1, o.rounds, seconds)
		row.Turns = append(row.Turns, float64(n*o.steps*o.batch)/seconds)
	}
	for _, p := range programs {
		if err := p.finish(); err != nil {
			return row, err
		}
		setting.addVersions(p.closing.Versions)
		row.RSS += p.closing.PeakRSS
		row.Device += p.device
	}
	row.ImagesPerSecond = spreadOf(row.Turns)
	return row, nil
}
