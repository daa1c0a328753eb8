package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/data"
	"nb201/internal/usage"
	"nb201/results"
)

// trialOptions holds the flags of trial.
type trialOptions struct {
	common
	arch, dataset, data string
	epochs, rounds      int
}

func newTrialCommand() *cobra.Command {
	var o trialOptions
	c := &cobra.Command{
		Use:   "trial",
		Short: "Measure a whole trial, from the start of the process to the record",
		Long: `trial measures a whole trial, from the start of the process to the record: nb201 train without
compiled programs (cold) and with those of the previous run (warm), and a PyTorch program that trains
the original's network with the same schedule on the same images, with images and augmentation on the
device.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.add(c, defaults{modes: "channels_last"})
	f := c.Flags()
	f.StringVar(&o.arch, "arch", "median", "`ARCH`: index in the topology search space, string of either space, or median")
	f.StringVar(&o.dataset, "dataset", "digits", "dataset `KEY`")
	f.StringVar(&o.data, "data", "", "`DIR` with the images (default for cifar10 and cifar10-valid: noise in files of full size)")
	f.IntVar(&o.epochs, "epochs", 12, "`EPOCHS` of the trial")
	f.IntVar(&o.rounds, "rounds", 3, "`TRIALS` of each side")
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		switch {
		case o.epochs < 1 || o.rounds < 1:
			return usage.Errorf("--epochs %d, --rounds %d: must be at least 1", o.epochs, o.rounds)
		case strings.Contains(o.modeNames, "jax"):
			return usage.Errorf("--modes jax: the JAX side cannot train a whole trial; use PyTorch modes, or none")
		}
		arch, err := resolveArch(o.arch)
		if err != nil {
			return err
		}
		o.archs = []cell.Arch{arch}
		return check(c, args)
	}
	return c
}

// trialRow is a row of the table: a side.
type trialRow struct {
	Side   string  `json:"side"`
	Whole  Spread  `json:"seconds"`     // of the process
	CPU    Spread  `json:"cpu_seconds"` // of the process
	Train  Spread  `json:"training_seconds"`
	Eval   Spread  `json:"evaluation_seconds"`
	Ratio  Spread  `json:"whole_by_pytorch_training"` // Whole divided by the training time of the first PyTorch side, round by round
	Top1   float64 `json:"training_top1_percent"`     // of the last epoch
	Memory `json:"memory"`
	Runs   []trialRun `json:"runs"`
}

// trialRun is the measurement of one trial.
type trialRun struct {
	Cost
	Train  float64 `json:"training_seconds"`
	Eval   float64 `json:"evaluation_seconds"`
	Top1   float64 `json:"training_top1_percent"`
	Memory `json:"memory"`

	versions []string
}

var trialColumns = []column[trialRow]{
	{"side", func(r trialRow) string { return r.Side }},
	{"whole, s", func(r trialRow) string { return r.Whole.String() }},
	{"CPU-s", func(r trialRow) string { return r.CPU.String() }},
	{"training, s", func(r trialRow) string { return r.Train.String() }},
	{"evaluation, s", func(r trialRow) string { return r.Eval.String() }},
	{"the rest, s", func(r trialRow) string {
		return figure("%.3g", r.Whole.Median-r.Train.Median-r.Eval.Median)
	}},
	{"whole / PyTorch's training alone", func(r trialRow) string { return r.Ratio.String() }},
	{"training top-1, %", func(r trialRow) string { return figure("%.1f", r.Top1) }},
	{"peak RSS, GiB", func(r trialRow) string { return gib(r.RSS) }},
	{"GPU memory, GiB", func(r trialRow) string { return gib(r.Device) }},
}

// trialSide is a way to train the trial.
type trialSide struct {
	name   string
	ours   bool // whether this is nb201
	run    func(ctx context.Context, round int) (trialRun, error)
	runs   []trialRun
	failed bool
}

// measure makes the table. With an error it returns the rows so far.
func (o *trialOptions) measure(ctx context.Context) (t *table[trialRow], err error) {
	t = newTable("trial", &o.common, trialColumns)
	defer func() { t.Partial = err != nil }()
	arch := o.archs[0]
	d, err := data.Published(o.dataset)
	if err != nil {
		return t, err
	}
	dir, err := os.MkdirTemp("", "nb201-bench-")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(dir)
	images := o.data
	if images == "" {
		images = filepath.Join(dir, "images")
		if err := writeNoise(images, o.dataset); err != nil {
			return t, err
		}
	}
	t.Title = fmt.Sprintf("A trial of architecture %s on %s, %d epochs, from the start of the process to the record: medians (extremes) of %d rounds.",
		arch.Label(), o.dataset, o.epochs, o.rounds)
	t.addVersions(goVersions())
	sides, err := o.trialSides(ctx, dir, images, arch, d, &t.Setting)
	if err != nil {
		return t, err
	}
	return t, o.rotate(ctx, sides, t)
}

// rotate lets every side train in every round, and saves the rows after each trial. A side that fails
// is skipped from then on; if it is nb201's, rotate returns its error once the others are done.
func (o *trialOptions) rotate(ctx context.Context, sides []*trialSide, t *table[trialRow]) error {
	var failed error
	for round := range o.rounds {
		for _, s := range sides {
			if s.failed {
				continue
			}
			run, err := s.run(ctx, round)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				s.failed = true
				t.skip(fmt.Sprintf("%s, after %d of %d trials", s.name, round, o.rounds), err)
				if s.ours {
					failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
				}
				continue
			}
			logf("%s: trial %d of %d took %.1f s, %.1f s of them training", s.name, round+1, o.rounds, run.Seconds, run.Train)
			s.runs = append(s.runs, run)
			t.addVersions(run.versions)
			if err := t.show(&o.common, trialRows(sides)); err != nil {
				return err
			}
		}
	}
	return failed
}

// trialRows returns the rows of the sides that have trained.
func trialRows(sides []*trialSide) []trialRow {
	var reference []trialRun // of the first PyTorch side
	if i := slices.IndexFunc(sides, func(s *trialSide) bool { return !s.ours }); i >= 0 {
		reference = sides[i].runs
	}
	var rows []trialRow
	for _, s := range sides {
		if len(s.runs) > 0 {
			rows = append(rows, rowOf(s, reference))
		}
	}
	return rows
}

// rowOf returns the row of a side, compared with the runs of the first PyTorch side.
func rowOf(s *trialSide, reference []trialRun) trialRow {
	r := trialRow{Side: s.name, Runs: s.runs}
	figures := func(of func(trialRun) float64) Spread {
		var all []float64
		for _, run := range s.runs {
			all = append(all, of(run))
		}
		return spreadOf(all)
	}
	r.Whole = figures(func(run trialRun) float64 { return run.Seconds })
	r.CPU = figures(func(run trialRun) float64 { return run.CPU })
	r.Train = figures(func(run trialRun) float64 { return run.Train })
	r.Eval = figures(func(run trialRun) float64 { return run.Eval })
	r.Top1 = figures(func(run trialRun) float64 { return run.Top1 }).Median
	var ratios []float64
	for i := range min(len(reference), len(s.runs)) {
		ratios = append(ratios, s.runs[i].Seconds/reference[i].Train)
	}
	r.Ratio = spreadOf(ratios)
	for _, run := range s.runs {
		r.RSS, r.Device = max(r.RSS, run.RSS), max(r.Device, run.Device)
	}
	return r
}

// trialSides returns nb201 cold, nb201 warm, and the PyTorch sides that can run.
func (o *trialOptions) trialSides(ctx context.Context, dir, images string, arch cell.Arch, d data.Definition, s *Setting) ([]*trialSide, error) {
	program, err := nb201()
	if err != nil {
		return nil, err
	}
	ours := func(name string, kept func(round int) string) *trialSide {
		return &trialSide{name: "nb201, " + name, ours: true, run: func(ctx context.Context, round int) (trialRun, error) {
			out := filepath.Join(dir, name)
			defer os.RemoveAll(out)
			return o.trainOurs(ctx, program, arch, images, out, kept(round))
		}}
	}
	// The warm trial of a round uses the directory of programs that the cold one filled.
	kept := func(round int) string { return filepath.Join(dir, fmt.Sprintf("programs-%d", round)) }
	sides := []*trialSide{ours("cold", kept), ours("warm", kept)}

	var task *torchTrial
	for _, other := range o.usablePythonSides(ctx, s) {
		if task == nil {
			if task, err = o.torchTrial(dir, images, arch, d); err != nil {
				return nil, err
			}
		}
		theirs := *task
		theirs.Mode = other.mode
		sides = append(sides, &trialSide{name: other.name, run: func(ctx context.Context, _ int) (trialRun, error) {
			return o.trainTheirs(ctx, theirs, other)
		}})
	}
	return sides, nil
}

// trainOurs trains the trial with nb201 train; kept is the directory of compiled programs.
func (o *trialOptions) trainOurs(ctx context.Context, program string, arch cell.Arch, images, out, kept string) (trialRun, error) {
	trial := results.Trial{Space: arch.Space().Name(), Arch: arch.Index(), Dataset: o.dataset, Epochs: o.epochs, Seed: 777}
	command := append([]string{program, "train", arch.String(), "--dataset", trial.Dataset,
		"--epochs", fmt.Sprint(trial.Epochs), "--seed", fmt.Sprint(trial.Seed), "--out", out, "--data", images, "--device", o.device, "--precision", o.precision,
		"--batch", fmt.Sprint(o.batch)}, o.skeletonFlags(arch)...)
	_, cost, memory, err := o.runToEnd(ctx, job{
		name: "nb201 train", command: command, env: environment(keptPrograms + "=" + kept), device: o.device, limit: o.sideLimit,
	})
	run := trialRun{Cost: cost, Memory: memory}
	if err != nil {
		return run, err
	}
	record, err := results.ReadRecord(results.Campaign{Dir: out}.RecordPath(trial))
	if err != nil {
		return run, err
	}
	run.Train, run.Eval = secondsOf(record)
	run.Top1 = record.Train.Top1[len(record.Train.Top1)-1]
	run.versions = []string{record.Versions.Plugin}
	return run, nil
}

// secondsOf returns the seconds of training and of evaluation of a trial.
func secondsOf(r *results.Record) (training, evaluation float64) {
	for _, s := range r.Train.Seconds {
		training += s
	}
	for _, e := range r.Eval {
		for _, s := range e.Seconds {
			evaluation += s
		}
	}
	return training, evaluation
}

// torchTrial is the task of trial in torch_side.py: a whole trial.
type torchTrial struct {
	Described
	Batch       int               `json:"batch"`
	Epochs      int               `json:"epochs"`
	Seed        uint32            `json:"seed"`
	Mean        [3]float64        `json:"mean"`
	Std         [3]float64        `json:"std"`
	Flip        bool              `json:"flip"`
	CropPadding int               `json:"crop_padding"`
	Files       map[string]string `json:"files"` // files of records, by "train" and evaluation set
	To          string            `json:"to"`    // file for the weights
	Device      string            `json:"device"`
	Precision   string            `json:"precision"`
	Mode        string            `json:"mode"`
}

// torchTrial writes the images for the PyTorch side and returns its task.
func (o *trialOptions) torchTrial(dir, images string, arch cell.Arch, d data.Definition) (*torchTrial, error) {
	set, err := d.Load(images)
	if err != nil {
		return nil, err
	}
	task := &torchTrial{
		Described: describe(o.network(arch, d)),
		Batch:     o.batch, Epochs: o.epochs, Seed: 777, Mean: d.Mean, Std: d.Std,
		Flip: d.Augment.Flip, CropPadding: d.Augment.CropPadding,
		Files: map[string]string{}, To: filepath.Join(dir, "weights.pth"), Device: o.device, Precision: o.precision,
	}
	for _, s := range append(set.Eval, set.Train) {
		task.Files[s.Name] = filepath.Join(dir, s.Name+".bin")
		f, err := os.Create(task.Files[s.Name])
		if err != nil {
			return nil, err
		}
		w := bufio.NewWriter(f)
		if err := errors.Join(writeRecords(w, &s), w.Flush(), f.Close()); err != nil {
			return nil, err
		}
	}
	return task, nil
}

// trainTheirs trains the trial with a PyTorch side.
func (o *trialOptions) trainTheirs(ctx context.Context, t torchTrial, s side) (trialRun, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return trialRun{}, err
	}
	out, cost, memory, err := o.runToEnd(ctx, job{
		name: s.name, command: append(slices.Clone(s.command), "trial"), env: environment(), stdin: append(text, '\n'), device: t.Device, limit: o.sideLimit,
	})
	run := trialRun{Cost: cost, Memory: memory}
	if err != nil {
		return run, err
	}
	var found struct {
		Train, Eval, Top1 float64
		Versions          []string
	}
	err = json.Unmarshal(out, &found)
	run.Train, run.Eval, run.Top1, run.versions = found.Train, found.Eval, found.Top1, found.Versions
	return run, err
}

// writeNoise writes files of full size with noise for cifar10 or cifar10-valid, and nothing for other
// dataset keys.
func writeNoise(dir, key string) error {
	if key != "cifar10" && key != "cifar10-valid" {
		return nil
	}
	const images, size, classes = 10000, 32, 10 // in each file
	dir = filepath.Join(dir, "cifar-10-batches-bin")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	raw := noise(images, size, classes)
	for i := range 6 {
		name := fmt.Sprintf("data_batch_%d.bin", i+1)
		if i == 5 {
			name = "test_batch.bin"
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o666); err != nil {
			return err
		}
	}
	return nil
}
