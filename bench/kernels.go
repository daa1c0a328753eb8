package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/internal/backend"
)

// kernelsOptions holds the flags of kernels.
type kernelsOptions struct {
	common
	gpus  string
	given Peaks
}

func newKernelsCommand() *cobra.Command {
	var o kernelsOptions
	c := &cobra.Command{
		Use:   "kernels",
		Short: "Show what a GPU would run for a step, on a machine without one",
		Long: `kernels shows what a GPU would run for a training step and for the evaluation of a batch, as
reported by nb201 kernels: kernels, convolutions done by cuDNN, bytes that the kernels move, memory,
and launches by the host. NB201_CUDA_FLAGS=off shows the result of XLA's default flags.

With --bandwidth and --flop of the GPU, the table also has the least time that they allow, summed
over the kernels.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.add(c, defaults{archs: "0,median,1462", datasets: "cifar10,ImageNet16-120"})
	c.Flags().StringVar(&o.gpus, "gpus", "h100", "`LIST` of GPU models: "+strings.Join(backend.GPUs(), ", "))
	addGiven(c, &o.given)
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		for gpu := range splitList(o.gpus) {
			if err := backend.CheckGPU(gpu); err != nil {
				return err
			}
		}
		return check(c, args)
	}
	return c
}

// kernelsRow is a row of the table: a program on a GPU model, as nb201 kernels --json reports it.
type kernelsRow struct {
	GPU          string          `json:"gpu"`
	Arch         string          `json:"arch"`
	Dataset      string          `json:"dataset"`
	Program      string          `json:"program"`
	Kernels      int             `json:"kernels"`
	Chain        int             `json:"longest_chain"`
	Convolutions string          `json:"cudnn_convolutions"`
	Own          string          `json:"nb201_convolutions"`
	Bytes        int64           `json:"bytes"`
	FLOP         int64           `json:"convolution_flop"`
	Least        float64         `json:"least_seconds,omitempty"`
	Temporary    int64           `json:"memory_bytes"`
	Graphs       int             `json:"cuda_graphs"`
	Launches     int             `json:"launches_a_step"`
	Compile      float64         `json:"compile_seconds"`
	Memory       `json:"memory"` // of the process that compiled the row's architecture
}

var kernelsColumns = []column[kernelsRow]{
	{"GPU", func(r kernelsRow) string { return r.GPU }},
	{"arch", func(r kernelsRow) string { return r.Arch }},
	{"images", func(r kernelsRow) string { return r.Dataset }},
	{"program", func(r kernelsRow) string { return r.Program }},
	{"kernels", func(r kernelsRow) string { return fmt.Sprint(r.Kernels) }},
	{"in a row", func(r kernelsRow) string { return fmt.Sprint(r.Chain) }},
	{"nb201: fwd/filter/input/fused", func(r kernelsRow) string { return r.Own }},
	{"cuDNN", func(r kernelsRow) string { return r.Convolutions }},
	{"GB moved", func(r kernelsRow) string { return figure("%.3f", float64(r.Bytes)/1e9) }},
	{"GFLOP", func(r kernelsRow) string { return figure("%.1f", float64(r.FLOP)/1e9) }},
	{"least ms", func(r kernelsRow) string { return figure("%.2f", 1e3*r.Least) }},
	{"memory, GB", func(r kernelsRow) string { return figure("%.3f", float64(r.Temporary)/1e9) }},
	{"CUDA graphs", func(r kernelsRow) string { return fmt.Sprint(r.Graphs) }},
	{"launches a step", func(r kernelsRow) string { return fmt.Sprint(r.Launches) }},
	{"compiling, s", func(r kernelsRow) string { return figure("%.1f", r.Compile) }},
	{"peak RSS, GiB", func(r kernelsRow) string { return gib(r.RSS) }},
}

// measure makes the table. With an error it returns the rows so far.
func (o *kernelsOptions) measure(ctx context.Context) (t *table[kernelsRow], err error) {
	t = newTable("kernels", &o.common, kernelsColumns)
	defer func() { t.Partial = err != nil }()
	t.Title = "What a GPU would run for a training step, and for the evaluation of a batch."
	t.Device = "compiled on the CPU"
	t.addVersions(goVersions())
	about := "Each of the kernels in a row needs the result of the one before. Memory does not include images, state and cuDNN's workspace."
	if o.given != (Peaks{}) {
		t.Summary = o.given
		about += fmt.Sprintf(" Least: kernel by kernel, at %v.", o.given)
	}
	t.Notes = append(t.Notes, about)
	for gpu := range splitList(o.gpus) {
		for _, d := range o.datasets {
			for _, a := range o.archs {
				logf("architecture %s, images of %s, %s", a.Label(), d.Name, gpu)
				if err := o.examine(ctx, t, gpu, d.Name, a); err != nil {
					return t, fmt.Errorf("architecture %s, %s, %s: %w", a.Label(), d.Name, gpu, err)
				}
			}
		}
	}
	return t, nil
}

// examine adds the rows of an architecture to the table.
func (o *kernelsOptions) examine(ctx context.Context, t *table[kernelsRow], gpu, dataset string, arch cell.Arch) error {
	program, err := nb201()
	if err != nil {
		return err
	}
	out, _, memory, err := o.runToEnd(ctx, job{name: "nb201-kernels", env: environment(), limit: o.sideLimit, command: append([]string{
		program, "kernels", arch.String(), "--gpu", gpu, "--dataset", dataset, "--precision", o.precision, "--json", "--batch", fmt.Sprint(o.batch),
		"--bandwidth", fmt.Sprint(o.given.Bandwidth), "--flop", fmt.Sprint(o.given.FLOP),
	}, o.skeletonFlags(arch)...)})
	var report struct {
		Plugin   string       `json:"plugin"`
		Programs []kernelsRow `json:"programs"`
		Faults   []string     `json:"faults"`
	}
	if bad := json.Unmarshal(out, &report); bad != nil {
		return cmp.Or(err, bad)
	} // nb201 kernels also exits with an error when it reports faults
	t.addVersions([]string{report.Plugin})
	for _, fault := range report.Faults {
		t.Notes = append(t.Notes, fmt.Sprintf("Architecture %s, images of %s, %s: %s.", arch.Label(), dataset, gpu, fault))
	}
	rows := t.Rows
	for _, r := range report.Programs {
		r.GPU, r.Arch, r.Dataset, r.Memory = gpu, arch.Label(), dataset, memory
		rows = append(rows, r)
	}
	return t.show(&o.common, rows)
}
