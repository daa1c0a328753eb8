package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/plugin"
	"nb201/internal/usage"
	"nb201/train/device"
)

// kernelsFlags holds the flags of nb201 kernels.
type kernelsFlags struct {
	skeleton
	spaceFlag
	gpu, dataset    string
	precision       configs.Precision
	batch           int
	bandwidth, flop float64 // bytes and FLOP per second of the GPU; 0: not given
	json            bool
}

func newKernelsCommand() *cobra.Command {
	var flags kernelsFlags
	c := &cobra.Command{
		Use:   "kernels ARCH",
		Short: "Show the kernels that a GPU would run for an architecture, without a GPU",
		Long: `kernels compiles the training step and the evaluation of an architecture for a GPU model,
and shows what the GPU would run. It needs no GPU and no driver, only the compiler, which
nb201 setup --device cuda13 --compiler installs. Nothing is timed.

The table has a row for one training step and one for the evaluation of one batch:
  kernels, in a row    the number of kernels, and the longest chain in which each kernel
                       needs the one before
  nb201, cuDNN         convolutions by nb201's kernels and by cuDNN: forward, filter gradients,
                       input gradients, and forward fused with an activation
  GB moved, GFLOP      bytes that the kernels move, and FLOP of the convolutions
  least ms             the least time that --bandwidth and --flop allow, kernel by kernel
  memory GB            memory of the program, without images, state and cuDNN's workspace
  CUDA graphs          the number of graphs that the program is captured into
  launches a step      launches by the host; 0 if one launch runs the whole loop

The programs are compiled as nb201 train compiles them, except for two things that need the
GPU: choosing between kernels by timing them, and avoiding nondeterministic ones.

kernels fails (exit code 1) if a program does not compile, or not as nb201 requires: with
one CUDA graph, convolutions by nb201's kernels or cuDNN (in fp64, matrix products), no copies
of feature maps, and full precision in fp32.`,
		Example: `  nb201 kernels 14452
  nb201 kernels 0 --gpu a100 --precision bf16 --dataset ImageNet16-120
  nb201 kernels 0 --bandwidth 3e12 --flop 60e12`,
		Args: oneArgument("ARCH", anArchitecture),
		RunE: func(c *cobra.Command, args []string) error {
			arch, err := flags.resolve(c, args[0], &flags.channels, &flags.cells)
			if err != nil {
				return err
			}
			r, err := flags.examine(c.Context(), arch)
			if err != nil {
				return err
			}
			if flags.json {
				err = printJSON(c, r)
			} else {
				err = r.print(human(c))
			}
			if err == nil && len(r.Faults) > 0 {
				err = fmt.Errorf("the compiled programs are not as nb201 requires: %s", strings.Join(r.Faults, "; "))
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&flags.gpu, "gpu", "h100", "GPU `MODEL`: "+strings.Join(backend.GPUs(), ", "))
	f.StringVar(&flags.dataset, "dataset", "cifar10", "dataset `KEY` or definition file (*.json) that sets the number of classes and the image size")
	addPrecision(c.Flags(), &flags.precision)
	flags.skeleton.addFlags(f)
	flags.spaceFlag.addFlags(f)
	f.IntVar(&flags.batch, "batch", configs.Published().Batch, "`IMAGES` per batch")
	f.Float64Var(&flags.bandwidth, "bandwidth", 0, "memory bandwidth of the GPU in `BYTES` per second, such as 3e12")
	f.Float64Var(&flags.flop, "flop", 0, "speed of the GPU in `FLOP` per second, such as 60e12; a multiply-add counts as 2")
	f.BoolVar(&flags.json, "json", false, jsonUsage)
	return c
}

// kernelsReport describes what a GPU would run for an architecture, as nb201 kernels --json prints it.
type kernelsReport struct {
	Space     cell.Name         `json:"space,omitzero"`
	Arch      int               `json:"arch"`
	Genotype  string            `json:"genotype"`
	GPU       string            `json:"gpu"`
	Plugin    string            `json:"plugin"`
	Classes   int               `json:"classes"`
	ImageSize int               `json:"image_size"`
	Channels  int               `json:"channels,omitzero"`
	Cells     int               `json:"cells,omitzero"`
	Batch     int               `json:"batch"`
	Precision configs.Precision `json:"precision"`
	Programs  []programKernels  `json:"programs"`
	Faults    []string          `json:"faults,omitempty"`
}

// programKernels describes what a GPU would run for a program: its kernels, bytes and FLOP for one
// training step, or for the evaluation of one batch.
type programKernels struct {
	Program      string  `json:"program"`
	Kernels      int     `json:"kernels"`
	Chain        int     `json:"longest_chain"`      // of kernels that each need the one before
	Convolutions string  `json:"cudnn_convolutions"` // forward/filter gradients/input gradients/fused
	Own          string  `json:"nb201_convolutions"` // the same, by nb201's kernels
	Bytes        int64   `json:"bytes"`
	FLOP         int64   `json:"convolution_flop"`
	Memory       int64   `json:"memory_bytes"` // without images, state and cuDNN's workspace
	Graphs       int     `json:"cuda_graphs"`
	Launches     int     `json:"launches_a_step"` // by the host; 0 if one launch runs the whole loop
	Least        float64 `json:"least_seconds,omitempty"`
	Seconds      float64 `json:"compile_seconds"`
}

// storedImages is the number of images that the program assumes on the GPU: CIFAR-10's.
const storedImages = 60_000

// maxBatch is a larger batch than any GPU has memory for.
const maxBatch = 1 << 16

// examine compiles the programs of an architecture, and describes what the GPU would run.
func (f *kernelsFlags) examine(ctx context.Context, arch cell.Arch) (*kernelsReport, error) {
	if err := backend.CheckGPU(f.gpu); err != nil {
		return nil, err
	}
	if f.batch < 1 || f.batch > maxBatch {
		return nil, usage.Errorf("--batch %d: use 1 to %d", f.batch, maxBatch)
	}
	if given := f.bandwidth != 0 || f.flop != 0; given && !(f.bandwidth > 0 && f.flop > 0) {
		return nil, usage.Errorf("--bandwidth %v, --flop %v: give both or neither, each above 0", f.bandwidth, f.flop)
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
	d, err := backend.OpenDeviceless(found, f.gpu, f.precision)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	r := &kernelsReport{
		Space: arch.Space().Name(), Arch: arch.Index(), Genotype: arch.String(), GPU: f.gpu, Plugin: d.Plugin, Classes: n.Classes, ImageSize: n.Size,
		Channels: n.Channels, Cells: n.Cells, Batch: f.batch, Precision: f.precision,
	}
	for _, program := range []string{"training step", "evaluation"} {
		e, err := device.Examine(ctx, d, n, f.precision, program == "training step", f.batch, storedImages)
		if err != nil {
			return nil, err
		}
		p := programKernels{
			Program: program, Kernels: len(e.Kernels), Chain: e.Chain, Convolutions: e.Convolutions.String(), Own: e.Own.String(), Bytes: e.Bytes(),
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

// print prints the report as text.
func (r *kernelsReport) print(w io.Writer) error {
	inert.Fprintf(w, "architecture %d  %s\ncompiled for %s by %s, %dx%d images, %d classes, %s, batch %d, %s\n\n",
		r.Arch, r.Genotype, r.GPU, r.Plugin, r.ImageSize, r.ImageSize, r.Classes, describeSkeleton(r.Space, r.Channels, r.Cells), r.Batch, r.Precision)
	t := layout.NewNumbers(w, 1)
	fmt.Fprintln(t, "program\tkernels\tin a row\tnb201 fwd/filter/input/fused\tcuDNN\tGB moved\tGFLOP\tleast ms\tmemory GB\tCUDA graphs\tlaunches a step\tcompiling s\t")
	for _, p := range r.Programs {
		least := "-"
		if p.Least > 0 {
			least = fmt.Sprintf("%.2f", 1e3*p.Least)
		}
		inert.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%.3f\t%.1f\t%s\t%.3f\t%d\t%d\t%.1f\t\n", p.Program, p.Kernels, p.Chain, p.Own, p.Convolutions,
			float64(p.Bytes)/1e9, float64(p.FLOP)/1e9, least, float64(p.Memory)/1e9, p.Graphs, p.Launches, p.Seconds)
	}
	return t.Flush()
}
