package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/data"
	"nb201/internal/usage"
)

// stepOptions holds the flags of step.
type stepOptions struct {
	common
	steps, rounds int
	before        string // the bench of an earlier version
}

func newStepCommand() *cobra.Command {
	var o stepOptions
	c := &cobra.Command{
		Use:   "step",
		Short: "Measure a training step and the evaluation of a batch, compared with the original's network",
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common)) // even if a later architecture failed
		},
	}
	o.add(c, defaults{archs: "0,median,1462", datasets: "cifar10,ImageNet16-120", modes: "channels_last,contiguous,compile"})
	o.addTurns(c, 1, 7)
	o.addPeaks(c)
	c.Flags().StringVar(&o.before, "before", "", "also compare with an earlier version: the `PROGRAM` bench built from it")
	return c
}

// addTurns adds the flags for turns.
func (o *stepOptions) addTurns(c *cobra.Command, steps, rounds int) {
	c.Flags().IntVar(&o.steps, "steps", steps, "training `STEPS`, and batches evaluated, per turn")
	c.Flags().IntVar(&o.rounds, "rounds", rounds, "`TURNS` of each side, besides the first, cold one and the last")
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if o.steps < 1 || o.rounds < 1 {
			return usage.Errorf("--steps %d, --rounds %d: must be at least 1", o.steps, o.rounds)
		}
		return check(c, args)
	}
}

// stepRow is a row of the table: one side on one architecture and image size.
type stepRow struct {
	Arch      string  `json:"arch"`
	Genotype  string  `json:"genotype"`
	Dataset   string  `json:"dataset"`
	Side      string  `json:"side"`
	Train     Phase   `json:"train"`
	Eval      Phase   `json:"eval"`
	Cold      float64 `json:"cold_seconds"`              // from the start of the process to the end of the first turn
	FirstTurn Cost    `json:"first_turn"`                // excess of the first turn over the median turn
	Compile   float64 `json:"compile_seconds,omitempty"` // of it spent waiting for programs
	FirstLoss float64 `json:"first_loss"`
	Memory    `json:"memory"`
}

// Phase summarises the training steps, or the evaluated batches, of all turns. Turns and CPUTurns are
// seconds per step, in order.
type Phase struct {
	Seconds         Spread    `json:"seconds"`     // wall time per step
	CPU             Spread    `json:"cpu_seconds"` // of all threads, per step
	Ratio           Spread    `json:"ratio"`       // nb201's time divided by this side's, turn by turn
	ImagesPerSecond float64   `json:"images_per_second"`
	GFLOPPerSecond  float64   `json:"gflop_per_second"`
	Limit           Limit     `json:"limit"`
	Share           float64   `json:"share_of_limit"` // the limit's time divided by this one
	Turns           []float64 `json:"turns"`
	CPUTurns        []float64 `json:"cpu_turns"`
	Ratios          []float64 `json:"ratios"`
}

var stepColumns = []column[stepRow]{
	{"arch", func(r stepRow) string { return r.Arch }},
	{"images", func(r stepRow) string { return r.Dataset }},
	{"side", func(r stepRow) string { return r.Side }},
	{"s a step", func(r stepRow) string { return r.Train.Seconds.String() }},
	{"CPU-s a step", func(r stepRow) string { return r.Train.CPU.String() }},
	{"images/s", func(r stepRow) string { return figure("%.0f", r.Train.ImagesPerSecond) }},
	{"GFLOP/s", func(r stepRow) string { return figure("%.0f", r.Train.GFLOPPerSecond) }},
	{"nb201 / this", func(r stepRow) string { return r.Train.Ratio.String() }},
	{"share of limit", func(r stepRow) string { return figure("%.2f", r.Train.Share) }},
	{"evaluation, s a batch", func(r stepRow) string { return r.Eval.Seconds.String() }},
	{"images/s", func(r stepRow) string { return figure("%.0f", r.Eval.ImagesPerSecond) }},
	{"nb201 / this", func(r stepRow) string { return r.Eval.Ratio.String() }},
	{"share of limit", func(r stepRow) string { return figure("%.2f", r.Eval.Share) }},
	{"cold start, s", func(r stepRow) string { return figure("%.1f", r.Cold) }},
	{"compiling, s", func(r stepRow) string { return figure("%.1f", r.Compile) }},
	{"peak RSS, GiB", func(r stepRow) string { return gib(r.RSS) }},
	{"GPU memory, GiB", func(r stepRow) string { return gib(r.Device) }},
}

// measure makes the table. With an error it returns the rows so far.
func (o *stepOptions) measure(ctx context.Context) (t *table[stepRow], err error) {
	t = newTable("step", &o.common, stepColumns)
	defer func() { t.Partial = err != nil }()
	t.Title = fmt.Sprintf("Training step, and evaluation of a batch: medians (extremes) of %d turns of %d steps, in alternation.", o.rounds, o.steps)
	peaks, err := o.peaks(ctx)
	switch {
	case err == nil:
		t.Summary = peaks
		t.Notes = append(t.Notes, fmt.Sprintf("Limit of the device: %v.", peaks))
	case ctx.Err() != nil || usage.Is(err):
		return t, err
	default:
		t.skip("the limit of the device", err)
	}
	sides, err := o.usableSides(ctx, &t.Setting)
	if err != nil {
		return t, err
	}
	if o.before != "" {
		earlier := sides[0]
		earlier.name, earlier.command = sides[0].name+", before", append([]string{o.before}, sides[0].command[1:]...)
		sides = slices.Insert(sides, 1, earlier)
	}
	for _, d := range o.datasets {
		for _, arch := range o.archs {
			logf("architecture %d (%v), images like those of %s", arch.Index(), arch, d.Name)
			before := t.Rows
			programs := o.programsOf(sides...)
			rows, err := o.contest(ctx, programs, arch, d, peaks, &t.Setting, func(rows []stepRow) error {
				return t.show(&o.common, slices.Concat(before, rows))
			})
			stopAll(programs)
			t.Rows = slices.Concat(before, rows)
			t.Notes = append(t.Notes, verdict(rows)...)
			if o.device != "cpu" {
				t.Notes = append(t.Notes, deviations(rows)...)
			}
			if err != nil {
				return t, fmt.Errorf("architecture %s, %s: %w", arch.Label(), d.Name, err)
			}
		}
	}
	return t, nil
}

// contest lets the programs take their turns on an architecture, and passes their rows to show after
// every first turn and every round. The first program is nb201's. A program that fails is skipped from
// then on, and the setting says why. If that is nb201's, contest returns its error once the others are
// done.
func (o *stepOptions) contest(ctx context.Context, programs []*program, arch cell.Arch, d data.Definition, peaks Peaks, s *Setting, show func([]stepRow) error) ([]stepRow, error) {
	task := o.newTask(arch, d, o.steps, o.rounds)
	task.Turns++ // for a last turn that does not count
	dir, err := os.MkdirTemp("", "nb201-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := task.writeFiles(dir); err != nil {
		return nil, err
	}
	var in []*program // those with rows: they are running, or completed a turn before they failed
	rows := func() []stepRow {
		var rows []stepRow
		for _, p := range in {
			rows = append(rows, o.makeRow(arch, d, p, programs[0], peaks))
		}
		return rows
	}
	// try runs do on a program, and skips the program from then on if it fails.
	try := func(p *program, do func() error) error {
		if p.failure != nil {
			return nil
		}
		if p.failure = do(); p.failure == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.stop()
		s.skip(fmt.Sprintf("%s on architecture %s, images of %s, after %d of %d turns", p.name, arch.Label(), d.Name, len(p.turns), o.rounds), p.failure)
		in = slices.DeleteFunc(in, func(q *program) bool { return q == p && len(p.turns) == 0 })
		return nil
	}
	for _, p := range programs {
		p.measured = measured{}
		err := try(p, func() error {
			if err := p.begin(ctx, task); err != nil { // out of memory, say, or torch.compile without a C compiler
				return err
			}
			in = append(in, p)
			return p.checkSameLoss(in[0], task.Device, task.Precision)
		})
		if err := errors.Join(err, show(rows())); err != nil {
			return rows(), err
		}
	}
	for round := range o.rounds + 1 {
		order := slices.Clone(in)
		if round%2 == 1 { // so that drift within a round favours no side
			slices.Reverse(order)
		}
		turn := (*program).turn
		if round == o.rounds { // a side prepares no turn after it, as it does during the others
			turn = (*program).lastTurn
		}
		for _, p := range order {
			if err := try(p, func() error { return turn(p) }); err != nil {
				return rows(), err
			}
			if p.failure == nil && round < o.rounds {
				r := p.turns[round]
				logf("%s: turn %d of %d took %.3f s, evaluation %.3f s", p.name, round+1, o.rounds, r.Train.Seconds, r.Eval.Seconds)
			}
		}
		if err := show(rows()); err != nil {
			return rows(), err
		}
	}
	for _, p := range slices.Clone(in) { // after all turns, as it would disturb them
		if err := try(p, p.finish); err != nil {
			return rows(), err
		}
		s.addVersions(p.closing.Versions)
	}
	return rows(), programs[0].failure
}

// makeRow makes the row of a program, compared with the first one, nb201's.
func (o *stepOptions) makeRow(arch cell.Arch, d data.Definition, p, first *program, peaks Peaks) stepRow {
	network := o.network(arch, d)
	phase := func(of func(Report) Cost, limit func(cell.Network, *common) Limit) Phase {
		var ph Phase
		steps := float64(o.steps)
		for i, turn := range p.turns {
			cost := of(turn)
			ph.Turns = append(ph.Turns, cost.Seconds/steps)
			ph.CPUTurns = append(ph.CPUTurns, cost.CPU/steps)
			if i < len(first.turns) { // the first may have failed
				ph.Ratios = append(ph.Ratios, of(first.turns[i]).Seconds/cost.Seconds)
			}
		}
		if len(p.turns) == 0 {
			return ph
		}
		ph.Seconds, ph.CPU, ph.Ratio = spreadOf(ph.Turns), spreadOf(ph.CPUTurns), spreadOf(ph.Ratios)
		ph.ImagesPerSecond = float64(o.batch) / ph.Seconds.Median
		if peaks != (Peaks{}) {
			ph.Limit = limit(network, &o.common)
			ph.GFLOPPerSecond = ph.Limit.GFLOP / ph.Seconds.Median
			ph.Share = ph.Limit.Seconds / ph.Seconds.Median
		}
		return ph
	}
	var turns, cpu []float64
	for _, turn := range p.turns {
		turns, cpu = append(turns, turn.Train.Seconds+turn.Eval.Seconds), append(cpu, turn.Train.CPU+turn.Eval.CPU)
	}
	firstTurn := Cost{p.cold.Train.Seconds + p.cold.Eval.Seconds - spreadOf(turns).Median, p.cold.Train.CPU + p.cold.Eval.CPU - spreadOf(cpu).Median}
	return stepRow{
		Arch: arch.Label(), Genotype: arch.String(), Dataset: d.Name, Side: p.name,
		Train: phase(func(r Report) Cost { return r.Train }, peaks.training),
		Eval:  phase(func(r Report) Cost { return r.Eval }, peaks.evaluation),
		Cold:  p.coldStart, FirstTurn: firstTurn, Compile: p.closing.Compile, FirstLoss: p.cold.Loss,
		Memory: Memory{RSS: p.closing.PeakRSS, Device: p.device},
	}
}

// verdict compares nb201 on one architecture with the fastest other side by median.
func verdict(rows []stepRow) []string {
	others := slices.DeleteFunc(slices.Clone(rows), func(r stepRow) bool { return len(r.Train.Ratios) == 0 || r.Side == rows[0].Side })
	if len(others) == 0 {
		return nil
	}
	best := slices.MinFunc(others, func(a, b stepRow) int { return cmp.Compare(a.Train.Seconds.Median, b.Train.Seconds.Median) })
	return []string{fmt.Sprintf("Architecture %s, images of %s: nb201's step takes %.2f times as long as that of %s (median of the turns' ratios, %.2f-%.2f).",
		best.Arch, best.Dataset, best.Train.Ratio.Median, best.Side, best.Train.Ratio.Min, best.Train.Ratio.Max)}
}

// deviations states how far the first losses of the sides are from that of the first row.
func deviations(rows []stepRow) []string {
	var parts []string
	for _, r := range rows {
		if r.Side != rows[0].Side {
			parts = append(parts, fmt.Sprintf("%s %+.1e", r.Side, r.FirstLoss/rows[0].FirstLoss-1))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("Architecture %s, images of %s: the first losses deviate from %s's by %s (relative).",
		rows[0].Arch, rows[0].Dataset, rows[0].Side, strings.Join(parts, ", "))}
}
