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

// side is a program under comparison.
type side struct {
	name    string
	command []string
	mode    string
}

// program is the process of a side. It starts with its first task.
type program struct {
	side
	options *common
	env     []string  // variables for the process besides those of every side
	cmd     *exec.Cmd // nil before the first task and after a failure
	ctx     context.Context
	cancel  context.CancelCauseFunc // kills the process
	words   io.WriteCloser
	reports *json.Decoder
	stderr  *stderrFile

	measured
}

// measured holds what a program has reported on a task.
type measured struct {
	coldStart float64 // seconds from the start of the process, or of a later task, to the end of the first turn
	cold      Report  // of the first turn
	turns     []Report
	closing   Closing
	device    int64 // peak bytes of the device's memory up to the end of the first turn
	failure   error // error that ended the task early
}

// ourSide returns the side of nb201: the hidden command side of this program.
func ourSide() (side, error) {
	self, err := os.Executable()
	return side{name: "nb201", command: []string{self, "side"}}, err
}

// usableSides returns nb201's side, followed by the sides of the flags that can run. It records the
// others as skipped.
func (o *common) usableSides(ctx context.Context, s *Setting) ([]side, error) {
	first, err := ourSide()
	if err != nil {
		return nil, err
	}
	return append([]side{first}, o.usablePythonSides(ctx, s)...), nil
}

// usablePythonSides returns the sides of the flags that can run, and records the others as skipped. It
// tries the imports of a side once per Python, and whether torch.compile can compile, which needs a C++
// compiler and Python's headers.
func (o *common) usablePythonSides(ctx context.Context, s *Setting) []side {
	var able []side
	tried := map[[2]string]error{}
	for _, other := range o.sides {
		attempt := "import torch, xautodl"
		switch other.mode {
		case "jax":
			attempt = "import jax, numpy"
		case "compile":
			attempt += fmt.Sprintf("; torch.compile(lambda x: x + 1)(torch.ones(8, device=%q))", o.device)
		}
		asked := [2]string{other.command[0], attempt}
		why, known := tried[asked]
		if !known {
			_, _, _, why = o.runToEnd(ctx, job{
				name: "try " + other.mode, command: []string{other.command[0], "-c", attempt}, device: "cpu", limit: o.sideLimit,
			})
			tried[asked] = why
		}
		if why != nil {
			s.skip(other.name, fmt.Errorf("%s: %w", other.command[0], why))
			continue
		}
		able = append(able, other)
	}
	return able
}

// environment returns the environment of a side. PyTorch's threads sleep while they wait, so that they
// do not slow other sides down; JAX allocates GPU memory on demand; nb201 does not load programs
// compiled before, unless more says otherwise.
func environment(more ...string) []string {
	env := append(os.Environ(), "OMP_WAIT_POLICY=passive", "XLA_PYTHON_CLIENT_PREALLOCATE=false", keptPrograms+"=off")
	return append(env, more...)
}

// keptPrograms is the environment variable that names the directory of compiled programs: see package
// internal/programs.
const keptPrograms = "NB201_PROGRAMS"

// programsOf returns a program for each side. The caller must stop them.
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

// start starts the process.
func (p *program) start(ctx context.Context) (err error) {
	if p.stderr, err = p.options.newStderrFile(p.name); err != nil {
		return err
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	cmd := inGroup(exec.CommandContext(p.ctx, p.command[0], p.command[1:]...))
	cmd.Env, cmd.Stderr = environment(p.env...), p.stderr.File
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

// begin gives the program a task, after starting it if necessary, and waits for the end of its first
// turn.
func (p *program) begin(ctx context.Context, task Task) error {
	logf("%s: first turn", p.name)
	task.Mode = p.mode
	watch, began := watchMemory(task.Device), time.Now()
	defer func() { p.coldStart, p.device = time.Since(began).Seconds(), watch() }()
	if p.cmd == nil {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	return p.exchange(task, &p.cold)
}

// turn lets the program take its next turn.
func (p *program) turn() error {
	var r Report
	err := p.exchange("go", &r)
	if err == nil {
		p.turns = append(p.turns, r)
	}
	return err
}

// lastTurn lets the program take a turn that does not count, the last one of its task.
func (p *program) lastTurn() error { return p.exchange("go", new(Report)) }

// finish lets the program end its task after the last turn.
func (p *program) finish() error { return p.exchange("finish", &p.closing) }

// exchange sends a word and reads the answer, which must come within the limit of a side. It stops a
// program that fails; the next task starts it again.
func (p *program) exchange(word, answer any) error {
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
	ended := p.kill()
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) {
		err = cmp.Or(ended, errors.New("it ended without an answer"))
	}
	defer p.stderr.close()
	return fmt.Errorf("%s: %w", p.name, p.stderr.explain(cmp.Or(cause, err)))
}

// stop ends the program if it is running.
func (p *program) stop() {
	if p.cmd != nil {
		_ = p.kill() // the error is most likely that it was killed
		p.stderr.close()
	}
}

// end waits until the program has ended by itself, so that a profiler can write its results. It must end
// within the limit of a side.
func (p *program) end() error {
	p.words.Close()
	if limit := p.options.sideLimit; limit > 0 {
		timer := time.AfterFunc(limit, func() { p.cancel(tooLate(limit)) })
		defer timer.Stop()
	}
	err := p.cmd.Wait()
	p.cancel(nil)
	p.cmd = nil
	p.stderr.close()
	return err
}

// kill kills the program and returns how it ended.
func (p *program) kill() error {
	p.words.Close()
	_ = p.cmd.Cancel() // fails if it has already ended
	err := p.cmd.Wait()
	p.cancel(nil)
	p.cmd = nil
	return err
}

// checkSameLoss returns an error unless the first step of p had the same loss as that of another
// program, which shows that both train the same network, with the same initial weights, on the same
// images. On a GPU, convolution algorithms differ in more than the order of sums.
func (p *program) checkSameLoss(as *program, device, precision string) error {
	tolerance, known := map[string]float64{
		"fp32": 1e-5,
		"tf32": 1e-2, // 10 bits, a dozen layers
		"bf16": 5e-2, // 7 bits
	}[precision]
	if !known {
		return errors.New("no tolerance is defined for precision " + precision)
	}
	if precision == "fp32" && device != "cpu" {
		tolerance = 1e-3
	}
	if d := p.cold.Loss/as.cold.Loss - 1; !(max(d, -d) <= tolerance) {
		return fmt.Errorf("the first loss of %s is %v, that of %s %v: they do not train the same network on the same images",
			as.name, as.cold.Loss, p.name, p.cold.Loss)
	}
	return nil
}
