package scheduler

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"nb201/internal/hostmem"
)

// child is a worker process, as its run sees it.
type child struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports chan report // closed when the process is dead, and err set
	err     error       // of Wait
	kills   uint64      // hostmem.Kills when it started
}

// leaveWithin is how long a worker without a trial may take to end.
const leaveWithin = 4 * time.Second

// startChild starts a worker whose stderr goes to a log file. It has a process group of
// its own: the terminal's Ctrl-C is for the run, which tells its workers.
func startChild(cmd *exec.Cmd, log *os.File) (*child, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, toStdout := io.Pipe()
	cmd.Stdout, cmd.Stderr = toStdout, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for what it left on stdout
	c := &child{cmd: cmd, stdin: stdin, reports: make(chan report), kills: hostmem.Kills(os.DirFS("/"))}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = cmd.Wait()
		toStdout.Close()
	}()
	go func() {
		defer close(c.reports)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var r report
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Event == "" {
				fmt.Fprintf(log, "on stdout: %.1000q\n", lines.Text()) // of a library
				continue
			}
			c.reports <- r
		}
		_, _ = io.Copy(io.Discard, stdout) // what follows a line without end
	}()
	return c, nil
}

// leave has the worker, which has no trial, end, and waits for that.
func (c *child) leave() {
	c.stdin.Close()
	timer := time.AfterFunc(leaveWithin, c.kill)
	defer timer.Stop()
	for range c.reports {
	}
}

// tell has the worker leave a checkpoint and end. It is no signal: a batch system may have
// sent one to the worker as to its run, and a second one ends a process at once.
func (c *child) tell() { _ = c.stdin.Close() }

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// dump has the process write what it is at to its log, and ends it.
func (c *child) dump() {
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	timer := time.AfterFunc(leaveWithin, c.kill)
	defer timer.Stop()
	for range c.reports {
	}
}

// death tells how a dead process ended that had a trial.
func (c *child) death() report {
	status, _ := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL && hostmem.Kills(os.DirFS("/")) > c.kills:
		return report{Event: eventFailed, Kind: OutOfMemory, Reason: "the kernel killed the worker for memory"}
	case slices.Contains([]int{128 + int(syscall.SIGTERM), 128 + int(syscall.SIGINT), 128 + int(syscall.SIGUSR1), 128 + int(syscall.SIGHUP)}, status.ExitStatus()):
		return report{Event: eventStopped}
	}
	return report{Event: eventFailed, Kind: Crashed, Reason: fmt.Sprintf("the worker ended: %v", c.cmd.ProcessState)}
}
