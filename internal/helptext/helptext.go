// Package helptext reads the help texts of commands, which are written for a page of 98 columns, and
// lays them out for narrow terminals and as manual pages. A text has paragraphs, headings and lists:
//
//	A paragraph, whose lines have the same indent.
//
//	A heading:
//	  name   an item: two spaces or more separate its name from its text,
//	         whose other lines are below the first
//	  - an item without a name
package helptext

import (
	"regexp"
	"strings"

	"github.com/mattn/go-runewidth"

	"nb201/internal/layout"
)

// Block is a paragraph, a heading or an item of a list.
type Block struct {
	Text   string // in one line
	Name   string // of an item, or ""
	Item   bool
	Indent int  // of the first line
	Hang   int  // of the other lines
	Apart  bool // an empty line is above it
}

// IsHeading reports whether b, which is before next, is a short line that ends with a colon, above text
// that is indented.
func (b Block) IsHeading(next Block) bool {
	return !b.Item && b.Indent == 0 && next.Indent > 0 && !next.Apart && strings.HasSuffix(b.Text, ":") && len(b.Text) <= 60
}

// item is a line of a list.
var item = regexp.MustCompile(`^( *)(\S+(?: \S+)*)( {2,})(\S.*)$`)

// Parse splits a text into blocks.
func Parse(text string) (blocks []Block) {
	apart, open := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		content := strings.TrimLeft(line, " ")
		indent := runewidth.StringWidth(line) - runewidth.StringWidth(content)
		m := item.FindStringSubmatch(line)
		switch {
		case content == "":
			apart, open = true, false
			continue
		case open && m == nil && blocks[len(blocks)-1].Hang == indent && !strings.HasPrefix(content, "- "):
			blocks[len(blocks)-1].Text += " " + content
			continue
		case m != nil:
			hang := indent + runewidth.StringWidth(m[2]+m[3])
			blocks = append(blocks, Block{Text: m[4], Name: m[2], Item: true, Indent: indent, Hang: hang, Apart: apart})
		case strings.HasPrefix(content, "- "):
			blocks = append(blocks, Block{Text: content[2:], Name: "-", Item: true, Indent: indent, Hang: indent + 2, Apart: apart})
		default:
			blocks = append(blocks, Block{Text: content, Indent: indent, Hang: indent, Apart: apart})
		}
		apart, open = false, true
	}
	return blocks
}

// Wrap lays a text out in lines of at most width columns. A text that fits is not changed.
func Wrap(text string, width int) string {
	if layout.Fits(text, width) {
		return text
	}
	var b strings.Builder
	for _, block := range Parse(text) {
		if block.Apart {
			b.WriteByte('\n')
		}
		at, hang := block.Indent, block.Hang
		b.WriteString(strings.Repeat(" ", at))
		if block.Item {
			b.WriteString(block.Name)
			at += runewidth.StringWidth(block.Name)
			if hang > width/2 { // there is little room beside the name
				hang = block.Indent + 4
			}
			if at+2 > hang && block.Name != "-" {
				b.WriteByte('\n')
				at = 0
			}
			b.WriteString(strings.Repeat(" ", hang-at))
			at = hang
		}
		b.WriteString(layout.Fill(block.Text, width, at, hang) + "\n")
	}
	return b.String()
}

// WrapCommands breaks command lines that are wider than width. They end in a backslash where they
// continue, so that a shell still runs them.
func WrapCommands(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !layout.Fits(line, width) {
			content := strings.TrimLeft(line, " ")
			indent := len(line) - len(content)
			if command, comment, ok := strings.Cut(content, " # "); ok { // it cannot be continued
				above := layout.Fill(comment, width-len("# "), indent, indent)
				for part := range strings.SplitSeq(above, "\n") {
					b.WriteString(strings.Repeat(" ", indent) + "# " + strings.TrimLeft(part, " ") + "\n")
				}
				content = strings.TrimRight(command, " ") + line[len(strings.TrimRight(line, "\n")):]
				b.WriteString(WrapCommands(strings.Repeat(" ", indent)+content, width))
				continue
			}
			const more = " \\"
			lines := strings.Split(layout.Fill(content, width-len(more), indent, indent+6), "\n")
			end := line[len(strings.TrimRight(line, "\n")):]
			line = strings.Repeat(" ", indent) + strings.Join(lines, more+"\n") + end
		}
		b.WriteString(line)
	}
	return b.String()
}
