package scheduler

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"nb201/internal/progress"
	"nb201/scheduler/state"
)

// View shows a run while it works: on a terminal a line a worker and one of totals,
// redrawn in place; elsewhere, such as in a batch job's log, a line of totals now and
// then. It is safe for concurrent use, and never waits for an output that takes nothing
// (progress.Display).
type View struct {
	display *progress.Display

	mu     sync.Mutex
	state  state.Run
	totals state.Totals
	begun  bool      // Show was called
	last   time.Time // of the last line of totals, where there is no terminal
	shown  string    // totals that no line has shown yet
}

// NewView shows on w, which is a terminal or is not, until Done.
func NewView(w io.Writer) *View {
	v := new(View)
	v.display = progress.Open(w, v.draw)
	return v
}

// plainInterval is the time between two lines of totals where there is no terminal.
const plainInterval = 30 * time.Second

// Show shows how far the run is. It is called every second or so.
func (v *View) Show(s state.Run, t state.Totals) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.Workers = slices.Clone(s.Workers) // drawn later
	v.state, v.totals, v.begun = s, t, true
	if v.display.Terminal() {
		return // the next frame shows it
	}
	v.shown = summary(s, t)
	if now := time.Now(); now.Sub(v.last) >= plainInterval {
		fmt.Fprintln(v.display, v.shown)
		v.last, v.shown = now, ""
	}
}

// Write prints lines of text, whole ones, above what is shown.
func (v *View) Write(text []byte) (int, error) { return v.display.Write(text) }

// Done ends the showing: the block on the terminal vanishes; elsewhere the last totals are
// printed. It waits as long as progress.Display.Close.
func (v *View) Done() {
	v.mu.Lock()
	if v.shown != "" {
		fmt.Fprintln(v.display, v.shown)
		v.shown = ""
	}
	v.mu.Unlock()
	v.display.Close()
}

// draw makes the block of the workers and the totals.
func (v *View) draw(width, height int) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.begun {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(v.state.WorkerTable(), "\n"), "\n")
	if room := max(height-4, 2); len(lines) > room {
		rest := len(lines) - room
		lines = append(lines[:room], fmt.Sprintf("... and %s more", progress.Quantity(rest, "worker")))
	}
	if v.state.Paused != "" {
		lines = append(lines, "paused: "+v.state.Paused)
	}
	text := summary(v.state, v.totals)
	gauge := progress.Gauge(int64(v.totals.Done), int64(v.totals.Planned), min(width-1-len(text), 42))
	return append(lines, gauge+text)
}

// summary is the totals in a line.
func summary(s state.Run, t state.Totals) string {
	text := fmt.Sprintf("%d of %s done (%s)", t.Done, progress.Quantity(t.Planned, "trial"), state.Percent(t.Done, t.Planned))
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d set aside", t.Failed)
	}
	if images := s.ImagesPerSecond(); images > 0 {
		text += fmt.Sprintf(", %.0f images/s", images)
	}
	rate := s.LastHour.TrialsPerHour()
	if rate > 0 {
		text += fmt.Sprintf(", %s trials/h", state.Rate(rate))
	}
	if left := t.TimeLeft(len(s.Workers), rate); left > 0 {
		text += fmt.Sprintf(", %s left", state.Span(left))
	}
	return text
}
