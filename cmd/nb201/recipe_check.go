package main

import (
	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/internal/inert"
	"nb201/internal/usage"
)

func newRecipeCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE.json...",
		Short: "Check recipe files",
		Long: `check reads recipe files and reports what is wrong with the first that no trial could be
trained with. Whether a recipe fits a dataset, nb201 plan and nb201 train check.`,
		Example: `  nb201 recipe check warm.json
  nb201 recipe check recipes/*.json`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("name at least one recipe file")
			}
			names := map[string]string{}
			for _, file := range args {
				r, err := configs.ReadRecipe(file)
				if err != nil {
					return err
				}
				if other, twice := names[r.Name]; twice {
					return usage.Errorf("%s and %s have the same name, %q; rename one of the recipes", other, file, r.Name)
				}
				names[r.Name] = file
				inert.Fprintf(human(c), "%s: recipe %s is valid\n", file, r.Name)
			}
			return nil
		},
	}
}
