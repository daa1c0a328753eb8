package main

import "github.com/spf13/cobra"

func newRecipeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "recipe",
		Short: "List, show and check training recipes",
		Long: `A recipe says how networks are trained: optimizer, learning rate, epochs, batch size,
augmentation, and C and N. nb201 train and nb201 plan take one with --recipe: the name of
a published one, or a file (*.json).`,
		Args: commandsOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newRecipeCheckCommand(), newRecipeListCommand(), newRecipeShowCommand())
	return c
}
