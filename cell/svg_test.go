package cell

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// element is an element of the picture with its children.
type element struct {
	XMLName    xml.Name
	Attributes []xml.Attr `xml:",any,attr"`
	Text       string     `xml:",chardata"`
	Children   []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attributes {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e element) number(t *testing.T, name string) float64 {
	t.Helper()
	var v float64
	if _, err := fmt.Sscan(e.attr(name), &v); err != nil {
		t.Fatalf("%s %s=%q: %v", e.XMLName.Local, name, e.attr(name), err)
	}
	return v
}

// find lists the elements of that name inside e.
func (e element) find(name string) []element {
	var found []element
	for _, c := range e.Children {
		if c.XMLName.Local == name {
			found = append(found, c)
		}
		found = append(found, c.find(name)...)
	}
	return found
}

type box struct{ left, top, right, bottom float64 }

// near reports whether two boxes overlap or are less than 10 pixels apart.
func (b box) near(o box) bool {
	const d = 10
	return b.left < o.right+d && o.left < b.right+d && b.top < o.bottom+d && o.top < b.bottom+d
}

func TestSVG(t *testing.T) {
	cells := []Cell{ // the widest and the narrowest labels, all operations
		{}, {3, 3, 3, 3, 3, 3}, {0, 1, 2, 3, 4, 0}, {4, 0, 1, 2, 3, 4}, {1, 2, 0, 0, 1, 2},
	}
	for i, a := range official().archs {
		if i%500 == 0 {
			cells = append(cells, a)
		}
	}
	for _, a := range cells {
		var svg element
		d := xml.NewDecoder(bytes.NewReader(a.SVG()))
		if err := d.Decode(&svg); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if svg.XMLName.Space != "http://www.w3.org/2000/svg" || svg.XMLName.Local != "svg" {
			t.Fatalf("the document is a %v", svg.XMLName)
		}
		canvas := box{0, 0, svg.number(t, "width"), svg.number(t, "height")}

		var texts, ops []string
		for _, e := range svg.find("text") {
			texts = append(texts, e.Text)
			if slices.Contains(opNames[:], e.Text) {
				ops = append(ops, e.Text)
			}
		}
		var want []string
		for _, op := range a {
			want = append(want, op.String())
		}
		if !slices.Equal(ops, want) {
			t.Errorf("%s: labels %v", a, ops)
		}
		for _, text := range []string{a.String(), fmt.Sprintf("Architecture %d", a.Index()), fmt.Sprintf("isomorphism class %d", a.Class())} {
			if !slices.Contains(texts, text) {
				t.Errorf("%s: no text %q in %q", a, text, texts)
			}
		}

		dashed := 0
		for _, e := range svg.find("path") {
			if e.attr("stroke-dasharray") != "" {
				dashed++
			}
		}
		if none := strings.Count(a.String(), "none"); dashed != none {
			t.Errorf("%s: %d dashed edges, want %d", a, dashed, none)
		}

		var boxes []box
		for _, e := range svg.find("rect")[1:] { // after the background
			x, y := e.number(t, "x"), e.number(t, "y")
			boxes = append(boxes, box{x, y, x + e.number(t, "width"), y + e.number(t, "height")})
		}
		for _, e := range svg.find("circle") {
			x, y, r := e.number(t, "cx"), e.number(t, "cy"), e.number(t, "r")
			boxes = append(boxes, box{x - r, y - r, x + r, y + r})
		}
		if len(boxes) != edges+nodes {
			t.Fatalf("%s: %d labels and nodes, want %d", a, len(boxes), edges+nodes)
		}
		for i, b := range boxes {
			if b.left < 0 || b.top < 0 || b.right > canvas.right || b.bottom > canvas.bottom {
				t.Errorf("%s: %v is outside the picture", a, b)
			}
			for _, o := range boxes[:i] {
				if b.near(o) {
					t.Errorf("%s: %v and %v are too near", a, b, o)
				}
			}
		}
	}
}

func TestSVGColoursTellOperationsApart(t *testing.T) {
	colours := make(map[string]Op)
	for op := range AvgPool3x3 + 1 {
		colour := op.style().line
		if other, taken := colours[colour]; taken {
			t.Errorf("%s and %s are both %s", op, other, colour)
		}
		colours[colour] = op
	}
}
