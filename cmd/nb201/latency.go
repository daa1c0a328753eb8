package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/progress"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/plan"
	"nb201/train"
)

// latencyFlags holds the flags of nb201 latency.
type latencyFlags struct {
	skeleton
	spaceFlag
	archs, device string
	precision     configs.Precision
	datasets      []string
	batch, runs   int
	json          bool
}

func newLatencyCommand() *cobra.Command {
	var flags latencyFlags
	c := &cobra.Command{
		Use:   "latency ARCH | --archs LIST",
		Short: "Measure how long a device takes to evaluate a batch",
		Long: fmt.Sprintf(`latency measures how many seconds a device takes to evaluate a batch of 256 images, for one
architecture or for all of --archs.

What is timed:
  As in the original, the forward pass in evaluation mode and the loss, for a batch that is
  already on the device. nb201 stops the clock when the loss is back on the host, so the
  device has finished by then; the original does not wait for the GPU. The batch is noise
  and the weights are initial ones, since neither changes the time: no images are needed.
  %d warm-up runs and compilation do not count.

Output:
  The table shows the median, the least and the most, and the spread: (most - least) /
  median. A large spread means that the device was busy and the times are too long. The
  --json output has the seconds of every run; nb201 export --latency reads it. Each trial
  with 256 images per batch also measures its latency, in %d runs at its end.

--archs takes the same list as nb201 plan: indices, ranges (0-99), strings of architectures, files
with one of these on each line, and unique, the first architecture of each isomorphism
class. Datasets with the same network, such as cifar10 and cifar10-valid, are measured once.`, train.LatencyWarmUp, train.LatencyRuns),
		Example: `  nb201 latency 1462
  nb201 latency --archs 0-99 --dataset cifar10,cifar100,ImageNet16-120 --device cuda --json > latency.json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%s takes one ARCH (%s), got %d; list several with --archs", commandName(c), anArchitecture, len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			archs, err := flags.chosenArchs(c, args)
			if err != nil {
				return err
			}
			table, err := flags.measure(c.Context(), archs, c.ErrOrStderr())
			switch {
			case err != nil:
				return err
			case flags.json:
				return printJSON(c, table)
			}
			return printLatencies(human(c), table)
		},
	}
	f := c.Flags()
	f.StringVar(&flags.archs, "archs", "", "architectures: "+archsUsage)
	f.StringSliceVar(&flags.datasets, "dataset", []string{"cifar10"},
		"dataset `KEYS` and definition files (*.json) that set the number of classes and the image size")
	f.StringVar(&flags.device, "device", "cpu", "`DEVICE` to measure on: cpu, cuda or cuda:N")
	addPrecision(c.Flags(), &flags.precision)
	flags.skeleton.addFlags(f)
	flags.spaceFlag.addFlags(f)
	f.IntVar(&flags.batch, "batch", train.LatencyBatch, "`IMAGES` per batch")
	f.IntVar(&flags.runs, "repeat", train.LatencyRuns, "timed `RUNS`")
	f.BoolVar(&flags.json, "json", false, jsonUsage)
	return c
}

// chosenArchs returns the architectures of the argument or of --archs, and settles C and N.
func (f *latencyFlags) chosenArchs(c *cobra.Command, args []string) ([]cell.Arch, error) {
	if (len(args) == 1) == (f.archs != "") {
		return nil, usage.Errorf("latency takes either one ARCH (%s) or --archs; give one of the two", anArchitecture)
	}
	if len(args) == 1 {
		arch, err := f.resolve(c, args[0], &f.channels, &f.cells)
		return []cell.Arch{arch}, err
	}
	set, err := plan.ParseArchs(f.space, f.archs)
	if err != nil {
		return nil, err
	}
	var archs []cell.Arch
	for i := range set.All() {
		arch, err := set.Space().ByIndex(i)
		if err != nil {
			return nil, err
		}
		archs = append(archs, arch)
	}
	return archs, settleSkeleton(c, set.Space(), &f.channels, &f.cells)
}

// measure measures every architecture on every dataset, and shows progress on progressTo.
func (f *latencyFlags) measure(ctx context.Context, archs []cell.Arch, progressTo io.Writer) (*results.LatencyTable, error) {
	const mostRuns = 1_000_000
	switch {
	case f.batch < 1 || f.runs < 1:
		return nil, usage.Errorf("--batch %d, --repeat %d: use at least 1", f.batch, f.runs)
	case f.batch > maxBatch || f.runs > mostRuns:
		return nil, usage.Errorf("--batch %d, --repeat %d: use at most %d and %d", f.batch, f.runs, maxBatch, mostRuns)
	}
	device, err := backend.ParseDevice(f.device)
	if err != nil {
		return nil, err
	}
	var sets []images
	for _, name := range f.datasets {
		im, err := findImages(name)
		if err != nil {
			return nil, err
		}
		if _, err := f.network(archs[0], im); err != nil {
			return nil, err
		}
		sets = append(sets, im)
	}
	b, err := openDevice(ctx, device, f.precision)
	if err != nil {
		return nil, err
	}
	defer b.Backend.Finalize()

	table := &results.LatencyTable{
		Space: archs[0].Space().Name(), Batch: f.batch, WarmUp: train.LatencyWarmUp, Channels: f.channels, Cells: f.cells,
		Precision: f.precision, Device: b.Device, Versions: versionsOn(b),
	}
	bar := progress.New(progressTo, int64(len(archs)*len(sets)), "networks", "measuring")
	defer bar.Done()
	for _, arch := range archs {
		measured := map[cell.Network][]float64{}
		for _, im := range sets {
			n, err := f.network(arch, im)
			if err != nil {
				return nil, err
			}
			bar.Describe(fmt.Sprintf("architecture %d for %s", arch.Index(), im.key))
			if measured[n] == nil {
				if measured[n], err = train.Latency(ctx, b.Backend, n, f.precision, f.batch, f.runs); err != nil {
					return nil, err
				}
			}
			table.Measured = append(table.Measured, results.Latency{
				Arch: arch.Index(), Genotype: arch.String(), Dataset: im.key, Classes: n.Classes, ImageSize: n.Size, Seconds: measured[n],
			})
			bar.Add(1)
		}
	}
	return table, nil
}

// printLatencies prints the table.
func printLatencies(w io.Writer, t *results.LatencyTable) error {
	inert.Fprintf(w, "evaluation of a batch of %d, %s, %s on %s\n%s, after %d to warm up\n\n",
		t.Batch, describeSkeleton(t.Space, t.Channels, t.Cells), t.Precision, t.Device, quantity.Format(len(t.Measured[0].Seconds), "run"), t.WarmUp)
	table := layout.NewNumbers(w, 1)
	fmt.Fprintln(table, "architecture\tdataset\timage\tclasses\tmedian ms\tleast ms\tmost ms\tspread %\timages/s\t")
	for _, l := range t.Measured {
		median, least, most := l.Summary()
		inert.Fprintf(table, "%d\t%s\t%dx%d\t%d\t%.3f\t%.3f\t%.3f\t%.1f\t%.0f\t\n", l.Arch, l.Dataset, l.ImageSize, l.ImageSize, l.Classes,
			1000*median, 1000*least, 1000*most, 100*(most-least)/median, float64(t.Batch)/median)
	}
	return table.Flush()
}
