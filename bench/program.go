package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

//go:embed torch_side.py
var torchSide string

//go:embed jax_side.py
var jaxSide string

// side is a program to be compared.
type side struct {
	name    string
	command []string
	mode    string
}

// program is a side that runs, or will with its first task.
type program struct {
	side
	options *common
	cmd     *exec.Cmd // nil before the first task, and after a failure
	ctx     context.Context
	cancel  context.CancelCauseFunc // kills the process
	words   io.WriteCloser
	reports *json.Decoder
	stderr  *stderrFile

	measured
}

// measured is what a program has reported on a task.
type measured struct {
	coldStart float64 // seconds from the start of the process, or of the task where it is not the first
	cold      Report  // of the first turn
	turns     []Report
	closing   Closing
	device    int64 // bytes of the device's memory in use after the first turn
	failure   error // which ended the task early
}

// ours is the side of nb201: this program, started as its own hidden command.
func ours() (side, error) {
	self, err := os.Executable()
	return side{name: "nb201", command: []string{self, "side"}}, err
}

// runnable is nb201's side and those of the flags that can run; the table names the others.
func (o *common) runnable(ctx context.Context, s *Setting) ([]side, error) {
	first, err := ours()
	if err != nil {
		return nil, err
	}
	return append([]side{first}, o.others(ctx, s)...), nil
}

// others are the sides of the flags that can run; the table names those that cannot. Each
// Python is asked once for what its sides import.
func (o *common) others(ctx context.Context, s *Setting) []side {
	var able []side
	imports := map[[2]string]error{}
	for _, other := range o.sides {
		modules := "torch, xautodl"
		if other.mode == "jax" {
			modules = "jax, numpy"
		}
		asked := [2]string{other.command[0], modules}
		why, known := imports[asked]
		if !known {
			_, _, _, why = o.runToEnd(ctx, job{
				name: "import " + modules, command: []string{other.command[0], "-c", "import " + modules}, device: "cpu", limit: o.sideLimit,
			})
			imports[asked] = why
		}
		if why != nil {
			s.skip(other.name, fmt.Errorf("%s: %w", other.command[0], why))
			continue
		}
		able = append(able, other)
	}
	return able
}

// environment is that of a side: PyTorch's threads sleep while they wait, as otherwise
// they would slow the others down; JAX takes memory of a GPU as it needs it; nb201 loads
// no program that was compiled before, unless more says so.
func environment(more ...string) []string {
	env := append(os.Environ(), "OMP_WAIT_POLICY=passive", "XLA_PYTHON_CLIENT_PREALLOCATE=false", keptPrograms+"=off")
	return append(env, more...)
}

// keptPrograms is the variable that names the directory of compiled programs; see
// internal/programs.
const keptPrograms = "NB201_PROGRAMS"

// programsOf are programs of sides. The caller stops them.
func (o *common) programsOf(sides ...side) []*program {
	var programs []*program
	for _, s := range sides {
		programs = append(programs, &program{side: s, options: o})
	}
	return programs
}

func stopAll(programs []*program) {
	for _, p := range programs {
		p.stop()
	}
}

// start starts the program.
func (p *program) start(ctx context.Context) (err error) {
	if p.stderr, err = p.options.newStderrFile(p.name); err != nil {
		return err
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	cmd := inGroup(exec.CommandContext(p.ctx, p.command[0], p.command[1:]...))
	cmd.Env, cmd.Stderr = environment(), p.stderr.File
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		p.words, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.cancel(nil)
		p.stderr.close()
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.cmd, p.reports = cmd, json.NewDecoder(stdout)
	return nil
}

// begin gives the program a task, starting it if need be, and waits until its first turn
// is over.
func (p *program) begin(ctx context.Context, task Task) error {
	note("%s: first turn", p.name)
	task.Mode = p.mode
	watch, began := watchMemory(task.Device), time.Now()
	defer func() { p.coldStart, p.device = time.Since(began).Seconds(), watch() }()
	if p.cmd == nil {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	return p.ask(task, &p.cold)
}

// turn lets the program take its next turn.
func (p *program) turn() error {
	var r Report
	err := p.ask("go", &r)
	if err == nil {
		p.turns = append(p.turns, r)
	}
	return err
}

// finish lets the program end its task, after the last turn.
func (p *program) finish() error { return p.ask("finish", &p.closing) }

// ask sends a word and reads the answer, which has to come within the limit of a side. A
// program that fails is stopped; its next task starts it anew.
func (p *program) ask(word, answer any) error {
	if limit := p.options.sideLimit; limit > 0 {
		timer := time.AfterFunc(limit, func() { p.cancel(tooLate(limit)) })
		defer timer.Stop()
	}
	err := json.NewEncoder(p.words).Encode(word)
	if err == nil {
		err = p.reports.Decode(answer)
	}
	if err == nil {
		return nil
	}
	cause := context.Cause(p.ctx)
	ended := p.end()
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) {
		err = cmp.Or(ended, errors.New("it ended without an answer"))
	}
	defer p.stderr.close()
	return fmt.Errorf("%s: %w", p.name, p.stderr.explain(cmp.Or(cause, err)))
}

// stop ends the program, if it runs.
func (p *program) stop() {
	if p.cmd != nil {
		_ = p.end() // most likely that it was killed
		p.stderr.close()
	}
}

// end kills the program and returns how it ended.
func (p *program) end() error {
	p.words.Close()
	_ = p.cmd.Cancel() // it may have ended by itself
	err := p.cmd.Wait()
	p.cancel(nil)
	p.cmd = nil
	return err
}

// sameWork makes sure that the first step of p had the same loss as that of another
// program: the same network, initial weights and images. On a GPU the algorithms of
// convolutions differ in more than the order of sums.
func (p *program) sameWork(as *program, device, precision string) error {
	tolerance, known := map[string]float64{
		"fp32": 1e-5,
		"tf32": 1e-2, // of 10 bits and a dozen layers
		"bf16": 5e-2, // of 7 bits
	}[precision]
	if !known {
		return errors.New("no tolerance is known for precision " + precision)
	}
	if precision == "fp32" && device != "cpu" {
		tolerance = 1e-3
	}
	if d := p.cold.Loss/as.cold.Loss - 1; !(max(d, -d) <= tolerance) {
		return fmt.Errorf("the first loss of %s is %v, of %s %v: they do not train the same network on the same images",
			as.name, as.cold.Loss, p.name, p.cold.Loss)
	}
	return nil
}
