package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/internal/progress"
	"nb201/results"
)

func newExportCommand() *cobra.Command {
	var flags struct {
		results.Options
		format string
		json   bool
	}
	c := &cobra.Command{
		Use:   "export DIR --format archive|nasbench201 --to PATH",
		Short: "Make a file of a published format from a campaign",
		Long: `Make a file of a published format from the trials of the campaign DIR that are done,
for the unmodified Python clients:

  archive      a directory of NNNNNN-FULL.pth (with weights) and NNNNNN-SIMPLE.pth
               for each architecture, which NASBench201API.reload reads
  nasbench201  one .pth of all architectures, without weights, which NASBench201API
               opens; where PATH is a directory that is there, the file is put into
               it and called after its MD5, as the published files are

These formats have two slots for schedules, which the client calls '12' and '200';
--less and --full say which schedules fill them. Nothing that is there is replaced.`,
		Example: `  nb201 export demo --format nasbench201 --to NAS-Bench-201.pth`,
		Args:    one("DIR", "a campaign directory"),
		RunE: func(c *cobra.Command, args []string) error {
			var bar *progress.Bar
			options := flags.Options
			options.Format = results.Format(flags.format)
			options.Progress = func(done, total int) {
				if bar == nil {
					bar = progress.New(c.ErrOrStderr(), int64(total), "architectures", "exporting")
				}
				bar.Add(1)
			}
			report, err := results.Export(c.Context(), results.Campaign{Dir: args[0]}, options)
			if bar != nil {
				bar.Done()
			}
			if err != nil {
				return err
			}
			for _, warning := range report.Warnings() {
				fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", warning)
			}
			if flags.json {
				return printJSON(c, report)
			}
			return printExport(c.OutOrStdout(), report)
		},
	}
	var formats []string
	for _, format := range results.Formats() {
		formats = append(formats, string(format))
	}
	c.Flags().StringVar(&flags.format, "format", "", "`FORMAT`: "+strings.Join(formats, " or "))
	c.Flags().StringVar(&flags.To, "to", "", "`PATH` of the file or directory to make")
	c.Flags().IntVar(&flags.Less, "less", 12, "`EPOCHS` of the schedule in the slot '12'")
	c.Flags().IntVar(&flags.Full, "full", 200, "`EPOCHS` of the schedule in the slot '200'")
	c.Flags().BoolVar(&flags.json, "json", false, "print what was exported as one JSON document")
	require(c, "format", "to")
	return c
}

func printExport(w io.Writer, r *results.Report) error {
	fmt.Fprintf(w, "architectures  %d\ntrials         %d\n\n", r.Architectures, r.Trials)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "slot\tepochs\tdataset\tseed\tarchitectures\t")
	for _, slot := range r.Slots {
		for _, c := range slot.Coverage {
			fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%d\t\n", slot.Name, slot.Epochs, c.Dataset, c.Seed, c.Architectures)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nexport  %s\n", r.Path)
	return err
}
