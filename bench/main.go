// Command bench measures a training step beside the original's: the network of an
// architecture through XLA, and the original's own network in PyTorch, train on the
// same images from the same initial weights, in turns. Both programs run during the
// whole measurement and one waits while the other works, so that what slows the
// machine down for a while slows both; the ratios are those of neighbouring turns.
//
// A turn is so many steps. The first turn of a program is cold (it compiles) and
// counts for nothing but the cold start.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"nb201/cell"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/usage"
)

// stepCommand is the argument that makes this program the side of nb201.
const stepCommand = "step"

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := run(ctx, os.Args[1:])
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	if usage.Is(err) {
		os.Exit(2)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == stepCommand {
		return step(ctx, os.Stdin, os.Stdout)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	c, err := measure(ctx, o)
	if len(c.Rows) > 0 { // also when a later architecture failed
		fmt.Print(c.Markdown())
		if o.save != "" {
			err = errors.Join(err, c.Save(o.save))
		}
	}
	return err
}

// options are what the command line says.
type options struct {
	task                 Task // but for what measure adds
	archs                []cell.Arch
	rounds               int
	images, python, save string
	modes                []string
}

func parse(args []string) (*options, error) {
	cifar10, err := data.Published("cifar10")
	if err != nil {
		return nil, err
	}
	o := &options{task: Task{Classes: cifar10.Classes, Mean: cifar10.Mean, Std: cifar10.Std, Seed: 777}}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	archs := f.String("archs", "0,1462", "architectures, by index or genotype string, with commas between them")
	f.IntVar(&o.task.Channels, "channels", 16, "C, channels of the first stage")
	f.IntVar(&o.task.Cells, "cells", 5, "N, cells in a stage")
	f.IntVar(&o.task.Batch, "batch", 256, "images in a batch")
	f.IntVar(&o.task.Steps, "steps", 1, "steps in a turn")
	f.IntVar(&o.rounds, "rounds", 7, "turns that count, of each program")
	f.StringVar(&o.task.Device, "device", "cpu", "cpu, cuda or cuda:N")
	f.StringVar(&o.task.Precision, "precision", "fp32", "fp32 or tf32")
	f.StringVar(&o.images, "images", "", "file of CIFAR-10 in binary form, e.g. data_batch_1.bin (default: noise)")
	f.StringVar(&o.python, "python", os.Getenv("NB201_PYTHON"), "Python with torch and xautodl (default: $NB201_PYTHON, then python3)")
	modes := f.String("modes", "channels_last,contiguous", "forms of the PyTorch side; `compile` is channels_last under torch.compile")
	f.StringVar(&o.save, "save", "", "also write the table, as Markdown and JSON, to this directory")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, usage.Errorf("%w", err)
	}
	if f.NArg() > 0 {
		return nil, usage.Errorf("unexpected argument %q: see -help", f.Arg(0))
	}
	for _, name := range strings.Split(*archs, ",") {
		arch, err := cell.Resolve(name)
		if err != nil {
			return nil, err
		}
		o.archs = append(o.archs, arch)
	}
	for _, mode := range strings.Split(*modes, ",") {
		switch mode {
		case "channels_last", "contiguous", "compile":
			o.modes = append(o.modes, mode)
		default:
			return nil, usage.Errorf("-modes: unknown form %q: use channels_last, contiguous or compile", mode)
		}
	}
	switch t := o.task; {
	case t.Batch < 1 || t.Steps < 1 || o.rounds < 1:
		return nil, usage.Errorf("-batch, -steps and -rounds must be at least 1")
	case t.Precision != "fp32" && t.Precision != "tf32":
		return nil, usage.Errorf("-precision: unknown %q: use fp32 or tf32", t.Precision)
	}
	if _, err := backend.ParseDevice(o.task.Device); err != nil {
		return nil, err
	}
	if o.python == "" {
		o.python = "python3"
	}
	return o, nil
}
