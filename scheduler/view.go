package scheduler

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"nb201/internal/inert"
	"nb201/internal/progress"
)

// View shows a run while it works: on a terminal a line a worker and one of totals,
// redrawn in place; elsewhere, such as in a batch job's log, a line of totals now and
// then. It is safe for concurrent use, and never waits for an output that takes nothing
// (progress.Display).
type View struct {
	display *progress.Display

	mu     sync.Mutex
	state  RunState
	totals Totals
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
func (v *View) Show(s RunState, t Totals) {
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

// WorkerTable is a table of what the workers are at, a line each and a head.
func (s RunState) WorkerTable() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "device\ttrial\tat\timages/s\tfor")
	for _, w := range s.Workers {
		name, trial := w.Device, "-"
		if several(s, w.Device) {
			name = fmt.Sprintf("%s #%d", w.Device, w.Index)
		}
		if w.Trial != nil {
			trial = w.Trial.Path()
		}
		inert.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", name, trial, w.place(), w.speed(), Span(time.Since(w.Since)))
	}
	_ = table.Flush() // to memory
	return text.String()
}

// several tells whether a device has more than one worker.
func several(s RunState, device string) bool {
	n := 0
	for _, w := range s.Workers {
		if w.Device == device {
			n++
		}
	}
	return n > 1
}

// place is where a worker is in its trial.
func (w WorkerState) place() string {
	text := w.Stage
	if w.Epochs > 0 {
		text = fmt.Sprintf("epoch %d/%d %s", w.Epoch+1, w.Epochs, w.Stage)
	}
	if w.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", w.Attempt)
	}
	return text
}

func (w WorkerState) speed() string {
	if w.ImagesPerSecond <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", w.ImagesPerSecond)
}

// summary is the totals in a line.
func summary(s RunState, t Totals) string {
	text := fmt.Sprintf("%d of %s done (%s)", t.Done, progress.Quantity(t.Planned, "trial"), Percent(t.Done, t.Planned))
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d set aside", t.Failed)
	}
	if images := s.imagesPerSecond(); images > 0 {
		text += fmt.Sprintf(", %.0f images/s", images)
	}
	rate := s.LastHour.TrialsPerHour()
	if rate > 0 {
		text += fmt.Sprintf(", %.3g trials/h", rate)
	}
	if left := t.timeLeft(len(s.Workers), rate); left > 0 {
		text += fmt.Sprintf(", %s left", Span(left))
	}
	return text
}

// Percent is "37.5 %", and 100 % only of all.
func Percent(part, whole int) string {
	if whole == 0 {
		return "0 %"
	}
	tenths := 1000 * part / whole
	return fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
}

// Span is a time span in the two units that matter: 12s, 3m05s, 4h07m, 12d03h.
func Span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 60*60:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*60*60:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}
