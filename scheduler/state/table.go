package state

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"nb201/internal/inert"
	"nb201/internal/layout"
)

// wideTerminal is the number of columns that a terminal needs to show the results of passes.
const wideTerminal = 110

// WorkerTable formats the workers as a table with a header. If width, in columns, is at least 110,
// the table also has the last passes and, if given, a drawing for each worker, as far as they fit
// and leave the last column free, as displays do. The loss is that of the training pass. On a
// narrow terminal the stages are shortened, and then the times and the rates are left out, until the
// table fits. Without a terminal, width is 0.
func (s Run) WorkerTable(width int, drawings []string) string {
	columns := []column{
		{"images/s", func(w Worker, _ int) string { return w.speed() }},
		{"for", func(w Worker, _ int) string { return FormatDuration(time.Since(w.Since)) }},
	}
	least := len(columns)
	if width >= wideTerminal {
		columns = append(columns,
			column{"loss", func(w Worker, _ int) string { return w.Training.loss() }},
			column{"train %", func(w Worker, _ int) string { return w.Training.top1() }},
			column{"evaluation %", func(w Worker, _ int) string { return w.Evaluation.named() }})
		if drawings != nil {
			columns = append(columns, column{"so far", func(_ Worker, i int) string { return drawings[i] }})
		}
	}
	for {
		stage := Worker.progress
		if len(columns) < least {
			stage = Worker.shortProgress
		}
		text := s.table(stage, columns)
		if width == 0 || layout.Fits(text, width-1) {
			return text
		}
		if len(columns) <= least {
			text = s.table(Worker.shortProgress, columns)
		}
		if len(columns) == 0 || layout.Fits(text, width-1) {
			return text
		}
		columns = columns[:len(columns)-1]
	}
}

// column is a column of the table that not every terminal has room for.
type column struct {
	title string
	cell  func(w Worker, i int) string
}

// table formats the workers, with a worker's stage as at describes it, and with more columns.
func (s Run) table(at func(Worker) string, more []column) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "device\ttrial\tat")
	for _, c := range more {
		fmt.Fprint(table, "\t", c.title)
	}
	fmt.Fprintln(table)
	for i, w := range s.Workers {
		name, trial := w.Device, "-"
		if s.sharesDevice(w.Device) {
			name = fmt.Sprintf("%s #%d", w.Device, w.Index)
		}
		if w.Trial != nil {
			trial = w.Trial.Path()
		}
		inert.Fprintf(table, "%s\t%s\t%s", name, trial, at(w))
		for _, c := range more {
			inert.Fprintf(table, "\t%s", c.cell(w, i))
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush() // to memory
	return text.String()
}

// loss formats the loss of a pass; of none, as "-".
func (p *Pass) loss() string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%.3g", p.Loss)
}

// top1 formats the accuracy of a pass. A value that no accuracy has is shortened.
func (p *Pass) top1() string {
	switch {
	case p == nil:
		return "-"
	case p.Top1 >= 0 && p.Top1 < 1000:
		return fmt.Sprintf("%.2f", p.Top1)
	}
	return fmt.Sprintf("%.4g", p.Top1)
}

// named formats the accuracy of a pass after the name of its set.
func (p *Pass) named() string {
	if p == nil {
		return "-"
	}
	return p.Set + " " + p.top1()
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

// shortProgress formats the stage of a worker and its epoch: "3/12 train".
func (w Worker) shortProgress() string {
	if w.Epochs > 0 {
		return fmt.Sprintf("%d/%d %s", w.Epoch+1, w.Epochs, w.Stage)
	}
	return w.Stage
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
