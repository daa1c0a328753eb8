package export

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/parquet-go/parquet-go"

	"nb201/cell"
	"nb201/internal/infile"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/tables"
)

// parquetWriter describes the format of two tables in Parquet.
func parquetWriter() writer {
	return writer{
		Traits: Traits{
			Format: published.Parquet,
			About: `a directory of two tables, trials.parquet (a row for each trial) and
epochs.parquet (a row for each trial, epoch and set: train or an evaluation set)`,
		},
		layout: func(*Options, cell.Space) layout { return layout{begin: newParquetPart, fill: fillParquet} },
	}
}

// parquetPart writes a row group of each table.
type parquetPart struct {
	trials *parquetFile[tables.TrialRow]
	epochs *parquetFile[tables.EpochRow]
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
	return &parquetFile[Row]{newParquetWriter[Row](f, options...), f}, nil
}

func newParquetWriter[Row any](w io.Writer, options ...parquet.WriterOption) *parquet.GenericWriter[Row] {
	options = append(options, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("nb201", "", ""))
	return parquet.NewGenericWriter[Row](w, options...)
}

func (f *parquetFile[Row]) Close() error { return errors.Join(f.GenericWriter.Close(), f.file.Close()) }

func parquetPath(dir, table string) string { return filepath.Join(dir, table+".parquet") }

func newParquetPart(dir string) (partWriter, error) {
	trials, err := newParquetFile[tables.TrialRow](parquetPath(dir, tables.TrialsTable))
	if err != nil {
		return nil, err
	}
	epochs, err := newParquetFile[tables.EpochRow](parquetPath(dir, tables.EpochsTable))
	if err != nil {
		return nil, errors.Join(err, trials.Close())
	}
	return parquetPart{trials, epochs}, nil
}

func (w parquetPart) add(a *benchmark.Architecture) error {
	trials, epochs, err := rowsOf(a)
	if err != nil {
		return err
	}
	_, err1 := w.trials.Write(trials)
	_, err2 := w.epochs.Write(epochs)
	return errors.Join(err1, err2)
}

func (w parquetPart) close() error { return errors.Join(w.trials.Close(), w.epochs.Close()) }

// fillParquet makes the two tables from the row groups of the parts.
func fillParquet(dir string, x *whole) error {
	return errors.Join(mergeParquet[tables.TrialRow](dir, 0, x), mergeParquet[tables.EpochRow](dir, 1, x))
}

func mergeParquet[Row any](dir string, number int, x *whole) error {
	table := bothTables()[number]
	out, err := newParquetFile[Row](parquetPath(dir, table.name), metadata(x.space, table.about, table.columns)...)
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

// metadata returns descriptions of the columns for readers that show key-value metadata:
// the unit of the column NAME as unit:NAME, its description as about:NAME.
func metadata(space cell.Space, about string, columns []tables.Column) []parquet.WriterOption {
	options := []parquet.WriterOption{parquet.KeyValueMetadata("about", about)}
	for _, c := range columns {
		options = append(options, parquet.KeyValueMetadata("about:"+c.Name, c.About(space)))
		if c.Unit != "" {
			options = append(options, parquet.KeyValueMetadata("unit:"+c.Name, c.Unit))
		}
	}
	return options
}

// copyGroups copies the row groups of a file without encoding them again.
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
