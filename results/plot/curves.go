package plot

import (
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"
	"strings"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"

	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// Trial is a trial whose curves are drawn.
type Trial struct {
	Schedule string // its name in the benchmark
	*benchmark.ResultsCount
}

// curve is a line of a chart: the accuracies on a set, of the trials on a dataset with a schedule.
type curve struct {
	dataset, schedule, set string
	seeds                  []benchmark.Series
}

// Curves draws the learning curves of trials of an architecture: the top-1 accuracy on one set, or
// on all sets if set is empty, over the epochs. Trials that differ only in the seed are one line,
// their mean, in a band of one standard deviation. Errors are usage errors.
func Curves(index int, genotype, set string, trials []Trial) (*Chart, error) {
	curves := curvesOf(set, trials)
	if len(curves) > MostLines {
		return nil, usage.Errorf("--plot: the trials have %d curves, and no more than %d can be distinguished; choose with --dataset, --schedule or --set",
			len(curves), MostLines)
	}
	datasets, schedules := map[string]bool{}, map[string]bool{}
	several := false // a line is a mean
	for _, l := range curves {
		datasets[l.dataset], schedules[l.schedule] = true, true
		several = several || len(l.seeds) > 1
	}
	var common []string
	if len(datasets) == 1 {
		common = append(common, label(curves[0].dataset))
	}
	if len(schedules) == 1 {
		common = append(common, "schedule "+label(curves[0].schedule))
	}
	if several {
		common = append(common, "mean over the seeds, in a band of one standard deviation")
	}
	c := newChart([]string{fmt.Sprintf("architecture %d", index), label(genotype), strings.Join(common, ", ")}, "epoch", "top-1 accuracy, %")
	c.plot.X.Tick.Marker = ticks{whole: true}
	for i, l := range curves {
		var name []string
		if len(datasets) > 1 {
			name = append(name, l.dataset)
		}
		if len(schedules) > 1 {
			name = append(name, "schedule "+l.schedule)
		}
		name = append(name, l.set)
		if len(l.seeds) > 1 {
			name = append(name, quantity.Format(len(l.seeds), "seed"))
		}
		c.addCurve(i, label(strings.Join(name, ", ")), l.seeds)
	}
	if math.IsInf(c.plot.X.Min, 1) {
		return nil, usage.Errorf("--plot: the selected trials have no accuracy between 0 and 100 %%; select other trials")
	}
	spread(&c.plot.X)
	spread(&c.plot.Y)
	return c, nil
}

// curvesOf returns the curves of trials in order of the trials, and in a trial of its sets.
func curvesOf(set string, trials []Trial) []curve {
	var curves []curve
	for _, t := range trials {
		for _, s := range t.Sets() {
			if set != "" && s.Set != set {
				continue
			}
			i := slices.IndexFunc(curves, func(l curve) bool { return l.dataset == t.Dataset && l.schedule == t.Schedule && l.set == s.Set })
			if i < 0 {
				i = len(curves)
				curves = append(curves, curve{dataset: t.Dataset, schedule: t.Schedule, set: s.Set})
			}
			curves[i].seeds = append(curves[i].seeds, s.Top1)
		}
	}
	return curves
}

// mostEpochs bounds the epochs that are drawn. Only damaged files have more.
const mostEpochs = 1_000_000

// addCurve adds line i: the mean of the series at each epoch that any of them has, and the band.
func (c *Chart) addCurve(i int, name string, seeds []benchmark.Series) {
	values := map[int][]float64{}
	for _, s := range seeds {
		for _, p := range s {
			if benchmark.IsAccuracy(p.Value) && p.Epoch >= 0 && p.Epoch <= mostEpochs {
				values[p.Epoch] = append(values[p.Epoch], p.Value)
			} else {
				c.LeftOut++
			}
		}
	}
	if len(values) == 0 {
		return
	}
	var means, upper, lower plotter.XYs
	for _, epoch := range slices.Sorted(maps.Keys(values)) {
		mean, deviation := meanAndDeviation(values[epoch])
		means = append(means, plotter.XY{X: float64(epoch), Y: mean})
		upper = append(upper, plotter.XY{X: float64(epoch), Y: mean + deviation})
		lower = append(lower, plotter.XY{X: float64(epoch), Y: mean - deviation})
	}
	ink := palette()[i%len(palette())]
	line := &plotter.Line{XYs: means, LineStyle: draw.LineStyle{Color: ink, Width: 1.5, Dashes: dashes()[i%len(dashes())]}}
	icons := []gonum.Thumbnailer{line}
	if len(seeds) > 1 {
		slices.Reverse(lower)
		band := &plotter.Polygon{XYs: []plotter.XYs{append(upper, lower...)}, Color: color.NRGBA{ink.R, ink.G, ink.B, 0x38}}
		c.plot.Add(band)
		icons = []gonum.Thumbnailer{band, line}
	}
	c.plot.Add(line)
	if len(means) == 1 { // which makes no line
		dot := &plotter.Scatter{XYs: means, GlyphStyle: draw.GlyphStyle{Color: ink, Radius: 3, Shape: draw.CircleGlyph{}}}
		c.plot.Add(dot)
		icons = append(icons, dot)
	}
	c.legend.Add(name, icons...)
}

// meanAndDeviation returns the mean and the standard deviation of a sample; that of one value is 0.
func meanAndDeviation(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(deviation / max(n-1, 1))
}
