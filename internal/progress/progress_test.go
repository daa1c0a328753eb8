package progress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nb201/internal/outlet"
)

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		bar := New(&out, 1000, "images", "training")
		for range 4 {
			time.Sleep(4 * time.Second)
			bar.Add(100)
			synctest.Wait()
		}
		bar.Describe("epoch 2")
		time.Sleep(6 * time.Second)
		bar.Add(-50)
		time.Sleep(10 * time.Second)
		bar.Add(1)
		bar.Done()
		want := `training: 200 of 1000 images (20 %), 25 images/s, 32s left
training: 400 of 1000 images (40 %), 25 images/s, 24s left
epoch 2: 350 of 1000 images (35 %)
epoch 2: 351 of 1000 images (35 %), 0.1 images/s, 1h48m10s left
epoch 2: 351 of 1000 images (35 %)
`
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
	})
}

func TestReporter(t *testing.T) {
	var out bytes.Buffer
	report, end := Reporter(&out, Bytes)
	end()
	if out.Len() > 0 {
		t.Errorf("without a report there is %q", out.String())
	}
	report("downloading", 1000, 4000)
	report("downloading", 4000, 4000)
	report("unpacking", 2000, 4000)
	end()
	if got, want := out.String(), "unpacking: 2.0 KiB of 3.9 KiB (50 %)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAmount(t *testing.T) {
	for _, c := range []struct {
		n    float64
		unit string
		want string
	}{
		{0, Bytes, "0 B"}, {999, Bytes, "999 B"}, {1023.6, Bytes, "1023 B"}, {62711338, Bytes, "60 MiB"},
		{2484.3e6, Bytes, "2.3 GiB"}, {1234e9, Bytes, "1.1 TiB"},
		{0, "images", "0 images"}, {0.51, "images", "0.51 images"}, {12.34, "images", "12.3 images"}, {99, "images", "99 images"},
		{142.7, "images", "143 images"}, {50000, "images", "50000 images"},
	} {
		if got := amount(c.n, c.unit); got != c.want {
			t.Errorf("amount(%v, %q) is %q, want %q", c.n, c.unit, got, c.want)
		}
	}
}

func TestDrawn(t *testing.T) {
	for _, c := range []struct{ unit, want string }{{"images", "(200/200"}, {Bytes, "(200/200 B"}} {
		var out bytes.Buffer
		bar := newDrawn(&out, 200, c.unit, "training")
		bar.add(100)
		bar.add(-100)
		bar.add(200)
		bar.describe("evaluating")
		for _, part := range []string{"training", "0%", "evaluating", "100%", c.want} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s: no %q is drawn: %q", c.unit, part, out.String())
			}
		}
		bar.done()
		// Last of all, the line is overwritten with spaces.
		if tail := out.String()[strings.LastIndex(strings.TrimRight(out.String(), "\r"), "\r")+1:]; strings.TrimSpace(tail) != "" {
			t.Errorf("%s: %q is left on the terminal", c.unit, tail)
		}
	}
}

func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	bar := New(&out, 1000, Bytes, "downloading")
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for range 100 {
				bar.Add(1)
				bar.Describe("x")
			}
		})
	}
	group.Wait()
	bar.Done()
	if want := "x: 1000 B of 1000 B (100 %)\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// stuck is an output that takes nothing until it is closed.
type stuck chan struct{}

func (s stuck) Write([]byte) (int, error) { <-s; return 0, errors.New("closed") }

// An output that takes nothing holds up neither the work nor its end.
func TestStuck(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := make(stuck)
			began := time.Now()
			var show display = &lines{w: s, total: 1000, last: began}
			if terminal {
				show = &lateDrawn{w: s}
			}
			bar := newBar(func() display { return show })
			for range 100 {
				time.Sleep(interval)
				bar.Add(10)
				bar.Describe("more")
			}
			bar.Done()
			bar.Done()
			bar.Add(1)
			if took, most := time.Since(began), 100*interval+outlet.LastWords; took > most {
				t.Errorf("took %v, want %v at most", took, most)
			}
			close(s)
		})
	}
}

// lateDrawn is a bar that is drawn first when something is done.
type lateDrawn struct {
	w io.Writer
	drawn
}

func (l *lateDrawn) add(n int64) {
	if l.bar == nil {
		l.drawn = newDrawn(l.w, 1000, "images", "training")
	}
	l.drawn.add(n)
}

func (l *lateDrawn) describe(string) {}
