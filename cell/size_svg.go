package cell

import (
	"bytes"
	"fmt"
)

// SVG implements [Arch]. It draws the network in 900x430 pixels: a bar for each module, as high as its
// channels and as broad as its feature maps.
func (a Widths) SVG() []byte {
	const (
		baseline = 330.0
		perWidth = 3.6 // pixels of height per channel
		middle   = pictureWidth / 2
	)
	names := [...]string{"cell", "block, stride 2", "cell", "block, stride 2", "cell"}
	bars := [...]float64{130, 100, 100, 70, 70}
	const space = 70.0 // between bars
	x := middle
	for i, bar := range bars {
		if x -= bar / 2; i > 0 {
			x -= space / 2
		}
	}

	var b bytes.Buffer
	fmt.Fprintf(&b, svgHead+`%[3]d of the size search space</title>
<desc>%[4]s</desc>
<rect width="100%%" height="100%%" rx="12" fill="#ffffff"/>
<g %[5]s fill="#1f2937">
<text x="32" y="46" font-size="20" font-weight="bold">Architecture %[3]d</text>
<text x="%[6]g" y="46" font-size="14" text-anchor="end" fill="#6b7280">size search space</text>
</g>
`, pictureWidth, pictureHeight, a.Index(), a, sans, pictureWidth-32)
	for i, width := range a {
		st := NorConv3x3.style()
		if i%2 == 1 {
			st = SkipConnect.style()
		}
		height := perWidth * float64(width)
		centre := x + bars[i]/2
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%g" height="%.1f" rx="6" fill="%s"/>
<text x="%.1f" y="%.1f" %s font-size="18" text-anchor="middle" fill="#1f2937">%d</text>
<text x="%.1f" y="%g" %s font-size="14" text-anchor="middle" fill="#6b7280">%s</text>
`, x, baseline-height, bars[i], height, st.line,
			centre, baseline-height-10, mono, width,
			centre, baseline+24, sans, names[i])
		x += bars[i] + space
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" %s font-size="12.5" text-anchor="middle" fill="#6b7280">%s</text>
</svg>
`, middle, pictureHeight-24, mono, a)
	return b.Bytes()
}
