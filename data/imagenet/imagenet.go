// Package imagenet makes the files of ImageNet16-120, which has no download: 120 classes
// of ImageNet in pictures of 16 x 16 pixels, ten files to train and one of validation.
//
// ImageNet's challenge numbers its 1,000 classes (ILSVRC2012_ID, the labels 1..1000) in an
// order of its own, not that of the synsets, WordNet's names for classes (n02119789, say),
// which name the directories of pictures. Downsampled ImageNet (Chrabaszcz, Loshchilov and
// Hutter 2017) holds all of them squeezed to 16 x 16 pixels, whatever their proportions;
// ImageNet16-120 is its images of the labels 1..120.
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

// Key is the dataset key of what is made.
const Key = "ImageNet16-120"

// Size is the side of its images in pixels.
const size = 16

// classes.txt are the classes in the order of their labels, which count from 1.
//
//go:embed classes.txt
var classList string

// class is a class of ImageNet.
type class struct{ synset, name string }

// classes are those with the labels 1..120, in this order.
func classes() []class {
	var all []class
	for line := range strings.Lines(classList) {
		if f := strings.Fields(line); f[0] != "#" {
			all = append(all, class{f[0], f[2]})
		}
	}
	return all
}

// Options say what is made from what.
type Options struct {
	// From is a directory: an ImageNet folder, with the pictures of a class in train/SYNSET
	// and val/SYNSET, or in val alone; or the eleven files of downsampled ImageNet.
	From string
	// To is the directory that is made; it must not be there.
	To string
	// Labels is the file of ILSVRC2012_validation_ground_truth.txt, for pictures in val
	// alone; where it is empty, the file is looked for in From.
	Labels string
	// AnyCount has other numbers of images than those of the dataset key be no error.
	AnyCount bool
	// SkipUnreadable leaves pictures out that cannot be read.
	SkipUnreadable bool
	// Progress is told how many pictures of how many were read. It may be nil.
	Progress func(doing string, done, total int64)
}

// Source is what images are made from.
type Source string

const (
	Folder  Source = "imagenet-folder" // class directories of pictures
	Batches Source = "imagenet16"      // files of downsampled ImageNet
)

// Result is what was made.
type Result struct {
	Path       string   `json:"path"`
	Source     Source   `json:"source"`
	Train      int      `json:"train"`      // images to train
	Validation int      `json:"validation"` // images to validate
	Unreadable []string `json:"unreadable"` // what is wrong with each picture that cannot be read
	// Loads tells whether these are the numbers of images that the dataset key stands for.
	Loads bool `json:"loads"`
}

// Make makes the files of ImageNet16-120: the directory Options.To, whole or not at all.
//
// From downsampled ImageNet the images of the first 120 classes are kept in the order of
// the files. From an ImageNet folder they are squeezed with the box filter
// (image_resizer_imagent.py of Imagenet32_Scripts), and the order is not the published one,
// which was drawn without a seed (image2numpy_imagenet_train.py): the images to train, in
// the order of labels and then of file names, are shuffled by CPython's random, seeded with
// 0; those of validation are in the order of file names, in which they are numbered.
//
// Missing directories, pictures that cannot be read and wrong numbers of images are usage
// errors. With an error the Result still lists the unreadable pictures.
func Make(ctx context.Context, o Options) (Result, error) {
	r := Result{Path: o.To}
	if _, err := os.Lstat(o.To); err == nil {
		return r, usage.Errorf("%s is there already: name another directory, or remove it", o.To)
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
		return r, usage.Errorf("%s: %d images to train and %d of validation are too few for %d files and one", o.From, r.Train, r.Validation, trainFiles)
	}
	r.Loads = published() == data.Counts{Train: r.Train, Test: r.Validation}
	if err := atomicfile.MkdirAll(filepath.Dir(o.To)); err != nil {
		return r, usage.Errorf("cannot write %s: %w", o.To, err)
	}
	err = atomicfile.CreateDir(o.To, func(dir string) error { return write(ctx, dir, train, order, validation) })
	if errors.Is(err, fs.ErrExist) {
		return r, usage.Errorf("%s is there already: name another directory, or remove it", o.To)
	}
	return r, err
}

// recognise tells what lies in a directory.
func recognise(dir string) (Source, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", usage.Errorf("%s is not a directory: name an ImageNet folder or the directory of the files of downsampled ImageNet", dir)
	}
	if info, err := os.Stat(filepath.Join(dir, "train")); err == nil && info.IsDir() {
		return Folder, nil
	}
	if _, err := os.Stat(filepath.Join(dir, trainFile(1))); err == nil {
		return Batches, nil
	}
	return "", usage.Errorf("%s holds neither the directory train of an ImageNet folder nor the file %s of downsampled ImageNet", dir, trainFile(1))
}

// published are the numbers of images that the dataset key stands for.
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
	return usage.Errorf("%s has %d images of the %d classes to train and %d of validation, not the %d and %d of %s: complete it, or take what is there with --any-count",
		o.From, train, len(classes()), validation, want.Train, want.Test, Key)
}

// readBatches reads downsampled ImageNet's images of the first classes, in file order.
func readBatches(dir string) (train, validation *data.Images, err error) {
	d, err := data.Published(Key)
	if err != nil {
		return nil, nil, err
	}
	if d.Path, err = filepath.Abs(dir); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	// Any number of images, and none but all of the stored splits.
	d.Images = data.Counts{}
	d.Eval = []data.SplitDefinition{{Name: "ori-test", From: "test", Order: data.Sequential}}
	ds, err := d.Load("")
	if err != nil {
		return nil, nil, err
	}
	return ds.Train.Images, ds.Eval[0].Images, nil
}
