package main

import (
	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/outfile"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/compare"
	"nb201/results/published"
	"nb201/results/report"
	"nb201/scheduler/status"
)

func newReportCommand() *cobra.Command {
	var flags struct {
		to      outputFlags
		against string
	}
	c := &cobra.Command{
		Use:   "report PATH --to FILE.html",
		Short: "Make a page with plots of a benchmark",
		Long: `report makes a page to look at a benchmark in a browser: learning curves, accuracy against
cost with the Pareto front, operations, the best and worst cells, rank correlations between
datasets, schedules and epochs, and how the trials were made. For a campaign, it also shows
how far the campaign is, and its failures. The page is one file that needs no network.

PATH is a campaign directory, or a file or directory of a published format:
` + published.Describe() + `.

With --against, the page also compares PATH with another benchmark, as nb201 compare does.
Points and lines answer to the mouse and the keyboard, and open their architecture. Each plot
shows its numbers as a table, and saves them as CSV. Trials that are damaged are left out and
listed on the page.

The page stays below 10 MB. For many architectures, its learning curves are therefore means
over the seeds, for some of the epochs; the page says so. Its other numbers are complete.`,
		Example: `  nb201 report campaign --to report.html
  nb201 report NAS-Bench-201-v1_1-096897.pth --to published.html
  nb201 report campaign --against NAS-Bench-201-v1_1-096897.pth --to both.html`,
		Args: oneArgument("PATH", "a campaign or a published file"),
		RunE: func(c *cobra.Command, args []string) error {
			if flags.to.path == "" {
				return usage.Errorf("%s needs --to FILE.html", commandName(c))
			}
			inputs := args
			if flags.against != "" {
				inputs = append(inputs, flags.against)
			}
			page, err := flags.to.check(inputs, report.IsReport)
			if err != nil {
				return err
			}
			b, err := openBegun(c, args[0])
			if err != nil {
				return err
			}
			defer b.Close()
			var comparison *compare.Report
			if flags.against != "" {
				other, err := openBenchmark(c, flags.against)
				if err != nil {
					return err
				}
				defer other.Close()
				if comparison, err = runComparison(c, b, other, compare.Options{}); err != nil {
					return err
				}
			}
			r, err := writeReport(c, page, b, comparison)
			if err != nil {
				return err
			}
			_, err = inert.Fprintf(human(c), "%s: %s of %s in %s\n", flags.to.path,
				quantity.Format(r.Trials(), "trial"), quantity.Format(r.Architectures(), "architecture"), args[0])
			return err
		},
	}
	flags.to.add(c.Flags(), "to", "write the page into `FILE.html`; an earlier report is replaced")
	c.Flags().StringVar(&flags.against, "against", "", "also compare with the benchmark `PATH`")
	return c
}

// writeReport makes the page of a benchmark, and of its comparison with another unless that is nil.
// It warns of what is damaged and left out.
func writeReport(c *cobra.Command, page *outfile.Output, b *benchmark.Benchmark, comparison *compare.Report) (*report.Report, error) {
	o := report.Options{Program: "nb201 " + version, Against: comparison}
	if campaign, ok := b.Campaign(); ok {
		s, err := status.Read(c.Context(), campaign.Dir)
		if err != nil {
			return nil, err
		}
		o.Campaign = s
	}
	reading, done := countUp(c.ErrOrStderr(), "architectures", "reading")
	o.Reading = reading
	r, err := report.Make(c.Context(), b, o)
	done()
	if err != nil {
		return nil, err
	}
	if damaged := r.Damaged(); len(damaged) > 0 {
		inert.Fprintf(humanErr(c), "left out as damaged: %s; nb201 verify %s lists what is wrong\n", quantity.Format(len(damaged), "file"), b.Path)
	}
	return r, page.Write(c.Context(), r.WriteHTML)
}
