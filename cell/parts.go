package cell

import (
	"bytes"
	"fmt"
)

// Parts describes what the architectures of a space are made of: one of the same options at each of a few
// places. Programs use it to write, draw and filter many architectures. See [Arch.Choices].
type Parts struct {
	Words   Words    `json:"words"`
	Places  []Place  `json:"places"`
	Options []string `json:"options"` // at every place: operations, or widths
	// Text is the text of an architecture's string before the option of each place, and after the last.
	Text []string `json:"text"`
	// IsIsomorphic says that two architectures can be in one isomorphism class.
	IsIsomorphic bool `json:"isomorphic"`

	// The drawing of an architecture consists of Base, which all have, above the drawings of the options. All
	// have the coordinates of one picture of Width x Height pixels.
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
	Base   string  `json:"base"` // SVG elements
}

// Place is where an architecture has an option: an edge of a cell, or a module of a network.
type Place struct {
	Name     string   `json:"name"`     // "0 → 1"
	Choice   string   `json:"choice"`   // "Operation on the edge 0 → 1"
	Where    string   `json:"where"`    // follows an option in a sentence: "on edge 0 → 1"
	Drawings []string `json:"drawings"` // SVG elements of each option
}

// Words are the words for the parts of an architecture.
type Words struct {
	Option  string `json:"option"`  // "operation"
	Place   string `json:"place"`   // "edge"
	Choice  string `json:"choice"`  // "an operation on an edge"
	Text    string `json:"text"`    // the string of an architecture: "genotype"
	Picture string `json:"picture"` // what the drawing shows: "cell"
}

// Parts implements [Space].
func (Topology) Parts() Parts {
	parts := Parts{
		Words: Words{Option: "operation", Place: "edge", Choice: "an operation on an edge", Text: "genotype", Picture: "cell"},
		Width: pictureWidth, Height: pictureHeight, IsIsomorphic: true,
		Text: []string{"|", "~0|+|", "~0|", "~1|+|", "~0|", "~1|", "~2|"},
	}
	for _, op := range Ops() {
		parts.Options = append(parts.Options, op.String())
	}
	for _, e := range arcs {
		name := fmt.Sprintf("%d → %d", e.from, e.to)
		p := Place{Name: name, Choice: "Operation on the edge " + name, Where: "on edge " + name}
		for _, op := range Ops() {
			p.Drawings = append(p.Drawings, drawn(func(b *bytes.Buffer) { e.draw(b, op) }))
		}
		parts.Places = append(parts.Places, p)
	}
	parts.Base = drawn(drawNodes)
	return parts
}

// Parts implements [Space].
func (Size) Parts() Parts {
	parts := Parts{
		Words: Words{Option: "width", Place: "module", Choice: "a width of a module", Text: "widths", Picture: "network"},
		Width: pictureWidth, Height: pictureHeight,
		Text: []string{"", ":", ":", ":", ":", ""},
	}
	for i := range widths {
		parts.Options = append(parts.Options, fmt.Sprint(widthStep*(i+1)))
	}
	for _, bar := range bars() {
		p := Place{Name: bar.name, Choice: "Width of " + bar.name, Where: "channels in " + bar.name}
		for i := range widths {
			p.Drawings = append(p.Drawings, drawn(func(b *bytes.Buffer) { bar.draw(b, widthStep*(i+1)) }))
		}
		parts.Places = append(parts.Places, p)
	}
	parts.Base = drawn(drawCaptions)
	return parts
}

// drawn returns what draw writes.
func drawn(draw func(b *bytes.Buffer)) string {
	var b bytes.Buffer
	draw(&b)
	return b.String()
}

// Choices implements [Arch].
func (a Cell) Choices() []int {
	var choices []int
	for _, op := range a {
		choices = append(choices, int(op))
	}
	return choices
}

// Choices implements [Arch].
func (a Widths) Choices() []int {
	var choices []int
	for _, width := range a {
		choices = append(choices, int(width)/widthStep-1)
	}
	return choices
}
