package main

import (
	"cmp"
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
	"nb201/results/lookup"
	"nb201/results/plot"
	"nb201/results/published"
)

func newQueryCommand() *cobra.Command {
	var flags struct {
		lookup.Question
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
  number of epochs that train or plan was given, in the size search space with at least two
  digits: --schedule 12 selects trials of 12 epochs, and 01 there those of one.

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
			case flags.best && (flags.Dataset == "" || flags.Set == ""):
				return usage.Errorf("--best needs --dataset and --set")
			case flags.best && (given("seed") || given("epoch")):
				return usage.Errorf("--best compares means over the seeds after the last epoch; leave out --seed and --epoch")
			case given("max-flops") && !(flags.maxFLOPs > 0):
				return usage.Errorf("--max-flops \"%v\": use a number above 0", flags.maxFLOPs)
			case given("max-params") && !(flags.maxParams > 0):
				return usage.Errorf("--max-params \"%v\": use a number above 0", flags.maxParams)
			case given("plot") && given("epoch"):
				return usage.Errorf("--plot draws all epochs; leave out --epoch")
			case flags.Epoch < 0:
				return usage.Errorf("--epoch %d: epochs count from 0; use 0 or more", flags.Epoch)
			case given("epochs") && given("schedule") && flags.epochs != flags.Schedule:
				return usage.Errorf("--schedule %q and --epochs %q, its old name, differ; give only --schedule", flags.Schedule, flags.epochs)
			case given("schedule") && flags.Schedule == "":
				return usage.Errorf("--schedule \"\": name a schedule, such as 12")
			case given("epochs") && flags.epochs == "":
				return usage.Errorf("--epochs \"\": name a schedule, such as 12; the flag's name is now --schedule")
			}
			flags.Schedule = cmp.Or(flags.Schedule, flags.epochs)
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
					Dataset: flags.Dataset, Set: flags.Set, HP: cmp.Or(flags.Schedule, "12"),
					MaxFLOPs: flags.maxFLOPs, MaxParams: flags.maxParams,
				}
				return printBest(c, b, search, drawing, flags.json)
			}
			q := flags.Question
			if given("seed") {
				q.Seed = (*uint32)(&flags.seed)
			}
			if !given("epoch") {
				q.Epoch = benchmark.Last
			}
			if q.Set == "valid" { // the Python clients' name for it
				q.Set = "x-valid"
			}
			found, err := q.Ask(b, args[1])
			if err != nil {
				return err
			}
			answer := &answer{Answer: found, set: q.Set}
			if len(answer.Trials) == 1 && q.Epoch == benchmark.Last {
				answer.AddCurves()
			}
			if drawing != nil {
				var trials []plot.Trial
				for _, t := range answer.Trials {
					trials = append(trials, plot.Trial{Schedule: t.Schedule, ResultsCount: t.Results})
				}
				chart, err := plot.Curves(answer.Index, answer.Genotype, q.Set, trials)
				if err != nil {
					return err
				}
				if err := drawing.write(c, chart); err != nil {
					return err
				}
			}
			if flags.json {
				return printJSON(c, answer.Answer)
			}
			return answer.print(human(c))
		},
	}
	f := c.Flags()
	f.StringVar(&flags.Dataset, "dataset", "", "dataset `KEY` that the trials were trained on")
	f.StringVar(&flags.Schedule, "schedule", "", "`SCHEDULE` of the trials, by its name in the benchmark, such as 12 or 200 (default with --best: 12)")
	f.StringVar(&flags.epochs, "epochs", "", "the old name of --schedule `SCHEDULE`")
	f.Var(&flags.seed, "seed", "`SEED` of the trials")
	f.StringVar(&flags.Set, "set", "", "`SET`: train, x-valid, x-test, ori-test or another evaluation set")
	f.IntVar(&flags.Epoch, "epoch", 0, "show the results after epoch `E`, counted from 0 (default: the last)")
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

// answer is the answer to a query for an architecture, to be printed.
type answer struct {
	*lookup.Answer
	set string // that was selected
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
	if t := a.Trials[0]; t.Curve != nil {
		fmt.Fprintln(w)
		curve := slices.DeleteFunc(t.Results.Sets(), func(m benchmark.SetMeasures) bool { return a.set != "" && m.Set != a.set })
		printCurve(w, t.Epochs, 0, curve)
		drawCurve(w, t.Epochs, curve)
	}
	return nil
}

// rowStart returns the first cells of the row of a trial: schedule, dataset and seed.
func rowStart(t lookup.Trial) string {
	seed := "mean"
	if t.Seed != nil {
		seed = strconv.FormatUint(uint64(*t.Seed), 10)
	}
	return fmt.Sprintf("%s\t%s\t%s\t", inert.Text(t.Schedule), inert.Text(t.Dataset), seed)
}

// printSet prints everything measured on one set.
func (a *answer) printSet(w io.Writer) {
	inert.Fprintf(w, "schedule\tdataset\tseed\tepoch\t%s loss\ttop-1 %%\ttop-5 %%\ts\ts so far\t\n", a.set)
	for r := range a.Rows {
		m := r.Measured[0]
		fmt.Fprintf(w, "%s%d\t%s\t%s\t%s\t%s\t%s\t\n", rowStart(r), m.Epoch, formatFixed(m.Loss, 4), formatFixed(m.Accuracy, 2),
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
	for r := range a.Rows {
		fmt.Fprintf(w, "%s%d\t", rowStart(r), r.Measured[0].Epoch)
		for _, set := range sets {
			i := slices.IndexFunc(r.Measured, func(m lookup.Measured) bool { return m.Set == set })
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
