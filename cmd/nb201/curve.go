package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/guptarohit/asciigraph"

	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/quantity"
	"nb201/results"
	"nb201/results/benchmark"
)

// printTrial prints a finished trial: its learning curve as a table and a drawing, and the paths of
// its record and weights.
func printTrial(w io.Writer, c results.Campaign, r *results.Record) error {
	schedule := quantity.Format(r.Epochs, "epoch")
	if r.Recipe.Name != "" {
		schedule += ", recipe " + r.Recipe.Name
	}
	inert.Fprintf(w, "architecture %d  %s\n%s, %s, seed %d, parity %s, %s on %s\n",
		r.Arch, r.Genotype, r.Dataset, schedule, r.Seed, r.Parity.Profile, r.Precision, r.Device)
	if r.InitialWeights != nil {
		inert.Fprintf(w, "from %s%s\n", r.InitialWeights.Name, conversion(*r.InitialWeights))
	}
	fmt.Fprintln(w)
	sets := benchmark.FromRecord(r).Sets()
	printCurve(w, r.Epochs, 1, sets)
	drawCurve(w, r.Epochs, sets)
	inert.Fprintf(w, "\nrecord   %s\n", c.RecordPath(r.Trial))
	if r.Weights != nil {
		inert.Fprintf(w, "weights  %s\n", c.WeightsPath(r.Trial))
	}
	return nil
}

// printCurve prints a table with a row for each epoch, or for about 20 epochs of a long schedule; see
// shownEpochs. The epochs are numbered from first.
func printCurve(w io.Writer, epochs, first int, sets []benchmark.SetMeasures) {
	type column struct {
		decimals int
		benchmark.Series
	}
	var columns []column
	t := layout.NewNumbers(w, 1)
	fmt.Fprint(t, "epoch\t")
	for _, s := range sets {
		for _, c := range []struct {
			title string
			column
		}{
			{s.Set + " loss", column{4, s.Loss}}, {"top-1 %", column{2, s.Top1}},
			{"top-5 %", column{2, s.Top5}}, {"s", column{1, s.Seconds}},
		} {
			if len(c.Series) > 0 {
				inert.Fprintf(t, "%s\t", c.title)
				columns = append(columns, c.column)
			}
		}
	}
	fmt.Fprintln(t)
	for _, epoch := range shownEpochs(epochs, sets) {
		inert.Fprintf(t, "%d\t", first+epoch)
		for _, c := range columns {
			if v, ok := c.At(epoch); ok {
				fmt.Fprint(t, formatFixed(v, c.decimals))
			}
			fmt.Fprint(t, "\t")
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

// shownEpochs returns all epochs of a schedule, or about 20 of a long one, with the last: if a set was not
// evaluated after every epoch, some of those after which it was.
func shownEpochs(epochs int, sets []benchmark.SetMeasures) []int {
	const most = 20
	all := make([]int, epochs)
	for epoch := range all {
		all[epoch] = epoch
	}
	if epochs <= most {
		return all
	}
	for _, s := range sets {
		if len(s.Top1) > 1 && len(s.Top1) < len(all) {
			all = all[:0]
			for _, p := range s.Top1 {
				all = append(all, p.Epoch)
			}
		}
	}
	stride := (len(all) + most - 1) / most
	var shown []int
	for i, epoch := range all {
		if i%stride == 0 || i == len(all)-1 {
			shown = append(shown, epoch)
		}
	}
	return shown
}

// formatFixed formats a number with this many decimals. A huge number, which only a damaged file
// contains, gets four digits instead.
func formatFixed(v float64, decimals int) string {
	if math.Abs(v) > 1e9 {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// drawCurve draws the top-1 accuracies over the epochs, for the sets that have at least two. On
// anything but a terminal with colours it draws only one set: an evaluation set, if there is one.
func drawCurve(w io.Writer, epochs int, sets []benchmark.SetMeasures) {
	var curves [][]float64
	var legends []string
	var colors []asciigraph.AnsiColor
	palette := []asciigraph.AnsiColor{asciigraph.Default, asciigraph.Blue, asciigraph.Green, asciigraph.Red}
	for _, s := range sets {
		drawable := slices.DeleteFunc(slices.Clone(s.Top1), func(p benchmark.Point) bool { return !benchmark.IsAccuracy(p.Value) })
		if len(drawable) < 2 {
			continue
		}
		// asciigraph has no x values: fill the epochs without a value with the one before.
		curve := make([]float64, epochs)
		at := drawable[0].Value
		for epoch := range curve {
			if v, ok := drawable.At(epoch); ok {
				at = v
			}
			curve[epoch] = at
		}
		colors = append(colors, palette[len(curves)%len(palette)])
		curves, legends = append(curves, curve), append(legends, inert.Text(s.Set))
	}
	if len(curves) == 0 {
		return
	}
	options := []asciigraph.Option{asciigraph.Height(graphHeight), asciigraph.Caption("top-1 accuracy, %, by epoch")}
	if layout.Colours(w) {
		options = append(options, asciigraph.SeriesColors(colors...), asciigraph.SeriesLegends(legends...))
	} else { // without colours, several curves look alike
		one := min(1, len(curves)-1) // the first curve is the training set's
		curves = curves[one : one+1]
		options = append(options, asciigraph.Caption(legends[one]+": top-1 accuracy, %, by epoch"))
	}
	precision := graphPrecision(curves)
	options = append(options, asciigraph.Precision(precision), asciigraph.Width(graphWidth(w, precision)))
	fmt.Fprintf(w, "\n%s\n", asciigraph.PlotMany(curves, options...))
}

// graphWidth returns the number of columns of a graph beside its axis: 60, or as many as fit on the
// terminal w.
func graphWidth(w io.Writer, precision uint) int {
	const most = 60
	if width := layout.Width(w); width > 0 {
		axis := len(formatFixed(100, int(precision))) + len(" ┤ ")
		return min(most, width-axis)
	}
	return most
}

// graphHeight is the height of a graph in lines, not counting the one or two that asciigraph adds.
const graphHeight = 10

// graphPrecision returns the number of decimals that keeps the labels of a graph's axis distinct. If
// the values of curves lie too close together for that, it makes the curves level.
func graphPrecision(curves [][]float64) uint {
	const most = 6 // decimals: one image of a million
	all := slices.Concat(curves...)
	low, high := slices.Min(all), slices.Max(all)
	step := (high - low) / (graphHeight + 1)
	for precision := range most + 1 {
		if step >= math.Pow10(-precision) {
			return uint(precision)
		}
	}
	for _, curve := range curves {
		for i := range curve {
			curve[i] = high
		}
	}
	return 2
}
