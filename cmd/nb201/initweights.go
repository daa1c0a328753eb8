package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/inert"
	"nb201/internal/outfile"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/train"
)

// newInitCommand returns init-weights under its old name, init, hidden.
func newInitCommand() *cobra.Command {
	c := newInitWeightsCommand()
	c.Use = strings.Replace(c.Use, "init-weights", "init", 1)
	c.Long = "init is the old name of init-weights.\n\n" + c.Long
	c.Hidden = true
	return c
}

func newInitWeightsCommand() *cobra.Command {
	var flags struct {
		skeleton
		spaceFlag
		to      outputFlags
		seed    seedFlag
		dataset string
		parity  configs.Parity
	}
	c := &cobra.Command{
		Use:   "init-weights ARCH --seed S --to FILE.pth",
		Short: "Write the initial weights of a seed as a torch checkpoint",
		Long: `init-weights writes the initial weights of an architecture's network as a torch checkpoint
that contains the state dict. For the same seed they equal, bit for bit, those from which the
original program starts training.

Generations of torch draw different weights; --parity chooses one: 2019 (torch 1.2 to 1.5),
1.7, or modern (torch 1.9 and later).`,
		Example: `  nb201 init-weights 0 --seed 777 --to initial.pth
  nb201 init-weights 1462 --seed 1 --dataset cifar100 --parity modern --to initial.pth`,
		Args: oneArgument("ARCH", anArchitecture),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := flags.resolve(c, args[0], &flags.channels, &flags.cells)
			if err != nil {
				return err
			}
			d, err := data.Find(flags.dataset)
			if err != nil {
				return err
			}
			if err := d.CheckTraining(); err != nil {
				return err
			}
			im := imagesOf(d)
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
			_, err = inert.Fprintf(human(c), "initial weights of %s for %s, seed %d, parity profile %s: %s\n",
				cell.Describe(a.Space(), a.Index()), im.key, flags.seed, flags.parity, flags.to.path)
			return err
		},
	}
	flags.skeleton.addFlags(c.Flags())
	flags.spaceFlag.addFlags(c.Flags())
	c.Flags().Var(&flags.seed, "seed", "random `SEED`, 0 to 4294967295")
	flags.to.add(c.Flags(), "to", "write the checkpoint into `FILE`")
	c.Flags().StringVar(&flags.dataset, "dataset", "cifar10", "dataset `KEY` or definition file (*.json) that sets the number of classes")
	addParity(c.Flags(), &flags.parity)
	markRequired(c, "seed", "to")
	return c
}
