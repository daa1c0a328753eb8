package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/outfile"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/plot"
	"nb201/results/published"
)

func newQueryCommand() *cobra.Command {
	var flags struct {
		archQuestion
		epochs     string // the old name of --schedule
		seed       seedFlag
		best, json bool
		maxFLOPs   float64
		maxParams  float64
		plot       outputFlags
	}
	c := &cobra.Command{
		Use:   "query PATH ARCH|--best",
		Short: "Look up an architecture in a benchmark, or find the best one",
		Long: `query looks up the trials of an architecture in a benchmark: their accuracies, costs and
times. With --best it finds the architecture with the highest accuracy.

PATH is a campaign directory, or a file or directory of a published format:
` + published.Describe() + `.

Looking up an architecture:
  --dataset, --schedule, --seed and --set choose among its results. They are those after the
  last epoch, or after --epoch; epochs count from 0, as in the Python clients. If there are
  several seeds, query also shows their mean, and any settings in which their trials differ.
  If there is only one trial, query also shows its learning curve. A schedule's name is the
  number of epochs that train or plan was given: --schedule 12 selects trials of 12 epochs.

Finding the best one (--best):
  query compares the mean over the seeds of the accuracy on --set after the last epoch,
  among the architectures within --max-flops and --max-params. As in the clients' find_best,
  --set may also be valid or test. These are x-valid and x-test for cifar100 and
  ImageNet16-120; for cifar10, valid is x-valid of the cifar10-valid trials, and test is
  ori-test.

Drawing (--plot FILE.svg or FILE.png):
  For an architecture, query draws the learning curves of the trials selected: a line for each
  set, dataset and schedule, the mean over the seeds in a band of one standard deviation. With
  --best it draws the accuracy of every architecture compared against its MFLOPs.`,
		Example: `  nb201 query NAS-Bench-201-v1_1-096897.pth 1462
  nb201 query demo 0 --dataset cifar10-valid --schedule 12 --seed 777
  nb201 query NATS-tss-v1_0-3ffb9-simple 0 --dataset cifar100 --schedule 200 --set x-test --json
  nb201 query demo 0 --dataset cifar10-valid --schedule 12 --seed 777 --set x-valid --epoch 5
  nb201 query demo --best --dataset cifar10 --set valid --schedule 12 --max-params 0.5
  nb201 query demo 0 --plot curves.svg`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case flags.best && len(args) != 1:
				return fmt.Errorf("%s --best takes one PATH, got %d", commandName(c), len(args))
			case !flags.best && len(args) != 2:
				return fmt.Errorf("%s takes a PATH and an ARCH (%s), got %s", commandName(c), anArchitecture, quantity.Format(len(args), "argument"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			given := c.Flags().Changed
			switch {
			case !flags.best && (given("max-flops") || given("max-params")):
				return usage.Errorf("--max-flops and --max-params need --best")
			case flags.best && (flags.dataset == "" || flags.set == ""):
				return usage.Errorf("--best needs --dataset and --set")
			case flags.best && (given("seed") || given("epoch")):
				return usage.Errorf("--best compares means over the seeds after the last epoch; leave out --seed and --epoch")
			case given("max-flops") && !(flags.maxFLOPs > 0):
				return usage.Errorf("--max-flops \"%v\": use a number above 0", flags.maxFLOPs)
			case given("max-params") && !(flags.maxParams > 0):
				return usage.Errorf("--max-params \"%v\": use a number above 0", flags.maxParams)
			case given("plot") && given("epoch"):
				return usage.Errorf("--plot draws all epochs; leave out --epoch")
			case flags.epoch < 0:
				return usage.Errorf("--epoch %d: epochs count from 0; use 0 or more", flags.epoch)
			case given("epochs") && given("schedule") && flags.epochs != flags.hp:
				return usage.Errorf("--schedule %q and --epochs %q, its old name, differ; give only --schedule", flags.hp, flags.epochs)
			case given("schedule") && flags.hp == "":
				return usage.Errorf("--schedule \"\": name a schedule, such as 12")
			case given("epochs") && flags.epochs == "":
				return usage.Errorf("--epochs \"\": name a schedule, such as 12; the flag's name is now --schedule")
			}
			flags.hp = cmp.Or(flags.hp, flags.epochs)
			drawing, err := newDrawing(&flags.plot, given("plot"), args[0])
			if err != nil {
				return err
			}
			b, err := openBenchmark(c, args[0])
			if err != nil {
				return err
			}
			defer b.Close()
			if flags.best {
				search := benchmark.Search{
					Dataset: flags.dataset, Set: flags.set, HP: cmp.Or(flags.hp, "12"),
					MaxFLOPs: flags.maxFLOPs, MaxParams: flags.maxParams,
				}
				return printBest(c, b, search, drawing, flags.json)
			}
			q := flags.archQuestion
			if given("seed") {
				q.seed = (*uint32)(&flags.seed)
			}
			if !given("epoch") {
				q.epoch = benchmark.Last
			}
			if q.set == "valid" { // the Python clients' name for it
				q.set = "x-valid"
			}
			answer, err := q.lookUp(b, args[1])
			if err != nil {
				return err
			}
			if drawing != nil {
				chart, err := plot.Curves(answer.Index, answer.Genotype, answer.set, answer.shown)
				if err != nil {
					return err
				}
				if err := drawing.write(c, chart); err != nil {
					return err
				}
			}
			if flags.json {
				return printJSON(c, answer)
			}
			return answer.print(human(c))
		},
	}
	f := c.Flags()
	f.StringVar(&flags.dataset, "dataset", "", "dataset `KEY` that the trials were trained on")
	f.StringVar(&flags.hp, "schedule", "", "`SCHEDULE` of the trials, by its name in the benchmark, such as 12 or 200 (default with --best: 12)")
	f.StringVar(&flags.epochs, "epochs", "", "the old name of --schedule `SCHEDULE`")
	f.Var(&flags.seed, "seed", "`SEED` of the trials")
	f.StringVar(&flags.set, "set", "", "`SET`: train, x-valid, x-test, ori-test or another evaluation set")
	f.IntVar(&flags.epoch, "epoch", 0, "show the results after epoch `E`, counted from 0 (default: the last)")
	f.BoolVar(&flags.best, "best", false, "find the architecture with the highest accuracy")
	f.Float64Var(&flags.maxFLOPs, "max-flops", 0, "with --best: only architectures of at most `M` million FLOPs")
	f.Float64Var(&flags.maxParams, "max-params", 0, "with --best: only architectures of at most `M` million parameters")
	flags.plot.add(f, "plot", "draw the answer into `FILE` (.svg or .png); an earlier plot is replaced")
	f.BoolVar(&flags.json, "json", false, jsonUsage)
	if err := f.MarkHidden("epochs"); err != nil {
		panic(err) // the flag does not exist
	}
	return c
}

// archQuestion selects results of an architecture; an empty field selects all.
type archQuestion struct {
	dataset, hp, set string
	seed             *uint32
	epoch            int // from 0, or benchmark.Last
}

// answer contains the results of an architecture, as nb201 query --json prints them.
type answer struct {
	Path     string           `json:"path"`
	Format   benchmark.Format `json:"format"`
	Index    int              `json:"architecture"`
	Genotype string           `json:"genotype"`
	Trials   []trialView      `json:"trials"`
	Means    []trialView      `json:"means,omitempty"` // over the seeds, if there are several

	set   string                  // that was selected
	curve []benchmark.SetMeasures // of the only trial, unless an epoch was selected
	shown []plot.Trial            // the trials of Trials, to draw
}

// trialView describes a trial, or the mean over the trials on a dataset with a schedule.
type trialView struct {
	Schedule string         `json:"schedule"`
	Dataset  string         `json:"dataset"`
	Seed     *uint32        `json:"seed,omitzero"`
	Epochs   int            `json:"epochs"`
	FLOPs    float64        `json:"flops_millions"`
	Params   float64        `json:"params_millions"`
	Latency  *float64       `json:"latency_seconds_per_batch_of_256,omitzero"`
	Measured []measuredView `json:"measured"`
	// Unequal lists the settings in which the trials of a mean differ.
	Unequal []string `json:"unequal_trials,omitempty"`
	// Curve has all epochs of the only trial that was selected.
	Curve []curveView `json:"curve,omitempty"`
}

// measuredView holds the metrics of a set of images after an epoch.
type measuredView struct {
	Set string `json:"set"`
	benchmark.Metrics
}

// curveView is the learning curve of a set of images.
type curveView struct {
	Set    string              `json:"set"`
	Epochs []benchmark.Metrics `json:"epochs"`
}

// lookUp finds the results of an architecture that q selects. It leaves out trials without the set
// or the epoch; it is a usage error if none remain.
func (q *archQuestion) lookUp(b *benchmark.Benchmark, arch string) (*answer, error) {
	index, err := b.QueryIndexByArch(arch)
	if err != nil {
		return nil, err
	}
	a, err := b.Architecture(index)
	if err != nil {
		return nil, err
	}
	schedules := a.Schedules
	if q.hp != "" {
		s, err := a.Schedule(q.hp)
		if err != nil {
			return nil, inFile(b, err)
		}
		schedules = []*benchmark.ArchResults{s}
	}
	answer := &answer{Path: b.Path, Format: b.Format, Index: a.Index, Genotype: a.Genotype, Trials: []trialView{}, set: q.set}
	var lacking error
	lack := func(err error) { lacking = cmp.Or(lacking, err) }
	for _, s := range schedules {
		datasets := s.DatasetNames()
		if q.dataset != "" {
			datasets = []string{q.dataset}
		}
		for _, dataset := range datasets {
			var seeds []uint32
			if q.seed != nil {
				seeds = append(seeds, *q.seed)
			}
			trials, err := s.Query(dataset, seeds...)
			if errors.Is(err, benchmark.ErrNotHeld) {
				lack(err)
				continue
			}
			if err != nil {
				return nil, inFile(b, err)
			}
			shown := 0
			for _, r := range trials {
				view, err := q.viewTrial(s, r)
				if errors.Is(err, benchmark.ErrNotHeld) {
					lack(err)
					continue
				}
				if err != nil {
					return nil, inFile(b, err)
				}
				answer.Trials = append(answer.Trials, *view)
				answer.shown = append(answer.shown, plot.Trial{Schedule: s.HP, ResultsCount: r})
				shown++
			}
			if shown > 1 {
				mean, err := q.viewMean(s, dataset)
				switch {
				case err == nil:
					answer.Means = append(answer.Means, *mean)
				case !errors.Is(err, benchmark.ErrNotHeld):
					return nil, inFile(b, err)
				}
			}
		}
	}
	switch {
	case len(answer.Trials) == 0:
		return nil, inFile(b, cmp.Or(lacking, usage.Errorf("architecture %d has no trial; query another architecture", index)))
	case len(answer.Trials) == 1 && q.epoch == benchmark.Last:
		answer.addCurve(answer.shown[0].ResultsCount)
	}
	return answer, nil
}

// inFile adds the benchmark's path to a usage error.
func inFile(b *benchmark.Benchmark, err error) error { return usage.Errorf("%s: %w", b.Path, err) }

// viewTrial describes a trial, with the metrics that q selects.
func (q *archQuestion) viewTrial(s *benchmark.ArchResults, r *benchmark.ResultsCount) (*trialView, error) {
	view := &trialView{
		Schedule: s.HP, Dataset: r.Dataset, Seed: &r.Seed, Epochs: r.Epochs,
		FLOPs: r.FLOPs, Params: r.Params, Latency: r.Latency(),
	}
	return view, q.addMetrics(view, r.EvalSet(), func(set string) (benchmark.Metrics, error) { return r.Metrics(set, q.epoch) })
}

// viewMean describes the mean over the trials on a dataset, with the metrics that q selects.
func (q *archQuestion) viewMean(s *benchmark.ArchResults, dataset string) (*trialView, error) {
	costs, err1 := s.ComputeCosts(dataset)
	epochs, err2 := s.TotalEpoch(dataset)
	trials, err3 := s.Query(dataset)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	view := &trialView{
		Schedule: s.HP, Dataset: dataset, Epochs: epochs,
		FLOPs: costs.FLOPs, Params: costs.Params, Latency: costs.Latency,
		Unequal: benchmark.Unequal(trials),
	}
	return view, q.addMetrics(view, trials[0].EvalSet(), func(set string) (benchmark.Metrics, error) {
		return s.Metrics(dataset, set, q.epoch, benchmark.Mean())
	})
}

// addMetrics adds the metrics of the set that q selects. If q selects none, it adds those of the
// training set, which must exist, and of every evaluation set that has any after the epoch.
func (q *archQuestion) addMetrics(view *trialView, sets []string, metrics func(set string) (benchmark.Metrics, error)) error {
	sets = append([]string{benchmark.TrainingSet}, sets...)
	if q.set != "" {
		sets = []string{q.set}
	}
	for i, set := range sets {
		m, err := metrics(set)
		if err != nil && (i == 0 || !errors.Is(err, benchmark.ErrNotHeld)) {
			return err
		}
		if err == nil {
			view.Measured = append(view.Measured, measuredView{set, m})
		}
	}
	return nil
}

// addCurve adds the learning curve of the only trial.
func (a *answer) addCurve(r *benchmark.ResultsCount) {
	for _, s := range r.Sets() {
		if a.set != "" && s.Set != a.set {
			continue
		}
		a.curve = append(a.curve, s)
		curve := curveView{Set: s.Set}
		for _, p := range s.Top1 {
			if m, err := r.Metrics(s.Set, p.Epoch); err == nil {
				curve.Epochs = append(curve.Epochs, m)
			}
		}
		a.Trials[0].Curve = append(a.Trials[0].Curve, curve)
	}
}

// print prints the answer as a table, and the curve of the only trial.
func (a *answer) print(w io.Writer) error {
	inert.Fprintf(w, "architecture %d  %s\n%s (%s)\n\n", a.Index, a.Genotype, a.Path, a.Format)
	t := layout.NewNumbers(w, 3)
	if a.set != "" {
		a.printSet(t)
	} else {
		a.printAll(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, mean := range a.Means {
		if mean.Unequal != nil {
			inert.Fprintf(w, "\nThe mean on %s, schedule %s, covers trials that differ: %s\n", mean.Dataset, mean.Schedule, strings.Join(mean.Unequal, "; "))
		}
	}
	if a.curve != nil {
		fmt.Fprintln(w)
		epochs := a.Trials[0].Epochs
		printCurve(w, epochs, 0, a.curve)
		drawCurve(w, epochs, a.curve)
	}
	return nil
}

// rows yields the trials in order, each mean after the trials that it is taken over.
func (a *answer) rows(yield func(trialView) bool) {
	means := a.Means
	for i, r := range a.Trials {
		if !yield(r) {
			return
		}
		last := i+1 == len(a.Trials) || a.Trials[i+1].Schedule != r.Schedule || a.Trials[i+1].Dataset != r.Dataset
		if last && len(means) > 0 && means[0].Schedule == r.Schedule && means[0].Dataset == r.Dataset {
			if !yield(means[0]) {
				return
			}
			means = means[1:]
		}
	}
}

// rowStart returns the first cells of a row: schedule, dataset and seed.
func (v *trialView) rowStart() string {
	seed := "mean"
	if v.Seed != nil {
		seed = strconv.FormatUint(uint64(*v.Seed), 10)
	}
	return fmt.Sprintf("%s\t%s\t%s\t", inert.Text(v.Schedule), inert.Text(v.Dataset), seed)
}

// printSet prints everything measured on one set.
func (a *answer) printSet(w io.Writer) {
	inert.Fprintf(w, "schedule\tdataset\tseed\tepoch\t%s loss\ttop-1 %%\ttop-5 %%\ts\ts so far\t\n", a.set)
	for r := range a.rows {
		m := r.Measured[0]
		fmt.Fprintf(w, "%s%d\t%s\t%s\t%s\t%s\t%s\t\n", r.rowStart(), m.Epoch, formatFixed(m.Loss, 4), formatFixed(m.Accuracy, 2),
			orDash(m.Top5, 2), orDash(m.Seconds, 1), orDash(m.TotalSeconds, 1))
	}
}

// printAll prints the accuracies on all sets, and the costs.
func (a *answer) printAll(w io.Writer) {
	var sets []string
	for _, r := range a.Trials {
		for _, m := range r.Measured {
			if !slices.Contains(sets, m.Set) {
				sets = append(sets, m.Set)
			}
		}
	}
	fmt.Fprint(w, "schedule\tdataset\tseed\tepoch\t")
	for _, set := range sets {
		inert.Fprintf(w, "%s %%\t", set)
	}
	fmt.Fprintln(w, "training s\tMFLOPs\tMparams\tlatency ms\t")
	for r := range a.rows {
		fmt.Fprintf(w, "%s%d\t", r.rowStart(), r.Measured[0].Epoch)
		for _, set := range sets {
			i := slices.IndexFunc(r.Measured, func(m measuredView) bool { return m.Set == set })
			if i < 0 {
				fmt.Fprint(w, "-\t")
			} else {
				fmt.Fprintf(w, "%s\t", formatFixed(r.Measured[i].Accuracy, 2))
			}
		}
		latency := r.Latency
		if latency != nil {
			ms := *latency * 1000
			latency = &ms
		}
		inert.Fprintf(w, "%s\t%s\t%s\t%s\t\n", orDash(r.Measured[0].TotalSeconds, 1), formatFixed(r.FLOPs, 5), formatFixed(r.Params, 6), orDash(latency, 2))
	}
}

// orDash formats a value like formatFixed, or returns a dash for nil.
func orDash(v *float64, decimals int) string {
	if v == nil {
		return "-"
	}
	return formatFixed(*v, decimals)
}

// printBest finds the best architecture, draws the search unless drawing is nil, and prints it.
func printBest(c *cobra.Command, b *benchmark.Benchmark, s benchmark.Search, drawing *drawing, json bool) error {
	var compared []benchmark.Compared
	if drawing != nil {
		s.Visit = func(a benchmark.Compared) { compared = append(compared, a) }
	}
	var done func()
	s.Progress, done = countUp(c.ErrOrStderr(), "architectures", "comparing")
	best, err := b.FindBest(c.Context(), s)
	done()
	if err != nil {
		return err
	}
	if drawing != nil {
		chart, err := plot.Costs(best, compared)
		if err != nil {
			return err
		}
		if err := drawing.write(c, chart); err != nil {
			return err
		}
	}
	if json {
		return printJSON(c, best)
	}
	w := human(c)
	inert.Fprintf(w, "architecture  %d  %s\n", best.Index, best.Genotype)
	inert.Fprintf(w, "accuracy      %.4f %% on %s after training on %s with schedule %s\n", best.Accuracy, best.Set, best.Dataset, best.HP)
	inert.Fprintf(w, "costs         %.5f MFLOPs, %.6f Mparams\n", best.FLOPs, best.Params)
	_, err = inert.Fprintf(w, "compared      %s; beyond the limits: %d; without such a trial: %d\n",
		quantity.Format(best.Compared, "architecture"), best.Beyond, best.Lacking)
	if best.Unequal != nil {
		_, err = inert.Fprintf(w, "\nThe trials compared differ: %s\n", strings.Join(best.Unequal, "; "))
	}
	return err
}

// drawing is the file of --plot.
type drawing struct {
	*outfile.Output
	format plot.Format
}

// newDrawing checks the file of --plot before the benchmark at path is opened. It returns nil if
// the flag is not given.
func newDrawing(o *outputFlags, given bool, path string) (*drawing, error) {
	if !given {
		return nil, nil
	}
	format, err := plot.FormatOf(o.path)
	if err != nil {
		return nil, err
	}
	out, err := o.check([]string{path}, plot.IsPlot)
	return &drawing{out, format}, err
}

// write writes a chart, and warns of values that it leaves out.
func (d *drawing) write(c *cobra.Command, chart *plot.Chart) error {
	if chart.LeftOut > 0 {
		warn(c, fmt.Sprintf("--plot leaves out %s that cannot be drawn; nb201 verify checks the benchmark", quantity.Format(chart.LeftOut, "impossible value")))
	}
	return d.Write(c.Context(), func(w io.Writer) error { return chart.Write(w, d.format) })
}
