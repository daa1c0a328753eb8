package progress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"nb201/internal/outlet"
	"nb201/internal/progress/progresstest"
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
		if got := formatAmount(c.n, c.unit); got != c.want {
			t.Errorf("formatAmount(%v, %q) is %q, want %q", c.n, c.unit, got, c.want)
		}
	}
}

// drawn returns a Bar on a terminal of 80 columns.
func drawn(w io.Writer, unit string) *Bar {
	b := newBar(200, unit, "training")
	b.display = OpenTerminal(w, func() (int, int) { return 80, 24 }, b.draw)
	return b
}

func TestDrawn(t *testing.T) {
	for _, c := range []struct{ unit, full, rate string }{
		{"images", "200 of 200 images (100 %)", "150 of 200 images (75 %), 5 images/s, 10s left"},
		{Bytes, "200 B of 200 B (100 %)", "150 B of 200 B (75 %), 5 B/s, 10s left"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out progresstest.Output
			bar := drawn(&out, c.unit)
			check := func(parts ...string) {
				t.Helper()
				time.Sleep(2 * refresh)
				synctest.Wait()
				shown := progresstest.Screen(t, out.String())
				for _, part := range parts {
					if !strings.Contains(shown, part) {
						t.Errorf("%s: no %q is drawn: %q", c.unit, part, shown)
					}
				}
				if strings.Count(shown, "\n") != 1 || utf8.RuneCountInString(shown) > 80 {
					t.Errorf("%s: %q is not one line", c.unit, shown)
				}
			}
			check("training [", "(0 %)")
			bar.Add(100)
			bar.Add(-100)
			bar.Add(200)
			bar.Describe("evaluating\x1b[2J")
			check(`evaluating\x1b[2J [`, "====", c.full)
			bar.Add(-100)
			time.Sleep(drawnInterval)
			check()
			time.Sleep(7900 * time.Millisecond) // a step may take long
			check()
			bar.Add(50)
			check(c.rate)
			bar.Done()
			if shown := progresstest.Screen(t, out.String()); shown != "" {
				t.Errorf("%s: %q is left on the terminal", c.unit, shown)
			}
		})
	}
}

// The rate and the time left are shown at every width with room for them, however long the description.
func TestNarrow(t *testing.T) {
	const description = "epoch 3/12 ori-test loss 0.1234 top-1 96.75 %"
	for width := 1; width <= 200; width++ {
		b := newBar(20000, "images", description)
		b.count, b.lastCount, b.rate = 5391, 5391, 2308
		line := b.draw(width, 24)[0]
		shown := runewidth.Truncate(line, width-1, "")
		if width >= 40 && !strings.Contains(shown, "26 %") || width >= 40 && !strings.HasSuffix(shown, ", 2308 images/s, 6s left") {
			t.Errorf("%d characters: %q", width, shown)
		}
		if long := strings.Contains(shown, "5391 of 20000 images (26 %)"); long != (width >= 98) || long && !strings.HasPrefix(shown, description) {
			t.Errorf("%d characters: %q", width, shown)
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

// stuck is an output that blocks until it is closed.
type stuck chan struct{}

func (s stuck) Write([]byte) (int, error) { <-s; return 0, errors.New("closed") }

// A blocked output delays neither the work nor its end.
func TestStuck(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := make(stuck)
			began := time.Now()
			var bar *Bar
			if terminal {
				bar = drawn(s, "images")
			} else {
				bar = New(s, 200, "images", "training")
			}
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

// Text is shown above the block. The block may be empty; its lines are escaped and truncated to the
// terminal's width.
func TestDisplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out progresstest.Output
		var block atomic.Value
		block.Store([]string(nil))
		d := OpenTerminal(&out, func() (int, int) { return 12, 24 }, func(width, height int) []string {
			if width != 12 || height != 24 {
				t.Errorf("the size is %d x %d", width, height)
			}
			return slices.Clone(block.Load().([]string))
		})
		check := func(want string) {
			t.Helper()
			time.Sleep(2 * refresh)
			synctest.Wait()
			if got := progresstest.Screen(t, out.String()); got != want {
				t.Errorf("the terminal shows %q, want %q", got, want)
			}
		}
		check("")
		fmt.Fprintln(d, "first")
		check("first\n")
		block.Store([]string{"12 columns..", "画像画像画像", "a\nb\x1b[2J"})
		check("first\n12 columns.\n画像画像画\na\\nb\\x1b[2J\n")
		block.Store([]string{"one"})
		fmt.Fprint(d, "second\nthird\n")
		check("first\nsecond\nthird\none\n")
		fmt.Fprint(&out, " and what others write\n")
		check("first\nsecond\nthird\none and what others write\none\n")
		d.Close()
		d.Close()
		check("first\nsecond\nthird\none and what others write\n")
	})
}

// failing is an output that fails while now is set.
type failing struct {
	progresstest.Output
	now atomic.Bool
}

func (f *failing) Write(text []byte) (int, error) {
	if f.now.Load() {
		return 0, syscall.EAGAIN
	}
	return f.Output.Write(text)
}

// Drawing resumes when a terminal that has failed works again.
func TestFailingTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out failing
		out.now.Store(true)
		d := OpenTerminal(&out, func() (int, int) { return 80, 24 }, func(int, int) []string { return []string{"block"} })
		time.Sleep(time.Second)
		out.now.Store(false)
		fmt.Fprintln(d, "text")
		time.Sleep(time.Second)
		if got, want := progresstest.Screen(t, out.String()), "text\nblock\n"; got != want {
			t.Errorf("the terminal shows %q, want %q", got, want)
		}
		d.Close()
	})
}
