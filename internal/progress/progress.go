// Package progress shows how far a long piece of work is: as a bar on a terminal,
// as a line of text now and then elsewhere, such as in a batch job's log.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"nb201/internal/inert"
	"nb201/internal/outlet"
)

// Bytes is the unit that is shown in KiB, MiB and GiB.
const Bytes = "B"

// Bar shows the progress of one piece of work. It is safe for concurrent use. The work
// never waits for the output: one goroutine writes, and shows what has come to be since.
type Bar struct {
	wake chan struct{} // something is new; closed by Done
	gone chan struct{} // closed when all is shown

	mu    sync.Mutex
	ended bool
	new   int64  // units that are not shown yet
	text  string // a description that is not
}

// display is a way to show progress.
type display interface {
	add(n int64)
	describe(text string)
	done()
}

// New shows on w the progress of work of total units, above 0, named "images" or
// Bytes, say. The description says what is being done.
func New(w io.Writer, total int64, unit, description string) *Bar {
	description = inert.Text(description)
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return newBar(func() display { return newDrawn(w, total, unit, description) })
	}
	return newBar(func() display {
		return &lines{w: w, total: total, unit: unit, description: description, last: time.Now()}
	})
}

// newBar makes the display where it shows things, since a bar draws itself when it is made.
func newBar(open func() display) *Bar {
	b := &Bar{wake: make(chan struct{}, 1), gone: make(chan struct{})}
	go func() {
		defer close(b.gone)
		show := open()
		for range b.wake {
			b.mu.Lock()
			n, text := b.new, b.text
			b.new, b.text = 0, ""
			b.mu.Unlock()
			if text != "" {
				show.describe(text)
			}
			if n != 0 {
				show.add(n)
			}
		}
		show.done()
	}()
	return b
}

// Add says that n more units are done; below 0, that some have to be done again.
func (b *Bar) Add(n int64) { b.change(func() { b.new += n }) }

// Describe changes the description.
func (b *Bar) Describe(text string) { b.change(func() { b.text = inert.Text(text) }) }

func (b *Bar) change(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	change()
	select {
	case b.wake <- struct{}{}:
	default: // it wakes up anyway
	}
}

// Done ends the showing, whether the work is complete or not. A bar vanishes; in
// text a last line says how far the work came. It waits for an output that takes nothing
// no longer than outlet.LastWords.
func (b *Bar) Done() {
	b.mu.Lock()
	ended := b.ended
	b.ended = true
	b.mu.Unlock()
	if ended {
		return
	}
	close(b.wake)
	timer := time.NewTimer(outlet.LastWords)
	defer timer.Stop()
	select {
	case <-b.gone:
	case <-timer.C:
	}
}

// Reporter shows on w the progress of work that tells how far it is rather than how
// much more is done. A bar appears with the first report; the amount done may fall.
// end is Done, if there is a bar.
func Reporter(w io.Writer, unit string) (report func(doing string, done, total int64), end func()) {
	var bar *Bar
	var shown int64
	var described string
	report = func(doing string, done, total int64) {
		switch {
		case bar == nil:
			bar = New(w, total, unit, doing)
		case doing != described:
			bar.Describe(doing)
		}
		described = doing
		bar.Add(done - shown)
		shown = done
	}
	return report, func() {
		if bar != nil {
			bar.Done()
		}
	}
}

// drawn is a bar on a terminal.
type drawn struct {
	bar *progressbar.ProgressBar
}

func newDrawn(w io.Writer, total int64, unit, description string) drawn {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(description),
		progressbar.OptionShowCount(),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionSetRenderBlankState(true),
	}
	if unit == Bytes {
		options = append(options, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
	} else {
		options = append(options, progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit))
	}
	return drawn{progressbar.NewOptions64(total, options...)}
}

// The errors of drawing are those of the terminal: nothing can be told there.

func (d drawn) add(n int64)          { _ = d.bar.Add64(n) }
func (d drawn) describe(text string) { d.bar.Describe(text) }
func (d drawn) done()                { _, _ = d.bar.Clear(), d.bar.Exit() }

// interval is the time between two lines.
const interval = 5 * time.Second

// lines is text, a line every interval.
type lines struct {
	w     io.Writer
	total int64
	unit  string

	mu          sync.Mutex
	description string
	count       int64
	last        time.Time // of the last line, or the beginning
	lastCount   int64     // then
}

func (l *lines) add(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count += n
	if elapsed := time.Since(l.last); elapsed >= interval {
		// The rate is that of the last interval: compiling, at first, takes long.
		rate := float64(l.count-l.lastCount) / elapsed.Seconds()
		text := l.description + ": " + l.amounts()
		if rate > 0 {
			left := time.Duration(float64(l.total-l.count) / rate * float64(time.Second))
			text += fmt.Sprintf(", %s/s, %v left", amount(rate, l.unit), left.Round(time.Second))
		}
		fmt.Fprintln(l.w, text)
		l.last, l.lastCount = time.Now(), l.count
	}
}

func (l *lines) describe(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.description = text
}

func (l *lines) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, l.description+": "+l.amounts())
}

// amounts is "3 of 12 images (25 %)".
func (l *lines) amounts() string {
	count, total := fmt.Sprint(l.count), amount(float64(l.total), l.unit)
	if l.unit == Bytes {
		count = amount(float64(l.count), Bytes)
	}
	return fmt.Sprintf("%s of %s (%d %%)", count, total, 100*l.count/l.total)
}

// amount is a number with its unit, to three digits or to a whole number.
func amount(n float64, unit string) string {
	if unit != Bytes {
		if n < 100 && n != float64(int64(n)) {
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		return fmt.Sprintf("%.0f %s", n, unit)
	}
	return humanize.IBytes(uint64(n))
}

// Quantity is a number of things: "1 trial", "2 trials". (english.Plural groups digits, which
// no other number here has.)
func Quantity(n int, what string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(n, what, ""))
}
