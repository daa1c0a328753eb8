package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/inert"
)

func newDataListCommand() *cobra.Command {
	var root string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [FILE.json...]",
		Short: "List the dataset keys, and where their images are",
		Long: `List the dataset keys that are built in, and those of dataset definition files, with
where the images of each are. Nothing is read: see "nb201 data check".`,
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
			return printDatasets(c.OutOrStdout(), list)
		},
	}
	c.Flags().StringVar(&root, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

// listedDataset is a line of the list.
type listedDataset struct {
	Key      string      `json:"key"`
	Classes  int         `json:"classes"`
	Size     int         `json:"size"`
	Images   data.Counts `json:"images,omitzero"` // that the files must hold
	Format   string      `json:"format"`
	Path     string      `json:"path,omitempty"`    // where the images are; none of embedded ones
	Problem  string      `json:"problem,omitempty"` // and what mends it
	Embedded bool        `json:"embedded,omitzero"`
}

func listDataset(d data.Definition, root string) listedDataset {
	l := listedDataset{Key: d.Name, Classes: d.Classes, Size: d.Size[0], Images: d.Images, Format: d.Format, Embedded: d.Path == ""}
	path, format, err := d.Where(root)
	if err != nil {
		l.Problem = err.Error()
		return l
	}
	l.Path, l.Format = path, format
	return l
}

func printDatasets(w io.Writer, list []listedDataset) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
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
		inert.Fprintf(t, "%s\t%d\t%dx%d\t%s\t%s\t%s\t%s\n", l.Key, l.Classes, l.Size, l.Size,
			number(l.Images.Train), number(l.Images.Test), l.Format, where)
	}
	if err := t.Flush(); err != nil || !missing {
		return err
	}
	_, err := fmt.Fprintln(w, "\nnb201 data get KEY gets those that can be downloaded; --data DIR names where they are.")
	return err
}
