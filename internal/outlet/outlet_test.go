package outlet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A pipe that nobody reads does not block writers. A reader that comes later gets complete
// lines and the number of lost ones.
func TestFullPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := New(w)
	line := strings.Repeat("x", 999) + "\n"
	const written = 2000 // twice what pipe and queue hold
	began := time.Now()
	for range written {
		if n, err := fmt.Fprint(o, line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("writing took %v", took)
	}
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(r)
		read <- string(text)
	}()
	for len(o.queue) > 0 {
		time.Sleep(time.Millisecond)
	}
	fmt.Fprint(o, "the last\n")
	o.Close(10 * time.Second)
	w.Close()
	text := <-read
	whole, lost := 0, 0
	for got := range strings.Lines(text) {
		var n int
		if got == line {
			whole++
		} else if _, err := fmt.Sscanf(got, "(%d line", &n); err == nil {
			lost += n
		} else if got != "the last\n" {
			t.Errorf("read %q", got)
		}
	}
	if whole+lost != written || whole < depth || lost == 0 || !strings.HasSuffix(text, "the last\n") {
		t.Errorf("%d lines and %d lost, of %d; the end is %q", whole, lost, written, text[len(text)-100:])
	}
}

// fitful is an output that fails, after some bytes, while err is set.
type fitful struct {
	takes int // bytes of a failing write
	err   error
	bytes.Buffer
}

func (f *fitful) Write(text []byte) (int, error) {
	if f.err != nil {
		n, _ := f.Buffer.Write(text[:min(f.takes, len(text))])
		return n, f.err
	}
	return f.Buffer.Write(text)
}

// While a disk is full, lines are lost, some of them in part.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for takes, want := range map[int]string{
			0: "first\n(3 lines were lost here: the output was blocked)\nlast\n",
			2: "first\nse\n(\n(3 lines were lost here: the output was blocked)\nlast\n",
		} {
			f := &fitful{takes: takes}
			o := New(f)
			fmt.Fprintln(o, "first")
			synctest.Wait()
			f.err = &os.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}
			fmt.Fprint(o, "second\nthird\n")
			synctest.Wait()
			fmt.Fprint(o, "fourth\n")
			synctest.Wait()
			f.err = nil
			fmt.Fprintln(o, "last")
			o.Close(time.Second)
			if got := f.String(); got != want {
				t.Errorf("%d bytes taken: got %q, want %q", takes, got, want)
			}
			fmt.Fprintln(o, "too late")
			o.Close(time.Second)
			if o.lost.Load() != 1 {
				t.Error("a line after the end is not lost")
			}
		}
	})
}

// stuck is an output that blocks until it is closed.
type stuck chan struct{}

func (s stuck) Write([]byte) (int, error) { <-s; return 0, errors.New("closed") }

// A process exits even if its output is stuck.
func TestLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		WriteLast(&out, "done\n")
		if out.String() != "done\n" {
			t.Errorf("got %q", out.String())
		}
		s := make(stuck)
		began := time.Now()
		WriteLast(s, "done\n")
		if took := time.Since(began); took != LastWords {
			t.Errorf("waited %v", took)
		}
		close(s)
	})
}

func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	o := New(&out)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for range 100 {
				fmt.Fprintln(o, "line")
				o.offer([]byte("frame\n"), 0)
			}
		})
	}
	group.Wait()
	o.Close(time.Minute)
	n := int(o.lost.Load())
	for got := range strings.Lines(out.String()) {
		var lost int
		if _, err := fmt.Sscanf(got, "(%d line", &lost); err == nil {
			n += lost
		} else if got == "line\n" {
			n++
		}
	}
	if n != 1000 {
		t.Errorf("%d lines written and lost, want 1000", n)
	}
}
