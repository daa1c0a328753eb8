// Package plot draws what a benchmark holds as SVG and PNG files: learning curves ([Curves]), and
// accuracies against costs ([Costs]). The same data give the same bytes. Values that are impossible,
// which a damaged file may contain, are left out and counted.
package plot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"html"
	"image/color"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"nb201/internal/inert"
	"nb201/internal/usage"
)

// Format is the file format of a chart.
type Format string

// The formats.
const (
	SVG Format = "svg"
	PNG Format = "png"
)

// FormatOf returns the format that a file's name ends in. The error is a usage error.
func FormatOf(name string) (Format, error) {
	f := Format(strings.ToLower(strings.TrimPrefix(filepath.Ext(name), ".")))
	if f != SVG && f != PNG {
		return "", usage.Errorf("%q: the name of a plot ends in .svg or .png; name such a file", name)
	}
	return f, nil
}

// Chart is a drawing, ready to be written.
type Chart struct {
	plot   *gonum.Plot
	legend gonum.Legend
	// LeftOut counts the values that are not drawn, because they are impossible.
	LeftOut int
}

// Sizes of a chart. Its width grows with the legend.
const (
	plotWidth  = 7.5 * vg.Inch
	plotHeight = 5 * vg.Inch
	margin     = vg.Length(10)
	dotsInch   = 144 // of a PNG
)

// newChart returns a chart without data. The first line of the title is its largest.
func newChart(title []string, x, y string) *Chart {
	c := &Chart{plot: gonum.New(), legend: gonum.NewLegend()}
	c.plot.Title.Text = strings.Join(title, "\n")
	c.plot.Title.Padding = margin
	c.plot.X.Label.Text, c.plot.Y.Label.Text = x, y
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	c.plot.Title.TextStyle.Font = font.From(sans, 10)
	c.plot.X.Label.TextStyle.Font, c.plot.Y.Label.TextStyle.Font = font.From(sans, 11), font.From(sans, 11)
	c.plot.X.Tick.Label.Font, c.plot.Y.Tick.Label.Font = font.From(sans, 10), font.From(sans, 10)
	c.legend.TextStyle.Font = font.From(sans, 10)
	c.legend.Top, c.legend.Left, c.legend.ThumbnailWidth, c.legend.Padding = true, true, 30, 4
	c.plot.X.Tick.Marker, c.plot.Y.Tick.Marker = ticks{}, ticks{}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xdd}, color.Gray{0xdd}
	c.plot.Add(grid)
	return c
}

// spread widens an axis whose values are so close together that its labels would all look alike.
func spread(a *gonum.Axis) {
	if a.Max-a.Min < 1e-6*max(math.Abs(a.Min), math.Abs(a.Max), 1) {
		half := 0.5
		if a.Min != 0 {
			half = min(half, math.Abs(a.Min)/2) // keeps the sign
		}
		a.Min, a.Max = a.Min-half, a.Max+half
	}
}

// ticks chooses the library's ticks, or those that are whole numbers, and labels them with as many
// decimals as they have; the library's labels of 84.8 and 84.85 are alike.
type ticks struct{ whole bool }

// Ticks implements gonum's Ticker.
func (t ticks) Ticks(low, high float64) []gonum.Tick {
	chosen := slices.DeleteFunc(gonum.DefaultTicks{}.Ticks(low, high), func(tick gonum.Tick) bool {
		return t.whole && !isWhole(tick.Value)
	})
	decimals := 0
	for _, tick := range chosen {
		for tick.Label != "" && decimals < 9 && !isWhole(tick.Value*math.Pow10(decimals)) {
			decimals++
		}
	}
	for i, tick := range chosen {
		if tick.Label != "" {
			chosen[i].Label = strconv.FormatFloat(tick.Value, 'f', decimals, 64)
		}
	}
	return chosen
}

// isWhole reports whether v is a whole number, but for rounding.
func isWhole(v float64) bool { return math.Abs(v-math.Round(v)) < 1e-3 }

// longestLabel is the greatest number of characters of a label.
const longestLabel = 100

// label returns text from a file as a label: without control characters, and not too long.
func label(text string) string {
	runes := []rune(inert.Text(text))
	if len(runes) > longestLabel {
		runes = append(runes[:longestLabel-1], '…')
	}
	return string(runes)
}

// Write writes the chart.
func (c *Chart) Write(w io.Writer, f Format) error {
	legend := c.legend.Rectangle(draw.Canvas{}).Size()
	width, height := plotWidth+legend.X+4*margin, max(plotHeight, legend.Y+8*margin)
	if f == PNG {
		canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dotsInch))
		c.draw(draw.New(canvas), legend.X)
		var b bytes.Buffer
		if err := png.Encode(&b, canvas.Image()); err != nil {
			return err
		}
		return writeMarked(w, b.Bytes())
	}
	canvas := vgsvg.NewWith(vgsvg.UseWH(width, height), vgsvg.EmbedFonts(true))
	c.draw(draw.New(canvas), legend.X)
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	// The marker replaces the library's comment, and a title follows the first tag.
	text, known := bytes.CutPrefix(b.Bytes(), []byte(librarySVG))
	head, body, tagged := bytes.Cut(text, []byte("\">\n"))
	if !known || !tagged {
		return fmt.Errorf("the plot library wrote an unknown beginning: %.200q", b.Bytes())
	}
	_, err := fmt.Fprintf(w, "%s%s\" role=\"img\">\n<title>%s</title>\n%s", markSVG, head, html.EscapeString(c.plot.Title.Text), body)
	return err
}

// draw draws the plot and, to the right of it, the legend.
func (c *Chart) draw(canvas draw.Canvas, legend vg.Length) {
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Path())
	inner := draw.Crop(canvas, margin, -margin, margin, -margin)
	c.plot.Draw(draw.Crop(inner, 0, -legend-2*margin, 0, 0))
	c.legend.Draw(draw.Crop(inner, inner.Size().X-legend-margin, 0, 0, -5*margin))
}

const (
	librarySVG = "<?xml version=\"1.0\"?>\n<!-- Generated by SVGo and Plotinum VG -->\n"
	markSVG    = "<?xml version=\"1.0\"?>\n<!-- drawn by nb201 query -->\n"
	headPNG    = 8 + 4 + 4 + 13 + 4 // the signature and the chunk IHDR, in bytes
)

// markPNG returns the chunk that follows the header of a PNG file drawn by this package.
func markPNG() []byte {
	text := []byte("tEXtSoftware\x00nb201 query")
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(text)-4)), text, binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(text)))
}

// writeMarked writes a PNG file with [markPNG].
func writeMarked(w io.Writer, file []byte) error {
	_, err := w.Write(slices.Concat(file[:headPNG], markPNG(), file[headPNG:]))
	return err
}

// IsPlot reports whether head is the beginning of a file that [Chart.Write] wrote.
func IsPlot(head []byte) bool {
	return bytes.HasPrefix(head, []byte(markSVG)) || len(head) > headPNG && bytes.HasPrefix(head[headPNG:], markPNG())
}

// palette returns the colours of Okabe and Ito, which people with any colour vision can distinguish,
// without yellow, which is faint on white.
func palette() []color.RGBA {
	return []color.RGBA{
		{0x00, 0x72, 0xb2, 0xff}, // blue
		{0xd5, 0x5e, 0x00, 0xff}, // vermillion
		{0x00, 0x9e, 0x73, 0xff}, // bluish green
		{0xcc, 0x79, 0xa7, 0xff}, // reddish purple
		{0x00, 0x00, 0x00, 0xff}, // black
		{0xe6, 0x9f, 0x00, 0xff}, // orange
		{0x56, 0xb4, 0xe9, 0xff}, // sky blue
	}
}

// dashes returns the patterns of lines, in points. Their number and that of the colours have no
// common divisor, so the lines repeat a pair of both only after all pairs.
func dashes() [][]vg.Length {
	return [][]vg.Length{nil, {6, 3}, {1.5, 2.5}, {8, 3, 1.5, 3}, {12, 3}}
}

// MostLines is the number of lines that differ in colour or dashes.
const MostLines = 7 * 5
