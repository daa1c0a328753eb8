package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/progress"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
)

func newExportCommand() *cobra.Command {
	var flags struct {
		export.Options
		format, times string
		latencies     []string
		json          bool
	}
	c := &cobra.Command{
		Use:   "export PATH --format FORMAT --to PATH",
		Short: "Make a file of a published format from a campaign or from another file",
		Long: `Make a file of a published format from a benchmark: from the trials of a campaign that
are done, or from a file or directory of another format.

  runs         a directory of arch-NNNNNN-seed-SSSS.pth, with weights, as the original
               program leaves them; from a campaign alone
  archive      a directory of NNNNNN-FULL.pth (with weights) and NNNNNN-SIMPLE.pth
               for each architecture, which NASBench201API.reload reads
  nasbench201  one .pth of all architectures, without weights, which NASBench201API opens
  nats         a directory of meta.pickle.pbz2 and NNNNNN.pickle.pbz2, which nats_bench
               opens with fast_mode=True; with --merged, or where --to ends in
               .pickle.pbz2, the one file that it opens with fast_mode=False;
               --weights keeps the weights in it
  parquet      a directory of two tables, trials.parquet (a row for each trial) and
               epochs.parquet (a row for each epoch and set of images of a trial)
  csv          the same as trials.csv and epochs.csv, with descriptions beside them; text
               that a spreadsheet would take for a formula (it begins with = + - @, a tab
               or a carriage return) has an apostrophe in front, unless --raw-cells leaves
               it as it is

runs, archive and nasbench201 have two slots for schedules, which the clients call '12'
and '200'; --less and --full say which schedules fill them. nats takes every schedule
under its own name; with --less or --full those two alone, as '12' and '200'. parquet
and csv take every schedule.

--times published writes times by the rule of the published files: those of the trial
with seed 777 on cifar10-valid of the schedule --less, scaled by numbers of images.

--latency writes the latencies that nb201 latency --json has measured, in place of those
that the trials measured at their end, perhaps beside others on a busy device.

Where --to is a directory that is there, nasbench201 and nats go into it under the
published names, with the last digits of their MD5. Nothing that is there is replaced.

Trials on one dataset key and along one schedule that differ in their settings (data,
recipe, parity, precision, start weights) are refused; --allow-mixed exports them, and
says what differs.

An export that was stopped or killed leaves what is done in PATH.partial; the same
command goes on from there.`,
		Example: `  nb201 export demo --format nasbench201 --to NAS-Bench-201.pth
  nb201 export NATS-tss-v1_0-3ffb9-simple --format parquet --to tables`,
		Args: one("PATH", "a campaign, or a file or directory of a published format"),
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
			bar, done := (*progress.Bar)(nil), 0
			options.Format, options.Times = benchmark.Format(flags.format), export.Times(flags.times)
			options.Progress = func(now, total int) {
				if bar == nil {
					bar = progress.New(c.ErrOrStderr(), int64(total), "architectures", "exporting")
				}
				bar.Add(int64(now - done))
				done = now
			}
			report, err := export.Run(c.Context(), b, options)
			if bar != nil {
				bar.Done()
			}
			if err != nil {
				var partial *export.Partial
				if errors.As(err, &partial) {
					inert.Fprintf(c.ErrOrStderr(), "%s\n", partial.Note())
				}
				return err
			}
			for _, warning := range report.Warnings() {
				inert.Fprintf(c.ErrOrStderr(), "warning: %s\n", warning)
			}
			if flags.json {
				return printJSON(c, report)
			}
			return printExport(c.OutOrStdout(), report)
		},
	}
	c.Flags().StringVar(&flags.format, "format", "", "`FORMAT`: "+list(export.Formats()))
	c.Flags().StringVar(&flags.To, "to", "", "`PATH` of the file or directory to make")
	c.Flags().IntVar(&flags.Less, "less", 0, "`EPOCHS` of the schedule in the slot '12' (default 12)")
	c.Flags().IntVar(&flags.Full, "full", 0, "`EPOCHS` of the schedule in the slot '200' (default 200)")
	c.Flags().StringVar(&flags.times, "times", string(export.Measured), "which `TIMES`: "+list(export.AllTimes()))
	c.Flags().StringSliceVar(&flags.latencies, "latency", nil, "`FILES` of nb201 latency --json, whose latencies are to be written")
	c.Flags().BoolVar(&flags.Merged, "merged", false, "nats: make one file in place of a directory")
	c.Flags().BoolVar(&flags.Mixed, "allow-mixed", false, "export trials together that differ in their settings")
	c.Flags().BoolVar(&flags.RawCells, "raw-cells", false, "csv: leave text that looks like a formula as it is")
	c.Flags().BoolVar(&flags.Weights, "weights", false, "nats: keep the trained weights")
	c.Flags().BoolVar(&flags.json, "json", false, "print what was exported as one JSON document")
	require(c, "format", "to")
	return c
}

// list names the values that a flag can have.
func list[T ~string](values []T) string {
	var names []string
	for _, v := range values {
		names = append(names, string(v))
	}
	return strings.Join(names, ", ")
}

func printExport(w io.Writer, r *export.Report) error {
	inert.Fprintf(w, "architectures  %d\ntrials         %d\n\n", r.Architectures, r.Trials)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "slot\tepochs\tdataset\tseed\tarchitectures\t")
	for _, slot := range r.Slots {
		for _, c := range slot.Coverage {
			inert.Fprintf(table, "%s\t%d\t%s\t%d\t%d\t\n", slot.Name, slot.Epochs, c.Dataset, c.Seed, c.Architectures)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := inert.Fprintf(w, "\nexport  %s\n", r.Path)
	return err
}
