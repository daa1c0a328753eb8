package main

import (
	"io"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/inert"
	"nb201/internal/outfile"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/train"
)

func newInitCommand() *cobra.Command {
	var flags struct {
		skeleton
		to      outputFlags
		seed    seedFlag
		dataset string
		parity  configs.Parity
	}
	c := &cobra.Command{
		Use:   "init ARCH --seed S --to FILE.pth",
		Short: "Write the exact initial network of a seed as a torch checkpoint",
		Long: `Write the initial network of an architecture and a seed, bit for bit the one that
the original program starts training from, as a torch checkpoint of the state dict.
It is drawn as in the parity profile's torch: 2019 (torch 1.2-1.5), 1.7, or modern
(torch 1.9 and later).`,
		Example: `  nb201 init 0 --seed 777 --to initial.pth`,
		Args:    oneArgument("ARCH", anArchitecture),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := cell.Resolve(args[0])
			if err != nil {
				return err
			}
			im, err := findImages(flags.dataset)
			if err != nil {
				return err
			}
			network, err := flags.network(a, im)
			if err != nil {
				return err
			}
			to, err := outfile.Check(flags.to.path, outfile.Rules{Inputs: definitionFiles(flags.dataset), Force: flags.to.force})
			if err != nil {
				return err
			}
			weights := train.InitialWeights(network, random.NewTorch(uint64(flags.seed)), flags.parity.Profile())
			if err := to.Write(c.Context(), func(w io.Writer) error { return torchfile.Write(w, weights) }); err != nil {
				return err
			}
			_, err = inert.Fprintf(c.OutOrStdout(), "initial network of architecture %d for %s, seed %d, parity profile %s: %s\n",
				a.Index(), im.key, flags.seed, flags.parity, flags.to.path)
			return err
		},
	}
	flags.addFlags(c.Flags())
	c.Flags().Var(&flags.seed, "seed", "0..4294967295")
	flags.to.add(c.Flags(), "to", "the checkpoint's `FILE`")
	c.Flags().StringVar(&flags.dataset, "dataset", "cifar10", "dataset `KEY` or definition file (*.json) whose classes the network tells apart")
	addParity(c.Flags(), &flags.parity)
	require(c, "seed", "to")
	return c
}
