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

// Display shows lines of text on an output and, if that is a terminal, a block below them
// that is drawn again and again in its place. It is safe for concurrent use. Nobody waits
// for an output that takes nothing: it misses frames of the block, and lines when there are
// many, which it says afterwards.
type Display struct {
	lines *outlet.Writer // on a terminal they go through mpb, which alone writes there
	bars  *mpb.Progress  // nil: no terminal
	block *mpb.Bar
	ended sync.Once
}

// refresh is the time between two frames.
const refresh = 250 * time.Millisecond

// Open shows on w until Close. Another goroutine calls draw, for each frame, with the
// terminal's width and height in characters; draw returns the lines of the block. What does
// not print in them is escaped, and what is beyond the width cut off.
func Open(w io.Writer, draw func(width, height int) []string) *Display {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" { // which moves no cursor
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

// OpenTerminal is Open for a terminal, which need not be a file: size returns its width and
// height.
func OpenTerminal(w io.Writer, size func() (width, height int), draw func(width, height int) []string) *Display {
	fill := func(w io.Writer, _ decor.Statistics) error {
		width, height := size()
		lines := draw(width, height)
		for i, line := range lines {
			// A line that wraps would be more than one to erase.
			lines[i] = runewidth.Truncate(inert.Text(line), width-1, "")
		}
		_, err := io.WriteString(w, strings.Join(lines, "\n"))
		return err
	}
	c := &console{Writer: cupwriter.New(unfailing{w}, true)}
	bars := mpb.New(mpb.WithConsoleWriter(c), mpb.WithAutoRefresh(), mpb.WithRefreshRate(refresh))
	block, _ := bars.Add(0, mpb.BarFillerFunc(fill), mpb.BarFillerTrim()) // fails after Wait only
	return &Display{lines: outlet.New(bars), bars: bars, block: block}
}

// unfailing hides the errors of a terminal from mpb, which would draw no more after the first:
// a terminal may work again. It also hides a file from mpb, which leaves the size to fill.
type unfailing struct{ w io.Writer }

func (u unfailing) Write(text []byte) (int, error) {
	_, _ = u.w.Write(text)
	return len(text), nil
}

// console counts the lines of the block, which to mpb is a bar of one line, and leaves the
// cursor at the end of the last: what XLA, say, writes to a terminal itself goes on there, and
// the next frame begins on a line below it instead of erasing it.
type console struct {
	*cupwriter.Writer
	ends int // of lines within the block
}

// ReadFrom takes the block.
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

// Flush writes what was taken. The next text begins where the block did, and clears it.
func (c *console) Flush(int) error {
	ends := c.ends
	c.ends = 0
	err := c.Writer.Flush(ends)
	_, _ = c.Writer.WriteString("\r\x1b[J") // to memory
	return err
}

// Terminal reports whether there is a block.
func (d *Display) Terminal() bool { return d.bars != nil }

// Write prints whole lines of text, above the block. It returns at once and without an error.
func (d *Display) Write(text []byte) (int, error) { return d.lines.Write(text) }

// Close removes the block once all lines are written. It waits for an output that takes
// nothing no longer than outlet.LastWords. A second Close does nothing.
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

// Gauge is a bar and a gap of together this many characters, to put before a text; it is
// empty when they are too few to show anything.
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
