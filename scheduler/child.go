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

// child is a worker process, as its run sees it.
type child struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	reports chan worker.Report // closed when the process is dead; end reads up to there
	kills   uint64             // hostmem.Kills when it started
	work    sync.WaitGroup     // its two goroutines
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
	c := &child{cmd: cmd, stdin: stdin, reports: make(chan worker.Report), kills: hostmem.Kills(os.DirFS("/"))}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.work.Go(func() {
		_ = cmd.Wait() // death reads how it ended from the ProcessState
		toStdout.Close()
	})
	c.work.Go(func() {
		defer close(c.reports)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var r worker.Report
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Event == "" {
				fmt.Fprintf(log, "on stdout: %.1000q\n", lines.Text()) // of a library
				continue
			}
			c.reports <- r
		}
		_, _ = io.Copy(io.Discard, stdout) // what follows a line without end
	})
	return c, nil
}

// leave has the worker, which has no trial, end, and waits for that.
func (c *child) leave() {
	c.stdin.Close()
	c.end()
}

// end waits for the end of a worker that was asked to, and kills it when that takes too long.
func (c *child) end() {
	timer := time.NewTimer(leaveWithin)
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

// tell has the worker leave a checkpoint and end. It is no signal: a batch system may have
// sent one to the worker as to its run, and a second one ends a process at once.
func (c *child) tell() { _ = c.stdin.Close() }

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// dump has the process write what it is at to its log, and ends it.
func (c *child) dump() {
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	c.end()
}

// death tells how a dead process ended that had a trial.
func (c *child) death() worker.Report {
	status, _ := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL && hostmem.Kills(os.DirFS("/")) > c.kills:
		return worker.Report{Event: worker.Failed, Kind: attempt.OutOfMemory, Reason: "the kernel killed the worker for memory"}
	case slices.Contains([]int{128 + int(syscall.SIGTERM), 128 + int(syscall.SIGINT), 128 + int(syscall.SIGUSR1), 128 + int(syscall.SIGHUP)}, status.ExitStatus()):
		return worker.Report{Event: worker.Stopped}
	}
	return worker.Report{Event: worker.Failed, Kind: attempt.Crashed, Reason: fmt.Sprintf("the worker ended: %v", c.cmd.ProcessState)}
}
