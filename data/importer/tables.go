package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"nb201/data/picture"
	"nb201/internal/progress"
	"nb201/internal/usage"
)

// openTables opens a CSV file, or a directory with train.csv and test.csv. A line is an
// image, its label and its pixels; the first may be a header.
func (o *Options) openTables() (*source, error) {
	files, test := []string{o.Source}, ""
	if !isTable(o.Source) {
		if files[0] = o.findTable("train"); files[0] == "" {
			return nil, usage.Errorf("%s: holds no train.csv or train.csv.gz: name the file itself where it has another name", o.Source)
		}
		if test = o.findTable(testNames...); test != "" {
			files = append(files, test)
		}
	}
	if err := o.parted(test); err != nil {
		return nil, err
	}
	var columns int
	var total int64
	for i, file := range files {
		t, err := o.openTable(file)
		if err != nil {
			return nil, err
		}
		t.close()
		if i > 0 && t.columns != columns {
			return nil, usage.Errorf("%s has lines of %d values, but %s of %d", files[0], columns, file, t.columns)
		}
		columns = t.columns
		total += t.size
	}
	side, _ := layout(columns)
	return &source{
		kind:  "CSV of pixels",
		close: func() {},
		dims:  func(context.Context) (int, int, error) { return side, side, nil },
		read: func(ctx context.Context, size int, each func(sample) error) error {
			var before int64 // bytes of the files that were read
			for i, file := range files {
				t, err := o.openTable(file)
				if err != nil {
					return err
				}
				err = t.read(ctx, func(im picture.Image, label float64) error {
					o.report(before+t.bytes.n, total, progress.Bytes)
					return each(sample{test: i > 0, label: label, pixels: im.Square(size)})
				})
				t.close()
				if err != nil {
					return err
				}
				before += t.size
			}
			return nil
		},
	}, nil
}

// findTable is the path of the first of the names that is there, or "".
func (o *Options) findTable(names ...string) string {
	for _, name := range names {
		for _, extension := range []string{".csv", ".csv.gz"} {
			path := filepath.Join(o.Source, name+extension)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path
			}
		}
	}
	return ""
}

// table is a CSV file.
type table struct {
	path    string
	size    int64 // of the file in bytes
	columns int   // values in a line
	o       *Options
	file    io.Closer
	bytes   *counter
	lines   *csv.Reader
	first   []string // the first line, if it is no header
}

// openTable opens a CSV file and reads its first line.
func (o *Options) openTable(path string) (t *table, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot read the images: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // it was only read
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, usage.Errorf("cannot read the images: %w", err)
	}
	t = &table{path: path, size: info.Size(), o: o, file: f, bytes: &counter{r: f}}
	text := io.Reader(t.bytes)
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(bufio.NewReader(text)); err != nil {
			return nil, usage.Errorf("%s: is no whole gzip file: %w", path, err)
		}
	}
	if err := t.begin(text); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *table) close() { _ = t.file.Close() } // it was only read

// begin reads the first line of the text, and passes over it if it is a header.
func (t *table) begin(text io.Reader) error {
	buffered := bufio.NewReaderSize(&lineLimit{r: text}, 1<<16)
	const byteOrderMark = "\xef\xbb\xbf"
	if start, _ := buffered.Peek(len(byteOrderMark)); string(start) == byteOrderMark {
		_, _ = buffered.Discard(len(byteOrderMark))
	}
	t.lines = csv.NewReader(buffered)
	t.lines.FieldsPerRecord = -1 // what is wrong with their number is said here
	t.lines.ReuseRecord = true
	fields, err := t.lines.Read()
	if errors.Is(err, io.EOF) {
		return usage.Errorf("%s: is empty", t.path)
	}
	if err != nil {
		return t.wrong(err)
	}
	t.columns = len(fields)
	if side, _ := layout(t.columns); side == 0 {
		return usage.Errorf("%s: its first line has %d values, which are not a label and the N*N grey or 3*N*N coloured pixels of a square image", t.path, t.columns)
	}
	label, _ := t.split(fields)
	if _, err := strconv.Atoi(strings.TrimSpace(label)); err == nil {
		t.first = fields
	}
	return nil
}

// layout is the side and the channels of the images that are a line's values but one; 0
// where there are none.
func layout(columns int) (side, channels int) {
	for _, channels := range []int{1, 3} {
		if side := int(math.Sqrt(float64((columns - 1) / channels))); side > 0 && channels*side*side == columns-1 {
			return side, channels
		}
	}
	return 0, 0
}

// split takes the label from the pixels.
func (t *table) split(fields []string) (label string, pixels []string) {
	if last := len(fields) - 1; t.o.LabelLast {
		return fields[last], fields[:last]
	}
	return fields[0], fields[1:]
}

// wrong is the usage error of a line that cannot be read.
func (t *table) wrong(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file is truncated")
	}
	return usage.Errorf("%s: cannot be read: %w", t.path, err)
}

// read reads the images and their labels.
func (t *table) read(ctx context.Context, each func(im picture.Image, label float64) error) error {
	side, channels := layout(t.columns)
	pixels := make([]byte, t.columns-1)
	fields := t.first
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if fields == nil {
			var err error
			fields, err = t.lines.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return t.wrong(err)
			}
		}
		line, _ := t.lines.FieldPos(0)
		if len(fields) != t.columns {
			return usage.Errorf("%s: line %d has %d values, not the %d of the first", t.path, line, len(fields), t.columns)
		}
		text, values := t.split(fields)
		label, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return usage.Errorf("%s: line %d has the label %.40q, which is no whole number", t.path, line, text)
		}
		for i, v := range values {
			n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 8)
			if err != nil {
				return usage.Errorf("%s: line %d has the pixel %.40q, which is no whole number 0..255", t.path, line, v)
			}
			pixels[i] = byte(n)
		}
		im := picture.Image{Width: side, Height: side, Pixels: colours(pixels, channels, t.o.Planes)}
		if err := each(im, float64(label)); err != nil {
			return err
		}
		fields = nil
	}
}

// counter counts the bytes that are read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// lineLimit refuses a line that is longer than any of pixels, before memory is taken
// for it.
type lineLimit struct {
	r      io.Reader
	length int // of the line so far
}

// maxLine is beyond the length in bytes of a line of 1024x1024 coloured pixels.
const maxLine = 1 << 24

func (l *lineLimit) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if end := bytes.LastIndexByte(p[:n], '\n'); end >= 0 {
		l.length = n - end - 1
	} else {
		l.length += n
	}
	if l.length > maxLine {
		return 0, fmt.Errorf("a line is longer than %d bytes", maxLine)
	}
	return n, err
}
