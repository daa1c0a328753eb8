package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// sampleOptions holds the flags of sample.
type sampleOptions struct {
	stepOptions
	archsWanted int
	within      time.Duration
	state       string
}

func newSampleCommand() *cobra.Command {
	var o sampleOptions
	c := &cobra.Command{
		Use:   "sample",
		Short: "Measure random architectures, and estimate the whole benchmark from them",
		Long: `sample measures random architectures, always in the same order: a training step, the
evaluation of a batch and compiling, at each image size. From them it estimates the device-hours of
NAS-Bench-201, with their standard error. It draws from the topology search space only.

With --state, the measurements are kept in a file, one line per architecture, and the same command
resumes from there. --within limits the time: the estimate uses the architectures measured by then.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.add(c, defaults{datasets: "cifar10,cifar100,ImageNet16-120", modes: "none"})
	o.addTurns(c, 2, 3)
	o.addPeaks(c)
	f := c.Flags()
	f.IntVar(&o.archsWanted, "archs", 50, "`NUMBER` of architectures")
	f.DurationVar(&o.within, "within", 0, "start no further architecture after this `TIME`; 0 for no limit")
	f.StringVar(&o.state, "state", "", "`FILE` in which to keep measurements, and from which to resume")
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		keys := strings.Split(o.datasetKeys, ",")
		if !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "cifar") }) || !slices.Contains(keys, "ImageNet16-120") {
			return usage.Errorf("--datasets %s: both image sizes of the benchmark are needed; name cifar10 or cifar100, and ImageNet16-120", o.datasetKeys)
		}
		if o.archsWanted < fewestToEstimate || o.archsWanted > cell.Topologies {
			return usage.Errorf("--archs %d: too few to estimate an error, or too many; use %d to %d", o.archsWanted, fewestToEstimate, cell.Topologies)
		}
		return check(c, args)
	}
	return c
}

// sampleRow is a row of the table: one side on one architecture and image size.
type sampleRow struct {
	Arch    int     `json:"arch"`
	Dataset string  `json:"dataset"`
	Side    string  `json:"side"`
	Train   float64 `json:"train_seconds"` // per step, median of the turns
	Eval    float64 `json:"eval_seconds"`  // per batch, median of the turns
	// Compile and CompileCPU are the excess of the first turn over the median turn, in wall and
	// CPU seconds.
	Compile    float64 `json:"compile_seconds"`
	CompileCPU float64 `json:"compile_cpu_seconds"`
	Share      float64 `json:"share_of_limit"` // of training
	Memory     `json:"memory"`
}

// sampleState is a line of the file of --state: the rows of an architecture in a setting.
type sampleState struct {
	Setting string      `json:"setting"`
	Peaks   Peaks       `json:"peaks"`
	Rows    []sampleRow `json:"rows"`
}

var sampleColumns = []column[sampleRow]{
	{"arch", func(r sampleRow) string { return fmt.Sprint(r.Arch) }},
	{"images", func(r sampleRow) string { return r.Dataset }},
	{"side", func(r sampleRow) string { return r.Side }},
	{"ms a step", func(r sampleRow) string { return figure("%.3g", 1e3*r.Train) }},
	{"evaluation, ms a batch", func(r sampleRow) string { return figure("%.3g", 1e3*r.Eval) }},
	{"compiling, s", func(r sampleRow) string { return figure("%.1f", r.Compile) }},
	{"compiling, CPU-s", func(r sampleRow) string { return figure("%.1f", r.CompileCPU) }},
	{"share of limit", func(r sampleRow) string { return figure("%.2f", r.Share) }},
	{"peak RSS, GiB", func(r sampleRow) string { return gib(r.RSS) }},
	{"GPU memory, GiB", func(r sampleRow) string { return gib(r.Device) }},
}

// drawArchs returns the first n architectures of a fixed random order.
func drawArchs(n int) []cell.Arch {
	var archs []cell.Arch
	for _, i := range rand.New(rand.NewPCG(201, 0)).Perm(cell.Topologies)[:n] {
		a, err := cell.Topology{}.ByIndex(i)
		if err != nil {
			panic(err) // cannot happen: i is an index
		}
		archs = append(archs, a)
	}
	return archs
}

// measure makes the table. With an error it returns the rows so far.
func (o *sampleOptions) measure(ctx context.Context) (t *table[sampleRow], err error) {
	t = newTable("sample", &o.common, sampleColumns)
	defer func() { t.Partial = err != nil }()
	sides, err := o.usableSides(ctx, &t.Setting)
	if err != nil {
		return t, err
	}
	began := time.Now()
	kept, err := o.readState()
	if err != nil {
		return t, err
	}
	var peaks Peaks
	for _, s := range kept {
		peaks = s.Peaks
	}
	if peaks == (Peaks{}) {
		if peaks, err = o.peaks(ctx); err != nil {
			return t, err
		}
	}
	for i, a := range drawArchs(o.archsWanted) {
		rows, done := findRows(kept, a)
		if !done {
			if o.within > 0 && i >= fewestToEstimate && time.Since(began) > o.within {
				break
			}
			logf("architecture %d of %d: %d (%v)", i+1, o.archsWanted, a.Index(), a)
			if rows, err = o.measureArch(ctx, sides, a, peaks, &t.Setting); err != nil {
				return t, fmt.Errorf("architecture %d: %w", a.Index(), err)
			}
			if err = o.appendState(sampleState{o.setting(), peaks, rows}); err != nil {
				return t, err
			}
		}
		rows = append(t.Rows, rows...)
		o.describe(t, i+1, rows, peaks)
		if err = t.show(&o.common, rows); err != nil {
			return t, err
		}
	}
	return t, nil
}

// describe sets the title, the summary and the notes from the rows of a number of architectures.
func (o *sampleOptions) describe(t *table[sampleRow], archs int, rows []sampleRow, peaks Peaks) {
	t.Title = fmt.Sprintf("%d architectures drawn at random: medians of %d turns of %d steps.", archs, o.rounds, o.steps)
	t.Notes = []string{fmt.Sprintf("Limit of the device: %v.", peaks)}
	estimates := o.extrapolate(rows)
	t.Summary = estimates
	for _, e := range estimates {
		t.Notes = append(t.Notes, e.String())
	}
}

// measureArch measures an architecture at every image size, with one process per side.
func (o *sampleOptions) measureArch(ctx context.Context, sides []side, a cell.Arch, peaks Peaks, s *Setting) ([]sampleRow, error) {
	programs := o.programsOf(sides...)
	defer stopAll(programs)
	var rows []sampleRow
	for _, d := range o.datasets {
		steps, err := o.contest(ctx, programs, a, d, peaks, s, func([]stepRow) error { return nil })
		if err != nil {
			return nil, err
		}
		for _, r := range steps {
			rows = append(rows, sampleRow{
				Arch: a.Index(), Dataset: r.Dataset, Side: r.Side, Train: r.Train.Seconds.Median, Eval: r.Eval.Seconds.Median,
				Compile: r.FirstTurn.Seconds, CompileCPU: r.FirstTurn.CPU, Share: r.Train.Share, Memory: r.Memory,
			})
		}
	}
	return rows, nil
}

// setting describes everything on which the rows of a state depend.
func (o *sampleOptions) setting() string {
	return fmt.Sprintf("C=%d N=%d batch %d %s %s steps %d rounds %d datasets %s modes %s",
		o.channels, o.cells, o.batch, o.device, o.precision, o.steps, o.rounds, o.datasetKeys, o.modeNames)
}

// readState reads the lines of the file of --state that have this setting.
func (o *sampleOptions) readState() ([]sampleState, error) {
	if o.state == "" {
		return nil, nil
	}
	f, err := infile.Open(o.state)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, usage.Errorf("--state: %w", err)
	}
	defer f.Close()
	var kept []sampleState
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var s sampleState
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, usage.Errorf("--state: %s, line %d: %w; remove the line", o.state, n, err)
		}
		if s.Setting == o.setting() {
			kept = append(kept, s)
		}
	}
	return kept, lines.Err()
}

// findRows returns the rows of an architecture, and whether it was measured.
func findRows(kept []sampleState, a cell.Arch) ([]sampleRow, bool) {
	i := slices.IndexFunc(kept, func(s sampleState) bool { return s.Rows[0].Arch == a.Index() })
	if i < 0 {
		return nil, false
	}
	return kept[i].Rows, true
}

// appendState appends a line to the file of --state, if given.
func (o *sampleOptions) appendState(s sampleState) error {
	if o.state == "" {
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.state), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(o.state, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}

// sampleEstimate is the estimated cost of the whole benchmark with a side, in device-hours.
type sampleEstimate struct {
	Side      string   `json:"side"`
	Archs     int      `json:"architectures"`
	Seed12    Estimate `json:"a_seed_of_12_epochs"` // training and evaluation on the four dataset keys
	Seed200   Estimate `json:"a_seed_of_200_epochs"`
	Published Estimate `json:"published"`
	// Compile is the hours of compiling each architecture once per dataset key, if it does not
	// overlap with training, and CompileCPU the CPU-hours.
	Compile    Estimate `json:"compile"`
	CompileCPU Estimate `json:"compile_cpu"`
}

func (e sampleEstimate) String() string {
	return fmt.Sprintf("%s, all %d architectures on the four dataset keys, estimated from %d of them: "+
		"%v device-hours for a seed of schedule 12, %v for one of schedule 200, %v for the %d published trials (training and evaluation); "+
		"compiling each once takes %v hours more (%v CPU-hours), unless it overlaps with training.",
		e.Side, cell.Topologies, e.Archs, e.Seed12, e.Seed200, e.Published, 17*cell.Topologies, e.Compile, e.CompileCPU)
}

// extrapolate estimates the benchmark from the rows of a sample, for each side with enough
// architectures to estimate an error.
func (o *sampleOptions) extrapolate(rows []sampleRow) []sampleEstimate {
	var estimates []sampleEstimate
	for side, of := range groupBy(rows, func(r sampleRow) string { return r.Side }) {
		if e := o.extrapolateSide(side, of); e.Archs >= fewestToEstimate {
			estimates = append(estimates, e)
		}
	}
	return estimates
}

// fewestToEstimate is the least number of architectures for an estimate with an error.
const fewestToEstimate = 3

// extrapolateSide estimates the benchmark from the rows of one side.
func (o *sampleOptions) extrapolateSide(side string, rows []sampleRow) sampleEstimate {
	e := sampleEstimate{Side: side}
	var archs []cell.Arch
	var seed12, seed200, published, compile, compileCPU []float64
	for _, of := range groupBy(rows, func(r sampleRow) int { return r.Arch }) {
		a, err := cell.Topology{}.ByIndex(of[0].Arch)
		if err != nil {
			continue // not an index: the row is not ours
		}
		if slices.ContainsFunc(publishedKeys(), func(key string) bool { return rowLike(of, key).Side == "" }) {
			continue // the side failed at an image size
		}
		archs = append(archs, a)
		hours := epochHours{}
		wall, cpu := 0.0, 0.0
		for _, key := range publishedKeys() {
			r := rowLike(of, key)
			hours[key] = o.epochSeconds(key, r.Train, r.Eval) / 3600
			wall, cpu = wall+r.Compile/3600, cpu+r.CompileCPU/3600
		}
		seed12, seed200 = append(seed12, hours.perSeed(12)), append(seed200, hours.perSeed(200))
		published = append(published, hours.published())
		compile, compileCPU = append(compile, wall), append(compileCPU, cpu)
	}
	e.Archs = len(archs)
	estimate := func(hours []float64) Estimate { return estimateTotal(&o.common, archs, hours) }
	e.Seed12, e.Seed200, e.Published = estimate(seed12), estimate(seed200), estimate(published)
	e.Compile, e.CompileCPU = estimate(compile), estimate(compileCPU)
	return e
}
