// Package imagenet makes the files of ImageNet16-120, which cannot be downloaded: the images
// of 120 classes of ImageNet at 16 x 16 pixels, in ten files for training and one for
// validation.
//
// A synset is WordNet's name of a class, such as n02119789; ImageNet's directories of
// pictures have these names. A label is the number of a class in ImageNet's challenge, 1 to
// 1000 (ILSVRC2012_ID); labels are not in the order of the synsets. Downsampled ImageNet
// (Chrabaszcz, Loshchilov and Hutter 2017) contains all classes, resized to 16 x 16 pixels
// whatever the proportions. ImageNet16-120 is its images with the labels 1 to 120.
//
// [Make] makes the files, either from downsampled ImageNet or from the original pictures.
package imagenet

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"nb201/data"
	"nb201/internal/atomicfile"
	"nb201/internal/usage"
)

// Key is the dataset key whose files [Make] makes.
const Key = "ImageNet16-120"

// size is the side of the images in pixels.
const size = 16

// classList is classes.txt, which lists the classes in the order of their labels, from 1.
//
//go:embed classes.txt
var classList string

// class is a class of ImageNet.
type class struct{ synset, name string }

// classes returns the classes with the labels 1 to 120, in this order.
func classes() []class {
	var all []class
	for line := range strings.Lines(classList) {
		if f := strings.Fields(line); f[0] != "#" {
			all = append(all, class{f[0], f[2]})
		}
	}
	return all
}

// Options configures [Make].
type Options struct {
	// From is a directory. It is either an ImageNet folder or contains the eleven files of
	// downsampled ImageNet. An ImageNet folder has the training pictures of a class in
	// train/SYNSET, and the validation pictures in val/SYNSET or all in val.
	From string
	// To is the directory to make. It must not exist.
	To string
	// Labels is the path of ILSVRC2012_validation_ground_truth.txt, which is needed if all
	// validation pictures are in val. If it is empty, Make looks for the file in From.
	Labels string
	// AnyCount accepts numbers of images that differ from the dataset key's.
	AnyCount bool
	// SkipUnreadable leaves out pictures that cannot be read.
	SkipUnreadable bool
	// Progress is called with the current step and with the numbers of pictures read and to
	// read. It may be nil.
	Progress func(doing string, done, total int64)
}

// Source is the kind of files in [Options].From.
type Source string

// The kinds of files that Make reads.
const (
	Folder  Source = "imagenet-folder" // class directories of pictures
	Batches Source = "imagenet16"      // files of downsampled ImageNet
)

// Result is the outcome of [Make].
type Result struct {
	Path       string   `json:"path"` // of the directory made
	Source     Source   `json:"source"`
	Train      int      `json:"train"`      // number of training images
	Validation int      `json:"validation"` // number of validation images
	Unreadable []string `json:"unreadable"` // an error message for each picture that cannot be read
	// Loads reports whether Train and Validation are the numbers of the dataset key, so that
	// its definition loads the files.
	Loads bool `json:"loads"`
}

// Make makes the files of ImageNet16-120 in the directory Options.To. The directory appears
// only when it is complete.
//
// From downsampled ImageNet, Make keeps the images of the first 120 classes, in the order of
// the files. From an ImageNet folder, it resizes the pictures with the box filter
// (image_resizer_imagent.py in Imagenet32_Scripts). Their order then differs from the
// published one, which was drawn without a seed (image2numpy_imagenet_train.py): the
// training images, sorted by label and file name, are shuffled by CPython's random with
// seed 0; the validation images are sorted by file name, and so by number.
//
// Missing directories, unreadable pictures and wrong numbers of images are usage errors.
// The Result lists the unreadable pictures even if Make fails.
func Make(ctx context.Context, o Options) (Result, error) {
	r := Result{Path: o.To}
	exists := usage.Errorf("%s already exists; name another directory, or remove it", o.To)
	if _, err := os.Lstat(o.To); err == nil {
		return r, exists
	}
	if err := atomicfile.CheckCreate(o.To); err != nil {
		return r, usage.Errorf("cannot write %s: %w", o.To, err)
	}
	var err error
	if r.Source, err = recognise(o.From); err != nil {
		return r, err
	}
	var train, validation *data.Images
	var order []int32
	if r.Source == Folder {
		var f *folder
		if f, err = openFolder(o.From, o.Labels); err != nil {
			return r, err
		}
		if err := o.check(len(f.train), len(f.validation)); err != nil {
			return r, err
		}
		train, validation, r.Unreadable, err = f.read(ctx, o.SkipUnreadable, o.Progress)
		if err != nil {
			return r, err
		}
		order = shuffled(train.Len())
	} else {
		if train, validation, err = readBatches(o.From); err != nil {
			return r, err
		}
		if err := o.check(train.Len(), validation.Len()); err != nil {
			return r, err
		}
		order = inOrder(train.Len())
	}
	if err := ctx.Err(); err != nil {
		return r, err
	}
	r.Train, r.Validation = train.Len(), validation.Len()
	if r.Train < trainFiles || r.Validation == 0 {
		return r, usage.Errorf("%s: %d training images and %d validation images are too few; use at least %d and 1, one for each file",
			o.From, r.Train, r.Validation, trainFiles)
	}
	r.Loads = published() == data.Counts{Train: r.Train, Test: r.Validation}
	if err := atomicfile.MkdirAll(filepath.Dir(o.To)); err != nil {
		return r, usage.Errorf("cannot write %s: %w", o.To, err)
	}
	err = atomicfile.CreateDir(o.To, func(dir string) error { return writeFiles(ctx, dir, train, order, validation) })
	if errors.Is(err, fs.ErrExist) {
		return r, exists
	}
	return r, err
}

// recognise returns the kind of files in a directory.
func recognise(dir string) (Source, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", usage.Errorf("%s is not a directory; name an ImageNet folder or the directory of the files of downsampled ImageNet", dir)
	}
	if info, err := os.Stat(filepath.Join(dir, "train")); err == nil && info.IsDir() {
		return Folder, nil
	}
	if _, err := os.Stat(filepath.Join(dir, trainFile(1))); err == nil {
		return Batches, nil
	}
	return "", usage.Errorf("%s contains neither train, a directory of an ImageNet folder, nor %s, a file of downsampled ImageNet; "+
		"name a directory that does", dir, trainFile(1))
}

// published returns the numbers of images of the dataset key.
func published() data.Counts {
	d, err := data.Published(Key)
	if err != nil {
		panic(err) // it is embedded
	}
	return d.Images
}

// check compares numbers of images with the published ones.
func (o *Options) check(train, validation int) error {
	want := published()
	if o.AnyCount || want == (data.Counts{Train: train, Test: validation}) {
		return nil
	}
	return usage.Errorf("%s has %d training images and %d validation images of the %d classes, but %s has %d and %d; "+
		"add the missing ones, or accept these numbers with --any-count",
		o.From, train, validation, len(classes()), Key, want.Train, want.Test)
}

// readBatches reads the images of the first 120 classes from the files of downsampled
// ImageNet, in file order.
func readBatches(dir string) (train, validation *data.Images, err error) {
	d, err := data.Published(Key)
	if err != nil {
		return nil, nil, err
	}
	if d.Path, err = filepath.Abs(dir); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	// Load all images of the stored splits, whatever their number.
	d.Images = data.Counts{}
	d.Eval = []data.SplitDefinition{{Name: "ori-test", From: "test", Order: data.Sequential}}
	ds, err := d.Load("")
	if err != nil {
		return nil, nil, err
	}
	return ds.Train.Images, ds.Eval[0].Images, nil
}
