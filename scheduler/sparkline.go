package scheduler

import (
	"slices"

	"nb201/scheduler/state"
)

// sparklineWidth is the greatest width of a sparkline, in characters.
const sparklineWidth = 16

// sparkline draws the accuracies on the first evaluation set of a worker's trial as bars, the lowest
// value as the lowest bar. A long curve is drawn with evenly spaced values, the last among them.
// Impossible values are left out.
func sparkline(w state.Worker) string {
	var values []float64
	if at := slices.IndexFunc(w.Curves, func(c state.Curve) bool { return c.Set != state.StageTraining }); at >= 0 {
		values = slices.DeleteFunc(slices.Clone(w.Curves[at].Top1), func(v float64) bool { return !(v >= 0 && v <= 101) })
	}
	n := len(values)
	if n == 0 {
		return "-"
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	low, high := slices.Min(values), slices.Max(values)
	drawn := make([]rune, min(n, sparklineWidth))
	for i := range drawn {
		v := values[(i+1)*n/len(drawn)-1]
		level := 0
		if high > low {
			level = int((v - low) / (high - low) * float64(len(bars)-1))
		}
		drawn[i] = bars[level]
	}
	return string(drawn)
}
