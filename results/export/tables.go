package export

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"

	"nb201/internal/infile"
	"nb201/internal/usage"
	"nb201/results"
)

// tables are the names of the two tables and the columns of each.
var tables = []struct {
	name, about string
	columns     []results.Column
}{
	{results.TrialsTable, "a row for each trial", results.TrialColumns()},
	{results.EpochsTable, "a row for each set of images and epoch of a trial", results.EpochColumns()},
}

// rowsOf are the rows of an architecture in both tables.
func rowsOf(a *results.Architecture) ([]results.TrialRow, []results.EpochRow, error) {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			if _, ok := r.Set(results.TrainingSet); ok {
				return nil, nil, usage.Errorf("%v has an evaluation set %s: in the tables that names the training", r.Trial, results.TrainingSet)
			}
		}
	}
	trials, epochs := a.Rows()
	return trials, epochs, nil
}

// parquetPart writes a row group of each table.
type parquetPart struct {
	trials *parquetFile[results.TrialRow]
	epochs *parquetFile[results.EpochRow]
}

type parquetFile[Row any] struct {
	*parquet.GenericWriter[Row]
	file *file
}

func newParquetFile[Row any](path string, options ...parquet.WriterOption) (*parquetFile[Row], error) {
	f, err := createFile(path)
	if err != nil {
		return nil, err
	}
	options = append(options, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("nb201", "", ""))
	return &parquetFile[Row]{parquet.NewGenericWriter[Row](f, options...), f}, nil
}

func (f *parquetFile[Row]) Close() error { return errors.Join(f.GenericWriter.Close(), f.file.Close()) }

func parquetPath(dir, table string) string { return filepath.Join(dir, table+".parquet") }

func newParquetPart(dir string) (partWriter, error) {
	trials, err := newParquetFile[results.TrialRow](parquetPath(dir, results.TrialsTable))
	if err != nil {
		return nil, err
	}
	epochs, err := newParquetFile[results.EpochRow](parquetPath(dir, results.EpochsTable))
	if err != nil {
		return nil, errors.Join(err, trials.Close())
	}
	return parquetPart{trials, epochs}, nil
}

func (w parquetPart) add(a *results.Architecture) error {
	trials, epochs, err := rowsOf(a)
	if err != nil {
		return err
	}
	_, err1 := w.trials.Write(trials)
	_, err2 := w.epochs.Write(epochs)
	return errors.Join(err1, err2)
}

func (w parquetPart) close() error { return errors.Join(w.trials.Close(), w.epochs.Close()) }

// fillParquet makes the two tables of the row groups of the parts.
func fillParquet(dir string, x *whole) error {
	return errors.Join(mergeParquet[results.TrialRow](dir, 0, x), mergeParquet[results.EpochRow](dir, 1, x))
}

func mergeParquet[Row any](dir string, number int, x *whole) error {
	table := tables[number]
	out, err := newParquetFile[Row](parquetPath(dir, table.name), metadata(table.about, table.columns)...)
	if err != nil {
		return err
	}
	for _, p := range x.parts {
		if err := copyGroups(out, parquetPath(p.dir, table.name)); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	return out.Close()
}

// metadata describes the columns to readers that show key-value metadata: the unit of
// the column NAME is under unit:NAME, what it holds under about:NAME.
func metadata(about string, columns []results.Column) []parquet.WriterOption {
	options := []parquet.WriterOption{parquet.KeyValueMetadata("about", about)}
	for _, c := range columns {
		options = append(options, parquet.KeyValueMetadata("about:"+c.Name, c.About))
		if c.Unit != "" {
			options = append(options, parquet.KeyValueMetadata("unit:"+c.Name, c.Unit))
		}
	}
	return options
}

// copyGroups copies the row groups of a file, which need no encoding again.
func copyGroups[Row any](out *parquetFile[Row], path string) error {
	f, err := infile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	in, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, group := range in.RowGroups() {
		if _, err := out.WriteRowGroup(group); err != nil {
			return err
		}
	}
	return nil
}

// csvPart writes the rows of both tables without their headers.
type csvPart struct {
	trials, epochs *csvFile
}

type csvFile struct {
	*csv.Writer
	file   *file
	record []string
	raw    bool // text is written as it is
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
	trials, err := newCSVFile(csvPath(dir, results.TrialsTable), raw)
	if err != nil {
		return nil, err
	}
	epochs, err := newCSVFile(csvPath(dir, results.EpochsTable), raw)
	if err != nil {
		return nil, errors.Join(err, trials.Close())
	}
	return csvPart{trials, epochs}, nil
}

func (w csvPart) add(a *results.Architecture) error {
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

// fillCSV makes the two tables, each with a description beside it.
func fillCSV(dir string, x *whole) error {
	for _, table := range tables {
		path := csvPath(dir, table.name)
		err := writeFile(path, func(w io.Writer) error {
			header := csv.NewWriter(w)
			var names []string
			for _, c := range table.columns {
				names = append(names, c.Name)
			}
			if err := header.Write(names); err != nil {
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
		text, err := json.Marshal(describe(filepath.Base(path), table.about, table.columns), json.Deterministic(true), jsontext.WithIndent("  "))
		if err != nil {
			return err
		}
		if err := writeFile(path+"-metadata.json", func(w io.Writer) error { _, err := fmt.Fprintf(w, "%s\n", text); return err }); err != nil {
			return err
		}
	}
	return nil
}

// csvw is a description in the W3C's CSV on the Web vocabulary.
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

func describe(url, about string, columns []results.Column) csvw {
	d := csvw{Context: "http://www.w3.org/ns/csvw", URL: url, About: about}
	for _, c := range columns {
		column := csvwColumn{Name: c.Name, Titles: c.Name, About: c.About, Type: c.Type, Unit: c.Unit, Required: !c.List && !c.Optional}
		if c.List {
			column.Separator = results.ListSeparator
		}
		d.Schema.Columns = append(d.Schema.Columns, column)
		if c.Key {
			d.Schema.Key = append(d.Schema.Key, c.Name)
		}
	}
	return d
}
