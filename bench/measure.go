package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"nb201/cell"
	"nb201/train"
)

// measure runs the comparison for every architecture. With an error it returns
// what it found before.
func measure(ctx context.Context, o *options) (*Comparison, error) {
	task := o.task
	task.Turns = 1 + o.rounds
	c := &Comparison{
		Date: time.Now(), Machine: machine(task.Device), Device: task.Device, Precision: task.Precision,
		Channels: task.Channels, Cells: task.Cells, Batch: task.Batch, Steps: task.Steps, Rounds: o.rounds,
		Images: cmp.Or(o.images, "noise"), LoadBefore: load(),
	}
	dir, err := os.MkdirTemp("", "nb201-bench-")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(dir)
	if task.Images, err = writeImages(dir, o.images, task.Steps*task.Batch); err != nil {
		return c, err
	}
	self, err := ours()
	if err != nil {
		return c, err
	}
	sides := []side{{name: "nb201", command: self}}
	if why := hasPyTorch(ctx, o.python); why != nil {
		c.Skipped = why.Error()
		note("PyTorch is skipped: %s", c.Skipped)
	} else {
		for _, mode := range o.modes {
			sides = append(sides, side{name: "PyTorch " + mode, command: pytorch(o.python), mode: mode})
		}
	}
	for _, arch := range o.archs {
		note("architecture %d: %v", arch.Index(), arch)
		task.Arch = arch.String()
		programs, err := contest(ctx, sides, task)
		if err != nil {
			return c, fmt.Errorf("architecture %d: %w", arch.Index(), err)
		}
		c.add(arch, task.Classes, programs)
		c.LoadAfter = load()
	}
	return c, nil
}

// side is a program to be compared.
type side struct {
	name    string
	command []string
	mode    string
}

// contest lets all sides take their turns on a task.
func contest(ctx context.Context, sides []side, task Task) ([]*program, error) {
	var programs []*program
	defer func() {
		for _, p := range programs {
			p.stop()
		}
	}()
	for _, s := range sides {
		task.Mode = s.mode
		note("%s: first turn", s.name)
		p, err := launch(ctx, s.name, s.command, task)
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	if err := sameWork(programs, task.Precision); err != nil {
		return nil, err
	}
	for round := range task.Turns - 1 {
		order := slices.Clone(programs)
		if round%2 == 1 { // a drift within a round favours none
			slices.Reverse(order)
		}
		for _, p := range order {
			if err := p.turn(); err != nil {
				return nil, err
			}
			note("%s: turn %d of %d took %.3f s", p.name, round+1, task.Turns-1, p.turns[round].Seconds)
		}
	}
	for _, p := range programs {
		if err := p.finish(); err != nil {
			return nil, err
		}
	}
	return programs, nil
}

// note tells how far the measurement has come.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// sameWork makes sure that the first step of all programs had the same loss: the
// same network, initial weights and images.
func sameWork(programs []*program, precision string) error {
	tolerance := 1e-5
	if precision == string(train.TF32) {
		tolerance = 1e-2 // of 10 bits and a dozen layers
	}
	want := programs[0].cold.Loss
	for _, p := range programs[1:] {
		if math.Abs(p.cold.Loss-want) > tolerance*want {
			return fmt.Errorf("the first loss of %s is %v, of %s %v: they do not train the same network on the same images",
				programs[0].name, want, p.name, p.cold.Loss)
		}
	}
	return nil
}

// add turns what the programs reported on arch into rows; the first is nb201's.
func (c *Comparison) add(arch cell.Arch, classes int, programs []*program) {
	network := cell.Network{Arch: arch, Channels: c.Channels, Cells: c.Cells, Classes: classes, Size: size}
	// A multiplication and an addition each, forward and twice backward.
	flop := network.FLOPs() * 1e6 * 2 * 3 * float64(c.Batch)
	steps := float64(c.Steps)
	for _, p := range programs {
		r := Row{
			Arch: arch.Index(), Genotype: arch.String(), Program: p.name, FirstLoss: p.cold.Loss,
			Cold: p.cold.Seconds, Compile: p.closing.Compile, PeakRSS: p.closing.PeakRSS,
		}
		for i, turn := range p.turns {
			r.Turns = append(r.Turns, turn.Seconds/steps)
			r.CPUTurns = append(r.CPUTurns, turn.CPU/steps)
			r.Ratios = append(r.Ratios, programs[0].turns[i].Seconds/turn.Seconds)
		}
		r.Seconds, r.CPU, r.Ratio = spreadOf(r.Turns), spreadOf(r.CPUTurns), spreadOf(r.Ratios)
		r.ImagesPerSecond = float64(c.Batch) / r.Seconds.Median
		r.GFLOPPerSecond = flop / r.Seconds.Median / 1e9
		c.Rows = append(c.Rows, r)
		for _, v := range p.closing.Versions {
			if !slices.Contains(c.Versions, v) {
				c.Versions = append(c.Versions, v)
			}
		}
	}
}
