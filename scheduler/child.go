package scheduler

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"nb201/internal/hostmem"
	"nb201/scheduler/attempt"
	"nb201/scheduler/worker"
)

// child is the run's handle on a worker process.
type child struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports chan worker.Report // closed when the process has exited; waitOrKill drains it
	kills   uint64             // hostmem.Kills when the process started
	work    sync.WaitGroup     // the goroutines that wait for the process and read its stdout
}

// exitWithin is how long a worker without a trial may take to exit.
const exitWithin = 4 * time.Second

// startChild starts a worker process with stderr appended to log. The process gets a separate
// process group, so that Ctrl-C in the terminal reaches only the run, which then stops its
// workers in order.
func startChild(cmd *exec.Cmd, log *os.File) (*child, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, toStdout := io.Pipe()
	cmd.Stdout, cmd.Stderr = toStdout, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // to read the rest of its stdout
	c := &child{cmd: cmd, stdin: stdin, reports: make(chan worker.Report), kills: hostmem.Kills(os.DirFS("/"))}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.work.Go(func() {
		_ = cmd.Wait() // exitReport reads the ProcessState
		toStdout.Close()
	})
	c.work.Go(func() {
		defer close(c.reports)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var r worker.Report
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Event == "" {
				fmt.Fprintf(log, "on stdout: %.1000q\n", lines.Text()) // printed by some library
				continue
			}
			c.reports <- r
		}
		_, _ = io.Copy(io.Discard, stdout) // after a line too long for the scanner
	})
	return c, nil
}

// stop ends a worker that has no trial, and waits for it.
func (c *child) stop() {
	c.stdin.Close()
	c.waitOrKill()
}

// waitOrKill waits for a worker that was asked to exit, and kills it after exitWithin.
func (c *child) waitOrKill() {
	timer := time.NewTimer(exitWithin)
	defer timer.Stop()
	for ended := false; !ended; {
		select {
		case _, more := <-c.reports:
			ended = !more
		case <-timer.C:
			c.kill()
		}
	}
	c.work.Wait()
}

// requestStop asks the worker to write a checkpoint and exit, by closing its stdin. It does not
// send a signal: a batch system may already have sent one to the worker as well as to the run,
// and a second signal ends a process at once.
func (c *child) requestStop() { _ = c.stdin.Close() }

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// dumpAndKill makes the process write its goroutine stacks to its log and exit.
func (c *child) dumpAndKill() {
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	c.waitOrKill()
}

// exitReport returns the report on behalf of a process that exited while it had a trial. Exit
// by one of the stop signals is [worker.Stopped], not a failed attempt.
func (c *child) exitReport() worker.Report {
	status, _ := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL && hostmem.Kills(os.DirFS("/")) > c.kills:
		return worker.Report{Event: worker.Failed, Kind: attempt.OutOfMemory, Reason: "the kernel killed the worker because memory ran out"}
	case slices.Contains([]int{128 + int(syscall.SIGTERM), 128 + int(syscall.SIGINT), 128 + int(syscall.SIGUSR1), 128 + int(syscall.SIGHUP)}, status.ExitStatus()):
		return worker.Report{Event: worker.Stopped}
	}
	return worker.Report{Event: worker.Failed, Kind: attempt.Crashed, Reason: fmt.Sprintf("the worker process ended: %v", c.cmd.ProcessState)}
}
