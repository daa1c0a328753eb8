package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/compare"
	"nb201/results/report"
)

func newCompareCommand() *cobra.Command {
	var flags struct {
		report    outputFlags
		schedules []string
		json      bool
	}
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two benchmarks trial by trial",
		Long: `compare compares two benchmarks by the accuracies of their trials after the last epoch. A
and B are each a campaign, or a file or directory of a published format.

The first table has a row for each dataset, schedule and set (train or an evaluation set):
  mean, sd, mean abs, largest   differences, B minus A, over the trials that both have: the
                                same architecture, dataset, schedule and seed
  seeds A, seeds B              the spread between the seeds of an architecture
  relative                      the root mean square difference, divided by the one that a
                                change of seeds alone would cause: 0 for equal benchmarks,
                                about 1 for a repetition with other seeds
  tau, rho                      how similarly A and B rank the architectures: Kendall's
                                tau-b and Spearman's rho

With --schedules X,Y, compare compares the schedule X of A with the schedule Y of B, which may be
the same benchmark: two recipes.

If A and B have no trial in common, compare uses each architecture's mean over its seeds.
The second table lists the largest differences.`,
		Example: `  nb201 compare campaign NAS-Bench-201-v1_1-096897.pth
  nb201 compare campaign NAS-Bench-201-v1_1-096897.pth --report compare.html
  nb201 compare sweep sweep --schedules 12,warm`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("%s takes two benchmarks, A and B, got %d", commandName(c), len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			var options compare.Options
			if n := copy(options.Schedules[:], flags.schedules); c.Flags().Changed("schedules") && (n != 2 || len(flags.schedules) != 2) {
				return usage.Errorf("--schedules %s: name two schedules, one of A and one of B, such as 12,200", strings.Join(flags.schedules, ","))
			}
			page, err := flags.report.check(args, report.IsReport)
			if err != nil {
				return err
			}
			var benchmarks [2]*benchmark.Benchmark
			for i, path := range args {
				b, err := openBenchmark(c, path)
				if err != nil {
					return err
				}
				defer b.Close()
				benchmarks[i] = b
			}
			comparison, err := runComparison(c, benchmarks[0], benchmarks[1], options)
			if err != nil {
				return err
			}
			if page != nil {
				if _, err := writeReport(c, page, benchmarks[0], comparison); err != nil {
					return err
				}
			}
			if flags.json {
				return printJSON(c, comparison)
			}
			return printComparison(human(c), comparison)
		},
	}
	flags.report.add(c.Flags(), "report", "write the page of nb201 report A --against B into `FILE.html`; an earlier report is replaced")
	c.Flags().StringSliceVar(&flags.schedules, "schedules", nil, "compare the schedule `X,Y` of A and B with each other")
	c.Flags().BoolVar(&flags.json, "json", false, jsonUsage)
	return c
}

// runComparison compares two benchmarks, and shows its progress.
func runComparison(c *cobra.Command, a, b *benchmark.Benchmark, o compare.Options) (*compare.Report, error) {
	progressed, done := countUp(c.ErrOrStderr(), "architectures", "comparing")
	defer done()
	o.Progress = progressed
	return compare.Run(c.Context(), a, b, o)
}

// printComparison prints the tables of a report.
func printComparison(w io.Writer, r *compare.Report) error {
	inert.Fprintf(w, "A  %s (%s, %s)\nB  %s (%s, %s)\nin common: %s\n",
		r.A.Path, r.A.Format, quantity.Format(r.A.Architectures, "architecture"), r.B.Path, r.B.Format, quantity.Format(r.B.Architectures, "architecture"),
		quantity.Format(r.Common, "architecture"))
	if r.Skipped > 0 {
		inert.Fprintf(w, "left out: %s of trials, without a finite loss and an accuracy of 0 to 100 %% after the last epoch\n", quantity.Format(r.Skipped, "set"))
	}
	fmt.Fprint(w, "\ntop-1 accuracy, %: differences (B minus A), and the spread between seeds\n\n")
	table := layout.NewNumbers(w, 3)
	fmt.Fprintln(table, "dataset\tschedule\tset\ttrials\tarchitectures\tmean\tsd\tmean abs\tlargest\tseeds A\tseeds B\trelative\ttau\trho\t")
	var byMeans bool
	for _, c := range r.Comparisons {
		m := c.Top1
		inert.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%.3f\t%s\t%.3f\t%.3f\t%s\t%s\t%s\t%s\t%s\t\n",
			c.Dataset, c.Schedule, c.Set, c.Trials, c.Architectures, m.Mean, ifAny(m.SD), m.MeanAbs, m.MaxAbs,
			ifAny(m.SpreadA), ifAny(m.SpreadB), ifAny(m.Relative), ifAny(m.Kendall), ifAny(m.Spearman))
		byMeans = byMeans || c.Trials == 0
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if byMeans {
		fmt.Fprint(w, "\nrows without trials compare the architectures' means over their seeds: A and B have no such trial in common\n")
	}
	return printWorst(w, r)
}

// ifAny formats a value with three decimals, or returns a dash for nil.
func ifAny(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 3, 64)
}

// printWorst prints the ten largest differences on evaluation sets.
func printWorst(w io.Writer, r *compare.Report) error {
	type difference struct {
		compare.Pair
		of *compare.Comparison
	}
	var all []difference
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		if c.Set == benchmark.TrainingSet {
			continue
		}
		for _, p := range c.Worst {
			all = append(all, difference{p, c})
		}
	}
	slices.SortStableFunc(all, func(a, b difference) int { return cmp.Compare(math.Abs(b.B-b.A), math.Abs(a.B-a.A)) })
	fmt.Fprint(w, "\nlargest differences on evaluation sets\n\n")
	table := layout.NewNumbers(w, 5)
	fmt.Fprintln(table, "dataset\tschedule\tset\tarchitecture\tseed\tA\tB\tdifference\t")
	for _, d := range all[:min(len(all), 10)] {
		seed := "mean"
		if d.Seed != nil {
			seed = fmt.Sprint(*d.Seed)
		}
		inert.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%.3f\t%.3f\t%.3f\t\n", d.of.Dataset, d.of.Schedule, d.of.Set, d.Arch, seed, d.A, d.B, d.B-d.A)
	}
	return table.Flush()
}
