package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/usage"
)

// common are the flags that the commands share.
type common struct {
	channels, cells, batch int
	device, precision      string
	save                   string
	json                   bool
	command                string // the command's name

	// Of the commands that ask for them; see add.
	archNames, datasetKeys, modeNames string
	python, jaxPython                 string
	sideLimit                         time.Duration
	peaksFile                         string // see addPeaks

	archs    []cell.Arch
	datasets []data.Definition
	sides    []side // nb201's is not among them
}

// defaults are a command's own; where one is empty there is no such flag.
type defaults struct{ archs, datasets, modes string }

// add adds the flags to c, and has them checked before it runs.
func (o *common) add(c *cobra.Command, d defaults) {
	o.command = c.Name()
	f := c.Flags()
	published := configs.Published()
	f.IntVar(&o.channels, "channels", published.Channels, "C, channels of the first stage")
	f.IntVar(&o.cells, "cells", published.Cells, "N, cells in a stage")
	f.IntVar(&o.batch, "batch", published.Batch, "images in a batch")
	f.StringVar(&o.device, "device", "cpu", "`DEVICE`: cpu, cuda or cuda:N")
	f.StringVar(&o.precision, "precision", string(published.Precision), "`PRECISION`: "+strings.Join(precisions(), ", "))
	f.StringVar(&o.save, "save", "", "also write the table, after every row, as Markdown and JSON to this `DIR`, and the stderr of every process")
	f.BoolVar(&o.json, "json", false, "print JSON instead of the table")
	if d.archs != "" {
		f.StringVar(&o.archNames, "archs", d.archs, "architectures, a `LIST` of indices, genotype strings and median, which is the one in the middle by FLOPs")
	}
	if d.datasets != "" {
		f.StringVar(&o.datasetKeys, "datasets", d.datasets, "dataset keys, a `LIST`, for the size of the images and the number of classes")
	}
	if d.modes != "" {
		f.StringVar(&o.modeNames, "modes", d.modes, "what to compare with, a `LIST` of channels_last, contiguous and compile, which are forms of the PyTorch side, and jax; or none")
		f.StringVar(&o.python, "python", cmp.Or(os.Getenv("NB201_PYTHON"), "python3"), "`PYTHON` with torch and xautodl (default: $NB201_PYTHON, then python3)")
		f.StringVar(&o.jaxPython, "jax-python", os.Getenv("NB201_JAX_PYTHON"), "`PYTHON` with jax (default: $NB201_JAX_PYTHON, then that of --python)")
		f.DurationVar(&o.sideLimit, "side-limit", 0, "leave out a side that has not answered after this `TIME`, at its first turn or a later one (0: no limit)")
	}
	c.Args = cobra.NoArgs
	c.PreRunE = func(*cobra.Command, []string) error { return o.check() }
}

// precisions are those that a device is fast in.
func precisions() []string {
	var names []string
	for _, p := range configs.Precisions() {
		if p != configs.FP64 {
			names = append(names, string(p))
		}
	}
	return names
}

func (o *common) check() error {
	if o.batch < 1 {
		return usage.Errorf("--batch %d: use at least 1", o.batch)
	}
	if !slices.Contains(precisions(), o.precision) {
		return usage.Errorf("--precision %q: use one of %s", o.precision, strings.Join(precisions(), ", "))
	}
	if _, err := backend.ParseDevice(o.device); err != nil {
		return err
	}
	if o.sideLimit < 0 {
		return usage.Errorf("--side-limit %v: use a positive time, or 0 for no limit", o.sideLimit)
	}
	for name := range list(o.archNames) {
		a, err := resolve(name)
		if err != nil {
			return err
		}
		o.archs = append(o.archs, a)
	}
	for key := range list(o.datasetKeys) {
		d, err := data.Published(key)
		if err != nil {
			return err
		}
		o.datasets = append(o.datasets, d)
	}
	for mode := range list(o.modeNames) {
		s := side{mode: mode}
		switch mode {
		case "none":
			continue
		case "channels_last", "contiguous", "compile":
			s.name, s.command = "PyTorch "+mode, []string{o.python, "-c", torchSide}
		case "jax":
			s.name, s.command = "JAX", []string{cmp.Or(o.jaxPython, o.python), "-c", jaxSide}
		default:
			return usage.Errorf("--modes: unknown %q: use channels_last, contiguous, compile, jax or none", mode)
		}
		o.sides = append(o.sides, s)
	}
	return nil
}

// list yields the parts of a list with commas; none of an empty one.
func list(text string) func(yield func(string) bool) {
	if text == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(text, ",")
}

// resolve finds an architecture that a user names.
func resolve(name string) (cell.Arch, error) {
	if name == "median" {
		return medianArch(), nil
	}
	return cell.Resolve(name)
}

// medianArch is the architecture in the middle of all 15,625 in the order of their FLOPs
// and, where these are equal, of their indices: 14452.
func medianArch() cell.Arch {
	var all []cell.Arch
	for _, a := range cell.All() {
		all = append(all, a)
	}
	flops := func(a cell.Arch) float64 {
		return cell.Network{Arch: a, Channels: 16, Cells: 5, Classes: 10, Size: 32}.FLOPs()
	}
	slices.SortStableFunc(all, func(a, b cell.Arch) int { return cmp.Compare(flops(a), flops(b)) })
	return all[cell.Count/2]
}

// network is the skeleton of the flags, filled with an architecture, for the images of a
// dataset.
func (o *common) network(a cell.Arch, d data.Definition) cell.Network {
	return cell.Network{Arch: a, Channels: o.channels, Cells: o.cells, Classes: d.Classes, Size: d.Size[0]}
}

// elementBytes is the size of an element of a feature map.
func (o *common) elementBytes() int {
	if o.precision == "bf16" {
		return 2
	}
	return 4
}

// nb201 is the program beside this one.
func nb201() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	program := filepath.Join(filepath.Dir(self), "nb201")
	if _, err := os.Stat(program); err != nil {
		return "", usage.Errorf("%s is not there: build it with `go build -o %s ./cmd/nb201`, or use bench/run", program, filepath.Dir(program))
	}
	return program, nil
}
