// Package progress shows how far a long piece of work is: on a terminal as lines that are
// drawn in place, as a line of text now and then elsewhere, such as in a batch job's log.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/mattn/go-runewidth"

	"nb201/internal/inert"
)

// Bytes is the unit that is shown in KiB, MiB and GiB.
const Bytes = "B"

// Bar shows the progress of one piece of work. It is safe for concurrent use, and the work
// never waits for the output (Display).
type Bar struct {
	display *Display
	total   int64
	unit    string

	mu          sync.Mutex
	ended       bool
	description string
	count       int64
	rate        float64   // units a second in the last interval; 0: none is known
	last        time.Time // when that ended
	lastCount   int64     // then
}

// New shows on w the progress of work of total units, above 0, named "images" or
// Bytes, say. The description says what is being done.
func New(w io.Writer, total int64, unit, description string) *Bar {
	b := newBar(total, unit, description)
	b.display = Open(w, b.draw)
	return b
}

func newBar(total int64, unit, description string) *Bar {
	return &Bar{total: total, unit: unit, description: inert.Text(description), last: time.Now()}
}

// The rate is measured over this time: between two lines of text, and on a terminal.
const (
	interval      = 5 * time.Second
	drawnInterval = 2 * time.Second
)

// Add says that n more units are done; below 0, that some have to be done again.
func (b *Bar) Add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count += n
	if !b.ended && !b.display.Terminal() && b.measure(interval) {
		fmt.Fprintln(b.display, b.description+": "+b.status())
	}
}

// Describe changes the description.
func (b *Bar) Describe(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.description = inert.Text(text)
}

// Done ends the showing, whether the work is complete or not. A bar vanishes; in
// text a last line says how far the work came. It waits as long as Display.Close.
func (b *Bar) Done() {
	b.mu.Lock()
	if !b.ended && !b.display.Terminal() {
		fmt.Fprintln(b.display, b.description+": "+b.amounts())
	}
	b.ended = true
	b.mu.Unlock()
	b.display.Close()
}

// measure takes the rate when this interval is over, and reports whether it is.
func (b *Bar) measure(interval time.Duration) bool {
	elapsed := time.Since(b.last)
	if elapsed < interval {
		return false
	}
	// The rate is that of the last interval: compiling, at first, takes long.
	b.rate = float64(b.count-b.lastCount) / elapsed.Seconds()
	b.last, b.lastCount = time.Now(), b.count
	return true
}

// draw is the line on a terminal.
func (b *Bar) draw(width, _ int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count != b.lastCount { // a step may take longer than an interval
		b.measure(drawnInterval)
	}
	room := width - 2 // beside the description, a space
	status, description := b.status(), b.description
	if runewidth.StringWidth(description)+len(status) > room {
		// The rate and the time left are shown also where the line is short.
		status = b.shortStatus()
		description = runewidth.Truncate(description, max(room-len(status), 0), "…")
	}
	gauge := Gauge(b.count, b.total, room-runewidth.StringWidth(description)-len(status))
	return []string{description + " " + gauge + status}
}

// status is "3 of 12 images (25 %), 2 images/s, 5s left".
func (b *Bar) status() string { return b.amounts() + b.pace() }

// shortStatus is "25 %, 2 images/s, 5s left".
func (b *Bar) shortStatus() string { return b.percent() + b.pace() }

// pace is ", 2 images/s, 5s left"; "" while no rate is known.
func (b *Bar) pace() string {
	if b.rate <= 0 {
		return ""
	}
	left := time.Duration(float64(b.total-b.count) / b.rate * float64(time.Second))
	return fmt.Sprintf(", %s/s, %v left", amount(b.rate, b.unit), left.Round(time.Second))
}

func (b *Bar) percent() string { return fmt.Sprintf("%d %%", 100*b.count/b.total) }

// amounts is "3 of 12 images (25 %)".
func (b *Bar) amounts() string {
	count, total := fmt.Sprint(b.count), amount(float64(b.total), b.unit)
	if b.unit == Bytes {
		count = amount(float64(b.count), Bytes)
	}
	return fmt.Sprintf("%s of %s (%s)", count, total, b.percent())
}

// amount is a number with its unit, to three digits or to a whole number.
func amount(n float64, unit string) string {
	switch {
	case unit == Bytes:
		return humanize.IBytes(uint64(n))
	case n < 100 && n != float64(int64(n)):
		return fmt.Sprintf("%.3g %s", n, unit)
	}
	return fmt.Sprintf("%.0f %s", n, unit)
}

// Reporter shows on w the progress of work that reports how far it is rather than how
// much more is done. A bar appears with the first report; the amount done may fall.
// end is Done, if there is a bar.
func Reporter(w io.Writer, unit string) (report func(doing string, done, total int64), end func()) {
	var bar *Bar
	var shown int64
	report = func(doing string, done, total int64) {
		if bar == nil {
			bar = New(w, total, unit, doing)
		}
		bar.Describe(doing)
		bar.Add(done - shown)
		shown = done
	}
	return report, func() {
		if bar != nil {
			bar.Done()
		}
	}
}

// Quantity is a number of things: "1 trial", "2 trials". (english.Plural groups digits, which
// no other number here has.)
func Quantity(n int, what string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(n, what, ""))
}
