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

// source reads the images that a dataset is made from.
type source struct {
	kind    string   // as in Report.Source
	train   string   // name of the directory, array or file of the training set
	test    string   // name of that of the test set; empty if it is drawn from the training set
	sets    []Set    // of evaluation sets alone, without their numbers of images
	table   string   // as in Report.Table
	notes   []string // what was assumed or skipped
	classes []string // names in the order of the labels; nil if the labels are the names
	// dims returns the height and width of all images, or a usage error if they differ.
	dims func(context.Context) (height, width int, err error)
	// read calls each with the images, resized to size x size pixels: first the training
	// images, then the test images if the source has them; or those of one evaluation set after
	// another.
	read  func(ctx context.Context, size int, each func(sample) error) error
	close func()
}

// sample is an image of a source.
type sample struct {
	set        int // 0: training set, 1: test set; or the index of the evaluation set in source.sets
	label      float64
	pixels     []byte // [size, size, 3]; valid only until the next sample
	unreadable error  // if not nil, label and pixels are not set
}

// open recognises the kind of the source and opens it.
func (o *Options) open() (*source, error) {
	if o.EvaluationOnly {
		return o.openEvaluation()
	}
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
		anyFile := func(matches func(name string) bool) bool {
			return slices.ContainsFunc(files, func(f os.DirEntry) bool { return !f.IsDir() && matches(f.Name()) })
		}
		table = anyFile(func(name string) bool { r, _ := roleOf(name); return isTable(name) && r == forTraining })
		switch {
		case table && hasTraining(o.Source):
			return nil, usage.Errorf("%s contains both a training table and class directories; name the table, or a directory without it", o.Source)
		case table:
			open = o.openTables
		case anyFile(func(name string) bool { return filepath.Ext(name) == ".npy" }):
			open = o.openArrays
		case len(d.Directories) == 0 && anyFile(isTable):
			open, table = o.openTables, true
		default:
			open = o.openPictures
		}
	case isTable(o.Source):
		open, table = o.openTables, true
	case filepath.Ext(o.Source) == ".npz":
		open = o.openArrays
	default:
		return nil, usage.Errorf("%s cannot be imported; name a directory of class directories, *.npy or *.csv files, or a file *.npz, *.csv or *.csv.gz", o.Source)
	}
	if err := o.checkTable(table); err != nil {
		return nil, err
	}
	return open()
}

// checkTable returns a usage error if options for CSV files are given for another kind of source.
func (o *Options) checkTable(table bool) error {
	if !table && (o.Label != "" || o.Planes) {
		return usage.Errorf("%s is not a CSV file; --label and --planes are only for CSV files", o.Source)
	}
	return nil
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".csv.gz")
}

// checkTest returns a usage error if neither the source nor --test provides a test set. If
// both do, it notes that --test is ignored.
func (o *Options) checkTest(src *source) error {
	switch {
	case src.test != "" && o.Test > 0:
		src.notes = append(src.notes, fmt.Sprintf("--test %v was ignored: the source has a test set, %s", o.Test, src.test))
		o.Test = 0
	case src.test == "" && o.Test == 0:
		return usage.Errorf("%s has no test set; draw one from the images of each class with --test FRACTION", o.Source)
	}
	return nil
}

// ownSize returns the side of all images of a source, or a usage error if they are not
// squares of the same, trainable size.
func (o *Options) ownSize(ctx context.Context, src *source) (int, error) {
	height, width, err := src.dims(ctx)
	if err == nil && (height != width || width%4 != 0) {
		err = usage.Errorf("%s has images of %dx%d pixels, but only squares whose side is a multiple of 4 can be trained on; resize them with --size",
			o.Source, height, width)
	}
	return width, err
}

// report calls Progress, if there is one.
func (o *Options) report(done, total int64, unit string) {
	if o.Progress != nil {
		o.Progress(done, total, unit)
	}
}
