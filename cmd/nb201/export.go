package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/scheduler/plan"
)

func newExportCommand() *cobra.Command {
	var flags struct {
		export.Options
		format, times, listed string
		seed                  seedFlag
		archs                 string
		latencies             []string
		json                  bool
	}
	c := &cobra.Command{
		Use:   "export PATH --format FORMAT --to PATH",
		Short: "Write a campaign in a published format, or convert published files",
		Long: `export writes a benchmark in a published format. PATH is a campaign, whose finished trials
it exports, or a file or directory of another published format. FORMAT is one of

` + exportFormats() + `
Times and latencies:
  --times published computes times as the published files do: from the trial with seed 777
  on cifar10-valid with the schedule --less, scaled by the number of images; in the size
  search space, those of seed 777 and the schedule 01 on each dataset key. --latency
  takes latencies from the output of nb201 latency --json. Without it, the export has those
  that each trial measured at its end, perhaps on a device that other trials kept busy.

Output:
  If --to is an existing directory, ` + export.NamesWith(func(t export.Traits) bool { return t.Named }) + ` are written into it under names
  like the published ones, with the last digits of their MD5. The three kinds of nats (merged,
  simple, full with --weights) share the MD5 of the merged file, for which a directory is
  compressed twice. The clients open a file without a path only under the published name:
  --as-published gives that name, for nats_bench.create(None, "tss") or NASBench201API(None) with
  TORCH_HOME=DIR. Existing files are never replaced.
  An export that was stopped leaves its work in PATH.partial; the same command resumes it.

Some architectures:
  --archs exports a part of the benchmark. The clients take the architectures that nasbench201
  and nats list for the whole benchmark: --listed first lists only the exported ones if they are
  the first of the search space, and otherwise all; --listed all always lists all; --listed held
  lists those up to the last exported one. Programs that mutate architectures, such as
  nas-without-training, need all: a neighbour that is not listed gets the index -1. Programs that
  read every listed architecture, such as syne-tune, need the short list, and no gap in it.

Mixed settings:
  export refuses trials on one dataset and schedule that differ in their settings (data,
  recipe, parity, precision, initial weights). With --allow-mixed it exports them and reports
  what differs.`,
		Example: `  nb201 export demo --format nasbench201 --to NAS-Bench-201.pth
  nb201 export NATS-tss-v1_0-3ffb9-simple --format parquet --to tables`,
		Args: oneArgument("PATH", aBenchmark),
		RunE: func(c *cobra.Command, args []string) error {
			options := flags.Options
			for _, path := range flags.latencies {
				table, err := results.ReadLatencyTable(path)
				if err != nil {
					return err
				}
				options.Latencies = append(options.Latencies, table)
			}
			b, err := openBenchmark(c, args[0])
			if err != nil {
				return err
			}
			defer b.Close()
			if c.Flags().Changed("archs") {
				selected, err := plan.ParseArchs(b.Space, flags.archs)
				if err != nil {
					return err
				}
				options.Archs = slices.Collect(selected.All())
			}
			options.Format, options.Times = benchmark.Format(flags.format), export.Times(flags.times)
			options.Listed = export.Listing(flags.listed)
			if c.Flags().Changed("seed") {
				options.Seed = (*uint32)(&flags.seed)
			}
			var done func()
			options.Progress, done = countUp(c.ErrOrStderr(), "architectures", "exporting")
			report, err := export.Run(c.Context(), b, options)
			done()
			if err != nil {
				var partial *export.Partial
				if errors.As(err, &partial) {
					inert.Fprintf(humanErr(c), "%s\n", partial.Note())
				}
				return err
			}
			for _, warning := range report.Warnings() {
				inert.Fprintf(humanErr(c), "warning: %s\n", warning)
			}
			if flags.json {
				return printJSON(c, report)
			}
			if err := printExport(human(c), report); err != nil {
				return err
			}
			suggestNext(c, "verify", report.Path)
			return nil
		},
	}
	c.Flags().StringVar(&flags.format, "format", "", "published `FORMAT`: "+export.CommaList(export.Formats()))
	c.Flags().StringVar(&flags.To, "to", "", "write the file or directory `PATH`")
	c.Flags().StringVar(&flags.archs, "archs", "", "export only these architectures: "+archsUsage)
	c.Flags().StringVar(&flags.listed, "listed", string(export.ListFirst),
		export.NamesWith(func(t export.Traits) bool { return t.Lists })+": list these `ARCHITECTURES`: "+export.CommaList(export.AllListings()))
	c.Flags().StringVar(&flags.Less, "less", "", "fill the slot '12' with this `SCHEDULE` (default 12)")
	c.Flags().StringVar(&flags.Full, "full", "", "fill the slot '200' with this `SCHEDULE` (default 200)")
	c.Flags().StringVar(&flags.times, "times", string(export.Measured), "`TIMES` to write: "+export.CommaList(export.AllTimes()))
	c.Flags().StringSliceVar(&flags.latencies, "latency", nil, "write the latencies in `FILES`, made with nb201 latency --json")
	c.Flags().BoolVar(&flags.Merged, "merged", false,
		export.NamesWith(func(t export.Traits) bool { return t.Merged == export.ChoiceAsked })+": make one file instead of a directory")
	c.Flags().BoolVar(&flags.AsPublished, "as-published", false,
		export.NamesWith(func(t export.Traits) bool { return t.Published })+": name the export in the directory --to like the published one")
	c.Flags().BoolVar(&flags.Mixed, "allow-mixed", false, "also export trials whose settings differ")
	c.Flags().BoolVar(&flags.RawCells, "raw-cells", false,
		export.NamesWith(func(t export.Traits) bool { return t.RawCells })+": do not mark text that looks like a formula")
	c.Flags().Var(&flags.seed, "seed", export.NamesWith(func(t export.Traits) bool { return t.OneSeed })+": `SEED` of the trials (default 777)")
	c.Flags().BoolVar(&flags.Weights, "weights", false,
		export.NamesWith(func(t export.Traits) bool { return t.Weights == export.ChoiceAsked })+": keep the trained weights")
	c.Flags().BoolVar(&flags.json, "json", false, jsonUsage)
	markRequired(c, "format", "to")
	return c
}

// exportFormats describes the formats, and which schedules each contains.
func exportFormats() string {
	const indent = "               "
	var b strings.Builder
	for _, t := range export.AllTraits() {
		fmt.Fprintf(&b, "  %-11s  %s\n", t.Format, strings.ReplaceAll(t.About, "\n", "\n"+indent))
	}
	slots := func(s export.Slotting) string {
		return export.NamesWith(func(t export.Traits) bool { return t.Slots == s })
	}
	fmt.Fprintf(&b, `
Schedules:
  A slot is a place for one schedule in a published file; the clients call the two slots '12'
  and '200', or '90' in the size search space. %s have both;
  --less and --full choose the schedules that fill them. %s has every schedule under its own
  name, or with --less or --full only those two, in the slots. %s have every schedule,
  and %s has the one that --full names.
`, slots(export.FixedSlots), slots(export.AskedSlots), slots(export.NoSlots), slots(export.FullSlot))
	return b.String()
}

// printExport prints what was exported.
func printExport(w io.Writer, r *export.Report) error {
	inert.Fprintf(w, "architectures  %d\ntrials         %d\n\n", r.Architectures, r.Trials)
	table := layout.NewNumbers(w, 2)
	fmt.Fprintln(table, "slot\tepochs\tdataset\tseed\tarchitectures\t")
	for _, slot := range r.Slots {
		for _, c := range slot.Coverage {
			inert.Fprintf(table, "%s\t%d\t%s\t%d\t%d\t\n", slot.Name, slot.Epochs, c.Dataset, c.Seed, c.Architectures)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(r.Sets) > 0 {
		fmt.Fprintln(w)
		sets := layout.NewNumbers(w, 2)
		fmt.Fprintln(sets, "dataset\tcurves of\tarchitectures\t")
		for _, s := range r.Sets {
			inert.Fprintf(sets, "%s\t%s\t%d\t\n", s.Dataset, s.Set, s.Architectures)
		}
		if err := sets.Flush(); err != nil {
			return err
		}
	}
	_, err := inert.Fprintf(w, "\nexport  %s\n", r.Path)
	return err
}
