package plot

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// Costs draws the accuracies of architectures against their FLOPs, and marks the best one. It may
// reorder the architectures. Errors are usage errors.
func Costs(best *benchmark.Best, compared []benchmark.Compared) (*Chart, error) {
	// They come in the order in which they were read, which varies.
	slices.SortFunc(compared, func(a, b benchmark.Compared) int { return a.Index - b.Index })
	c := newChart([]string{
		fmt.Sprintf("%s on %s after training on %s with schedule %s", quantity.Format(best.Compared, "architecture"),
			label(best.Set), label(best.Dataset), label(best.HP)),
		fmt.Sprintf("best: architecture %d", best.Index), label(best.Genotype),
	}, "MFLOPs", "top-1 accuracy, %")
	var points plotter.XYs
	for _, a := range compared {
		if isDrawable(a.FLOPs, a.Accuracy) {
			points = append(points, plotter.XY{X: a.FLOPs, Y: a.Accuracy})
		} else {
			c.LeftOut++
		}
	}
	if len(points) == 0 {
		return nil, usage.Errorf("--plot: none of the architectures has an accuracy between 0 and 100 %% and a possible number of FLOPs; choose another --set")
	}
	all := cloud{points, palette()[0]}
	c.plot.Add(all)
	c.legend.Add("all architectures compared", all)
	if isDrawable(best.FLOPs, best.Accuracy) {
		mark := &plotter.Scatter{
			XYs:        plotter.XYs{{X: best.FLOPs, Y: best.Accuracy}},
			GlyphStyle: draw.GlyphStyle{Color: palette()[1], Radius: 5, Shape: draw.RingGlyph{}},
		}
		cross := &plotter.Scatter{XYs: mark.XYs, GlyphStyle: draw.GlyphStyle{Color: palette()[1], Radius: 8, Shape: draw.PlusGlyph{}}}
		c.plot.Add(mark, cross)
		c.legend.Add(fmt.Sprintf("architecture %d: %.2f %%, %.2f MFLOPs", best.Index, best.Accuracy, best.FLOPs), mark, cross)
	}
	spread(&c.plot.X)
	spread(&c.plot.Y)
	return c, nil
}

// isDrawable reports whether an architecture can have these values. Published networks have less
// than 1,000 million FLOPs.
func isDrawable(flops, accuracy float64) bool {
	return benchmark.IsAccuracy(accuracy) && flops >= 0 && flops <= 1e9
}

// cloud draws points as one path, because the library's own plotter writes an element with a style
// for each of 15,625 points.
type cloud struct {
	plotter.XYs
	color color.Color
}

const dotRadius = vg.Length(1.6)

// Plot implements gonum's Plotter.
func (p cloud) Plot(c draw.Canvas, plt *gonum.Plot) {
	x, y := plt.Transforms(&c)
	var path vg.Path
	for _, point := range p.XYs {
		addDot(&path, vg.Point{X: x(point.X), Y: y(point.Y)})
	}
	c.SetColor(p.color)
	c.Fill(path)
}

func addDot(path *vg.Path, at vg.Point) {
	path.Move(vg.Point{X: at.X + dotRadius, Y: at.Y})
	path.Arc(at, dotRadius, 0, 2*math.Pi)
	path.Close()
}

// DataRange implements gonum's DataRanger.
func (p cloud) DataRange() (xmin, xmax, ymin, ymax float64) { return plotter.XYRange(p) }

// Thumbnail implements gonum's Thumbnailer.
func (p cloud) Thumbnail(c *draw.Canvas) {
	var path vg.Path
	addDot(&path, c.Center())
	c.SetColor(p.color)
	c.Fill(path)
}
