package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
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

` + exportFormats() + `
--times published writes times by the rule of the published files: those of the trial
with seed 777 on cifar10-valid of the schedule --less, scaled by numbers of images.

--latency writes the latencies that nb201 latency --json has measured, in place of those
that the trials measured at their end, perhaps beside others on a busy device.

Where --to is a directory that is there, ` + export.NamesWith(func(t export.Traits) bool { return t.Named }) + ` go into it under the
published names, with the last digits of their MD5. Nothing that is there is replaced.

Trials on one dataset key and along one schedule that differ in their settings (data,
recipe, parity, precision, start weights) are refused; --allow-mixed exports them, and
says what differs.

An export that was stopped or killed leaves what is done in PATH.partial; the same
command goes on from there.`,
		Example: `  nb201 export demo --format nasbench201 --to NAS-Bench-201.pth
  nb201 export NATS-tss-v1_0-3ffb9-simple --format parquet --to tables`,
		Args: oneArgument("PATH", "a campaign, or a file or directory of a published format"),
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
			options.Format, options.Times = benchmark.Format(flags.format), export.Times(flags.times)
			var done func()
			options.Progress, done = countUp(c.ErrOrStderr(), "architectures", "exporting")
			report, err := export.Run(c.Context(), b, options)
			done()
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
	c.Flags().StringVar(&flags.format, "format", "", "`FORMAT`: "+commaList(export.Formats()))
	c.Flags().StringVar(&flags.To, "to", "", "`PATH` of the file or directory to make")
	c.Flags().IntVar(&flags.Less, "less", 0, "`EPOCHS` of the schedule in the slot '12' (default 12)")
	c.Flags().IntVar(&flags.Full, "full", 0, "`EPOCHS` of the schedule in the slot '200' (default 200)")
	c.Flags().StringVar(&flags.times, "times", string(export.Measured), "which `TIMES`: "+commaList(export.AllTimes()))
	c.Flags().StringSliceVar(&flags.latencies, "latency", nil, "`FILES` of nb201 latency --json, whose latencies are to be written")
	c.Flags().BoolVar(&flags.Merged, "merged", false, export.NamesWith(func(t export.Traits) bool { return t.Merged == export.Asked })+": make one file in place of a directory")
	c.Flags().BoolVar(&flags.Mixed, "allow-mixed", false, "export trials together that differ in their settings")
	c.Flags().BoolVar(&flags.RawCells, "raw-cells", false, export.NamesWith(func(t export.Traits) bool { return t.RawCells })+": leave text that looks like a formula as it is")
	c.Flags().BoolVar(&flags.Weights, "weights", false, export.NamesWith(func(t export.Traits) bool { return t.Weights == export.Asked })+": keep the trained weights")
	c.Flags().BoolVar(&flags.json, "json", false, "print what was exported as one JSON document")
	require(c, "format", "to")
	return c
}

// exportFormats describes the formats.
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
%s have two slots for schedules, which the clients call '12'
and '200'; --less and --full say which schedules fill them. %s takes every schedule
under its own name; with --less or --full those two alone, as '12' and '200'.
%s take every schedule.
`, slots(export.FixedSlots), slots(export.AskedSlots), slots(export.NoSlots))
	return b.String()
}

// commaList names the values that a flag can have.
func commaList[T ~string](values []T) string {
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
