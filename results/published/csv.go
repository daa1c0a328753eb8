package published

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"nb201/internal/bom"
	"nb201/internal/infile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/tables"
)

// CSV is a directory with the two tables of [Parquet], trials.csv and epochs.csv.
const CSV benchmark.Format = "csv"

func csvReader() reader {
	return reader{
		name: CSV, noun: "tables", inDir: findTable(".csv"),
		open: func(_ context.Context, o *opening) (*benchmark.Benchmark, error) {
			return openTables(o, CSV, openCSVTable[tables.TrialRow], openCSVTable[tables.EpochRow])
		},
		recognise: func(c *content) (Kind, bool) {
			return oneTable(c.path, ".csv", ""), isTable[tables.TrialRow](c.text) || isTable[tables.EpochRow](c.text)
		},
	}
}

// isTable reports whether a CSV file begins with the header of the table.
func isTable[Row any](text []byte) bool {
	_, old := headers[Row]()
	return bytes.HasPrefix(text, []byte(strings.Join(old, ",")))
}

// headers returns the names of the table's columns, and those of older tables.
func headers[Row any]() (now, old []string) {
	for _, c := range tables.Columns[Row]() {
		now = append(now, c.Name)
		if !c.Late {
			old = append(old, c.Name)
		}
	}
	return now, old
}

// csvTable is a table in CSV.
type csvTable[Row any] struct {
	path    string
	file    *os.File
	columns int
	places  map[int]place // by index of the architecture
}

// place locates the rows of an architecture in the file.
type place struct {
	offset, length int64 // bytes
	line           int   // line of the first row, counted from 1
}

func openCSVTable[Row any](path string) (*csvTable[Row], error) {
	f, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	t := &csvTable[Row]{path: path, file: f, places: map[int]place{}}
	if err := t.index(f); err != nil {
		return nil, results.AsDamaged(usage.Errorf("cannot read %s: %w", path, errors.Join(err, f.Close())))
	}
	return t, nil
}

// index locates the rows of each architecture by the first field of each line. This works
// because no field of the tables contains a line break.
func (t *csvTable[Row]) index(r io.Reader) error {
	header, oldHeader := headers[Row]()
	lines := bufio.NewReaderSize(r, 1<<20)
	var offset int64
	current := -1
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 && number > 1 {
			return nil
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if number == 1 {
			plain, err := bom.Strip(line)
			if err != nil {
				return err
			}
			got, err := csv.NewReader(bytes.NewReader(plain)).Read()
			if err != nil || !slices.Equal(got, header) && !slices.Equal(got, oldHeader) {
				return fmt.Errorf("line 1: the columns must be %v", header)
			}
			t.columns = len(got)
		} else {
			field, _, _ := bytes.Cut(line, []byte(","))
			architecture, err := strconv.Atoi(string(field))
			if err != nil {
				return fmt.Errorf("line %d: %.40q is not the index of an architecture", number, field)
			}
			p, known := t.places[architecture]
			if !known {
				p = place{offset: offset, line: number}
			} else if architecture != current {
				return fmt.Errorf("line %d: the rows of architecture %d are not adjacent; sort the table by architecture", number, architecture)
			}
			p.length += int64(len(line))
			t.places[architecture] = p
			current = architecture
		}
		offset += int64(len(line))
	}
}

func (t *csvTable[Row]) Close() error { return t.file.Close() }

func (t *csvTable[Row]) architectures() ([]int, error) {
	return slices.Sorted(maps.Keys(t.places)), nil
}

func (t *csvTable[Row]) rows(architecture int) ([]Row, error) {
	p := t.places[architecture]
	r := csv.NewReader(io.NewSectionReader(t.file, p.offset, p.length))
	r.FieldsPerRecord = t.columns
	r.ReuseRecord = true
	var rows []Row
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		var row Row
		if err == nil {
			err = tables.ParseCSV(&row, record)
		}
		if err != nil {
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				err = parse.Err // without its line, which counts from the architecture's first row
			}
			return nil, results.AsDamaged(usage.Errorf("cannot read %s: architecture %d (from line %d), row %d: %w",
				t.path, architecture, p.line, len(rows)+1, err))
		}
		rows = append(rows, row)
	}
}
