package layout

import (
	"bytes"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/mattn/go-runewidth"
)

// gap is the number of spaces between columns.
const gap = 2

// Table formats rows like a [tabwriter.Writer]: cells are separated by tabs. The first row has the
// titles. A table that is wider than its terminal is folded: into several tables below each other,
// each of which begins with the key columns. In a table of [NewProperties] the last column is wrapped
// instead.
type Table struct {
	w     io.Writer
	width int  // of the terminal, 0: none
	keys  int  // columns that are repeated
	align uint // of tabwriter
	wrap  bool // the last column is text to wrap
	text  bytes.Buffer
}

// NewTable returns a table whose columns are aligned at the left; keys is the number of key columns.
func NewTable(w io.Writer, keys int) *Table { return &Table{w: w, width: Width(w), keys: keys} }

// NewNumbers returns a table whose columns are aligned at the right; each cell ends with a tab.
func NewNumbers(w io.Writer, keys int) *Table {
	return &Table{w: w, width: Width(w), keys: keys, align: tabwriter.AlignRight}
}

// NewProperties returns a table of names and texts without titles.
func NewProperties(w io.Writer) *Table { return &Table{w: w, width: Width(w), wrap: true} }

// Write adds text to the rows.
func (t *Table) Write(text []byte) (int, error) { return t.text.Write(text) }

// Flush formats the rows and writes them.
func (t *Table) Flush() error {
	text := t.text.String()
	t.text.Reset()
	rows, widths := t.parse(text)
	if t.width == 0 || t.span(widths, 0, len(widths)) <= t.width {
		return t.render(text)
	}
	if t.wrap {
		return t.wrapLast(rows, widths)
	}
	for first, from := true, t.keys; from < len(widths); first = false {
		to := from + 1
		for to < len(widths) && t.span(widths, 0, t.keys)+t.join()+t.span(widths, from, to+1) <= t.width {
			to++
		}
		var part strings.Builder
		if !first {
			part.WriteByte('\n')
		}
		for _, row := range rows {
			cells := append(append([]string{}, row[:min(t.keys, len(row))]...), row[min(from, len(row)):min(to, len(row))]...)
			part.WriteString(strings.Join(cells, "\t"))
			if t.align != 0 {
				part.WriteByte('\t')
			}
			part.WriteByte('\n')
		}
		if err := t.render(part.String()); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// parse splits text into rows of cells and measures the columns.
func (t *Table) parse(text string) (rows [][]string, widths []int) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if t.align != 0 {
			line = strings.TrimSuffix(line, "\t") // each cell ends with one
		}
		row := strings.Split(line, "\t")
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], runewidth.StringWidth(cell))
		}
		rows = append(rows, row)
	}
	return rows, widths
}

// span returns the width of the columns from to to, and of the gaps between them. A column that is
// aligned at the right has its gap before it.
func (t *Table) span(widths []int, from, to int) int {
	n := 0
	for _, w := range widths[from:to] {
		n += w + gap
	}
	if t.align == 0 && n > 0 {
		n -= gap
	}
	return n
}

// join is the width of the gap between two spans.
func (t *Table) join() int {
	if t.align == 0 && t.keys > 0 {
		return gap
	}
	return 0
}

// render formats rows that need no folding.
func (t *Table) render(text string) error {
	table := tabwriter.NewWriter(t.w, 0, 0, gap, ' ', t.align)
	if _, err := io.WriteString(table, text); err != nil {
		return err
	}
	return table.Flush()
}

// wrapLast writes the rows with the last column wrapped.
func (t *Table) wrapLast(rows [][]string, widths []int) error {
	last := len(widths) - 1
	at := t.span(widths, 0, last) + gap
	if at > t.width/2 { // the names are long: put the texts below them
		at = 2 * gap
	}
	var b strings.Builder
	for _, row := range rows {
		used := 0
		for i, cell := range row[:min(last, len(row))] {
			b.WriteString(cell)
			pad := widths[i] - runewidth.StringWidth(cell) + gap
			b.WriteString(strings.Repeat(" ", pad))
			used += widths[i] + gap
		}
		if len(row) > last {
			if used > at {
				b.WriteString("\n" + strings.Repeat(" ", at))
			}
			b.WriteString(Fill(row[last], t.width, at, at))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(t.w, b.String())
	return err
}
