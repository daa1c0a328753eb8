package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"nb201/internal/atomicfile"
)

// inGroup starts a command in its own process group, which is killed as a whole: the
// workers that a Python starts would otherwise keep its pipes open.
func inGroup(c *exec.Cmd) *exec.Cmd {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 10 * time.Second
	return c
}

// tooLate is the failure of a side that took longer than its limit.
func tooLate(limit time.Duration) error {
	return fmt.Errorf("no answer within %v, the limit of a side (--side-limit)", limit)
}

// job is a process that runs to its end.
type job struct {
	name    string // in the name of the file of its stderr
	command []string
	env     []string // nil: that of this process
	stdin   []byte
	device  string        // whose memory is watched
	limit   time.Duration // after which it is killed; 0: none
}

// runToEnd runs a job, for what it prints and what it took.
func (o *common) runToEnd(ctx context.Context, j job) (out []byte, cost Cost, memory Memory, err error) {
	if j.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, j.limit, tooLate(j.limit))
		defer cancel()
	}
	stderr, err := o.newStderrFile(j.name)
	if err != nil {
		return nil, cost, memory, err
	}
	defer stderr.close()
	var stdout bytes.Buffer
	c := inGroup(exec.CommandContext(ctx, j.command[0], j.command[1:]...))
	c.Env, c.Stdin, c.Stdout, c.Stderr = j.env, bytes.NewReader(j.stdin), &stdout, stderr.File
	watch := watchMemory(j.device)
	began := time.Now()
	err = c.Run()
	cost.Seconds = time.Since(began).Seconds()
	memory.Device = watch()
	if state := c.ProcessState; state != nil {
		cost.CPU = (state.UserTime() + state.SystemTime()).Seconds()
		memory.RSS = maxRSS(state.SysUsage())
	}
	if err != nil {
		err = stderr.explain(cmp.Or(context.Cause(ctx), err))
	}
	return stdout.Bytes(), cost, memory, err
}

// stderrFile is a file for what a process writes to stderr. Under --save it stays where it
// is, unless it is empty.
type stderrFile struct {
	*os.File
	saved bool
}

// newStderrFile makes the file of a process. The caller closes it.
func (o *common) newStderrFile(process string) (*stderrFile, error) {
	if o.save == "" {
		f, err := os.CreateTemp("", "nb201-bench-*.txt")
		return &stderrFile{f, false}, err
	}
	if err := atomicfile.MkdirAll(o.save); err != nil {
		return nil, err
	}
	name := "stderr-" + strings.Trim(unfit.ReplaceAllString(o.command+"-"+process, "-"), "-")
	for n := 1; ; n++ {
		path := filepath.Join(o.save, name+".txt")
		if n > 1 {
			path = filepath.Join(o.save, fmt.Sprintf("%s-%d.txt", name, n))
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return &stderrFile{f, true}, err
		}
	}
}

func (f *stderrFile) close() {
	info, err := f.Stat()
	if !f.saved || err == nil && info.Size() == 0 {
		_ = os.Remove(f.Name()) // at worst a file too many
	}
	f.Close()
}

// explain adds to the failure of a process what it complained of, and where all that it
// wrote is.
func (f *stderrFile) explain(failure error) error {
	text, err := os.ReadFile(f.Name())
	said := complaint(string(text))
	if err != nil || said == "" {
		return failure
	}
	var exit *exec.ExitError
	if errors.As(failure, &exit) && exit.Exited() {
		failure = errors.New(said)
	} else {
		failure = fmt.Errorf("%w; it wrote last: %s", failure, said)
	}
	if f.saved {
		failure = fmt.Errorf("%w (all of it in %s)", failure, f.Name())
	}
	return failure
}

var (
	// unfit is what a file's name should not have.
	unfit = regexp.MustCompile(`[^A-Za-z0-9]+`)
	// errorLine begins an error of our programs, of Python, of glog and of Go.
	errorLine = regexp.MustCompile(`^(bench: |nb201: |\w+\.py: |([A-Za-z_]\w*\.)*\w*(Error|Exception|Interrupt)(:|$)|F\d{4} |panic: |fatal error: )`)
	// location is a line of the trace of places in the source that ends XLA's errors.
	location = regexp.MustCompile(`^(=== Source Location Trace: ===|\S+\.(cc|cpp|cu|h):\d+)$`)
)

// complaint is the line of a process's stderr that says best why it failed: the last that
// begins an error, with the next one if it ends in a colon, or else the last that is no
// place in XLA's source.
func complaint(stderr string) string {
	last, joined := "", ""
	best := &last
	for line := range strings.Lines(stderr) {
		line = strings.TrimRight(line, " \r\n")
		switch {
		case line == "" || location.MatchString(line):
		case errorLine.MatchString(line):
			joined, best = line, &joined
		case strings.HasSuffix(joined, ":") && best == &joined:
			joined += " " + line
		default:
			last = line
		}
	}
	const most = 500
	said := strings.TrimPrefix(*best, "bench: ")
	if runes := []rune(said); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return said
}
