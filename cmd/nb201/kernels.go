package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/inert"
	"nb201/internal/plugin"
	"nb201/internal/usage"
	"nb201/train/device"
)

// kernelsFlags are the flags of nb201 kernels.
type kernelsFlags struct {
	skeleton
	gpu, dataset    string
	precision       configs.Precision
	batch           int
	bandwidth, flop float64 // of the GPU, a second; 0: not given
	json            bool
}

func newKernelsCommand() *cobra.Command {
	var flags kernelsFlags
	c := &cobra.Command{
		Use:   "kernels ARCH",
		Short: "Show what a GPU would run for an architecture, on a machine without one",
		Long: `Compile the training step and the evaluation of an architecture for a GPU model, and show
what the GPU would run for each. Neither a GPU nor NVIDIA's driver is needed, only the
compiler: nb201 setup --device cuda13 --compiler.

The table has, for a step or a batch: kernels; how many of them are in a row, each needing
the one before; cuDNN's convolutions (forward, gradients of filters, gradients of inputs,
forward with an activation) and their GFLOP; the bytes that the kernels move; the memory
that a program takes beside images, state and cuDNN's workspace; CUDA graphs; and what the
host launches per step, 0 where one launch runs the whole loop. With the GPU's --bandwidth
and --flop it also has the least time that they allow, kernel by kernel.

The programs are compiled as nb201 train compiles them on such a GPU, without what needs
the GPU itself: choosing among kernels by timing them, and leaving out nondeterministic
ones. Time is not measured.

The command fails (exit code 1) when a program does not compile, or is not compiled as
nb201 requires: one CUDA graph, convolutions by cuDNN (fp64 has matrix products in their
place), no copies of feature maps, full precision in fp32.`,
		Example: `  nb201 kernels 14452
  nb201 kernels 0 --gpu a100 --precision bf16 --dataset ImageNet16-120
  nb201 kernels 0 --bandwidth 3e12 --flop 60e12`,
		Args: oneArgument("ARCH", anArchitecture),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := flags.examine(c.Context(), args[0])
			if err != nil {
				return err
			}
			if flags.json {
				err = printJSON(c, r)
			} else {
				err = r.print(c.OutOrStdout())
			}
			if err == nil && len(r.Faults) > 0 {
				err = fmt.Errorf("the compiled programs are not what nb201 relies on: %s", strings.Join(r.Faults, "; "))
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&flags.gpu, "gpu", "h100", "GPU `MODEL`: "+strings.Join(backend.GPUs(), ", "))
	f.StringVar(&flags.dataset, "dataset", "cifar10", "dataset `KEY` or definition file (*.json): its classes and size of images")
	addPrecision(c.Flags(), &flags.precision)
	flags.addFlags(f)
	f.IntVar(&flags.batch, "batch", configs.Published().Batch, "images in a batch")
	f.Float64Var(&flags.bandwidth, "bandwidth", 0, "`BYTES` that the GPU's memory moves in a second: 3e12")
	f.Float64Var(&flags.flop, "flop", 0, "`FLOP` that the GPU does in a second, a multiply-add being 2: 60e12")
	f.BoolVar(&flags.json, "json", false, "print one JSON document")
	return c
}

// kernelsReport is what a GPU would run.
type kernelsReport struct {
	Arch      int               `json:"arch"`
	Genotype  string            `json:"genotype"`
	GPU       string            `json:"gpu"`
	Plugin    string            `json:"plugin"`
	Classes   int               `json:"classes"`
	ImageSize int               `json:"image_size"`
	Channels  int               `json:"channels"`
	Cells     int               `json:"cells"`
	Batch     int               `json:"batch"`
	Precision configs.Precision `json:"precision"`
	Programs  []kernelsOf       `json:"programs"`
	Faults    []string          `json:"faults,omitempty"`
}

// kernelsOf is what it would run for a program. Kernels, bytes and FLOP are those of a step
// or of the evaluation of a batch.
type kernelsOf struct {
	Program      string  `json:"program"`
	Kernels      int     `json:"kernels"`
	Chain        int     `json:"longest_chain"`      // kernels, each of which needs the one before
	Convolutions string  `json:"cudnn_convolutions"` // forward/filter gradients/input gradients/fused
	Bytes        int64   `json:"bytes"`
	FLOP         int64   `json:"convolution_flop"`
	Memory       int64   `json:"memory_bytes"` // beside images, state and cuDNN's workspace
	Graphs       int     `json:"cuda_graphs"`
	Launches     int     `json:"launches_a_step"` // by the host; 0 where one launch is the whole loop
	Least        float64 `json:"least_seconds,omitempty"`
	Seconds      float64 `json:"compile_seconds"`
}

// storedImages is how many images lie on the GPU, as many as CIFAR-10 has.
const storedImages = 60_000

// maxBatch is more than any GPU has memory for.
const maxBatch = 1 << 16

func (f *kernelsFlags) examine(ctx context.Context, name string) (*kernelsReport, error) {
	if err := backend.CheckGPU(f.gpu); err != nil {
		return nil, err
	}
	if f.batch < 1 || f.batch > maxBatch {
		return nil, usage.Errorf("--batch %d: use 1 to %d", f.batch, maxBatch)
	}
	if given := f.bandwidth != 0 || f.flop != 0; given && !(f.bandwidth > 0 && f.flop > 0) {
		return nil, usage.Errorf("--bandwidth %v, --flop %v: give both, above 0, or neither", f.bandwidth, f.flop)
	}
	arch, err := cell.Resolve(name)
	if err != nil {
		return nil, err
	}
	im, err := findImages(f.dataset)
	if err != nil {
		return nil, err
	}
	n, err := f.network(arch, im)
	if err != nil {
		return nil, err
	}
	found, err := plugin.Compiler()
	if err != nil {
		return nil, err
	}
	if err := checkXLAFlags(ctx, found.Path); err != nil {
		return nil, err
	}
	d, err := backend.OpenDeviceless(found, f.gpu, f.precision == configs.TF32)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	r := &kernelsReport{
		Arch: arch.Index(), Genotype: arch.String(), GPU: f.gpu, Plugin: d.Plugin, Classes: n.Classes, ImageSize: n.Size,
		Channels: n.Channels, Cells: n.Cells, Batch: f.batch, Precision: f.precision,
	}
	for _, program := range []string{"training step", "evaluation"} {
		e, err := device.Examine(ctx, d, n, f.precision, program == "training step", f.batch, storedImages)
		if err != nil {
			return nil, err
		}
		p := kernelsOf{
			Program: program, Kernels: len(e.Kernels), Chain: e.Chain, Convolutions: e.Convolutions.String(), Bytes: e.Bytes(),
			FLOP: e.FLOP(), Memory: e.Temporary, Graphs: e.Launches.Graphs, Launches: max(0, e.Launches.Turn), Seconds: e.Duration.Seconds(),
		}
		if f.bandwidth > 0 {
			p.Least = e.Roofline(f.bandwidth, f.flop)
		}
		r.Programs = append(r.Programs, p)
		for _, fault := range e.Faults(f.precision) {
			r.Faults = append(r.Faults, program+": "+fault)
		}
	}
	return r, nil
}

func (r *kernelsReport) print(w io.Writer) error {
	inert.Fprintf(w, "architecture %d  %s\ncompiled for %s by %s, %dx%d images, %d classes, C=%d N=%d, batch %d, %s\n\n",
		r.Arch, r.Genotype, r.GPU, r.Plugin, r.ImageSize, r.ImageSize, r.Classes, r.Channels, r.Cells, r.Batch, r.Precision)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "program\tkernels\tin a row\tcuDNN fwd/filter/input/fused\tGB moved\tGFLOP\tleast ms\tmemory GB\tCUDA graphs\tlaunches a step\tcompiling s\t")
	for _, p := range r.Programs {
		least := "-"
		if p.Least > 0 {
			least = fmt.Sprintf("%.2f", 1e3*p.Least)
		}
		inert.Fprintf(t, "%s\t%d\t%d\t%s\t%.3f\t%.1f\t%s\t%.3f\t%d\t%d\t%.1f\t\n", p.Program, p.Kernels, p.Chain, p.Convolutions,
			float64(p.Bytes)/1e9, float64(p.FLOP)/1e9, least, float64(p.Memory)/1e9, p.Graphs, p.Launches, p.Seconds)
	}
	return t.Flush()
}
