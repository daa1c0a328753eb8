package published

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"sync"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"nb201/cell"
	"nb201/internal/infile"
	"nb201/internal/lz4pages"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/tables"
)

// Parquet is a directory with two tables: trials.parquet, a row for each trial, and
// epochs.parquet, a row for each epoch and set of images of a trial. Package tables describes
// the columns.
const Parquet benchmark.Format = "parquet"

func parquetReader() reader {
	return reader{
		name: Parquet, noun: "tables", inDir: findTable(".parquet"),
		open: func(_ context.Context, o *opening) (*benchmark.Benchmark, error) {
			return openTables(o, Parquet, openParquetTable[tables.TrialRow], openParquetTable[tables.EpochRow])
		},
		recognise: func(c *content) (Kind, bool) {
			return oneTable(c.path, ".parquet", "a Parquet file"), bytes.HasPrefix(c.head, []byte("PAR1"))
		},
	}
}

// parquetTable is a table in Parquet.
type parquetTable[Row any] struct {
	path   string
	file   *os.File
	groups []rowGroup
}

// rowGroup is a group of rows, and which of them belong to which architecture.
type rowGroup struct {
	parquet.RowGroup
	first, last int64 // range of architectures, from the statistics; 0 and the largest number without them
	// ranges returns, by architecture, the range of rows [first, end) that contains its rows. It
	// reads the column architecture once.
	ranges func() (map[int64][2]int64, error)
}

func openParquetTable[Row any](path string) (t *parquetTable[Row], err error) {
	f, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	t = &parquetTable[Row]{path: path, file: f}
	if err := guard(path, t.open); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// guard calls read and turns its error, or a panic of the library on a damaged file, into a
// usage error that names the file.
func guard(path string, read func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the file is damaged: %v", r)
		}
		if err != nil && !usage.Is(err) {
			err = results.AsDamaged(usage.Errorf("cannot read %s: %w; download or export the table again", path, err))
		}
	}()
	return read()
}

func (t *parquetTable[Row]) open() error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	if err := checkFooter(t.file, info.Size()); err != nil {
		return err
	}
	file, err := openPages(t.file, info.Size())
	if err != nil {
		return err
	}
	for _, c := range tables.Columns[Row]() {
		if !c.Late && !slices.ContainsFunc(file.Schema().Fields(), func(f parquet.Field) bool { return f.Name() == c.Name }) {
			return fmt.Errorf("column %s is missing", c.Name)
		}
	}
	key, _ := file.Schema().Lookup("architecture")
	for _, g := range file.RowGroups() {
		column := g.ColumnChunks()[key.ColumnIndex]
		group := rowGroup{
			RowGroup: g, last: math.MaxInt64,
			ranges: sync.OnceValues(func() (map[int64][2]int64, error) { return readRanges(column) }),
		}
		if chunk, ok := column.(*parquet.FileColumnChunk); ok {
			if low, high, ok := chunk.Bounds(); ok {
				group.first, group.last = low.Int64(), high.Int64()
			}
		}
		t.groups = append(t.groups, group)
	}
	return nil
}

// openPages opens a Parquet file. The library cannot unpack LZ4 pages, so package lz4pages does
// that first.
func openPages(f io.ReaderAt, size int64) (*parquet.File, error) {
	file, err := parquet.OpenFile(f, size, parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	isLZ4 := false
	for _, g := range file.Metadata().RowGroups {
		for _, c := range g.Columns {
			codec := c.MetaData.Codec
			switch {
			case lz4pages.IsLZ4(codec):
				isLZ4 = true
			case !slices.Contains(codecs, codec):
				return nil, fmt.Errorf("columns are compressed with %v; supported are %v, LZ4 and LZ4_RAW", codec, codecs)
			}
		}
	}
	if !isLZ4 {
		return file, nil
	}
	unpacked, err := lz4pages.Open(f, size, file.Metadata())
	if err != nil {
		return nil, err
	}
	return parquet.OpenFile(unpacked, unpacked.Size(), parquet.SkipBloomFilters(true))
}

// codecs lists the codecs that the library can read.
var codecs = []format.CompressionCodec{format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd}

// checkFooter checks that the file is long enough for the length of the footer at its end, which
// the library trusts.
func checkFooter(f io.ReaderAt, size int64) error {
	end := make([]byte, 8)
	if size < int64(len(end)) {
		return io.ErrUnexpectedEOF
	}
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil {
		return err
	}
	if length := binary.LittleEndian.Uint32(end); string(end[4:]) != "PAR1" || int64(length) > size-int64(len(end)) {
		return errors.New("it does not end like a Parquet file")
	}
	return nil
}

func (t *parquetTable[Row]) Close() error { return t.file.Close() }

func (t *parquetTable[Row]) architectures() ([]int, error) {
	found := map[int]bool{}
	err := guard(t.path, func() error {
		for _, g := range t.groups {
			ranges, err := g.ranges()
			if err != nil {
				return err
			}
			for index := range ranges {
				found[int(index)] = true
			}
		}
		return nil
	})
	return slices.Sorted(maps.Keys(found)), err
}

// visitValues calls visit with each value of the pages, in order.
func visitValues(pages parquet.Pages, visit func(parquet.Value)) error {
	values := make([]parquet.Value, 1024)
	for {
		page, err := pages.ReadPage()
		if err == io.EOF { //nolint:errorlint // a wrapped one is of a damaged page
			return nil
		}
		if err != nil {
			return err
		}
		for reader := page.Values(); err == nil; {
			var n int
			n, err = reader.ReadValues(values)
			if n == 0 && err == nil {
				err = io.ErrNoProgress // the page is damaged
			}
			for _, v := range values[:n] {
				visit(v)
			}
		}
		parquet.Release(page)
		if err != io.EOF { //nolint:errorlint // a wrapped one is of a damaged page
			return err
		}
	}
}

func (t *parquetTable[Row]) rows(architecture int) (rows []Row, err error) {
	err = guard(t.path, func() error {
		for _, g := range t.groups {
			if int64(architecture) < g.first || int64(architecture) > g.last {
				continue
			}
			if rows, err = appendGroup(rows, g, architecture); err != nil {
				return err
			}
		}
		return nil
	})
	return rows, err
}

// readRanges reads the ranges of rows of a group from its column architecture. Of the architectures
// that do not exist in any search space, it keeps one.
func readRanges(column parquet.ColumnChunk) (map[int64][2]int64, error) {
	ranges := map[int64][2]int64{}
	exists := func(index int64) bool {
		return slices.ContainsFunc(cell.Spaces(), func(s cell.Space) bool { return 0 <= index && index < int64(s.Count()) })
	}
	i, invalid := int64(0), 0
	pages := column.Pages()
	err := visitValues(pages, func(v parquet.Value) {
		index := v.Int64()
		within, ok := ranges[index]
		if !ok {
			within[0] = i
			if !exists(index) {
				invalid++
			}
		}
		i++
		if within[1] = i; ok || invalid < 2 || exists(index) {
			ranges[index] = within
		}
	})
	return ranges, errors.Join(err, pages.Close())
}

// appendGroup appends the rows of an architecture in a group.
func appendGroup[Row any](rows []Row, g rowGroup, architecture int) ([]Row, error) {
	ranges, err := g.ranges()
	if err != nil {
		return rows, err
	}
	within, ok := ranges[int64(architecture)]
	if !ok {
		return rows, nil
	}
	first, end := within[0], within[1]
	r := parquet.NewGenericRowGroupReader[Row](g.RowGroup)
	defer r.Close()
	if err := r.SeekToRow(first); err != nil {
		return rows, err
	}
	buffer := make([]Row, 1024)
	for first < end {
		n, err := r.Read(buffer[:min(end-first, int64(len(buffer)))])
		for _, row := range buffer[:n] {
			if architectureOf(&row) == architecture {
				rows = append(rows, row)
			}
		}
		first += int64(n)
		if n == 0 && err == nil {
			err = io.ErrNoProgress
		}
		if err != nil && (err != io.EOF || first < end) { //nolint:errorlint // a wrapped one is from a damaged page
			return rows, err
		}
		clear(buffer) // rows now owns the slices in it
	}
	return rows, nil
}

// architectureOf returns the column architecture of a row, a pointer to a TrialRow or EpochRow.
func architectureOf(row any) int { return int(reflect.ValueOf(row).Elem().Field(0).Int()) }
