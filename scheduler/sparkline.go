package scheduler

import (
	"slices"
	"time"

	"nb201/scheduler/state"
)

// curve holds the accuracies that a View has seen of a worker's trial, on one evaluation set.
type curve struct {
	since  time.Time // when the worker got the trial
	set    string
	epoch  int // of the last value
	values []float64
}

// follow adds the worker's last evaluation, if its accuracy is possible. It starts over if the
// worker has another trial.
func (c *curve) follow(w state.Worker) {
	if !w.Since.Equal(c.since) {
		*c = curve{since: w.Since}
	}
	e := w.Evaluation
	if e == nil || !(e.Top1 >= 0 && e.Top1 <= 101) || len(c.values) > 0 && (e.Set != c.set || e.Epoch <= c.epoch) {
		return
	}
	c.set, c.epoch, c.values = e.Set, e.Epoch, append(c.values, e.Top1)
}

// sparklineWidth is the greatest width of a sparkline, in characters.
const sparklineWidth = 16

// sparkline draws the curve as bars, the lowest value as the lowest bar. A long curve is drawn with
// evenly spaced values, the last among them.
func (c *curve) sparkline() string {
	n := len(c.values)
	if n == 0 {
		return "-"
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	low, high := slices.Min(c.values), slices.Max(c.values)
	drawn := make([]rune, min(n, sparklineWidth))
	for i := range drawn {
		v := c.values[(i+1)*n/len(drawn)-1]
		level := 0
		if high > low {
			level = int((v - low) / (high - low) * float64(len(bars)-1))
		}
		drawn[i] = bars[level]
	}
	return string(drawn)
}
