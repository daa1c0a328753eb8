package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/random"
	"nb201/results"
	"nb201/train"
)

// step is the side of nb201: a trial whose epochs are the turns. The report of a
// turn goes out after the evaluation that ends its epoch, when nothing is under way
// on the device, and the trial waits there until it is told to go on.
func step(ctx context.Context, in io.Reader, out io.Writer) error {
	began, cpu := time.Now(), 0.0
	words, reports := json.NewDecoder(in), json.NewEncoder(out)
	var task Task
	if err := words.Decode(&task); err != nil {
		return err
	}
	config, err := task.config()
	if err != nil {
		return err
	}
	device, err := backend.ParseDevice(task.Device)
	if err != nil {
		return err
	}
	opened, err := backend.OpenDevice(device, config.Precision == train.TF32)
	if err != nil {
		return err
	}
	defer opened.Backend.Finalize()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var report Report
	outcome, err := train.Run(ctx, opened.Backend, config, func(p train.Progress) {
		if p.Stage == "train" {
			if p.Epoch == 0 && p.Batch == 0 {
				report.Loss = p.Loss
			}
			report.Seconds, report.CPU = time.Since(began).Seconds(), cpuSeconds()-cpu // so far
			return
		}
		err := reports.Encode(report)
		if err == nil && p.Epoch < task.Turns-1 {
			var word string
			err = words.Decode(&word)
		}
		if err != nil {
			cancel(err)
		}
		report, began, cpu = Report{}, time.Now(), cpuSeconds()
	})
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return reports.Encode(Report{
		PeakRSS: peakRSS(), Compile: outcome.Compile.Seconds(), Versions: append(goVersions(), opened.Plugin),
	})
}

// config is the trial that does a task: the images in file order, not augmented,
// and the first batch of them for evaluation.
func (t *Task) config() (train.Config, error) {
	c := train.Config{Precision: train.Precision(t.Precision)}
	arch, err := cell.Parse(t.Arch)
	if err != nil {
		return c, err
	}
	images, err := readImages(t.Images)
	if err != nil {
		return c, err
	}
	c.Network = cell.Network{Arch: arch, Channels: t.Channels, Cells: t.Cells, Classes: t.Classes, Size: size}
	c.Definition = data.Definition{
		Name: "bench", Classes: t.Classes, Size: [2]int{size, size}, Mean: t.Mean, Std: t.Std,
		Train: data.Part{From: "train", Order: data.Sequential},
		Eval:  []data.Part{{Name: "ori-test", From: "test", Order: data.Sequential}},
	}
	few := &data.Images{Size: size, Pixels: images.Pixels[:t.Batch*(record-1)], Labels: images.Labels[:t.Batch]}
	if c.Data, err = data.New(c.Definition, map[string]*data.Images{"train": images, "test": few}); err != nil {
		return c, err
	}
	if c.Recipe, err = configs.RecipeFor(t.Turns); err != nil {
		return c, err
	}
	c.Recipe.Batch = t.Batch
	c.Trial = results.Trial{Arch: arch.Index(), Dataset: c.Definition.Name, Epochs: t.Turns, Seed: t.Seed}
	c.Profile, err = random.ProfileByName("modern") // the initial weights of the torch beside us
	return c, err
}

func cpuSeconds() float64 {
	u := resources()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// peakRSS is the most memory that this process held, in bytes.
func peakRSS() int64 {
	peak := resources().Maxrss
	if runtime.GOOS == "darwin" {
		return peak
	}
	return peak << 10
}

func resources() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only for arguments out of range
	}
	return u
}

// goVersions are those of Go and of the modules that make the step.
func goVersions() []string {
	versions := []string{runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			switch module.Path {
			case "github.com/gomlx/gomlx", "github.com/gomlx/go-xla":
				versions = append(versions, fmt.Sprintf("%s %s", module.Path[len("github.com/gomlx/"):], module.Version))
			}
		}
	}
	return versions
}
