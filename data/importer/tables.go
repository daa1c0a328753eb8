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

// openTables opens a CSV file, or a directory with one for the training set and one for the
// test set, such as train.csv and test.csv. Each line is an image: its label and its pixels.
// The first line may be a header.
func (o *Options) openTables() (*source, error) {
	src := &source{kind: ofTables, train: o.Source, close: func() {}}
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
	if err := o.checkTest(src); err != nil {
		return nil, err
	}
	return src, o.readTables(src, files)
}

// ofTables is the kind of a source of CSV files.
const ofTables = "CSV of pixels"

// readTables makes src read the images of CSV files with the same columns, one set in each.
func (o *Options) readTables(src *source, files []string) error {
	tables := make([]*table, len(files))
	var total int64
	for i, file := range files {
		t, err := o.openTable(file)
		if err != nil {
			return err
		}
		t.close()
		if i > 0 && t.columns != tables[0].columns {
			return usage.Errorf("%s has %d values per line, but %s has %d; use the same columns in both", files[0], tables[0].columns, file, t.columns)
		}
		tables[i] = t
		total += t.size
	}
	last, err := o.labelLast(tables)
	if err != nil {
		return err
	}
	src.table = o.describe(tables, last)
	for _, t := range tables {
		if t.index {
			src.notes = append(src.notes, fmt.Sprintf("%s: its first column was ignored because it has no name, as the index that pandas writes", filepath.Base(t.path)))
		}
	}
	side, _ := layout(tables[0].columns)
	src.dims = func(context.Context) (int, int, error) { return side, side, nil }
	// each calls image with the images of a file.
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
		// brightest returns the greatest pixel of a file, or the greatest in the first image
		// with a pixel above 1.
		brightest := func(file string) (most byte, err error) {
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
					return cmp.Or(err, usage.Errorf("%s has pixels above 1, but %s has none; convert them to the same scale", files[0], file))
				}
			}
		case err != nil:
			return err
		default:
			src.notes = append(src.notes, "no pixel is above 1: they were read on a scale of 0 to 1")
		}
		var before int64 // bytes of the files that were read already
		for i, file := range files {
			err := each(ctx, file, white, func(t *table, im picture.Image, label float64) error {
				o.report(before+t.bytes.n, total, progress.Bytes)
				return sampled(sample{set: i, label: label, pixels: im.Square(size)})
			})
			if err != nil {
				return err
			}
			before += tables[i].size
		}
		return nil
	}
	return nil
}

// findTables finds the files of the training set and of the test set, if any, in the
// directory that is the source, and notes those left out.
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
	// choose removes from named the first of the roles that has a file, and returns its path.
	choose := func(roles ...role) (string, error) {
		for _, r := range roles {
			names := named[r]
			delete(named, r)
			if len(names) > 1 {
				return "", usage.Errorf("%s: each of %s could be the %s; rename or move all but one, or name the file itself", o.Source, joinFirst(names), r)
			}
			if len(names) == 1 {
				return filepath.Join(o.Source, names[0]), nil
			}
		}
		return "", nil
	}
	if train, err = choose(forTraining); err != nil {
		return "", "", err
	}
	if train == "" {
		return "", "", usage.Errorf("%s contains neither train.csv nor train.csv.gz; name the file itself if it has another name", o.Source)
	}
	if test, err = choose(forTest, forValidation); err != nil {
		return "", "", err
	}
	var left []string
	for _, names := range named {
		left = append(left, names...)
	}
	if len(left) > 0 {
		slices.Sort(left)
		src.notes = append(src.notes, fmt.Sprintf("tables left out: %s", joinFirst(left)))
	}
	return train, test, nil
}

// labelLast reports whether the labels are the last values of lines, not the first. The
// headers decide, and --label must agree with them; if they do not, --label decides.
func (o *Options) labelLast(tables []*table) (last bool, err error) {
	last = o.Label == "last"
	said := "" // what has decided
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
			return false, usage.Errorf("%s: the header names column %d of %d %q, but the labels must be in the first or the last; move that column",
				t.path, t.place+1, t.columns, t.label)
		case said != "" && last != (t.place == end):
			return false, usage.Errorf("%s: by its header the labels are in the %s column (%q), but %s puts them in the %s; correct one of them",
				t.path, ends[t.place == end], t.label, said, ends[last])
		}
		last, said = t.place == end, t.path
	}
	if unclear != "" && said == "" {
		return false, usage.Errorf("%s: the header has no column label, class, target or y; say where the labels are with --label first or --label last", unclear)
	}
	return last, nil
}

// ends maps whether the labels are the last values of lines to a word for it.
var ends = map[bool]string{false: "first", true: "last"}

// describe returns a sentence on how the headers and the labels were read.
func (o *Options) describe(tables []*table, last bool) string {
	headers := map[bool]string{true: "skipped", false: "none"}
	text := "header: " + headers[tables[0].header]
	if slices.ContainsFunc(tables, func(t *table) bool { return t.header != tables[0].header }) {
		var each []string
		for _, t := range tables {
			each = append(each, fmt.Sprintf("%s in %s", headers[t.header], filepath.Base(t.path)))
		}
		text = "header: " + strings.Join(each, ", ")
	}
	text += fmt.Sprintf("; labels: the %s of %d columns", ends[last], tables[0].columns)
	for _, t := range tables {
		if t.label != "" {
			return text + fmt.Sprintf(", %q", t.label)
		}
	}
	if o.Label == "" {
		text += ", because neither a header nor --label says otherwise"
	}
	return text
}

// table reads a CSV file.
type table struct {
	path string
	size int64 // of the file in bytes
	heading
	columns int  // values in a line, without an index
	last    bool // the label is the last of them, not the first
	white   int  // the value that means the greatest brightness
	o       *Options
	file    io.Closer
	bytes   *counter
	lines   *csv.Reader
	first   []string // the first line, unless it is a header
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
			return nil, usage.Errorf("%s is not a gzip file, or is damaged: %w", path, err)
		}
	}
	if err := t.readFirstLine(text); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *table) close() { _ = t.file.Close() } // it was only read

// readFirstLine reads the first line of the text, and skips it if it is a header.
func (t *table) readFirstLine(text io.Reader) error {
	buffered := bufio.NewReaderSize(&lineLimit{r: text}, 1<<16)
	if err := bom.Skip(buffered); err != nil {
		return t.unreadable(err)
	}
	t.lines = csv.NewReader(buffered)
	t.lines.FieldsPerRecord = -1 // this package checks their number
	t.lines.ReuseRecord = true
	fields, err := t.lines.Read()
	if errors.Is(err, io.EOF) {
		return usage.Errorf("%s is empty; add the images to it", t.path)
	}
	if err != nil {
		return t.unreadable(err)
	}
	if t.heading = readHeading(fields); !t.header {
		t.first = fields
	}
	t.columns = len(fields)
	without := ""
	if t.index {
		t.columns--
		without = " after the index that pandas writes (to_csv(index=False) omits it)"
	}
	if side, _ := layout(t.columns); side == 0 {
		return usage.Errorf("%s: the first line has %d values%s, but must have a label and the N*N grey or 3*N*N colour values of a square image",
			t.path, t.columns, without)
	}
	return nil
}

// layout returns the side and the channels of the images in lines with a number of columns,
// of which one is the label. Both are 0 if that is not the number of a square image.
func layout(columns int) (side, channels int) {
	for _, channels := range []int{1, 3} {
		if side := int(math.Sqrt(float64((columns - 1) / channels))); side > 0 && channels*side*side == columns-1 {
			return side, channels
		}
	}
	return 0, 0
}

// splitLabel separates the label from the pixels.
func (t *table) splitLabel(fields []string) (label string, pixels []string) {
	if last := len(fields) - 1; t.last {
		return fields[last], fields[:last]
	}
	return fields[0], fields[1:]
}

// unreadable returns the usage error for an error of reading a line.
func (t *table) unreadable(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file is cut short")
	}
	return usage.Errorf("cannot read %s: %w", t.path, err)
}

// read calls each with the images and their labels.
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
				return t.unreadable(err)
			}
		}
		line, _ := t.lines.FieldPos(0)
		if t.index {
			fields = fields[1:]
		}
		if len(fields) != t.columns {
			return usage.Errorf("%s: line %d has %d values, but the first has %d; correct the line", t.path, line, len(fields), t.columns)
		}
		text, values := t.splitLabel(fields)
		label, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return usage.Errorf("%s: line %d has the label %.40q, which is not a whole number; number the classes", t.path, line, text)
		}
		if problem := t.o.wrongLabel(float64(label)); problem != "" {
			return usage.Errorf("%s: line %d has %s", t.path, line, problem)
		}
		for i, v := range values {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil || n < 0 || n > t.white {
				return usage.Errorf("%s: line %d has the pixel %.40q, which is not a whole number from 0 to %d; correct it", t.path, line, v, t.white)
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

// lineLimit refuses a line that is longer than any line of pixels, before the line takes up
// memory.
type lineLimit struct {
	r      io.Reader
	length int // of the line so far
}

// maxLine is the length in bytes that a line of 1024x1024 colour pixels does not exceed.
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
