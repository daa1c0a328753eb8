package importer

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nb201/data/picture"
	"nb201/internal/bom"
	"nb201/internal/infile"
	"nb201/internal/progress"
	"nb201/internal/usage"
)

// openTables opens a CSV file, or a directory with one to train and one to test, such as
// train.csv and test.csv. A line is an image, its label and its pixels; the first may be a
// header.
func (o *Options) openTables() (*source, error) {
	src := &source{kind: "CSV of pixels", train: o.Source, close: func() {}}
	files := []string{o.Source}
	if !isTable(o.Source) {
		train, test, err := o.findTables(src)
		if err != nil {
			return nil, err
		}
		src.train, src.test = filepath.Base(train), filepath.Base(test)
		files = []string{train, test}
		if test == "" {
			src.test, files = "", files[:1]
		}
	}
	if err := o.parted(src); err != nil {
		return nil, err
	}
	tables := make([]*table, len(files))
	var total int64
	for i, file := range files {
		t, err := o.openTable(file)
		if err != nil {
			return nil, err
		}
		t.close()
		if i > 0 && t.columns != tables[0].columns {
			return nil, usage.Errorf("%s has lines of %d values, but %s of %d", files[0], tables[0].columns, file, t.columns)
		}
		tables[i] = t
		total += t.size
	}
	last, err := o.labelLast(tables)
	if err != nil {
		return nil, err
	}
	src.table = o.describe(tables, last)
	for _, t := range tables {
		if t.index {
			src.notes = append(src.notes, fmt.Sprintf("%s: its first column, which has no name, was left out: pandas writes the index so", filepath.Base(t.path)))
		}
	}
	side, _ := layout(tables[0].columns)
	src.dims = func(context.Context) (int, int, error) { return side, side, nil }
	// each calls image for the images of a file.
	each := func(ctx context.Context, file string, white int, image func(t *table, im picture.Image, label float64) error) error {
		t, err := o.openTable(file)
		if err != nil {
			return err
		}
		defer t.close()
		t.last, t.white = last, white
		return t.read(ctx, func(im picture.Image, label float64) error { return image(t, im, label) })
	}
	src.read = func(ctx context.Context, size int, sampled func(sample) error) error {
		white := 1
		brightest := func(file string) (most byte, err error) { // of the pixels, up to the first above 1
			err = each(ctx, file, 255, func(_ *table, im picture.Image, _ float64) error {
				if most = max(most, slices.Max(im.Pixels)); most > 1 {
					return errBright
				}
				return nil
			})
			if errors.Is(err, errBright) {
				err = nil
			}
			return most, err
		}
		most, err := brightest(files[0])
		switch {
		case err == nil && most > 1:
			white = 255
			for _, file := range files[1:] {
				if most, err := brightest(file); err != nil || most == 1 {
					return cmp.Or(err, usage.Errorf("%s has pixels above 1 and %s has none: bring them to one scale", files[0], file))
				}
			}
		case err != nil:
			return err
		default:
			src.notes = append(src.notes, "no pixel is above 1: they were taken to be 0..1")
		}
		var before int64 // bytes of the files that were read
		for i, file := range files {
			err := each(ctx, file, white, func(t *table, im picture.Image, label float64) error {
				o.report(before+t.bytes.n, total, progress.Bytes)
				return sampled(sample{test: i > 0, label: label, pixels: im.Square(size)})
			})
			if err != nil {
				return err
			}
			before += tables[i].size
		}
		return nil
	}
	return src, nil
}

// findTables finds the file to train and the one to test, if any, in the directory that
// is the source, and notes those left out.
func (o *Options) findTables(src *source) (train, test string, err error) {
	entries, err := os.ReadDir(o.Source)
	if err != nil {
		return "", "", usage.Errorf("cannot read the images: %w", err)
	}
	named := map[role][]string{}
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(o.Source, e.Name())); err == nil && info.Mode().IsRegular() && isTable(e.Name()) {
			r, _ := roleOf(e.Name())
			named[r] = append(named[r], e.Name())
		}
	}
	// take is the only file of the first of the parts that is there.
	take := func(roles ...role) (string, error) {
		for _, r := range roles {
			names := named[r]
			delete(named, r)
			if len(names) > 1 {
				return "", usage.Errorf("%s: %s may each be the %s: rename or move all but one, or name the file itself", o.Source, list(names), r)
			}
			if len(names) == 1 {
				return filepath.Join(o.Source, names[0]), nil
			}
		}
		return "", nil
	}
	if train, err = take(forTraining); err != nil {
		return "", "", err
	}
	if train == "" {
		return "", "", usage.Errorf("%s: holds no train.csv or train.csv.gz: name the file itself where it has another name", o.Source)
	}
	if test, err = take(forTest, forValidation); err != nil {
		return "", "", err
	}
	var left []string
	for _, names := range named {
		left = append(left, names...)
	}
	if len(left) > 0 {
		slices.Sort(left)
		src.notes = append(src.notes, fmt.Sprintf("tables left out: %s", list(left)))
	}
	return train, test, nil
}

// labelLast finds whether the labels are the last values of lines, not the first: as the
// headers say, which --label must not contradict, or else as --label does.
func (o *Options) labelLast(tables []*table) (last bool, err error) {
	last = o.Label == "last"
	said := "" // what says so
	if o.Label != "" {
		said = "--label"
	}
	unclear := ""
	for _, t := range tables {
		end := t.columns - 1
		switch {
		case t.label == "":
			if t.names {
				unclear = t.path
			}
			continue
		case t.place != 0 && t.place != end:
			return false, usage.Errorf("%s: its header names column %d of %d %q, but labels are read from the first or the last alone: move that column", t.path, t.place+1, t.columns, t.label)
		case said != "" && last != (t.place == end):
			return false, usage.Errorf("%s: its header names the %s column %q, but %s says that the %s has the labels: mend the one that is wrong", t.path, ends[t.place == end], t.label, said, ends[last])
		}
		last, said = t.place == end, t.path
	}
	if unclear != "" && said == "" {
		return false, usage.Errorf("%s: its header names no column label, class, target or y: say with --label whether the first or the last is the label", unclear)
	}
	return last, nil
}

// ends are the places of the labels in a line, by whether they are the last.
var ends = map[bool]string{false: "first", true: "last"}

// describe says what was taken for headers and for labels.
func (o *Options) describe(tables []*table, last bool) string {
	headers := map[bool]string{true: "passed over", false: "none"}
	text := "header: " + headers[tables[0].header]
	if len(tables) > 1 && tables[1].header != tables[0].header {
		text = fmt.Sprintf("header: %s in %s, %s in %s", headers[tables[0].header], filepath.Base(tables[0].path), headers[tables[1].header], filepath.Base(tables[1].path))
	}
	text += fmt.Sprintf("; labels: the %s of %d columns", ends[last], tables[0].columns)
	for _, t := range tables {
		if t.label != "" {
			return text + fmt.Sprintf(", %q", t.label)
		}
	}
	if o.Label == "" {
		text += ", as neither a header nor --label says otherwise"
	}
	return text
}

// table is a CSV file.
type table struct {
	path string
	size int64 // of the file in bytes
	heading
	columns int  // values in a line, less an index
	last    bool // the label is the last of them, not the first
	white   int  // the brightest value there can be
	o       *Options
	file    io.Closer
	bytes   *counter
	lines   *csv.Reader
	first   []string // the first line, if it is no header
}

// openTable opens a CSV file and reads its first line.
func (o *Options) openTable(path string) (t *table, err error) {
	f, err := infile.Open(path)
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
	if err := bom.Skip(buffered); err != nil {
		return t.wrong(err)
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
	if t.heading = readHeading(fields); !t.header {
		t.first = fields
	}
	t.columns = len(fields)
	without := ""
	if t.index {
		t.columns--
		without = " behind one without a name, as pandas writes the index (leave it out with to_csv(index=False))"
	}
	if side, _ := layout(t.columns); side == 0 {
		return usage.Errorf("%s: its first line has %d values%s, which are not a label and the N*N grey or 3*N*N coloured pixels of a square image", t.path, t.columns, without)
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
	if last := len(fields) - 1; t.last {
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
		if t.index {
			fields = fields[1:]
		}
		if len(fields) != t.columns {
			return usage.Errorf("%s: line %d has %d values, not the %d of the first", t.path, line, len(fields), t.columns)
		}
		text, values := t.split(fields)
		label, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return usage.Errorf("%s: line %d has the label %.40q, which is not a whole number", t.path, line, text)
		}
		for i, v := range values {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil || n < 0 || n > t.white {
				return usage.Errorf("%s: line %d has the pixel %.40q, which is not a whole number 0..%d", t.path, line, v, t.white)
			}
			pixels[i] = byte(n * 255 / t.white)
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
