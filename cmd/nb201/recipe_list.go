package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/usage"
	"nb201/results"
)

func newRecipeListCommand() *cobra.Command {
	var space spaceFlag
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [NAME|FILE.json...]",
		Short: "List recipes",
		Long: `list shows the published recipes of a search space, and those named or in files. Any other
number of epochs is a recipe too: that of 200 epochs, stretched to this length.`,
		Example: `  nb201 recipe list
  nb201 recipe list --space sss
  nb201 recipe list 90 recipes/*.json --json`,
		RunE: func(c *cobra.Command, args []string) error {
			var list []*shownRecipe
			for _, nameOrFile := range append(publishedSchedules(space.orDefault()), args...) {
				r, err := findRecipe(space.orDefault(), nameOrFile)
				if err != nil {
					return err
				}
				list = append(list, r)
			}
			if asJSON {
				return printJSON(c, list)
			}
			return printRecipes(human(c), list)
		},
	}
	space.addFlags(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	return c
}

// shownRecipe is a recipe as recipe list and recipe show print it: complete, with its hash.
type shownRecipe struct {
	Schedule string         `json:"schedule"` // the name of the schedule
	SHA256   string         `json:"sha256"`   // see configs.Recipe.Hash
	Recipe   configs.Recipe `json:"recipe"`
}

// publishedSchedules lists the names of the published schedules of a search space.
func publishedSchedules(space cell.Space) []string {
	var names []string
	for _, p := range space.Published() {
		names = append(names, space.Schedule(p.Epochs))
	}
	return slices.Compact(names)
}

// findRecipe returns the recipe that a command line names, with the published C, N and batch size of a
// search space unless it gives others.
func findRecipe(space cell.Space, nameOrFile string) (*shownRecipe, error) {
	r, err := configs.FindRecipe(nameOrFile)
	if err != nil {
		return nil, err
	}
	settings := configs.Published()
	settings.Channels, settings.Cells = space.Skeleton()
	r = settings.Complete(r)
	if err := cell.CheckSkeleton(space, r.Channels, r.Cells); err != nil {
		return nil, usage.Errorf("recipe %s: %w", nameOrFile, err)
	}
	schedule := results.Trial{Space: space.Name(), Recipe: r.Name, Epochs: r.Epochs}.Schedule()
	return &shownRecipe{schedule, r.Hash(), r}, nil
}

// printRecipes prints the list as a table.
func printRecipes(w io.Writer, list []*shownRecipe) error {
	t := layout.NewTable(w, 1)
	fmt.Fprintln(t, "recipe\tepochs\tbatch\tlearning rate\twarm-up\tdecay\tsmoothing\taugmentation\tC\tN\thash")
	for _, s := range list {
		r := &s.Recipe
		inert.Fprintf(t, "%s\t%d\t%d\t%v %s\t%d\t%v%s\t%v\t%s\t%s\t%s\t%s\n", s.Schedule, r.Epochs, r.Batch, r.LearningRate, r.Scheduler, r.Warmup,
			r.WeightDecay, describeDecayed(r.Decayed), r.LabelSmoothing, describeAugment(r.Augment), dashIfZero(r.Channels), dashIfZero(r.Cells), s.SHA256[:12])
	}
	return t.Flush()
}

// describeDecayed says which parameters decay, unless all do.
func describeDecayed(d configs.Decayed) string {
	if d == configs.DecayAll {
		return ""
	}
	return " of " + string(d)
}

// describeAugment says how a recipe changes the augmentation of a dataset.
func describeAugment(a configs.Augment) string {
	var parts []string
	for _, p := range []struct {
		name string
		on   *bool
	}{{"flip", a.Flip}, {"crop", a.Crop}} {
		if p.on != nil && *p.on {
			parts = append(parts, p.name)
		} else if p.on != nil {
			parts = append(parts, "no "+p.name)
		}
	}
	if a.Cutout > 0 {
		parts = append(parts, fmt.Sprintf("cutout %d", a.Cutout))
	}
	if parts == nil {
		return "the dataset's"
	}
	return strings.Join(parts, ", ")
}
