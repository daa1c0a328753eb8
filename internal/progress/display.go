package progress

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"nb201/internal/inert"
	"nb201/internal/outlet"
)

// Display shows lines of text on an output and, if that is a terminal, a block below them that is
// redrawn in place. It is safe for concurrent use. Callers never wait for a blocked output: it
// misses frames of the block, and lines if there are many of them, and the display then says how
// many lines were lost.
type Display struct {
	lines *outlet.Writer // on a terminal, writes to bars, which alone writes to the terminal
	bars  *mpb.Progress  // nil: not a terminal
	block *mpb.Bar
	ended sync.Once
}

// refresh is the time between frames.
const refresh = 250 * time.Millisecond

// Open returns a display on w. For each frame until Close, another goroutine calls draw with the
// terminal's width and height in characters, and draw returns the lines of the block. The display
// escapes unprintable characters and truncates lines to the width.
func Open(w io.Writer, draw func(width, height int) []string) *Display {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" { // a dumb terminal cannot move the cursor
		return &Display{lines: outlet.New(w)}
	}
	return OpenTerminal(w, func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width < 1 || height < 1 {
			return 80, 24
		}
		return width, height
	}, draw)
}

// OpenTerminal returns a display on a terminal that need not be a file; size returns its width
// and height in characters. Otherwise it does the same as [Open].
func OpenTerminal(w io.Writer, size func() (width, height int), draw func(width, height int) []string) *Display {
	fill := func(w io.Writer, _ decor.Statistics) error {
		width, height := size()
		lines := draw(width, height)
		for i, line := range lines {
			// A line that wraps would take two rows, and only one would be erased.
			lines[i] = runewidth.Truncate(inert.Text(line), width-1, "")
		}
		_, err := io.WriteString(w, strings.Join(lines, "\n"))
		return err
	}
	c := &console{Writer: cupwriter.New(unfailing{w}, true)}
	bars := mpb.New(mpb.WithConsoleWriter(c), mpb.WithAutoRefresh(), mpb.WithRefreshRate(refresh))
	block, _ := bars.Add(0, mpb.BarFillerFunc(fill), mpb.BarFillerTrim()) // fails only after Wait
	return &Display{lines: outlet.New(bars), bars: bars, block: block}
}

// unfailing hides a terminal's errors from mpb, which would stop drawing after the first one,
// although the terminal may recover. It also hides from mpb that the terminal is a file, so that
// mpb does not determine its size itself.
type unfailing struct{ w io.Writer }

func (u unfailing) Write(text []byte) (int, error) {
	_, _ = u.w.Write(text)
	return len(text), nil
}

// console counts the lines of the block, which mpb believes to be a bar of one line, and leaves the
// cursor at the end of the last line. Text that others (such as XLA) write to the terminal then
// continues that line, and the next frame starts below it instead of erasing it.
type console struct {
	*cupwriter.Writer
	ends int // line breaks in the block
}

// ReadFrom reads the block from mpb.
func (c *console) ReadFrom(r io.Reader) (int64, error) {
	block, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	block = bytes.TrimSuffix(block, []byte("\n"))
	c.ends = bytes.Count(block, []byte("\n"))
	n, err := c.Writer.Write(block)
	return int64(n), err
}

// Flush writes the block. The next frame starts by erasing it.
func (c *console) Flush(int) error {
	ends := c.ends
	c.ends = 0
	err := c.Writer.Flush(ends)
	_, _ = c.Writer.WriteString("\r\x1b[J") // to memory
	return err
}

// Terminal reports whether the output is a terminal, which has a block.
func (d *Display) Terminal() bool { return d.bars != nil }

// Write prints whole lines of text above the block. It returns at once and never fails.
func (d *Display) Write(text []byte) (int, error) { return d.lines.Write(text) }

// Close removes the block once all lines are written. It waits for a blocked output for at most
// [outlet.LastWords]. A second Close does nothing.
func (d *Display) Close() { d.ended.Do(d.close) }

func (d *Display) close() {
	_, _ = d.lines.Write(nil) // how many lines were lost, if any
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.lines.Close(outlet.LastWords)
		if d.bars != nil {
			d.block.Abort(true)
			d.bars.Wait()
		}
	}()
	timer := time.NewTimer(outlet.LastWords)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// Gauge returns a progress bar followed by two spaces, width characters in all, to put in front of
// a text. It returns "" if width is too small for a bar.
func Gauge(done, total int64, width int) string {
	const gap = "  "
	if width -= len(gap); width < 10 {
		return ""
	}
	var b strings.Builder
	style := mpb.BarStyle().Tip("=").Padding(" ").Build()
	_ = style.Fill(&b, decor.Statistics{AvailableWidth: width, Current: done, Total: total}) // to memory
	return b.String() + gap
}
