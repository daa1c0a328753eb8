package main

import "github.com/spf13/cobra"

func newDataCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "data",
		Short: "Download, make, list and check datasets",
		Long: `A dataset is named by a built-in dataset key (see nb201 data list) or by a definition file
(*.json), which nb201 data import makes from your own images. Images of the
built-in keys are in the data directory: --data, or else $NB201_DATA, $TORCH_HOME or ~/.torch.`,
		Args: commandsOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
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
