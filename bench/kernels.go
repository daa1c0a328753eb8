package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"nb201/internal/backend"
	"nb201/internal/plugin"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/train"
)

// kernelsOptions are the flags of kernels.
type kernelsOptions struct {
	common
	gpus  string
	given Peaks
}

func newKernelsCommand() *cobra.Command {
	var o kernelsOptions
	c := &cobra.Command{
		Use:   "kernels",
		Short: "What a GPU would run for a step, on a machine without one",
		Long: `What a GPU would run for a training step and for the evaluation of a batch: kernels,
convolutions that go to cuDNN, bytes that the kernels move, memory, and what the host
launches. The programs are compiled for the GPU as nb201 train does there, but for the
choice of kernels by timing them; no GPU is needed (nb201 setup --device cuda13
--compiler). NB201_CUDA_FLAGS=off shows XLA's own flags.

With --bandwidth and --flop, the GPU's, the least time that they allow is shown too, kernel
by kernel.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.add(c, defaults{archs: "0,median,1462", datasets: "cifar10,ImageNet16-120"})
	c.Flags().StringVar(&o.gpus, "gpus", "h100", "kinds of GPU, a `LIST` of "+strings.Join(backend.GPUs(), ", "))
	addGiven(c, &o.given)
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		for gpu := range list(o.gpus) {
			if err := backend.CheckGPU(gpu); err != nil {
				return err
			}
		}
		return check(c, args)
	}
	return c
}

// kernelsRow is a program on a kind of GPU. Kernels, Bytes and GFLOP are those of a step, or
// of the evaluation of a batch.
type kernelsRow struct {
	GPU          string  `json:"gpu"`
	Arch         int     `json:"arch"`
	Dataset      string  `json:"dataset"`
	Program      string  `json:"program"`
	Kernels      int     `json:"kernels"`
	Chain        int     `json:"longest_chain"`
	Convolutions string  `json:"convolutions"` // forward/filter/input/fused
	Bytes        int64   `json:"bytes"`
	GFLOP        float64 `json:"convolution_gflop"`
	Least        float64 `json:"least_seconds,omitempty"`
	Temporary    int64   `json:"temporary_bytes"`
	Graphs       int     `json:"cuda_graphs"`
	Launches     int     `json:"launches_a_step"`
	Cost         `json:"compiling"`
	Memory       `json:"memory"` // of the process that compiled the row's architecture
}

var kernelsColumns = []column[kernelsRow]{
	{"GPU", func(r kernelsRow) string { return r.GPU }},
	{"arch", func(r kernelsRow) string { return fmt.Sprint(r.Arch) }},
	{"images", func(r kernelsRow) string { return r.Dataset }},
	{"program", func(r kernelsRow) string { return r.Program }},
	{"kernels", func(r kernelsRow) string { return fmt.Sprint(r.Kernels) }},
	{"in a row", func(r kernelsRow) string { return fmt.Sprint(r.Chain) }},
	{"cuDNN: fwd/filter/input/fused", func(r kernelsRow) string { return r.Convolutions }},
	{"GB moved", func(r kernelsRow) string { return figure("%.3f", float64(r.Bytes)/1e9) }},
	{"GFLOP", func(r kernelsRow) string { return figure("%.1f", r.GFLOP) }},
	{"least ms", func(r kernelsRow) string { return figure("%.2f", 1e3*r.Least) }},
	{"memory, GB", func(r kernelsRow) string { return figure("%.3f", float64(r.Temporary)/1e9) }},
	{"CUDA graphs", func(r kernelsRow) string { return fmt.Sprint(r.Graphs) }},
	{"launches a step", func(r kernelsRow) string { return fmt.Sprint(r.Launches) }},
	{"compiling, s", func(r kernelsRow) string { return figure("%.1f", r.Seconds) }},
	{"CPU-s", func(r kernelsRow) string { return figure("%.1f", r.CPU) }},
	{"peak RSS, GiB", func(r kernelsRow) string { return gib(r.RSS) }},
}

// measure makes the table. With an error it has what was found before.
func (o *kernelsOptions) measure(ctx context.Context) (*table[kernelsRow], error) {
	t := newTable("kernels", &o.common, kernelsColumns)
	t.Title = "What a GPU would run for a training step, and for the evaluation of a batch."
	t.Device = "compiled on the CPU"
	t.addVersions(goVersions())
	notes := "Kernels in a row each need the one before. Memory is without images, state and cuDNN's workspace."
	if o.given != (Peaks{}) {
		t.Summary = o.given
		notes += fmt.Sprintf(" Least: kernel by kernel, at %v.", o.given)
	}
	t.Notes = append(t.Notes, notes)
	for gpu := range list(o.gpus) {
		for _, d := range o.datasets {
			published, ok := results.FindDataset(d.Name)
			if !ok {
				return t, usage.Errorf("--datasets %s: use dataset keys of the benchmark", d.Name)
			}
			for _, a := range o.archs {
				note("architecture %d, images of %s, %s", a.Index(), d.Name, gpu)
				var found examined
				memory, err := o.askInner(ctx, "kernels-one", kernelsTask{o.newTask(a, d, 1, 0), gpu, published.Train, o.given}, &found)
				if err != nil {
					return t, fmt.Errorf("architecture %d, %s, %s: %w", a.Index(), d.Name, gpu, err)
				}
				t.addVersions([]string{found.Plugin})
				for _, r := range found.Rows {
					r.GPU, r.Arch, r.Dataset, r.Memory = gpu, a.Index(), d.Name, memory
					t.Rows = append(t.Rows, r)
				}
				if err := t.save(&o.common); err != nil {
					return t, err
				}
			}
		}
	}
	return t, nil
}

// kernelsTask is the task of examineOne: the programs of a task for a kind of GPU on which so
// many images lie.
type kernelsTask struct {
	Task
	GPU    string `json:"gpu"`
	Stored int    `json:"stored_images"`
	Given  Peaks  `json:"given"`
}

// examined is its answer.
type examined struct {
	Plugin string       `json:"plugin"`
	Rows   []kernelsRow `json:"rows"`
}

// examineOne is the hidden command that compiles the programs of an architecture for a GPU.
func examineOne(_ context.Context, in io.Reader, out io.Writer) error {
	var task kernelsTask
	if err := json.NewDecoder(in).Decode(&task); err != nil {
		return err
	}
	found, err := plugin.Compiler()
	if err != nil {
		return err
	}
	network, err := task.network()
	if err != nil {
		return err
	}
	precision := train.Precision(task.Precision)
	d, err := backend.OpenDeviceless(found, task.GPU, precision == train.TF32)
	if err != nil {
		return err
	}
	defer d.Close()
	answer := examined{Plugin: d.Plugin}
	for _, name := range []string{"training step", "evaluation"} {
		clock := startClock()
		e, err := train.Examine(d, network, precision, name == "training step", task.Batch, task.Stored)
		if err != nil {
			return err
		}
		r := kernelsRow{
			Program: name, Kernels: len(e.Kernels), Chain: e.Chain, Convolutions: e.Convolutions.String(), Bytes: e.Bytes(),
			GFLOP: float64(e.FLOP()) / 1e9, Temporary: e.Temporary, Graphs: e.Launches.Graphs, Launches: max(0, e.Launches.Turn),
			Cost: clock.lap(),
		}
		if task.Given != (Peaks{}) {
			r.Least = e.Roofline(task.Given.Bandwidth, task.Given.FLOP)
		}
		answer.Rows = append(answer.Rows, r)
	}
	return json.NewEncoder(out).Encode(answer)
}
