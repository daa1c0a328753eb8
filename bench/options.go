package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/usage"
)

// common holds the flags shared by the commands, and the values parsed from them.
type common struct {
	channels, cells, batch int
	device, precision      string
	save                   string
	json                   bool
	command                string // the command's name

	// Only for commands that ask for them; see add.
	archNames, datasetKeys, modeNames string
	python, jaxPython                 string
	sideLimit                         time.Duration
	peaksFile                         string // see addPeaks

	archs    []cell.Arch
	datasets []data.Definition
	sides    []side // without nb201's
}

// defaults holds a command's default values; it does not get the flags that are empty here.
type defaults struct{ archs, datasets, modes string }

// add adds the flags to c, which checks them before it runs.
func (o *common) add(c *cobra.Command, d defaults) {
	o.command = c.Name()
	f := c.Flags()
	published := configs.Published()
	f.IntVar(&o.channels, "channels", published.Channels, "`C`, channels of the first stage, except in the size search space")
	f.IntVar(&o.cells, "cells", published.Cells, "`N`, cells per stage, except in the size search space")
	f.IntVar(&o.batch, "batch", published.Batch, "`IMAGES` per batch")
	f.StringVar(&o.device, "device", "cpu", "`DEVICE`: cpu, cuda or cuda:N")
	f.StringVar(&o.precision, "precision", string(published.Precision), "`PRECISION`: "+strings.Join(precisions(), ", "))
	f.StringVar(&o.save, "save", "", "also write the table to `DIR` as Markdown and JSON, after every row, and the stderr of every process")
	f.BoolVar(&o.json, "json", false, "print JSON instead of the table")
	if d.archs != "" {
		f.StringVar(&o.archNames, "archs", d.archs, "`LIST` of architectures: indices in the topology search space, strings of either space, or median, the one in the middle by FLOPs")
	}
	if d.datasets != "" {
		f.StringVar(&o.datasetKeys, "datasets", d.datasets, "`LIST` of dataset keys, which determine the size of the images and the number of classes")
	}
	if d.modes != "" {
		f.StringVar(&o.modeNames, "modes", d.modes, "`LIST` of sides to compare with: channels_last, contiguous and compile (PyTorch), and jax; or none")
		f.StringVar(&o.python, "python", cmp.Or(os.Getenv("NB201_PYTHON"), "python3"), "`PYTHON` with torch and xautodl (default: $NB201_PYTHON, then python3)")
		f.StringVar(&o.jaxPython, "jax-python", os.Getenv("NB201_JAX_PYTHON"), "`PYTHON` with jax (default: $NB201_JAX_PYTHON, then the one of --python)")
		f.DurationVar(&o.sideLimit, "side-limit", 0, "skip a side that does not answer a turn within this `TIME`; 0 for no limit")
	}
	c.Args = cobra.NoArgs
	c.PreRunE = func(*cobra.Command, []string) error { return o.check() }
}

// precisions returns the names of the precisions for which speed matters: all but fp64.
func precisions() []string {
	var names []string
	for _, p := range configs.Precisions() {
		if p != configs.FP64 {
			names = append(names, string(p))
		}
	}
	return names
}

// check validates the flags and resolves architectures, datasets and sides.
func (o *common) check() error {
	if o.batch < 1 {
		return usage.Errorf("--batch %d: use at least 1", o.batch)
	}
	if !slices.Contains(precisions(), o.precision) {
		return usage.Errorf("--precision %q: unknown; use one of %s", o.precision, strings.Join(precisions(), ", "))
	}
	if _, err := backend.ParseDevice(o.device); err != nil {
		return err
	}
	if o.sideLimit < 0 {
		return usage.Errorf("--side-limit %v: use a positive time, or 0 for no limit", o.sideLimit)
	}
	for name := range splitList(o.archNames) {
		a, err := resolveArch(name)
		if err != nil {
			return err
		}
		o.archs = append(o.archs, a)
	}
	for key := range splitList(o.datasetKeys) {
		d, err := data.Published(key)
		if err != nil {
			return err
		}
		o.datasets = append(o.datasets, d)
	}
	for mode := range splitList(o.modeNames) {
		s := side{mode: mode}
		switch mode {
		case "none":
			continue
		case "channels_last", "contiguous", "compile":
			s.name, s.command = "PyTorch "+mode, []string{o.python, "-c", torchSide}
		case "jax":
			s.name, s.command = "JAX", []string{cmp.Or(o.jaxPython, o.python), "-c", jaxSide}
		default:
			return usage.Errorf("--modes: unknown mode %q; use channels_last, contiguous, compile, jax or none", mode)
		}
		o.sides = append(o.sides, s)
	}
	return nil
}

// splitList yields the items of a comma-separated list; an empty text has none.
func splitList(text string) func(yield func(string) bool) {
	if text == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(text, ",")
}

// resolveArch returns the architecture for an index in the topology search space, the string of either
// space, or "median".
func resolveArch(name string) (cell.Arch, error) {
	if name == "median" {
		return medianArch(), nil
	}
	if space, ok := cell.SpaceOf(name); ok {
		return space.Parse(name)
	}
	return cell.Resolve(cell.Topology{}, name)
}

// medianArch returns the architecture in the middle of all 15,625, ordered by FLOPs and then by
// index: 14452.
func medianArch() cell.Arch {
	type sized struct {
		arch  cell.Arch
		flops float64
	}
	var all []sized
	for _, a := range (cell.Topology{}).All() {
		all = append(all, sized{a, cell.Network{Arch: a, Channels: 16, Cells: 5, Classes: 10, Size: 32}.FLOPs()})
	}
	slices.SortStableFunc(all, func(a, b sized) int { return cmp.Compare(a.flops, b.flops) })
	return all[cell.Topologies/2].arch
}

// network returns the network of an architecture for the images of a dataset, in the size given by
// the flags, unless the architecture fixes it.
func (o *common) network(a cell.Arch, d data.Definition) cell.Network {
	n := cell.Network{Arch: a, Classes: d.Classes, Size: d.Size[0]}
	if takesSkeleton(a) {
		n.Channels, n.Cells = o.channels, o.cells
	}
	return n
}

// takesSkeleton reports whether the network of an architecture can have any C and N.
func takesSkeleton(a cell.Arch) bool {
	channels, _ := a.Space().Skeleton()
	return channels != 0
}

// skeletonFlags returns the flags of nb201 for C and N, as far as the architecture takes them.
func (o *common) skeletonFlags(a cell.Arch) []string {
	if !takesSkeleton(a) {
		return nil
	}
	return []string{"--channels", strconv.Itoa(o.channels), "--cells", strconv.Itoa(o.cells)}
}

// elementBytes returns the size in bytes of an element of a feature map.
func (o *common) elementBytes() int {
	if o.precision == "bf16" {
		return 2
	}
	return 4
}

// nb201 returns the path of the program nb201 in the directory of this one.
func nb201() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	program := filepath.Join(filepath.Dir(self), "nb201")
	if _, err := os.Stat(program); err != nil {
		return "", usage.Errorf("%s does not exist; build it with `go build -o %s ./cmd/nb201`, or use bench/run", program, filepath.Dir(program))
	}
	return program, nil
}
