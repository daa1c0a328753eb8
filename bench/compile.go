package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/usage"
	"nb201/train"
)

func newCompileCommand() *cobra.Command {
	var o common
	c := &cobra.Command{
		Use:   "compile",
		Short: "Measure compiling each program, and loading programs compiled before",
		Long: `compile measures the programs of a trial one after another: compiling them, and loading them in
a second process from where the first one kept them.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.compile(c.Context())
			return errors.Join(err, t.publish(&o))
		},
	}
	o.add(c, defaults{archs: "0,median,1462", datasets: "cifar10"})
	return c
}

// compileRow is a row of the table: a program.
type compileRow struct {
	Arch    string          `json:"arch"`
	Dataset string          `json:"dataset"`
	Program string          `json:"program"`
	Cold    Cost            `json:"cold"`
	Kept    Cost            `json:"kept"` // of loading it when it was compiled before; 0 if it cannot be kept
	Memory  `json:"memory"` // of the process that compiled all programs of the architecture
}

var compileColumns = []column[compileRow]{
	{"arch", func(r compileRow) string { return r.Arch }},
	{"dataset", func(r compileRow) string { return r.Dataset }},
	{"program", func(r compileRow) string { return r.Program }},
	{"compiling, s", func(r compileRow) string { return figure("%.2f", r.Cold.Seconds) }},
	{"compiling, CPU-s", func(r compileRow) string { return figure("%.2f", r.Cold.CPU) }},
	{"loading, s", func(r compileRow) string { return figure("%.2f", r.Kept.Seconds) }},
	{"loading, CPU-s", func(r compileRow) string { return figure("%.2f", r.Kept.CPU) }},
	{"peak RSS, GiB", func(r compileRow) string { return gib(r.RSS) }},
	{"GPU memory, GiB", func(r compileRow) string { return gib(r.Device) }},
}

// compile makes the table. With an error it returns the rows so far.
func (o *common) compile(ctx context.Context) (t *table[compileRow], err error) {
	t = newTable("compile", o, compileColumns)
	defer func() { t.Partial = err != nil }()
	t.Title = "Compiling the programs of a trial one after another, and loading them in another process."
	for _, d := range o.datasets {
		published, ok := configs.FindDataset(d.Name)
		if !ok {
			return t, usage.Errorf("--datasets: %q is not a dataset key of the benchmark; use some of %s", d.Name, strings.Join(publishedKeys(), ", "))
		}
		for _, a := range o.archs {
			logf("architecture %s on %s", a.Label(), d.Name)
			rows, err := o.compileArch(ctx, a, d, published.Train, &t.Setting)
			if err != nil {
				return t, fmt.Errorf("architecture %s, %s: %w", a.Label(), d.Name, err)
			}
			if err := t.show(o, append(t.Rows, rows...)); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// compileArch compiles the programs of an architecture twice, in separate processes.
func (o *common) compileArch(ctx context.Context, a cell.Arch, d data.Definition, images int, s *Setting) ([]compileRow, error) {
	kept, err := os.MkdirTemp("", "nb201-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(kept)
	task := compileTask{o.newTask(a, d, 1, 0), images}
	var cold, warm compiled
	memory, err := o.runInner(ctx, "compile-one", task, &cold, keptPrograms+"="+kept)
	if err != nil {
		return nil, err
	}
	if files, _ := os.ReadDir(kept); len(files) > 0 { // some programs for the CPU cannot be kept
		if _, err = o.runInner(ctx, "compile-one", task, &warm, keptPrograms+"="+kept); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			s.skip(fmt.Sprintf("loading the programs of architecture %s on %s", a.Label(), d.Name), err)
		}
	}
	s.addVersions(cold.Versions)
	all := compileRow{Arch: a.Label(), Dataset: d.Name, Program: "all", Memory: memory}
	var rows []compileRow
	for _, p := range cold.Programs {
		r := compileRow{Arch: a.Label(), Dataset: d.Name, Program: p.Name, Cold: p.Cost, Memory: memory}
		for _, again := range warm.Programs {
			if again.Name == p.Name {
				r.Kept = again.Cost
			}
		}
		rows = append(rows, r)
		all.Cold, all.Kept = all.Cold.plus(r.Cold), all.Kept.plus(r.Kept)
	}
	return append(rows, all), nil
}

// plus returns the sum of two costs.
func (c Cost) plus(d Cost) Cost { return Cost{c.Seconds + d.Seconds, c.CPU + d.CPU} }

// compileTask is the task of compileOne: a trial with a number of training images.
type compileTask struct {
	Task
	TrainImages int `json:"train_images"`
}

// compiled is the answer of compileOne.
type compiled struct {
	Programs []compiledProgram `json:"programs"`
	Versions []string          `json:"versions"`
}

type compiledProgram struct {
	Name string `json:"name"`
	Cost
	err error
}

// compileOne is the hidden command that compiles the programs of a trial, one at a time.
func compileOne(ctx context.Context, in io.Reader, out io.Writer) error {
	var task compileTask
	if err := json.NewDecoder(in).Decode(&task); err != nil {
		return err
	}
	opened, err := openDevice(task.Device, task.Precision)
	if err != nil {
		return err
	}
	defer opened.Backend.Finalize()
	config, err := task.config(imagesOf(noise(task.TrainImages, task.Size, task.Classes), task.Size))
	if err != nil {
		return err
	}
	timed := &timedBackend{Backend: opened.Backend, compiled: make(chan compiledProgram)}
	session := train.NewSession(timed)
	session.Prepare(config) // without Run, so that nothing runs while programs compile
	answer := compiled{Versions: append(goVersions(), opened.Plugin)}
	expected := 2 // the training step and the evaluation
	if task.TrainImages%task.Batch > 0 {
		expected++
	}
	for len(answer.Programs) < expected {
		select {
		case p := <-timed.compiled:
			if p.err != nil {
				return p.err
			}
			answer.Programs = append(answer.Programs, p)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(longestCompile):
			return fmt.Errorf("no program was compiled within %v; check whether bench step works", longestCompile)
		}
	}
	session.Close()
	return json.NewEncoder(out).Encode(answer)
}

// longestCompile is more than any program takes to compile.
const longestCompile = 20 * time.Minute

// timedBackend is a backend that compiles one program at a time and sends the cost to a channel.
type timedBackend struct {
	compute.Backend
	compiling sync.Mutex
	compiled  chan compiledProgram
}

func (b *timedBackend) Builder(name string) compute.Builder {
	return &timedBuilder{b.Backend.Builder(name), b}
}

type timedBuilder struct {
	compute.Builder
	backend *timedBackend
}

func (b *timedBuilder) Compile() (compute.Executable, error) {
	b.backend.compiling.Lock()
	defer b.backend.compiling.Unlock()
	clock := startClock()
	program, err := b.Builder.Compile()
	p := compiledProgram{Name: b.Name(), Cost: clock.lap(), err: err}
	if err == nil {
		p.Name += fmt.Sprintf(", batch %d", rowsOf(program))
	}
	b.backend.compiled <- p
	return program, err
}

// rowsOf returns the batch size of a program according to the shapes of its inputs, or 0.
func rowsOf(program compute.Executable) int {
	inputs, shapes := program.Inputs()
	if i := slices.Index(inputs, "rows"); i >= 0 { // [batches, images, ...]
		return shapes[i].Dim(1)
	}
	return 0
}
