package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/progress"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/train"
)

func newTrainCommand() *cobra.Command {
	var flags struct {
		train.Options
		skeleton
		seed                 seedFlag
		out, device, weights string
		json                 bool
	}
	c := &cobra.Command{
		Use:   "train ARCH --dataset KEY|FILE.json --epochs 12|200|N --seed S --out DIR",
		Short: "Train one architecture into a record and weights",
		Long: `Train one trial: an architecture on a dataset, along a schedule, from the initial
weights, in the order and with the crops that the seed gives.

What it leaves goes into DIR, a campaign directory, when the trial is finished and not
before:
  DIR/trials/000123/cifar10-valid/0012-0777.json    the record
  DIR/weights/000123/cifar10-valid/0012-0777.pth    the weights
A trial whose record stands there already is not trained again.`,
		Example: `  nb201 train 0 --dataset digits --epochs 12 --seed 777 --out demo
  nb201 train 1462 --dataset cifar10-valid --epochs 12 --seed 777 --out campaign --device cuda`,
		Args: one("ARCH", anArchitecture),
		RunE: func(c *cobra.Command, args []string) error {
			flags.Arch, flags.Seed = args[0], uint32(flags.seed)
			flags.Channels, flags.Cells = flags.channels, flags.cells
			keep, err := parseKeep(flags.weights)
			if err != nil {
				return err
			}
			campaign := results.Campaign{Dir: flags.out}
			record, err := trainOne(c.Context(), flags.Options, flags.device, campaign, keep, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if flags.json {
				text, err := record.Encode()
				if err != nil {
					return err
				}
				_, err = c.OutOrStdout().Write(text)
				return err
			}
			return printTrial(c.OutOrStdout(), campaign, record)
		},
	}
	f := c.Flags()
	f.StringVar(&flags.Dataset, "dataset", "", "dataset `KEY` or definition file (*.json)")
	f.IntVar(&flags.Epochs, "epochs", 0, "the schedule, named by its epochs: 12 or 200 as published, or any other")
	f.Var(&flags.seed, "seed", "0..4294967295; published: 777, 888, 999 and 111")
	f.StringVar(&flags.out, "out", "", "campaign `DIR` for the record and the weights")
	f.StringVar(&flags.DataRoot, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images")
	f.StringVar(&flags.device, "device", "cpu", "`DEVICE` to train on: cpu, cuda or cuda:N")
	addParity(c, &flags.Parity)
	f.StringVar(&flags.Timeline, "timeline", string(data.Dec2019), "`TIMELINE`, the evaluation sets of an epoch: dec2019, nov2019")
	f.IntVar(&flags.Workers, "workers", 4, "the original's data loader workers, whose random streams are reproduced")
	f.StringVar(&flags.Precision, "precision", string(train.FP32), "fp32, tf32 (GPU only) or fp64 (slow, to check by)")
	flags.addFlags(f)
	f.IntVar(&flags.Batch, "batch", 256, "images in a batch")
	f.StringVar(&flags.weights, "weights", "keep", "keep or drop the weights")
	f.BoolVar(&flags.json, "json", false, "print the record as JSON")
	require(c, "dataset", "epochs", "seed", "out")
	return c
}

func parseKeep(weights string) (bool, error) {
	switch weights {
	case "keep", "drop":
		return weights == "keep", nil
	}
	return false, usage.Errorf("--weights %q: use keep or drop", weights)
}

// trainOne trains a trial and publishes what it leaves.
func trainOne(ctx context.Context, options train.Options, device string, c results.Campaign, keep bool, progressTo io.Writer) (*results.Record, error) {
	d, err := backend.ParseDevice(device)
	if err != nil {
		return nil, err
	}
	config, err := options.Config()
	if err != nil {
		return nil, err
	}
	if err := c.Check(config.Trial); err != nil {
		return nil, err
	}
	b, err := backend.OpenDevice(d, config.Precision == train.TF32)
	if err != nil {
		return nil, err
	}
	defer b.Backend.Finalize()
	outcome, err := runWithBar(ctx, b, config, progressTo)
	if err != nil {
		return nil, err
	}
	r := outcome.Record
	r.Device, r.Attempts = b.Device, 1
	r.Versions = results.Versions{Program: version, GoMLX: moduleVersion("github.com/gomlx/gomlx"), Plugin: b.Plugin}
	if !keep {
		outcome.Weights = nil
	}
	return r, c.Publish(r, outcome.Weights)
}

// runWithBar trains and shows how far the trial is.
func runWithBar(ctx context.Context, b *backend.Opened, config train.Config, w io.Writer) (*train.Outcome, error) {
	perEpoch := config.Data.Train.Len()
	for i := range config.Data.Eval {
		perEpoch += config.Data.Eval[i].Len()
	}
	bar := progress.New(w, int64(perEpoch)*int64(config.Recipe.Epochs), "images", "compiling")
	defer bar.Done()
	var at train.Progress
	var loss, top1, images float64 // sums of the pass
	return train.Run(ctx, b.Backend, config, func(p train.Progress) {
		if p.Epoch != at.Epoch || p.Stage != at.Stage {
			loss, top1, images = 0, 0, 0
		}
		at = p
		n := float64(p.Images)
		loss, top1, images = loss+p.Loss*n, top1+p.Top1*n, images+n
		bar.Describe(fmt.Sprintf("epoch %d/%d %s loss %.4f top-1 %.2f %%", p.Epoch+1, config.Recipe.Epochs, p.Stage, loss/images, top1/images))
		bar.Add(int64(p.Images))
	})
}
