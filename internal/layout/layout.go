// Package layout fits text and tables to the terminal that they are printed on. What is not a
// terminal gets them unchanged, so that files, pipes and tests see the same output everywhere.
package layout

import (
	"bytes"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// Narrowest is the width in columns from which on all output is readable. Text is not wrapped to
// less.
const Narrowest = 60

// Width returns the width of the terminal w in columns, at least [Narrowest], or 0 if w is not a
// terminal.
func Width(w io.Writer) int {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	if width < 1 { // a terminal that does not know its size
		width = 80
	}
	return max(width, Narrowest)
}

// Colours reports whether colours may be printed on w: it is a terminal that interprets escape
// sequences, and NO_COLOR is unset or empty (https://no-color.org).
func Colours(w io.Writer) bool {
	return Width(w) > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// Fits reports whether no line of text is wider than width.
func Fits(text string, width int) bool {
	for line := range strings.Lines(text) {
		if runewidth.StringWidth(strings.TrimRight(line, "\n")) > width {
			return false
		}
	}
	return true
}

// Wrap breaks the lines of text that are wider than width between words. The rest of a line is
// indented below the second column of a line of two ("name  text"), or else by two more spaces than
// the line. Words between backquotes, such as a command, stay together; so does a word that is wider
// than the line. If width is 0, text is returned unchanged.
func Wrap(text string, width int) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		content, end := strings.TrimSuffix(line, "\n"), ""
		if content != line {
			end = "\n"
		}
		if runewidth.StringWidth(content) > width {
			content = wrapLine(content, width)
		}
		b.WriteString(content + end)
	}
	return b.String()
}

// wrapLine breaks a line without a line break.
func wrapLine(line string, width int) string {
	text := strings.TrimLeft(line, " ")
	indent := len(line) - len(text)
	hang := min(indent+2, width/2)
	if name, rest, ok := strings.Cut(text, "  "); ok {
		value := strings.TrimLeft(rest, " ")
		at := runewidth.StringWidth(line) - runewidth.StringWidth(value)
		if at <= width/2 {
			return strings.Repeat(" ", indent) + name + strings.Repeat(" ", at-indent-runewidth.StringWidth(name)) + Fill(value, width, at, at)
		}
	}
	return strings.Repeat(" ", indent) + Fill(text, width, indent, hang)
}

// Fill breaks text, which may be of several lines, into lines of at most width columns. The first one
// begins at the column first, which is not printed, and the others are indented by hang.
func Fill(text string, width, first, hang int) string {
	var b strings.Builder
	at := first
	empty := true
	for _, word := range words(text) {
		n := runewidth.StringWidth(word)
		switch {
		case empty:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", hang))
			at = hang
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
		empty = false
	}
	return b.String()
}

// words splits text at spaces and line breaks, but not between backquotes.
func words(text string) []string {
	var list []string
	for _, word := range strings.Fields(text) {
		if n := len(list); n > 0 && strings.Count(list[n-1], "`")%2 == 1 {
			list[n-1] += " " + word
		} else {
			list = append(list, word)
		}
	}
	return list
}

// Text is a writer that wraps the lines that it is given to the width of a terminal.
type Text struct {
	to    io.Writer
	width int
	line  []byte // that has not ended
}

// NewText returns a Text that writes to w. If w is not a terminal, it changes nothing.
func NewText(w io.Writer) *Text { return &Text{to: w, width: Width(w)} }

// Fd returns the descriptor of the terminal, by which others ask whether it is one.
func (t *Text) Fd() uintptr {
	if f, ok := t.to.(interface{ Fd() uintptr }); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}

// Write writes the lines that text ends, and keeps the rest until its line ends.
func (t *Text) Write(text []byte) (int, error) {
	if t.width == 0 {
		return t.to.Write(text)
	}
	t.line = append(t.line, text...)
	end := bytes.LastIndexByte(t.line, '\n') + 1
	if end == 0 {
		return len(text), nil
	}
	wrapped := Wrap(string(t.line[:end]), t.width)
	t.line = append(t.line[:0], t.line[end:]...)
	if _, err := io.WriteString(t.to, wrapped); err != nil {
		return 0, err
	}
	return len(text), nil
}
