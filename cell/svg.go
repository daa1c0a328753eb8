package cell

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// style is the appearance of an operation in the drawing.
type style struct {
	line string // colour of the arrow and of its label's border
	box  string // colour of the label's background
	text string // colour of the label
	dash string // attribute of a dashed line
}

func (o Op) style() style {
	switch o {
	case SkipConnect:
		return style{line: "#2563eb", box: "#2563eb", text: "#ffffff"}
	case NorConv1x1:
		return style{line: "#b45309", box: "#b45309", text: "#ffffff"}
	case NorConv3x3:
		return style{line: "#be123c", box: "#be123c", text: "#ffffff"}
	case AvgPool3x3:
		return style{line: "#0f766e", box: "#0f766e", text: "#ffffff"}
	}
	return style{line: "#9ca3af", box: "#ffffff", text: "#6b7280", dash: ` stroke-dasharray="6 5"`}
}

// Dimensions of the drawing in pixels. Labels are monospaced, so that the width of a text
// follows from its length.
const (
	pictureWidth  = 900.0
	pictureHeight = 430.0
	nodeY         = 258.0
	nodeRadius    = 26.0
	nodeDistance  = 245.0
	firstNodeX    = (pictureWidth - (nodes-1)*nodeDistance) / 2
	charWidth     = 8.5 // at font size 14
	labelHeight   = 28.0
	labelPadding  = 12.0
	arrowLength   = 11.0
	gap           = 4.0 // between a node and the arrows that touch it

	sans = `font-family="Helvetica, Arial, sans-serif"`
	mono = `font-family="Menlo, Consolas, 'DejaVu Sans Mono', monospace"`
)

// arc is the path of an edge. With slope 0 it is straight; otherwise it leaves and meets
// the nodes at that slope (in radians, positive above the row of nodes), with its label at
// height above the row. The edges that bypass node 1 run above the row and the one that
// bypasses node 2 alone runs below it, so that they never cross.
type arc struct {
	from, to      int
	slope, height float64
}

var arcs = [edges]arc{
	{0, 1, 0, 0},
	{0, 2, 0.75, 94},
	{1, 2, 0, 0},
	{0, 3, 1.2, 178},
	{1, 3, -0.75, -94},
	{2, 3, 0, 0},
}

type point struct{ x, y float64 }

func nodeAt(i int) point { return point{firstNodeX + float64(i)*nodeDistance, nodeY} }

// svgHead is the start of every drawing.
const svgHead = `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]g" height="%[2]g" viewBox="0 0 %[1]g %[2]g" role="img">
<title>Architecture `

// IsSVG reports whether head is the start of a document that [Arch.SVG] drew.
func IsSVG(head []byte) bool {
	return bytes.HasPrefix(head, fmt.Appendf(nil, svgHead, pictureWidth, pictureHeight))
}

// SVG implements [Arch]. It draws the cell in 900x430 pixels. The nodes form a row; each edge is an arrow in
// its operation's colour, labelled with the operation's name. The arrows of [None] are dashed and grey.
func (a Cell) SVG() []byte {
	var b bytes.Buffer
	title := fmt.Sprintf("Architecture %d", a.Index())
	genotype := html.EscapeString(a.String())
	fmt.Fprintf(&b, svgHead+`%[8]d</title>
<desc>%[4]s</desc>
<rect width="100%%" height="100%%" rx="12" fill="#ffffff"/>
<g %[7]s fill="#1f2937">
<text x="32" y="46" font-size="20" font-weight="bold">%[3]s</text>
<text x="%[5]g" y="46" font-size="14" text-anchor="end" fill="#6b7280">isomorphism class %[6]d</text>
</g>
`, pictureWidth, pictureHeight, title, genotype, pictureWidth-32, a.Class(), sans, a.Index())

	for i, op := range a {
		arcs[i].draw(&b, op)
	}
	drawNodes(&b)
	fmt.Fprintf(&b, `<text x="%g" y="%g" %s font-size="12.5" text-anchor="middle" fill="#6b7280">%s</text>
</svg>
`, pictureWidth/2, pictureHeight-24, mono, genotype)
	return b.Bytes()
}

func (e arc) draw(b *bytes.Buffer, op Op) {
	st := op.style()
	sin, cos := math.Sincos(e.slope)
	// away returns the point at distance d from a node's centre along the edge's slope.
	// direction is 1 if the edge leaves the node, and -1 if it arrives there.
	away := func(node int, direction, d float64) point {
		c := nodeAt(node)
		return point{c.x + direction*cos*d, c.y - sin*d}
	}
	start := away(e.from, 1, nodeRadius+gap)
	tip := away(e.to, -1, nodeRadius+gap)
	end := away(e.to, -1, nodeRadius+gap+arrowLength-1) // the line stops inside the arrow head
	label := point{(start.x + tip.x) / 2, nodeY - e.height}

	fmt.Fprintf(b, `<path d="M%.1f %.1f`, start.x, start.y)
	if e.slope == 0 {
		fmt.Fprintf(b, `H%.1f`, end.x)
	} else {
		// The middle of a cubic curve with its ends at height y0 and its handles at y1 is
		// at (y0+3*y1)/4. Handles at this distance put it at the height of the label.
		handle := (4*e.height - sin*(nodeRadius+gap)) / (3 * sin)
		c1, c2 := away(e.from, 1, handle), away(e.to, -1, handle)
		fmt.Fprintf(b, `C%.1f %.1f %.1f %.1f %.1f %.1f`, c1.x, c1.y, c2.x, c2.y, end.x, end.y)
	}
	fmt.Fprintf(b, `" fill="none" stroke="%s" stroke-width="2.5"%s/>
`, st.line, st.dash)
	fmt.Fprintf(b, `<path d="M0 0L-%[1]g -5.5L-%[1]g 5.5z" transform="translate(%.1[2]f %.1[3]f) rotate(%.1[4]f)" fill="%[5]s"/>
`, arrowLength, tip.x, tip.y, e.slope*180/math.Pi, st.line)

	name := op.String()
	width := charWidth*float64(len(name)) + 2*labelPadding
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%g" rx="%g" fill="%s" stroke="%s" stroke-width="1.5"/>
`, label.x-width/2, label.y-labelHeight/2, width, labelHeight, labelHeight/2, st.box, st.line)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" dy=".35em" %s font-size="14" text-anchor="middle" fill="%s">%s</text>
`, label.x, label.y, mono, st.text, html.EscapeString(name))
}

func drawNodes(b *bytes.Buffer) {
	for i := range nodes {
		drawNode(b, i)
	}
}

func drawNode(b *bytes.Buffer, i int) {
	fill, text, caption := "#ffffff", "#1f2937", ""
	switch i {
	case 0:
		fill, text, caption = "#1f2937", "#ffffff", "input"
	case nodes - 1:
		fill, text, caption = "#1f2937", "#ffffff", "output"
	}
	c := nodeAt(i)
	fmt.Fprintf(b, `<g %[7]s text-anchor="middle">
<circle cx="%[1]g" cy="%[2]g" r="%[3]g" fill="%[4]s" stroke="#1f2937" stroke-width="2.5"/>
<text x="%[1]g" y="%[2]g" dy=".35em" font-size="18" font-weight="bold" fill="%[5]s">%[6]d</text>
`, c.x, c.y, nodeRadius, fill, text, i, sans)
	if caption != "" {
		fmt.Fprintf(b, `<text x="%g" y="%g" font-size="14" fill="#6b7280">%s</text>
`, c.x, c.y+nodeRadius+20, caption)
	}
	b.WriteString("</g>\n")
}
