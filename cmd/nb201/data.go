package main

import "github.com/spf13/cobra"

func newDataCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "data",
		Short: "Get, make, list and check data sets",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		newDataCheckCommand(),
		newDataGetCommand(),
		newDataImageNet16Command(),
		newDataImportCommand(),
		newDataListCommand(),
	)
	return c
}
