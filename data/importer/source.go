package importer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/data"
	"nb201/internal/usage"
)

// source is what a data set is made from.
type source struct {
	kind    string   // what it was taken for
	train   string   // names the part whose images train
	test    string   // names the part whose images test; empty: they are drawn from train
	table   string   // CSV: what was taken for the header and the labels
	notes   []string // what was assumed of it or passed over
	classes []string // names in the order of the labels; nil: the labels are the names
	// dims finds the height and width that all images have; a usage error where they differ.
	dims func(context.Context) (height, width int, err error)
	// read reads the images, squeezed to a size: first those that train, then those that
	// test, if the source says which do.
	read  func(ctx context.Context, size int, each func(sample) error) error
	close func()
}

// sample is one image of a source.
type sample struct {
	test       bool // it is to test
	label      float64
	pixels     []byte // row, column, channel; valid only until the next sample
	unreadable error  // in place of label and pixels
}

// open finds out what the source is.
func (o *Options) open() (*source, error) {
	info, err := os.Stat(o.Source)
	if err != nil {
		return nil, usage.Errorf("cannot read the images: %w", err)
	}
	var open func() (*source, error)
	table := false
	switch {
	case info.IsDir():
		d, err := data.ListDirectory(o.Source)
		if err != nil {
			return nil, err
		}
		files, err := os.ReadDir(o.Source)
		if err != nil {
			return nil, usage.Errorf("cannot read the images: %w", err)
		}
		has := func(is func(name string) bool) bool {
			return slices.ContainsFunc(files, func(f os.DirEntry) bool { return !f.IsDir() && is(f.Name()) })
		}
		table = has(func(name string) bool { r, _ := roleOf(name); return isTable(name) && r == forTraining })
		switch {
		case table && hasTraining(o.Source):
			return nil, usage.Errorf("%s holds a table to train and class directories too: name the table or a directory without it", o.Source)
		case table:
			open = o.openTables
		case has(func(name string) bool { return filepath.Ext(name) == ".npy" }):
			open = o.openArrays
		case len(d.Directories) == 0 && has(isTable):
			open, table = o.openTables, true
		default:
			open = o.openPictures
		}
	case isTable(o.Source):
		open, table = o.openTables, true
	case filepath.Ext(o.Source) == ".npz":
		open = o.openArrays
	default:
		return nil, usage.Errorf("%s is neither a directory of classes, of *.npy or of *.csv, nor a file *.npz, *.csv or *.csv.gz", o.Source)
	}
	if !table && (o.Label != "" || o.Planes) {
		return nil, usage.Errorf("%s is no CSV file: --label and --planes are for CSV alone", o.Source)
	}
	return open()
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".csv.gz")
}

// parted refuses a source without a test part where --test says nothing, and drops --test
// with a note where the source has one.
func (o *Options) parted(src *source) error {
	switch {
	case src.test != "" && o.Test > 0:
		src.notes = append(src.notes, fmt.Sprintf("--test %v was not used: the source has a test part, %s", o.Test, src.test))
		o.Test = 0
	case src.test == "" && o.Test == 0:
		return usage.Errorf("%s has no test part: say with --test FRACTION how many images of each class are to test", o.Source)
	}
	return nil
}

// ownSize is the side that all images of a source have.
func (o *Options) ownSize(ctx context.Context, src *source) (int, error) {
	height, width, err := src.dims(ctx)
	if err == nil && (height != width || width%4 != 0) {
		err = usage.Errorf("%s has images of %dx%d pixels, and only squares of a multiple of 4 train: give the --size to squeeze them to", o.Source, height, width)
	}
	return width, err
}

// report tells Progress how far the reading is.
func (o *Options) report(done, total int64, unit string) {
	if o.Progress != nil {
		o.Progress(done, total, unit)
	}
}
