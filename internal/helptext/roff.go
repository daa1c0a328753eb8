package helptext

import (
	"regexp"
	"strings"
)

// escapes are the characters that roff interprets, or prints as typographic ones, with which a command
// that is copied from a page does not run.
var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// Escape returns text for a line of a manual page.
func Escape(text string) string {
	text = escapes.Replace(text)
	if strings.HasPrefix(text, ".") {
		return `\&` + text
	}
	return text
}

// placeholder is a word in capitals that a user replaces, such as DIR or FILE.json.
var placeholder = regexp.MustCompile(`\b[A-Z][A-Z]*\b`)

// Usage returns a line of usage for a manual page: the command, of this many words, in bold, and the
// words in capitals in italics.
func Usage(line string, command int) string {
	words := strings.Fields(line)
	rest := Escape(strings.Join(words[command:], " "))
	return `\fB` + Escape(strings.Join(words[:command], " ")) + `\fR ` + placeholder.ReplaceAllString(rest, `\fI$0\fR`)
}

// Roff returns a text in the man macros of roff: headings become subsections, items tagged paragraphs.
func Roff(text string) string {
	var b strings.Builder
	blocks := Parse(text)
	for i, block := range blocks {
		switch {
		case i+1 < len(blocks) && block.IsHeading(blocks[i+1]):
			b.WriteString(".SS " + Escape(strings.TrimSuffix(block.Text, ":")) + "\n")
			continue
		case block.Name == "-":
			b.WriteString(".IP \\(bu 2\n")
		case block.Item:
			b.WriteString(".TP\n\\fB" + Escape(block.Name) + "\\fR\n")
		default:
			b.WriteString(".PP\n")
		}
		b.WriteString(Escape(block.Text) + "\n")
	}
	return b.String()
}

// Commands returns command lines in the man macros of roff: they keep their line breaks, and lose the
// indent that they have in common.
func Commands(text string) string {
	var b strings.Builder
	b.WriteString(".EX\n")
	for line := range strings.Lines(text) {
		b.WriteString(Escape(strings.TrimPrefix(strings.TrimRight(line, "\n"), "  ")) + "\n")
	}
	b.WriteString(".EE\n")
	return b.String()
}
