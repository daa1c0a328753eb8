package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

//go:embed torch_step.py
var torchStep string

// program is one of the programs under comparison, running.
type program struct {
	name    string
	cmd     *exec.Cmd
	words   io.WriteCloser
	reports *json.Decoder
	stderr  bytes.Buffer

	cold    Report // of the first turn
	turns   []Report
	closing Report
}

// ours is nb201's command line: this program, started as its own subcommand.
func ours() ([]string, error) {
	self, err := os.Executable()
	return []string{self, stepCommand}, err
}

// pytorch is the command line of the PyTorch side.
func pytorch(python string) []string { return []string{python, "-c", torchStep} }

// hasPyTorch says why python cannot run the PyTorch side; nil if it can.
func hasPyTorch(ctx context.Context, python string) error {
	out, err := exec.CommandContext(ctx, python, "-c", "import torch, xautodl").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %s", python, lastLine(string(out), err))
	}
	return nil
}

func lastLine(text string, otherwise error) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return otherwise.Error()
}

// launch starts a program on its task and waits until its first turn is over.
func launch(ctx context.Context, name string, command []string, task Task) (*program, error) {
	p := &program{name: name, cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	p.cmd.Env = append(os.Environ(), "OMP_WAIT_POLICY=passive")
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.words, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	p.reports = json.NewDecoder(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.cold, err = p.ask(task)
	return p, err
}

// ask sends a word and reads the report that answers it.
func (p *program) ask(word any) (Report, error) {
	var r Report
	err := json.NewEncoder(p.words).Encode(word)
	if err == nil {
		err = p.reports.Decode(&r)
	}
	if err != nil {
		return r, p.failed(err)
	}
	return r, nil
}

// turn lets the program take its next turn.
func (p *program) turn() error {
	r, err := p.ask("go")
	p.turns = append(p.turns, r)
	return err
}

// finish reads the last report and waits for the program's end.
func (p *program) finish() error {
	if err := p.reports.Decode(&p.closing); err != nil {
		return p.failed(err)
	}
	p.words.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %s", p.name, lastLine(p.stderr.String(), err))
	}
	return nil
}

// failed ends the program and says what it wrote last.
func (p *program) failed(err error) error {
	p.stop()
	return fmt.Errorf("%s: %s", p.name, lastLine(p.stderr.String(), err))
}

// stop ends the program, if it runs.
func (p *program) stop() {
	p.words.Close()
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()
}
