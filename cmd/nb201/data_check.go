package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"nb201/data"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/quantity"
)

func newDataCheckCommand() *cobra.Command {
	var root string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check KEY|FILE.json",
		Short: "Check a dataset's files against its definition",
		Long: `check reads all images of a dataset key or a definition file, and shows
  - the files, their SHA-256, and whether they are the published ones
  - the images of each set, and its largest and smallest class
  - mean and deviation of the training images, next to those in the definition; of a dataset of
    evaluation sets alone, those in the definition, which came with the weights

It exits with code 2 if files are missing or damaged, or hold another number of images than
the definition says. It exits with code 3 if files differ from the published ones (as those
made by nb201 data imagenet16 do), a class has no training image, or a mean or deviation is
off by more than 1 of 255.`,
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
				err = printChecked(human(c), report)
			}
			if n := len(report.Faults); err == nil && n > 0 {
				err = trialsFailed(fmt.Sprintf("%s does not match its definition: %s", report.Key, quantity.Format(n, "fault")))
			}
			return err
		},
	}
	addData(c.Flags(), &root, dataUsage)
	c.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	return c
}

// printChecked prints a report as tables.
func printChecked(w io.Writer, r *data.Report) error {
	inert.Fprintf(w, "%s  %d classes, %dx%d, %s\n%s\n\n", r.Key, r.Classes, r.Size, r.Size, r.Format, cmp.Or(r.Path, "part of this program"))

	files := layout.NewTable(w, 1)
	fmt.Fprintln(files, "file\tSHA-256\tpublished")
	for _, f := range r.Files {
		inert.Fprintf(files, "%s\t%.16s...\t%s\n", f.Name, f.SHA256, cmp.Or(f.Published, "-"))
	}
	if err := files.Flush(); err != nil {
		return err
	}

	fmt.Fprintln(w)
	sets := layout.NewNumbers(w, 1)
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
	channels := layout.NewNumbers(w, 1)
	type line struct {
		name   string
		values [3]float64
	}
	heading, lines := "definition, 0..255", []line{{"mean", r.Definition.Mean}, {"deviation", r.Definition.Std}}
	if r.Measured != nil {
		heading, lines = "train, 0..255", []line{
			{"mean", r.Measured.Mean}, {"in the definition", r.Definition.Mean},
			{"deviation", r.Measured.Std}, {"in the definition", r.Definition.Std},
		}
	}
	fmt.Fprintf(channels, "%s\tred\tgreen\tblue\t\n", heading)
	for _, line := range lines {
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
