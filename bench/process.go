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

// inGroup makes a command run in a separate process group, which is killed as a whole. Otherwise the
// worker processes of a Python program would keep its pipes open.
func inGroup(c *exec.Cmd) *exec.Cmd {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 10 * time.Second
	return c
}

// tooLate returns the error for a side that took longer than its limit.
func tooLate(limit time.Duration) error {
	return fmt.Errorf("no answer within %v, the limit of a side (--side-limit)", limit)
}

// job describes a process that runs to its end.
type job struct {
	name    string // used in the name of the file for its stderr
	command []string
	env     []string // nil for the environment of this process
	stdin   []byte
	device  string        // whose memory is watched
	limit   time.Duration // the process is killed after this time; 0 for no limit
}

// runToEnd runs a job and returns its stdout, its cost and its peak memory.
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

// stderrFile is the file to which a process writes its stderr. With --save it is kept, unless it is
// empty.
type stderrFile struct {
	*os.File
	saved bool
}

// newStderrFile creates the file for a process. The caller must close it.
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

// close closes the file, and removes it unless it is to be kept.
func (f *stderrFile) close() {
	info, err := f.Stat()
	if !f.saved || err == nil && info.Size() == 0 {
		_ = os.Remove(f.Name()) // a file left behind does no harm
	}
	f.Close()
}

// explain adds to the failure of a process the most telling line of its stderr, and the file that
// has all of it.
func (f *stderrFile) explain(failure error) error {
	text, err := os.ReadFile(f.Name())
	line := errorLineOf(string(text))
	if err != nil || line == "" {
		return failure
	}
	var exit *exec.ExitError
	if errors.As(failure, &exit) && exit.Exited() {
		failure = errors.New(line)
	} else {
		failure = fmt.Errorf("%w; it wrote last: %s", failure, line)
	}
	if f.saved {
		failure = fmt.Errorf("%w (all of it in %s)", failure, f.Name())
	}
	return failure
}

var (
	// unfit matches characters that do not belong in a file name.
	unfit = regexp.MustCompile(`[^A-Za-z0-9]+`)
	// errorStart matches the start of an error line of nb201 and bench, Python, glog and Go.
	errorStart = regexp.MustCompile(`^(bench: |nb201: |\w+\.py: |([A-Za-z_]\w*\.)*\w*(Error|Exception|Interrupt)(:|$)|F\d{4} |panic: |fatal error: )`)
	// location matches a line of the source location trace at the end of XLA's errors.
	location = regexp.MustCompile(`^(=== Source Location Trace: ===|\S+\.(cc|cpp|cu|h):\d+)$`)
)

// errorLineOf returns the line of a process's stderr that best explains its failure: the last one that
// starts an error, joined with the next if it ends in a colon; or else the last line that is not a
// location in XLA's source.
func errorLineOf(stderr string) string {
	last, joined := "", ""
	best := &last
	for line := range strings.Lines(stderr) {
		line = strings.TrimRight(line, " \r\n")
		switch {
		case line == "" || location.MatchString(line):
		case errorStart.MatchString(line):
			joined, best = line, &joined
		case strings.HasSuffix(joined, ":") && best == &joined:
			joined += " " + line
		default:
			last = line
		}
	}
	const most = 500
	text := strings.TrimPrefix(*best, "bench: ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}
