// Package progress shows the progress of long work: on a terminal as a line that is redrawn in
// place, elsewhere (such as in a batch job's log) as a line of text every few seconds. Use [New]
// or [Reporter] for one piece of work, and a [Display] for a block of several lines.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-runewidth"

	"nb201/internal/inert"
)

// Bytes is the unit whose amounts are shown in KiB, MiB and GiB.
const Bytes = "B"

// Bar shows the progress of one piece of work. It is safe for concurrent use. The work never waits
// for the output; see [Display].
type Bar struct {
	display *Display
	total   int64
	unit    string

	mu          sync.Mutex
	ended       bool
	description string
	count       int64
	rate        float64   // units per second in the last interval; 0: not known yet
	last        time.Time // end of the last interval
	lastCount   int64     // count at that time
}

// New shows on w the progress of work of total units, which must be positive. unit is their name,
// such as "images" or [Bytes]; description says what is being done.
func New(w io.Writer, total int64, unit, description string) *Bar {
	b := newBar(total, unit, description)
	b.display = Open(w, b.draw)
	return b
}

func newBar(total int64, unit, description string) *Bar {
	return &Bar{total: total, unit: unit, description: inert.Text(description), last: time.Now()}
}

// The rate is measured over these times: interval is also the time between two lines of text,
// drawnInterval is for terminals.
const (
	interval      = 5 * time.Second
	drawnInterval = 2 * time.Second
)

// Add reports that n more units are done, or if n is negative, that some have to be done again.
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

// Done stops showing progress, whether or not the work is complete. On a terminal the line
// disappears, elsewhere a last line shows how much was done. It waits as long as [Display.Close].
func (b *Bar) Done() {
	b.mu.Lock()
	if !b.ended && !b.display.Terminal() {
		fmt.Fprintln(b.display, b.description+": "+b.amounts())
	}
	b.ended = true
	b.mu.Unlock()
	b.display.Close()
}

// measure computes the rate if the interval is over, and reports whether it is.
func (b *Bar) measure(interval time.Duration) bool {
	elapsed := time.Since(b.last)
	if elapsed < interval {
		return false
	}
	// Use the last interval only, because compiling slows down the start.
	b.rate = float64(b.count-b.lastCount) / elapsed.Seconds()
	b.last, b.lastCount = time.Now(), b.count
	return true
}

// draw returns the line for a terminal.
func (b *Bar) draw(width, _ int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count != b.lastCount { // a single step may take longer than an interval
		b.measure(drawnInterval)
	}
	room := width - 2 // without the space after the description and the last column
	status, description := b.status(), b.description
	if runewidth.StringWidth(description)+len(status) > room {
		// On a narrow terminal, show the rate and the time left rather than the amounts.
		status = b.shortStatus()
		description = runewidth.Truncate(description, max(room-len(status), 0), "…")
	}
	gauge := Gauge(b.count, b.total, room-runewidth.StringWidth(description)-len(status))
	return []string{description + " " + gauge + status}
}

// status returns text such as "3 of 12 images (25 %), 2 images/s, 5s left".
func (b *Bar) status() string { return b.amounts() + b.pace() }

// shortStatus returns text such as "25 %, 2 images/s, 5s left".
func (b *Bar) shortStatus() string { return b.percent() + b.pace() }

// pace returns text such as ", 2 images/s, 5s left", or "" while the rate is not known.
func (b *Bar) pace() string {
	if b.rate <= 0 {
		return ""
	}
	left := time.Duration(float64(b.total-b.count) / b.rate * float64(time.Second))
	return fmt.Sprintf(", %s/s, %v left", formatAmount(b.rate, b.unit), left.Round(time.Second))
}

func (b *Bar) percent() string { return fmt.Sprintf("%d %%", 100*b.count/b.total) }

// amounts returns text such as "3 of 12 images (25 %)".
func (b *Bar) amounts() string {
	count, total := fmt.Sprint(b.count), formatAmount(float64(b.total), b.unit)
	if b.unit == Bytes {
		count = formatAmount(float64(b.count), Bytes)
	}
	return fmt.Sprintf("%s of %s (%s)", count, total, b.percent())
}

// formatAmount formats a number with its unit, to three digits below 100 and as a whole number
// above.
func formatAmount(n float64, unit string) string {
	switch {
	case unit == Bytes:
		return humanize.IBytes(uint64(n))
	case n < 100 && n != float64(int64(n)):
		return fmt.Sprintf("%.3g %s", n, unit)
	}
	return fmt.Sprintf("%.0f %s", n, unit)
}

// Reporter shows on w the progress of work that reports its total amount done so far rather than
// the difference; that amount may decrease. The bar appears with the first report. end calls
// [Bar.Done] if there is a bar.
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
