package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/data"
	"nb201/internal/inert"
	"nb201/internal/progress"
)

func newDataCheckCommand() *cobra.Command {
	var root string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check KEY|FILE.json",
		Short: "Hold the files of a dataset against its definition",
		Long: `Read the images of a dataset key or of a dataset definition file and tell what is there:
the files with their hashes, and whether they are the published ones; the images of each
set and the balance of the classes; mean and deviation of the images trained on, beside
those that the definition normalises with.

Files that are missing or damaged, and another number of images than the definition says,
end it with exit code 2; files that differ from the published ones, classes without an
image to train on, and means or deviations that are off by more than 1 of 255, with 3. The
files that "nb201 data imagenet16" makes are not the published ones.`,
		Example: `  nb201 data check cifar10
  nb201 data check datasets/mine.json --json`,
		Args: oneArgument("dataset", "a key or a definition file (*.json)"),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := data.Find(args[0])
			if err != nil {
				return err
			}
			warn(c, d.Warning())
			report, err := d.Check(root)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c, report)
			} else {
				err = printChecked(c.OutOrStdout(), report)
			}
			if n := len(report.Faults); err == nil && n > 0 {
				err = trialsFailed(fmt.Sprintf("%s is not what its definition says: %s", report.Key, progress.Quantity(n, "fault")))
			}
			return err
		},
	}
	c.Flags().StringVar(&root, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

func printChecked(w io.Writer, r *data.Report) error {
	inert.Fprintf(w, "%s  %d classes, %dx%d, %s\n%s\n\n", r.Key, r.Classes, r.Size, r.Size, r.Format, cmp.Or(r.Path, "part of this program"))

	files := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(files, "file\tSHA-256\tpublished")
	for _, f := range r.Files {
		inert.Fprintf(files, "%s\t%.16s...\t%s\n", f.Name, f.SHA256, cmp.Or(f.Published, "-"))
	}
	if err := files.Flush(); err != nil {
		return err
	}

	fmt.Fprintln(w)
	sets := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(sets, "set\timages\tmost of a class\tfewest\t")
	for _, s := range r.Sets {
		most, fewest := slices.Max(s.Class), slices.Min(s.Class)
		inert.Fprintf(sets, "%s\t%d\t%d (class %d)\t%d (class %d)\t\n", s.Name, s.Images,
			most, slices.Index(s.Class, most), fewest, slices.Index(s.Class, fewest))
	}
	if err := sets.Flush(); err != nil {
		return err
	}

	fmt.Fprintln(w)
	channels := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(channels, "train, 0..255\tred\tgreen\tblue\t")
	for _, line := range []struct {
		name   string
		values [3]float64
	}{
		{"mean", r.Measured.Mean}, {"in the definition", r.Definition.Mean},
		{"deviation", r.Measured.Std}, {"in the definition", r.Definition.Std},
	} {
		inert.Fprintf(channels, "%s\t%.2f\t%.2f\t%.2f\t\n", line.name, line.values[0], line.values[1], line.values[2])
	}
	if err := channels.Flush(); err != nil {
		return err
	}

	fmt.Fprintln(w)
	if len(r.Faults) == 0 {
		_, err := fmt.Fprintln(w, "no faults")
		return err
	}
	fmt.Fprintln(w, "faults:")
	for _, f := range r.Faults {
		if _, err := inert.Fprintf(w, "  %s\n", f); err != nil {
			return err
		}
	}
	return nil
}
