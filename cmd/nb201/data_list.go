package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/inert"
	"nb201/internal/layout"
)

func newDataListCommand() *cobra.Command {
	var root string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [FILE.json...]",
		Short: "List datasets and where their images are",
		Long: `list shows the built-in dataset keys, and the datasets of any definition files given, with
the paths of their images. It does not read the images; nb201 data check does. A dataset of
evaluation sets alone has none to train on.`,
		Example: `  nb201 data list
  nb201 data list datasets/*.json --json`,
		RunE: func(c *cobra.Command, args []string) error {
			var list []listedDataset
			for _, name := range append(configs.Datasets(), args...) {
				d, err := data.Find(name)
				if err != nil {
					return err
				}
				list = append(list, listDataset(d, root))
			}
			if asJSON {
				return printJSON(c, list)
			}
			return printDatasets(human(c), list)
		},
	}
	addData(c.Flags(), &root, dataUsage)
	c.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	return c
}

// listedDataset is a row of the list.
type listedDataset struct {
	Key      string      `json:"key"`
	Classes  int         `json:"classes"`
	Size     int         `json:"size"`
	Images   data.Counts `json:"images,omitzero"` // that the files must contain
	EvalOnly bool        `json:"evaluation_only,omitzero"`
	Format   string      `json:"format"`
	Path     string      `json:"path,omitempty"`    // of the images; "" if they are embedded or missing
	Problem  string      `json:"problem,omitempty"` // why the images cannot be found, and what to do
	Embedded bool        `json:"embedded,omitzero"`
}

// listDataset looks for the images of d in the data directory root.
func listDataset(d data.Definition, root string) listedDataset {
	l := listedDataset{Key: d.Name, Classes: d.Classes, Size: d.Size[0], Images: d.Images, EvalOnly: d.EvaluationOnly(), Format: d.Format, Embedded: d.Path == ""}
	path, format, err := d.Where(root)
	if err != nil {
		l.Problem = err.Error()
		return l
	}
	l.Path, l.Format = path, format
	return l
}

// printDatasets prints the list as a table.
func printDatasets(w io.Writer, list []listedDataset) error {
	t := layout.NewTable(w, 1)
	fmt.Fprintln(t, "dataset\tclasses\timage\ttrain\ttest\tformat\timages")
	number := func(n int) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprint(n)
	}
	missing := false
	for _, l := range list {
		where := cmp.Or(l.Path, "part of this program")
		if l.Problem != "" {
			where, missing = "none found", true
		}
		toTrain := number(l.Images.Train)
		if l.EvalOnly {
			toTrain = "none"
		}
		inert.Fprintf(t, "%s\t%d\t%dx%d\t%s\t%s\t%s\t%s\n", l.Key, l.Classes, l.Size, l.Size,
			toTrain, number(l.Images.Test), l.Format, where)
	}
	if err := t.Flush(); err != nil || !missing {
		return err
	}
	_, err := fmt.Fprintln(w, "\nDownload missing images with nb201 data get KEY (ImageNet16-120: see nb201 data get --help), or name their directory with --data DIR.")
	return err
}
