package scheduler

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"nb201/internal/layout"
	"nb201/internal/progress"
	"nb201/internal/quantity"
	"nb201/scheduler/state"
)

// View displays the progress of a run. On a terminal it redraws one line per worker and a line
// of totals in place, with losses and accuracies if the terminal is wide; elsewhere, such as in a
// batch job's log, it prints a line of totals every 30 seconds. It is safe for concurrent use and
// never blocks on an output that does not accept data: see [progress.Display].
type View struct {
	display *progress.Display

	mu     sync.Mutex
	state  state.Run
	totals state.Totals
	begun  bool      // Show has been called
	last   time.Time // when the last line of totals was printed; unused on a terminal
	unseen string    // a line of totals not printed yet
}

// NewView returns a View that writes to w, a terminal or not, until [View.Done] is called.
func NewView(w io.Writer) *View {
	v := new(View)
	v.display = progress.Open(w, v.draw)
	return v
}

// plainInterval is the time between lines of totals when the output is not a terminal.
const plainInterval = 30 * time.Second

// Show updates what is displayed. The run calls it about once a second.
func (v *View) Show(s state.Run, t state.Totals) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.Workers = slices.Clone(s.Workers) // draw reads them later
	v.state, v.totals, v.begun = s, t, true
	if v.display.Terminal() { // the next frame draws it
		return
	}
	v.unseen = summary(s, t)
	if now := time.Now(); now.Sub(v.last) >= plainInterval {
		fmt.Fprintln(v.display, v.unseen)
		v.last, v.unseen = now, ""
	}
}

// Write prints whole lines of text above the display.
func (v *View) Write(text []byte) (int, error) { return v.display.Write(text) }

// Done ends the display: it clears the block on a terminal, and elsewhere prints the last
// totals. It may block for as long as [progress.Display.Close] does.
func (v *View) Done() {
	v.mu.Lock()
	if v.unseen != "" {
		fmt.Fprintln(v.display, v.unseen)
		v.unseen = ""
	}
	v.mu.Unlock()
	v.display.Close()
}

// draw returns the lines of the block: the workers, the totals and a gauge.
func (v *View) draw(width, height int) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.begun {
		return nil
	}
	drawings := make([]string, len(v.state.Workers))
	for i, w := range v.state.Workers {
		drawings[i] = sparkline(w)
	}
	var below []string
	if v.state.Paused != "" {
		below = wrapped("paused: "+v.state.Paused, width)
	}
	text := summary(v.state, v.totals)
	gauge := progress.Gauge(int64(v.totals.Done), int64(v.totals.Planned), min(width-1-len(text), 42))
	below = append(below, wrapped(gauge+text, width)...)
	lines := strings.Split(strings.TrimSuffix(v.state.WorkerTable(width, drawings), "\n"), "\n")
	if room := max(height-2-max(len(below), 2), 2); len(lines) > room {
		rest := len(lines) - room
		lines = append(lines[:room], "... and "+quantity.Format(rest, "more worker"))
	}
	return append(lines, below...)
}

// wrapped breaks a line of the block that is wider than the terminal, whose last column displays leave
// free.
func wrapped(line string, width int) []string {
	return strings.Split(layout.Wrap(line, width-1), "\n")
}

// summary formats the totals as one line.
func summary(s state.Run, t state.Totals) string {
	text := fmt.Sprintf("%d of %s done (%s)", t.Done, quantity.Format(t.Planned, "trial"), state.Percent(t.Done, t.Planned))
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d failed", t.Failed)
	}
	if images := s.ImagesPerSecond(); images > 0 {
		text += fmt.Sprintf(", %.0f images/s", images)
	}
	rate := s.LastHour.TrialsPerHour()
	if rate > 0 {
		text += fmt.Sprintf(", %s trials/h", state.Rate(rate))
	}
	if left := t.TimeLeft(len(s.Workers), rate); left > 0 {
		text += fmt.Sprintf(", %s left", state.FormatDuration(left))
	}
	return text
}
