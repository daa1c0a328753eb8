package scheduler

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"nb201/internal/needs"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/attempt/attempttest"
	"nb201/scheduler/state"
	"nb201/scheduler/worker"
)

// terminal opens a pseudo-terminal. Bytes written to own arrive at tty like keystrokes.
func terminal(t testing.TB) (own, tty *os.File) {
	t.Helper()
	own, tty, err := pty.Open()
	needs.System(t, err)
	t.Cleanup(func() { own.Close(); tty.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	return own, tty
}

// stop presses Ctrl-S on a terminal.
func stop(t testing.TB, own *os.File) {
	t.Helper()
	if _, err := own.WriteString("\x13"); err != nil {
		t.Fatal(err)
	}
}

// outputs returns outputs that accept no data, by name. after, if not nil, makes the output work
// again and returns what it then receives.
func outputs(t *testing.T) map[string]func() (w *os.File, after func() string) {
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	return map[string]func() (*os.File, func() string){
		"stopped terminal": func() (*os.File, func() string) {
			own, tty := terminal(t)
			stop(t, own)
			return tty, func() string {
				if _, err := own.WriteString("\x11"); err != nil { // Ctrl-Q
					t.Error(err)
				}
				time.AfterFunc(time.Second, func() { tty.Close() })
				text, _ := io.ReadAll(own) // ends with an error when the terminal is closed
				return string(text)
			}
		},
		"terminal that nobody reads": func() (*os.File, func() string) {
			_, tty := terminal(t)
			return tty, nil
		},
		"closed terminal": func() (*os.File, func() string) {
			own, tty := terminal(t)
			own.Close()
			return tty, nil
		},
		"full pipe": func() (*os.File, func() string) {
			_, w := pipe()
			go func() { _, _ = io.Copy(w, zeros{}) }()
			time.Sleep(100 * time.Millisecond)
			return os.NewFile(dup(t, w), "pipe"), nil
		},
		"closed pipe": func() (*os.File, func() string) {
			r, w := pipe()
			r.Close()
			return w, nil
		},
		"full disk": func() (*os.File, func() string) {
			f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			needs.System(t, err)
			t.Cleanup(func() { f.Close() })
			return f, nil
		},
	}
}

func dup(t *testing.T, f *os.File) uintptr {
	t.Helper()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return uintptr(fd)
}

// An output that accepts no data delays neither training, nor failure files, the state file, the
// metrics or the end of the run.
func TestOutputTakesNothing(t *testing.T) {
	t.Parallel()
	for name, open := range outputs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, all := planned(t, 15, 777, reportsError)
			w, after := open()
			view := NewView(w)
			o := options(dir)
			o.Command = fakeCommand(dir, workVariable+"=5ms")
			o.Log = view
			var shown atomic.Int64
			stamps := map[time.Time]bool{} // of the state file
			o.Show = func(s state.Run, totals state.Totals) {
				shown.Add(1)
				if info, err := os.Stat(state.RunPath(dir, s.Host, s.PID)); err == nil {
					stamps[info.ModTime()] = true
				}
				view.Show(s, totals)
			}
			type end struct {
				state.Totals
				error
			}
			ended := make(chan end, 1)
			go func() {
				totals, err := Run(t.Context(), o)
				ended <- end{totals, err}
			}()
			select {
			case e := <-ended:
				if want := (state.Totals{Planned: len(all), Done: len(all) / 2, Failed: len(all) / 2}); e.error != nil || e.Totals != want {
					t.Errorf("%+v, %v, want %+v", e.Totals, e.error, want)
				}
			case <-time.After(time.Minute):
				t.Fatal("the run does not end")
			}
			if shown.Load() < 10 || len(stamps) < 10 {
				t.Errorf("shown %d times, the state file was written %d times", shown.Load(), len(stamps))
			}
			texts := make(chan string, 1)
			if after != nil {
				go func() { texts <- after() }()
			}
			began := time.Now()
			view.Done()
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("Done took %v", took)
			}
			if after != nil {
				text := <-texts
				printed := strings.Count(text, "failed (error): something else; ")
				lost := 0
				if m := regexp.MustCompile(`\((\d+) lines? (?:was|were) lost here`).FindStringSubmatch(text); m != nil {
					lost, _ = strconv.Atoi(m[1])
				}
				if want := 3 * len(all) / 2; printed+lost != want || printed == 0 {
					t.Errorf("%d lines printed and %d lost, want %d\n%.2000q", printed, lost, want, text)
				}
			}
		})
	}
}

// BenchmarkTerminal runs two campaigns of 1,200 trials that take no time, with 64 workers each:
// one on a terminal that shows everything and one on a stopped terminal. They run at the same
// time, so that other load on the host affects both.
func BenchmarkTerminal(b *testing.B) {
	run := func(b *testing.B, stopped bool) float64 {
		dir, all := planned(b, 200, 777, 778, 779)
		own, tty := terminal(b)
		if stopped {
			stop(b, own)
		} else {
			go func() { _, _ = io.Copy(io.Discard, own) }()
		}
		view := NewView(tty)
		o := options(dir)
		o.PerDevice, o.second, o.HangAfter = 64, time.Second, time.Hour
		o.Log, o.Show = view, view.Show
		began := time.Now()
		if totals, err := Run(b.Context(), o); err != nil || totals.Done != len(all) {
			b.Errorf("%+v, %v", totals, err)
		}
		return float64(len(all)) / time.Since(began).Minutes()
	}
	for b.Loop() {
		var group sync.WaitGroup
		for stopped, unit := range map[bool]string{false: "trials/min", true: "stopped-trials/min"} {
			group.Go(func() { b.ReportMetric(run(b, stopped), unit) })
		}
		group.Wait()
	}
}

// A failure file that cannot be read causes a warning and does not end the run. In one from
// another version, the attempts that can be read count, and unknown keys are kept.
func TestStrangeNotes(t *testing.T) {
	t.Parallel()
	for name, note := range attempttest.Notes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, all := planned(t, 2, 777, reportsError)
			bad := all[slices.IndexFunc(all, func(of results.Trial) bool { return of.Seed == reportsError })]
			path := attempt.FailurePath(dir, bad)
			good := all[slices.IndexFunc(all, func(of results.Trial) bool { return of.Seed == 777 })]
			if err := errors.Join(attempttest.PutNote(name, note.Text, path, bad), attempttest.PutNote(name, note.Text, attempt.FailurePath(dir, good), good)); err != nil {
				t.Fatal(err)
			}
			o := options(dir)
			var lines strings.Builder
			o.Log = &lines
			totals, err := Run(t.Context(), o)
			if want := (state.Totals{Planned: len(all), Done: len(all) / 2, Failed: len(all) / 2}); err != nil || totals != want {
				t.Fatalf("%+v, %v, want %+v\n%s", totals, err, want, &lines)
			}
			for _, trial := range []results.Trial{good, bad} {
				want := 0
				if note.Warning != "" {
					want = 1
				}
				n := 0
				for line := range strings.Lines(lines.String()) {
					if strings.HasPrefix(line, "warning: ") && strings.Contains(line, attempt.FailurePath(dir, trial)) && strings.Contains(line, note.Warning) {
						n++
					}
				}
				if n != want && name != "a directory" { // a directory also causes a warning that the file cannot be written
					t.Errorf("%d warnings about %v\n%s", n, trial, &lines)
				}
			}
			if n := strings.Count(lines.String(), fmt.Sprintf("%v: attempt", bad)); n != o.MaxAttempts-note.Counted {
				t.Errorf("%d attempts failed\n%s", n, &lines)
			}
			if name == "a directory" {
				return
			}
			f, err := attempt.ReadFailure(path)
			if err != nil || len(f.Attempts) != o.MaxAttempts || !f.TrialFailed {
				t.Errorf("%+v, %v", f, err)
			}
			if text, err := os.ReadFile(path); err != nil || name == "unknown keys" &&
				(!strings.Contains(string(text), `"mood"`) || !strings.Contains(string(text), `"moon"`) || !strings.Contains(string(text), `"bored"`)) ||
				name == "a newer version" && !strings.Contains(string(text), `"version": 2`) {
				t.Errorf("%v in\n%s", err, text)
			}
		})
	}
}

// While the run is out of file descriptors, no trial starts and none fails.
func TestNoDescriptors(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 20, 777, 888)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), roleVariable+"=run", dirVariable+"="+dir, workVariable+"=5ms", scarceVariable+"=500ms")
	text, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "run paused, no trial starts: ") || !strings.Contains(string(text), "too many open files; it resumes by itself when there is room\n") ||
		!strings.Contains(string(text), "run resumed: the host has room again\n") {
		t.Errorf("%v\n%s", err, text)
	}
	if failures, _ := filepath.Glob(filepath.Join(dir, "failed", "*")); len(failures) > 0 {
		t.Error("counted as failed attempts")
	}
	wantDone(t, dir, all)
}

// takeDescriptors uses up this process's file descriptors for the given time.
func takeDescriptors(during time.Duration) {
	low := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		panic(err)
	}
	var taken []int
	end := time.Now().Add(during)
	for time.Now().Before(end) {
		if fd, err := syscall.Dup(0); err == nil {
			taken = append(taken, fd)
		} else {
			time.Sleep(time.Millisecond)
		}
	}
	for _, fd := range taken {
		_ = syscall.Close(fd)
	}
}

// When the host cannot start a process for a worker, the worker waits. Meanwhile another does
// the work, or the worker itself once the host can start processes again.
func TestNoProcess(t *testing.T) {
	t.Parallel()
	for errno, times := range map[syscall.Errno]int64{syscall.EAGAIN: 8, syscall.ENOMEM: 1 << 40, syscall.EMFILE: 8, syscall.ENFILE: 1 << 40} {
		dir, all := planned(t, 2, 777, 888)
		o := options(dir)
		o.PerDevice, o.Devices = 1, []string{"cpu", "cuda:0"}
		if times < 100 {
			o.Devices = o.Devices[1:]
		}
		good := fakeCommand(dir)
		var failed atomic.Int64
		o.Command = func(device string) *exec.Cmd {
			c := good(device)
			if device == "cuda:0" && failed.Add(1) <= times {
				c.Err = &os.PathError{Op: "fork/exec", Path: "nb201", Err: errno}
			}
			return c
		}
		var lines strings.Builder
		o.Log = &lines
		totals, err := Run(t.Context(), o)
		if err != nil || totals.Done != len(all) {
			t.Errorf("%v: %+v, %v", errno, totals, err)
		}
		line := fmt.Sprintf("worker 0 of cuda:0 waits: the host cannot start a process for it: fork/exec nb201: %v; it resumes by itself\n", errno)
		if strings.Count(lines.String(), line) != 1 {
			t.Errorf("not logged exactly once: %s in\n%s", line, &lines)
		}
		wantDone(t, dir, all)
	}
}

// A run does not begin when the limit on file descriptors is too low for its workers.
func TestCheckDescriptors(t *testing.T) {
	err := checkDescriptors(1 << 40)
	if err == nil || !strings.Contains(err.Error(), "1099511627776 workers needs 4398046511120 file descriptors") {
		t.Error(err)
	}
	if err := checkDescriptors(2); err != nil {
		t.Error(err)
	}
}

// Connections that are kept open, or whose request never ends, do not block a scrape.
func TestMetricsNeighbours(t *testing.T) {
	t.Parallel()
	for request, n := range map[string]int{"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n": 200, "GET /met": maxConnections + 8, "": maxConnections + 8} {
		t.Run(fmt.Sprintf("%d %.8q", n, request), func(t *testing.T) {
			t.Parallel()
			m := serveMetrics(t)
			var neighbours []net.Conn
			for range n {
				c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", m.listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, request); err != nil {
					t.Fatal(err)
				}
				neighbours = append(neighbours, c)
			}
			client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
			r, err := client.Get(m.URL())
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			// The server closes all of them.
			for _, c := range neighbours {
				if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
					t.Fatalf("a connection is still open: %v", err)
				}
			}
		})
	}
}

// The wall clock may be set while a run works, so the run's delays use the monotonic clock.
func TestMonotonic(t *testing.T) {
	dir, all := planned(t, 1, reportsError)
	r, err := newRun(t.Context(), options(dir), results.Campaign{Dir: dir}, all)
	if err != nil {
		t.Fatal(err)
	}
	r.recordEnding(0, worker.Order{Trial: all[0], Attempt: 1}, true, worker.Report{Event: worker.Failed, Kind: attempt.OtherError})
	r.recordEnding(0, worker.Order{Trial: all[1]}, true, worker.Report{Event: worker.Claimed})
	for _, at := range []time.Time{r.pace.last, r.pace.marks[0].at, r.queue.retries[0].due, r.queue.claimed[0].due} {
		if !strings.Contains(at.String(), "m=") {
			t.Errorf("%v has no monotonic reading", at)
		}
	}
}

// A run that was suspended with Ctrl-Z for longer than its workers may be silent does not
// consider them hung.
func TestSuspended(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 2, 777)
	c := start(t, dir, workVariable+"=1s")
	waitTraining(t, dir, c.Process.Pid)
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		time.Sleep(options(dir).HangAfter + time.Second)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	wantDone(t, dir, all)
	for r, err := range (results.Campaign{Dir: dir}).Records() {
		if err != nil || r.Attempts != 1 {
			t.Errorf("%v: %d attempts (%v)", r.Trial, r.Attempts, err)
		}
	}
}
