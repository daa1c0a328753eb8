package state

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"nb201/internal/inert"
)

// WorkerTable formats the workers as a table with a header.
func (s Run) WorkerTable() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "device\ttrial\tat\timages/s\tfor")
	for _, w := range s.Workers {
		name, trial := w.Device, "-"
		if s.sharesDevice(w.Device) {
			name = fmt.Sprintf("%s #%d", w.Device, w.Index)
		}
		if w.Trial != nil {
			trial = w.Trial.Path()
		}
		inert.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", name, trial, w.progress(), w.speed(), FormatDuration(time.Since(w.Since)))
	}
	_ = table.Flush() // to memory
	return text.String()
}

// sharesDevice reports whether a device has more than one worker.
func (s Run) sharesDevice(device string) bool {
	n := 0
	for _, w := range s.Workers {
		if w.Device == device {
			n++
		}
	}
	return n > 1
}

// progress formats the stage of a worker, with its epoch and attempt: "epoch 3/12 train".
func (w Worker) progress() string {
	text := w.Stage
	if w.Epochs > 0 {
		text = fmt.Sprintf("epoch %d/%d %s", w.Epoch+1, w.Epochs, w.Stage)
	}
	if w.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", w.Attempt)
	}
	return text
}

// speed formats the images per second of a worker, or "-".
func (w Worker) speed() string {
	if w.ImagesPerSecond <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", w.ImagesPerSecond)
}

// Percent formats a share as "37.5 %". It rounds down, so that only the whole is 100 %.
func Percent(part, whole int) string {
	if whole == 0 {
		return "0 %"
	}
	tenths := 1000 * part / whole
	return fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
}

// FormatDuration formats a duration in its two largest units: 12s, 3m05s, 4h07m, 12d03h.
func FormatDuration(d time.Duration) string {
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
