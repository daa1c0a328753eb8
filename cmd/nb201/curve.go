package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/guptarohit/asciigraph"
	"golang.org/x/term"

	"nb201/results"
)

// printTrial shows a finished trial: its learning curve as a table and a drawing,
// and where its record lies.
func printTrial(w io.Writer, c results.Campaign, r *results.Record) error {
	fmt.Fprintf(w, "architecture %d  %s\n%s, %d epochs, seed %d, parity %s, %s on %s\n\n",
		r.Arch, r.Genotype, r.Dataset, r.Epochs, r.Seed, r.Parity.Profile, r.Precision, r.Device)
	printCurve(w, r)
	drawCurve(w, r)
	fmt.Fprintf(w, "\nrecord   %s\n", c.RecordPath(r.Trial))
	if r.Weights != nil {
		fmt.Fprintf(w, "weights  %s\n", c.WeightsPath(r.Trial))
	}
	return nil
}

// printCurve prints the measures of the epochs, of a long schedule about 20 of them.
func printCurve(w io.Writer, r *results.Record) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "epoch\ttrain loss\ttop-1 %\ttop-5 %\ts\t")
	for _, e := range r.Eval {
		fmt.Fprintf(t, "%s loss\ttop-1 %%\ttop-5 %%\ts\t", e.Set)
	}
	fmt.Fprintln(t)
	row := func(c results.Curve, epoch int) {
		if epoch < 0 {
			fmt.Fprint(t, "\t\t\t\t")
			return
		}
		fmt.Fprintf(t, "%.4f\t%.2f\t%.2f\t%.1f\t", c.Loss[epoch], c.Top1[epoch], c.Top5[epoch], c.Seconds[epoch])
	}
	stride := (r.Epochs + 19) / 20
	for epoch := range r.Epochs {
		if epoch%stride != 0 && epoch != r.Epochs-1 {
			continue
		}
		fmt.Fprintf(t, "%d\t", epoch+1)
		row(r.Train.Curve, epoch)
		for _, e := range r.Eval {
			row(e.Curve, epoch-e.FirstEpoch)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

// drawCurve draws the top-1 accuracies over the epochs.
func drawCurve(w io.Writer, r *results.Record) {
	if r.Epochs < 2 {
		return
	}
	curves := [][]float64{r.Train.Top1}
	legends := []string{"training"}
	colors := []asciigraph.AnsiColor{asciigraph.Default}
	palette := []asciigraph.AnsiColor{asciigraph.Blue, asciigraph.Green, asciigraph.Red}
	for i, e := range r.Eval {
		// asciigraph aligns curves on the left.
		curves = append(curves, append(slices.Repeat(e.Top1[:1], e.FirstEpoch), e.Top1...))
		legends = append(legends, e.Set)
		colors = append(colors, palette[i%len(palette)])
	}
	options := []asciigraph.Option{
		asciigraph.Height(10), asciigraph.Width(60), asciigraph.Precision(0),
		asciigraph.Caption("top-1 accuracy, %, by epoch"),
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		options = append(options, asciigraph.SeriesColors(colors...), asciigraph.SeriesLegends(legends...))
	} else { // without colours one curve is all that can be told from another
		curves = curves[1:2]
		options = append(options, asciigraph.Caption(legends[1]+": top-1 accuracy, %, by epoch"))
	}
	fmt.Fprintf(w, "\n%s\n", asciigraph.PlotMany(curves, options...))
}
