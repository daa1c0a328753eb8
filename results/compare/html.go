package compare

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

//go:embed report.html
var reportHTML string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"number":    number,
	"scatter":   newScatter,
	"histogram": newHistogram,
	"measures": func(c Comparison) []namedMeasure {
		return []namedMeasure{{"top-1 accuracy, %", c.Top1}, {"loss", c.Loss}}
	},
}).Parse(reportHTML))

// IsReport reports whether a file that begins with head was written by [Report.WriteHTML].
func IsReport(head []byte) bool {
	begins, _, _ := strings.Cut(reportHTML, "<style>") // the same in every report
	return bytes.HasPrefix(head, []byte(begins))
}

type namedMeasure struct {
	Name string
	*Measure
}

// WriteHTML writes the report as one self-contained page. For each comparison it has a plot
// of B against A and a histogram of the differences.
func (r *Report) WriteHTML(w io.Writer) error { return page.Execute(w, r) }

// number formats a value with three decimals; nil is a dash.
func number(v any) string {
	switch v := v.(type) {
	case float64:
		if math.Abs(v) > 1e9 { // losses have no bound
			return strconv.FormatFloat(v, 'g', 4, 64)
		}
		return strconv.FormatFloat(v, 'f', 3, 64)
	case *float64:
		if v != nil {
			return number(*v)
		}
	}
	return "–"
}

// side is the side of a square plot, in pixels.
const side = 300.0

// tick is a labelled place on an axis, At pixels from the lower end.
type tick struct {
	At    float64
	Label string
}

// axis maps values from low to high onto the side of a plot.
type axis struct{ low, high float64 }

// cell returns which of a number of equal cells along the axis contains v. Values beyond
// an end are in the last cell there.
func (a axis) cell(v float64, cells int) int {
	at := a.position(v) / side * float64(cells)
	switch {
	case !(at > 0): // NaN too
		return 0
	case at >= float64(cells):
		return cells - 1
	}
	return int(at)
}

// position returns the position of v on the axis, in pixels from the lower end.
func (a axis) position(v float64) float64 { return (v - a.low) / (a.high - a.low) * side }

// ticks returns at most six ticks, at multiples of 1, 2 or 5 times a power of ten.
func (a axis) ticks() []tick {
	span := a.high - a.low
	step := math.Pow(10, math.Floor(math.Log10(span)))
	for _, times := range []float64{0.2, 0.5, 1, 2, 5} {
		if span <= 5*times*step {
			step *= times
			break
		}
	}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9))) // enough to distinguish the labels
	var ticks []tick
	first := math.Ceil(a.low/step - 1e-9)
	const most = 7 // one more, for rounding
	for i := range most {
		v := (first + float64(i)) * step
		if !(v <= a.high+1e-9*span) {
			break
		}
		// + 0 makes 0 of -0.
		label := strconv.FormatFloat(v+0, 'f', decimals, 64)
		if decimals > 0 {
			label = strings.TrimRight(strings.TrimRight(label, "0"), ".")
		}
		ticks = append(ticks, tick{a.position(v), label})
	}
	return ticks
}

// scatter is a plot of the accuracies in B against those in A. Points are drawn as the
// cells of a grid, darker where there are more, so that a plot of all trials of the
// benchmark stays small.
type scatter struct {
	Ticks  []tick // of both axes
	Layers []layer
}

// layer draws the cells with one shade.
type layer struct {
	Opacity string
	Path    string
}

func newScatter(c Comparison) scatter {
	a := axis{math.Inf(1), math.Inf(-1)}
	for _, p := range c.Means {
		a.low, a.high = min(a.low, p.A, p.B), max(a.high, p.A, p.B)
	}
	margin := max((a.high-a.low)*0.04, 0.5)
	a.low, a.high = a.low-margin, a.high+margin

	const dot = 2.5
	const grid = int(side / dot)
	var counts [grid][grid]int
	place := func(v float64) int { return a.cell(v, grid) }
	for _, p := range c.Means {
		counts[place(p.B)][place(p.A)]++
	}
	shades := []struct {
		most    int
		opacity string
	}{{1, "0.45"}, {3, "0.65"}, {15, "0.85"}, {math.MaxInt, "1"}}
	paths := make([]strings.Builder, len(shades))
	for y, row := range counts {
		for x, n := range row {
			for i, shade := range shades {
				if 0 < n && n <= shade.most {
					fmt.Fprintf(&paths[i], "M%g %gh%gv%gh-%gz", float64(x)*dot, side-float64(y+1)*dot, dot, dot, dot)
					break
				}
			}
		}
	}
	s := scatter{Ticks: a.ticks()}
	for i, shade := range shades {
		if paths[i].Len() > 0 {
			s.Layers = append(s.Layers, layer{shade.opacity, paths[i].String()})
		}
	}
	return s
}

// histogram is a histogram of the differences in accuracy, B minus A.
type histogram struct {
	Ticks []tick
	Zero  float64 // position of the difference 0
	Path  string  // of the bars
	Most  int     // differences in the highest bar
}

func newHistogram(c Comparison) histogram {
	reach := max(c.Top1.MaxAbs, 0.01)
	a := axis{-reach, reach}
	const bars = 41 // odd, so that one is centred on 0
	const width = side / bars
	var counts [bars]int
	for _, d := range c.Differences {
		counts[a.cell(d, bars)]++
	}
	h := histogram{Ticks: a.ticks(), Zero: a.position(0)}
	for _, n := range counts {
		h.Most = max(h.Most, n)
	}
	var path strings.Builder
	for i, n := range counts {
		if n > 0 {
			height := max(float64(n)/float64(h.Most)*(side-10), 1)
			fmt.Fprintf(&path, "M%.4g %gv-%.4gh%.4gv%.4gz", float64(i)*width+0.5, side, height, width-1, height)
		}
	}
	h.Path = path.String()
	return h
}
