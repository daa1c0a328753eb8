package export

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/cell"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/tables"
)

// csvWriter describes the format of two tables in CSV.
func csvWriter() writer {
	return writer{
		Traits: Traits{
			Format: published.CSV, RawCells: true,
			About: `the same tables as trials.csv and epochs.csv, each described in a file beside
it; text that a spreadsheet would take for a formula (it begins with = + -
@, a tab or a carriage return) is prefixed with an apostrophe, unless
--raw-cells is given`,
		},
		layout: func(o *Options, _ cell.Space) layout {
			return layout{begin: func(dir string) (partWriter, error) { return newCSVPart(dir, o.RawCells) }, fill: fillCSV}
		},
	}
}

// csvPart writes the rows of both tables without their headers.
type csvPart struct {
	trials, epochs *csvFile
}

type csvFile struct {
	*csv.Writer
	file   *file
	record []string
	raw    bool // text is written unchanged
}

func newCSVFile(path string, raw bool) (*csvFile, error) {
	f, err := createFile(path)
	if err != nil {
		return nil, err
	}
	return &csvFile{Writer: csv.NewWriter(f), file: f, raw: raw}, nil
}

func (f *csvFile) Close() error {
	f.Flush()
	return errors.Join(f.Error(), f.file.Close())
}

func csvPath(dir, table string) string { return filepath.Join(dir, table+".csv") }

func newCSVPart(dir string, raw bool) (partWriter, error) {
	trials, err := newCSVFile(csvPath(dir, tables.TrialsTable), raw)
	if err != nil {
		return nil, err
	}
	epochs, err := newCSVFile(csvPath(dir, tables.EpochsTable), raw)
	if err != nil {
		return nil, errors.Join(err, trials.Close())
	}
	return csvPart{trials, epochs}, nil
}

func (w csvPart) add(a *benchmark.Architecture) error {
	trials, epochs, err := rowsOf(a)
	if err != nil {
		return err
	}
	for i := range trials {
		if err := w.trials.write(&trials[i]); err != nil {
			return err
		}
	}
	for i := range epochs {
		if err := w.epochs.write(&epochs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (f *csvFile) write(row interface{ AppendCSV([]string, bool) []string }) error {
	f.record = row.AppendCSV(f.record[:0], f.raw)
	return f.Write(f.record)
}

func (w csvPart) close() error { return errors.Join(w.trials.Close(), w.epochs.Close()) }

// fillCSV makes the two tables, and a file that describes each.
func fillCSV(dir string, x *whole) error {
	for _, table := range bothTables() {
		path := csvPath(dir, table.name)
		err := writeFile(path, func(w io.Writer) error {
			header := csv.NewWriter(w)
			if err := header.Write(columnNames(table.columns)); err != nil {
				return err
			}
			if header.Flush(); header.Error() != nil {
				return header.Error()
			}
			for _, p := range x.parts {
				if err := copyFile(w, csvPath(p.dir, table.name)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		text, err := json.Marshal(describe(x.space, filepath.Base(path), table.about, table.columns), json.Deterministic(true), jsontext.WithIndent("  "))
		if err != nil {
			return err
		}
		if err := writeFile(path+"-metadata.json", func(w io.Writer) error { _, err := fmt.Fprintf(w, "%s\n", text); return err }); err != nil {
			return err
		}
	}
	return nil
}

// columnNames returns the names of columns.
func columnNames(columns []tables.Column) []string {
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	return names
}

// csvw describes a table in the W3C's CSV on the Web vocabulary.
type csvw struct {
	Context string     `json:"@context"`
	URL     string     `json:"url"`
	About   string     `json:"dc:description"`
	Schema  csvwSchema `json:"tableSchema"`
}

type csvwSchema struct {
	Columns []csvwColumn `json:"columns"`
	Key     []string     `json:"primaryKey"`
}

type csvwColumn struct {
	Name      string `json:"name"`
	Titles    string `json:"titles"`
	About     string `json:"dc:description"`
	Type      string `json:"datatype"`
	Unit      string `json:"schema:unitText,omitzero"`
	Separator string `json:"separator,omitzero"`
	Required  bool   `json:"required,omitzero"`
}

func describe(space cell.Space, url, about string, columns []tables.Column) csvw {
	d := csvw{Context: "http://www.w3.org/ns/csvw", URL: url, About: about}
	for _, c := range columns {
		column := csvwColumn{Name: c.Name, Titles: c.Name, About: c.About(space), Type: c.Type, Unit: c.Unit, Required: !c.List && !c.Optional}
		if c.List {
			column.Separator = tables.ListSeparator
		}
		d.Schema.Columns = append(d.Schema.Columns, column)
		if c.Key {
			d.Schema.Key = append(d.Schema.Key, c.Name)
		}
	}
	return d
}
