package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/quantity"
)

// table is the result of a command.
type table[R any] struct {
	Name    string `json:"table"` // name of the command
	Title   string `json:"title"` // what the rows are, and how they were measured
	Setting `json:"setting"`
	Partial bool     `json:"partial,omitempty"` // more rows were to follow
	Rows    []R      `json:"rows"`
	Summary any      `json:"summary,omitempty"`
	Notes   []string `json:"notes,omitempty"` // sentences

	columns []column[R]
}

// Setting records the circumstances of a measurement.
type Setting struct {
	Date       time.Time `json:"date"`
	Machine    []string  `json:"machine"`
	LoadBefore string    `json:"load_before"` // load average of the last minute
	LoadAfter  string    `json:"load_after"`
	Versions   []string  `json:"versions"`
	Device     string    `json:"device"`
	Precision  string    `json:"precision"`
	Channels   int       `json:"channels,omitzero"` // C and N of the architectures that do not fix them, 0 if all do
	Cells      int       `json:"cells,omitzero"`
	Batch      int       `json:"batch"`
	Skipped    []string  `json:"skipped,omitempty"` // what could not be measured, and why
}

// column is a column of the printed table.
type column[R any] struct {
	head string
	cell func(R) string
}

// newTable starts the table of a command.
func newTable[R any](name string, o *common, columns []column[R]) *table[R] {
	t := &table[R]{
		Name: name, columns: columns,
		Setting: Setting{
			Date: time.Now(), Machine: describeMachine(o.device), LoadBefore: loadAverage(), Device: o.device, Precision: o.precision, Batch: o.batch,
		},
	}
	if len(o.archs) == 0 || slices.ContainsFunc(o.archs, takesSkeleton) {
		t.Channels, t.Cells = o.channels, o.cells
	}
	return t
}

// addVersions adds the versions that are not yet listed.
func (s *Setting) addVersions(versions []string) {
	for _, v := range versions {
		if !slices.Contains(s.Versions, v) {
			s.Versions = append(s.Versions, v)
		}
	}
}

// skip records, and prints, that something is not measured, and why.
func (s *Setting) skip(what string, why error) {
	s.Skipped = append(s.Skipped, fmt.Sprintf("%s: %v", what, why))
	logf("skipped: %s: %v", what, why)
}

// Markdown returns the table, with its setting and notes, as Markdown.
func (t *table[R]) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s C=%s, N=%s, batch %d, %s, %s.\n\n", t.Title, figure("%.0f", float64(t.Channels)), figure("%.0f", float64(t.Cells)), t.Batch, t.Precision, t.Device)
	fmt.Fprintf(&b, "- date: %s\n- machine: %s; load average %s before, %s after\n- versions: %s\n",
		t.Date.Format("2006-01-02 15:04 MST"), strings.Join(t.Machine, "; "), t.LoadBefore, t.LoadAfter, strings.Join(t.Versions, ", "))
	if t.Partial {
		b.WriteString("- partial: only the rows measured so far\n")
	}
	for _, s := range t.Skipped {
		fmt.Fprintf(&b, "- skipped: %s\n", s)
	}
	b.WriteByte('\n')
	for _, c := range t.columns {
		fmt.Fprintf(&b, "| %s ", c.head)
	}
	b.WriteString("|\n")
	for i := range t.columns {
		if i == 0 {
			b.WriteString("|---") // the first column names the row
		} else {
			b.WriteString("|---:")
		}
	}
	b.WriteString("|\n")
	for _, r := range t.Rows {
		for _, c := range t.columns {
			fmt.Fprintf(&b, "| %s ", c.cell(r))
		}
		b.WriteString("|\n")
	}
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	return b.String()
}

// publish prints the table, unless it has no rows, and saves it if --save was given.
func (t *table[R]) publish(o *common) error {
	t.LoadAfter = loadAverage()
	var err error
	switch {
	case len(t.Rows) == 0: // skip has printed why
	case o.json:
		var text []byte
		if text, err = t.indented(); err == nil {
			_, err = os.Stdout.Write(text)
		}
	default:
		_, err = os.Stdout.WriteString(t.Markdown())
	}
	return errors.Join(err, t.save(o))
}

// show sets the rows so far and saves the table, marked as partial, if --save was given.
func (t *table[R]) show(o *common, rows []R) error {
	t.Rows, t.Partial, t.LoadAfter = rows, true, loadAverage()
	return t.save(o)
}

// indented returns the table as indented JSON.
func (t *table[R]) indented() ([]byte, error) {
	text, err := json.MarshalIndent(t, "", "  ")
	return append(text, '\n'), err
}

// save writes the table to the directory of --save, if given, unless it is empty.
func (t *table[R]) save(o *common) error {
	if o.save == "" || len(t.Rows) == 0 && len(t.Skipped) == 0 {
		return nil
	}
	text, err := t.indented()
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(o.save); err != nil {
		return err
	}
	for extension, content := range map[string][]byte{".md": []byte(t.Markdown()), ".json": text} {
		err := atomicfile.Replace(filepath.Join(o.save, t.fileName()+extension), func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fileName returns DATE-PROCESSOR-TABLE-PRECISION, with the name of the GPU as PROCESSOR if the device
// is one.
func (t *table[R]) fileName() string {
	where, _, _ := strings.Cut(t.Machine[len(t.Machine)-1], ",")
	return strings.Join([]string{t.Date.Format("2006-01-02"), strings.Trim(unfit.ReplaceAllString(where, "-"), "-"), t.Name, t.Precision}, "-")
}

// Spread is the median and the extremes of some figures.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of some figures, zero if there are none.
func spreadOf(figures []float64) Spread {
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	if n == 0 {
		return Spread{}
	}
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

func (s Spread) String() string {
	if s == (Spread{}) {
		return "-"
	}
	return fmt.Sprintf("%s (%s-%s)", quantity.Rounded(s.Median), quantity.Rounded(s.Min), quantity.Rounded(s.Max))
}

// figure formats a figure, or returns "-" for 0, which means unknown.
func figure(format string, v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// gib formats bytes in GiB.
func gib(bytes int64) string { return figure("%.2f", float64(bytes)/(1<<30)) }
