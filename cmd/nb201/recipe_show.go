package main

import (
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/guptarohit/asciigraph"
	"github.com/spf13/cobra"
)

func newRecipeShowCommand() *cobra.Command {
	var space spaceFlag
	var asJSON bool
	c := &cobra.Command{
		Use:   "show NAME|FILE.json",
		Short: "Show a recipe in full, with its learning rates",
		Long: `show prints a recipe with what its file leaves out and its hash, and draws the learning rate
of each epoch's first batch. Its JSON, with another name, is a beginning for a recipe file.`,
		Example: `  nb201 recipe show 200
  nb201 recipe show warm.json --json`,
		Args: oneArgument("NAME|FILE.json", "a recipe: a number of epochs, or a file"),
		RunE: func(c *cobra.Command, args []string) error {
			shown, err := findRecipe(space.orDefault(), args[0])
			if err != nil {
				return err
			}
			rates := make([]float64, shown.Recipe.Epochs)
			for epoch := range rates {
				rates[epoch] = shown.Recipe.LearningRates(epoch, 1)(0)
			}
			if asJSON {
				return printJSON(c, struct {
					*shownRecipe
					Rates []float64 `json:"learning_rate_by_epoch"` // of the first batch
				}{shown, rates})
			}
			return printRecipe(human(c), shown, rates)
		},
	}
	space.addFlags(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	return c
}

// printRecipe prints a recipe and draws its learning rates.
func printRecipe(w io.Writer, s *shownRecipe, rates []float64) error {
	text, err := json.Marshal(s.Recipe, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("cannot encode the recipe: %w", err)
	}
	fmt.Fprintf(w, "schedule %s, SHA-256 %s\n%s\n", s.Schedule, s.SHA256, text) // a checked recipe has no text that is not inert
	if len(rates) < 2 {
		return nil
	}
	const precision = 4
	_, err = fmt.Fprintf(w, "\n%s\n", asciigraph.Plot(rates, asciigraph.Height(graphHeight), asciigraph.Precision(precision),
		asciigraph.Width(graphWidth(w, precision)), asciigraph.Caption("learning rate by epoch")))
	return err
}
