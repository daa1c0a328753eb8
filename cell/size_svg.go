package cell

import (
	"bytes"
	"fmt"
)

// Dimensions of the drawing of [Widths] in pixels.
const (
	barBase     = 330.0 // where the bars are based
	barDistance = 70.0  // between two bars
	perChannel  = 3.6   // height of a bar
)

// bar is the place of a module in the drawing of [Widths].
type bar struct {
	name        string
	note        string // follows the name in the caption
	left, width float64
	style       style
}

// bars returns the places of the modules. A bar is as broad as its feature maps suggest.
func bars() [5]bar {
	all := [5]bar{
		{name: "cell 1", width: 130},
		{name: "block 1", note: ", stride 2", width: 100},
		{name: "cell 2", width: 100},
		{name: "block 2", note: ", stride 2", width: 70},
		{name: "cell 3", width: 70},
	}
	x := pictureWidth / 2
	for i, b := range all {
		if x -= b.width / 2; i > 0 {
			x -= barDistance / 2
		}
	}
	for i := range all {
		all[i].style = NorConv3x3.style()
		if i%2 == 1 {
			all[i].style = SkipConnect.style()
		}
		all[i].left = x
		x += all[i].width + barDistance
	}
	return all
}

// draw draws the bar of a module with a number of channels, as high as these, and the number above it.
func (r bar) draw(b *bytes.Buffer, channels int) {
	top := barBase - perChannel*float64(channels)
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%g" height="%.1f" rx="6" fill="%s"/>
<text x="%.1f" y="%.1f" %s font-size="18" text-anchor="middle" fill="#1f2937">%d</text>
`, r.left, top, r.width, barBase-top, r.style.line, r.left+r.width/2, top-10, mono, channels)
}

// drawCaptions draws what the bars are.
func drawCaptions(b *bytes.Buffer) {
	for _, r := range bars() {
		fmt.Fprintf(b, `<text x="%.1f" y="%g" %s font-size="14" text-anchor="middle" fill="#6b7280">%s%s</text>
`, r.left+r.width/2, barBase+24, sans, r.name, r.note)
	}
}

// SVG implements [Arch]. It draws the network in 900x430 pixels: a bar for each module, as high as its
// channels and as broad as its feature maps.
func (a Widths) SVG() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, svgHead+`%[3]d of the size search space</title>
<desc>%[4]s</desc>
<rect width="100%%" height="100%%" rx="12" fill="#ffffff"/>
<g %[5]s fill="#1f2937">
<text x="32" y="46" font-size="20" font-weight="bold">Architecture %[3]d</text>
<text x="%[6]g" y="46" font-size="14" text-anchor="end" fill="#6b7280">size search space</text>
</g>
`, pictureWidth, pictureHeight, a.Index(), a, sans, pictureWidth-32)
	for i, r := range bars() {
		r.draw(&b, int(a[i]))
	}
	drawCaptions(&b)
	fmt.Fprintf(&b, `<text x="%g" y="%g" %s font-size="12.5" text-anchor="middle" fill="#6b7280">%s</text>
</svg>
`, pictureWidth/2, pictureHeight-24, mono, a)
	return b.Bytes()
}
