package scheduler

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"nb201/internal/inert"
	"nb201/internal/outlet"
	"nb201/internal/progress"
)

// View shows a run while it works: on a terminal a line a worker and one of totals,
// redrawn in place; elsewhere, such as in a batch job's log, a line of totals now and
// then. It is safe for concurrent use, and never waits for an output that takes nothing: a
// stopped terminal misses frames, and lines when there are many, which it says afterwards.
type View struct {
	out  *outlet.Writer
	size func() (width, height int) // of the terminal in characters; nil: no terminal

	mu    sync.Mutex
	block []string  // that the terminal shows when all is written
	last  time.Time // of the last line of totals
	shown string    // that line
}

// NewView shows on w, which is a terminal or is not, until Done.
func NewView(w io.Writer) *View {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &View{out: outlet.New(w)}
	}
	return &View{out: outlet.New(w), size: func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width < 1 || height < 1 {
			return 80, 24
		}
		return width, height
	}}
}

// plainInterval is the time between two lines of totals where there is no terminal.
const plainInterval = 30 * time.Second

// Show shows how far the run is. It is called every second or so.
func (v *View) Show(s RunState, t Totals) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.size != nil {
		if v.out.Idle() { // one frame less, on a slow terminal
			v.put("", v.draw(s, t))
		}
		return
	}
	v.shown = summary(s, t)
	if now := time.Now(); now.Sub(v.last) >= plainInterval {
		v.put(v.shown+"\n", nil)
		v.last, v.shown = now, ""
	}
}

// Write prints lines of text, whole ones, above what is shown.
func (v *View) Write(text []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.put(string(text), v.block)
	return len(text), nil
}

// Done ends the showing: the block on the terminal vanishes; elsewhere the last totals are
// printed. It waits for an output that takes nothing no longer than outlet.LastWords.
func (v *View) Done() {
	v.mu.Lock()
	defer v.mu.Unlock()
	text := v.shown
	if text != "" {
		text += "\n"
	}
	v.put(text, nil)
	v.shown = ""
	v.out.Close(outlet.LastWords)
}

// draw makes the block of the workers and the totals.
func (v *View) draw(s RunState, t Totals) []string {
	width, height := v.size()
	lines := strings.Split(strings.TrimSuffix(s.WorkerTable(), "\n"), "\n")
	if room := max(height-4, 2); len(lines) > room {
		rest := len(lines) - room
		lines = append(lines[:room], fmt.Sprintf("... and %s more", progress.Quantity(rest, "worker")))
	}
	if s.Paused != "" {
		lines = append(lines, "paused: "+s.Paused)
	}
	text := summary(s, t)
	if bar := min(width-len(text)-4, 40); bar >= 10 {
		text = progressBar(t, bar) + "  " + text
	}
	lines = append(lines, text)
	for i, line := range lines {
		// A line that wraps would be more than one to erase.
		lines[i] = truncate(line, width-1)
	}
	return lines
}

// put puts whole lines of text and a block below it in the place of the block. One write
// flickers least.
func (v *View) put(text string, block []string) {
	lost := v.out.Lost()
	lines := lost + strings.Count(text, "\n")
	text = outlet.Notice(lost) + text
	if len(v.block) > 0 {
		// The cursor goes up to the block's first line, and what follows is cleared.
		text = fmt.Sprintf("\x1b[%dA\r\x1b[J", len(v.block)) + text
	}
	if len(block) > 0 {
		text += strings.Join(block, "\n") + "\n"
	}
	if text != "" && v.out.Offer([]byte(text), lines) {
		v.block = block
	}
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

// progressBar is so many characters wide.
func progressBar(t Totals, width int) string {
	inner := width - 2
	done := 0
	if t.Planned > 0 {
		done = inner * t.Done / t.Planned
	}
	return "[" + strings.Repeat("=", done) + strings.Repeat(" ", inner-done) + "]"
}

// truncate cuts text to so many characters.
func truncate(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:max(width, 0)])
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
