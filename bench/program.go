package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
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
	cmd     *exec.Cmd // nil before that
	words   io.WriteCloser
	reports *json.Decoder
	stderr  bytes.Buffer

	measured
}

// measured is what a program has reported on a task.
type measured struct {
	coldStart float64 // seconds from the start of the process, or of the task where it is not the first
	cold      Report  // of the first turn
	turns     []Report
	closing   Closing
	device    int64 // bytes that the device had less when the first turn was over
}

// ours is the side of nb201: this program, started as its own hidden command.
func ours() (side, error) {
	self, err := os.Executable()
	return side{name: "nb201", command: []string{self, "side"}}, err
}

// check says why a side cannot run; nil if it can.
func (s side) check(ctx context.Context) error {
	modules := "torch, xautodl"
	if s.mode == "jax" {
		modules = "jax, numpy"
	}
	out, err := exec.CommandContext(ctx, s.command[0], "-c", "import "+modules).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %s", s.command[0], lastLine(string(out), err))
	}
	return nil
}

// runnable is nb201's side and those of the flags that can run; the table names the others.
func (o *common) runnable(ctx context.Context, s *Setting) ([]side, error) {
	first, err := ours()
	if err != nil {
		return nil, err
	}
	sides := []side{first}
	for _, other := range o.sides {
		if why := other.check(ctx); why != nil {
			s.skip(other.name, why)
			continue
		}
		sides = append(sides, other)
	}
	return sides, nil
}

func lastLine(text string, otherwise error) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return cmp.Or(lines[len(lines)-1], otherwise.Error())
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

// start starts the program.
func (p *program) start(ctx context.Context) error {
	p.cmd = exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	p.cmd.Env = environment()
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if p.words, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	p.reports = json.NewDecoder(stdout)
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// begin gives the program a task, starting it if need be, and waits until its first turn
// is over.
func (p *program) begin(ctx context.Context, task Task) error {
	note("%s: first turn", p.name)
	p.measured = measured{}
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

// ask sends a word and reads the answer.
func (p *program) ask(word, answer any) error {
	err := json.NewEncoder(p.words).Encode(word)
	if err == nil {
		err = p.reports.Decode(answer)
	}
	return p.failed(err)
}

// turn lets the program take its next turn.
func (p *program) turn() error {
	var r Report
	err := p.ask("go", &r)
	p.turns = append(p.turns, r)
	return err
}

// finish lets the program end its task, after the last turn.
func (p *program) finish() error { return p.ask("finish", &p.closing) }

// failed ends the program, if it has failed, and says what it wrote last.
func (p *program) failed(err error) error {
	if err == nil {
		return nil
	}
	p.stop()
	return fmt.Errorf("%s: %s", p.name, lastLine(p.stderr.String(), err))
}

// stop ends the program, if it runs.
func (p *program) stop() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	p.words.Close()
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()
}

// programsOf are programs of sides. The caller stops them.
func programsOf(sides []side) []*program {
	var programs []*program
	for _, s := range sides {
		programs = append(programs, &program{side: s})
	}
	return programs
}

func stopAll(programs []*program) {
	for _, p := range programs {
		p.stop()
	}
}

// sameWork makes sure that the first step of all programs had the same loss: the same
// network, initial weights and images.
func sameWork(programs []*program, precision string) error {
	tolerance, known := map[string]float64{
		"fp32": 1e-5,
		"tf32": 1e-2, // of 10 bits and a dozen layers
		"bf16": 5e-2, // of 7 bits
	}[precision]
	if !known {
		return errors.New("no tolerance is known for precision " + precision)
	}
	want := programs[0].cold.Loss
	for _, p := range programs[1:] {
		if d := p.cold.Loss - want; !(max(d, -d) <= tolerance*want) {
			return fmt.Errorf("the first loss of %s is %v, of %s %v: they do not train the same network on the same images",
				programs[0].name, want, p.name, p.cold.Loss)
		}
	}
	return nil
}

// runToEnd runs a command to its end, for what it prints and what it took.
func runToEnd(cmd *exec.Cmd, device string) (out []byte, cost Cost, memory Memory, err error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	watch := watchMemory(device)
	began := time.Now()
	err = cmd.Run()
	cost.Seconds = time.Since(began).Seconds()
	memory.Device = watch()
	if state := cmd.ProcessState; state != nil {
		cost.CPU = (state.UserTime() + state.SystemTime()).Seconds()
		memory.RSS = maxRSS(state.SysUsage())
	}
	if err != nil {
		err = fmt.Errorf("%s: %s", cmd.Path, lastLine(stderr.String(), err))
	}
	return stdout.Bytes(), cost, memory, err
}
