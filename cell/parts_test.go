package cell

import (
	"strings"
	"testing"
)

// TestParts composes architectures of their parts: their strings and their drawings.
func TestParts(t *testing.T) {
	for _, space := range Spaces() {
		parts := space.Parts()
		if len(parts.Text) != len(parts.Places)+1 {
			t.Fatalf("%s: %d texts around %d places", space.Title(), len(parts.Text), len(parts.Places))
		}
		for i, arch := range space.All() {
			choices := arch.Choices()
			text := parts.Text[0]
			for at, choice := range choices {
				text += parts.Options[choice] + parts.Text[at+1]
			}
			if text != arch.String() {
				t.Fatalf("%s %d: %s is composed, want %s", space.Title(), i, text, arch)
			}
			if i%1000 != 0 {
				continue
			}
			picture := string(arch.SVG())
			var all strings.Builder
			for at, choice := range choices {
				all.WriteString(parts.Places[at].Drawings[choice])
			}
			all.WriteString(parts.Base)
			if !strings.Contains(picture, all.String()) {
				t.Errorf("%s %d: the picture does not have the parts\n%s\nbut\n%s", space.Title(), i, all.String(), picture)
			}
			if (arch.Class() != i) && !parts.IsIsomorphic {
				t.Errorf("%s %d is isomorphic to %d", space.Title(), i, arch.Class())
			}
		}
	}
}
