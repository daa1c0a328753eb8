package scheduler

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"nb201/internal/outlet"
	"nb201/scheduler/state"
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
func (v *View) Show(s state.Run, t state.Totals) {
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
func (v *View) draw(s state.Run, t state.Totals) []string {
	width, height := v.size()
	lines := strings.Split(strings.TrimSuffix(s.WorkerTable(), "\n"), "\n")
	if room := max(height-4, 2); len(lines) > room {
		rest := len(lines) - room
		lines = append(lines[:room], fmt.Sprintf("... and %s more", count(rest, "worker")))
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

// summary is the totals in a line.
func summary(s state.Run, t state.Totals) string {
	text := fmt.Sprintf("%d of %s done (%s)", t.Done, count(t.Planned, "trial"), state.Percent(t.Done, t.Planned))
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d set aside", t.Failed)
	}
	if images := s.ImagesPerSecond(); images > 0 {
		text += fmt.Sprintf(", %.0f images/s", images)
	}
	rate := s.LastHour.TrialsPerHour()
	if rate > 0 {
		text += fmt.Sprintf(", %.3g trials/h", rate)
	}
	if left := t.TimeLeft(len(s.Workers), rate); left > 0 {
		text += fmt.Sprintf(", %s left", state.Span(left))
	}
	return text
}

// progressBar is so many characters wide.
func progressBar(t state.Totals, width int) string {
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

// count is "1 trial", "2 trials".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
