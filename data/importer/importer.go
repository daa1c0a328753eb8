// Package importer makes a data set of one's own from pictures, arrays or tables: a
// dataset definition, KEY.json, and a pixel store, KEY.npz.
//
// The source is what a data set is made from: class directories of pictures, numpy
// arrays or CSV files. The pixel store is a file of numpy's arrays x_train, x_test
// (uint8: image, row, column, channel), y_train, y_test (labels from 0 on) and classes
// (the names of the classes), which the format npz of package data reads.
//
// Images pass one by one from the source, squeezed to size, into a staging file beside
// the store, and from there into the store once it is known which of them train; so that
// memory is bounded whatever their number.
package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/atomicfile"
	"nb201/internal/outfile"
	"nb201/internal/random"
	"nb201/internal/usage"
)

// Options are what a user asks for.
type Options struct {
	Source string // directory or file
	Name   string // the dataset key
	To     string // directory of the definition and the pixel store

	Size int // side of the images in pixels; 0: that which they have
	// Test is the share of each class's images that test; 0: the source has a test part.
	Test float64
	Seed uint64 // draws them
	// ValidSeed has one half of the training images train and the other be the evaluation
	// set x-valid, drawn as those of cifar10-valid.
	ValidSeed   *uint64
	Flip        bool
	CropPadding int // below 0: an eighth of Size

	// Label says which value of a CSV line is the label, first or last; empty: the one that
	// the header names, else the first.
	Label  string
	Planes bool // CSV: colours are in the order channel, row, column, not row, column, channel

	SkipUnreadable bool // leave out pictures that cannot be read
	Force          bool // write over a definition and a store that are there

	// Progress, if any, hears how far the reading is: done of total pictures, images or
	// bytes (progress.Bytes).
	Progress func(done, total int64, unit string)
}

// Report is what was made.
type Report struct {
	Dataset    string     `json:"dataset"`         // key
	Definition string     `json:"definition"`      // path of the file
	Pixels     string     `json:"pixels"`          // path of the pixel store
	Source     string     `json:"source"`          // what the source was taken for
	Parts      Parts      `json:"parts"`           // of the source
	Table      string     `json:"table,omitempty"` // of CSV: what was taken for the header and the labels
	Classes    []string   `json:"classes"`         // names
	Images     Images     `json:"images"`
	Size       int        `json:"size"` // side in pixels
	Mean       [3]float64 `json:"mean"` // over the images that train
	Std        [3]float64 `json:"std"`
	Notes      []string   `json:"notes"`      // what was assumed or passed over
	Unreadable []string   `json:"unreadable"` // pictures that were left out, and why
}

// Parts names the parts of a source: directories, arrays or files.
type Parts struct {
	Train string `json:"train"` // whose images train
	Test  string `json:"test"`  // whose images test; where they are drawn, that of Train
}

// Images are numbers of images.
type Images struct {
	Train int `json:"train"` // that train
	Test  int `json:"test"`  // of ori-test
	Valid int `json:"valid"` // of x-valid
}

// Run imports a data set. The pixel store appears whole, and the definition after it, or
// neither does. Wrong options, and a source that cannot be imported, are usage errors.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	src, err := o.open()
	if err != nil {
		return nil, err
	}
	defer src.close()
	if o.Size == 0 {
		if o.Size, err = o.ownSize(ctx, src); err != nil {
			return nil, err
		}
	}
	d := o.definition()
	d.Classes, d.Std = 2, [3]float64{1, 1, 1} // until they are known
	if _, err := o.encode(d); err != nil {
		return nil, err
	}
	if _, missing := os.Stat(o.To); errors.Is(missing, fs.ErrNotExist) {
		defer func() {
			if err != nil {
				_ = os.Remove(o.To) // if it is empty, as it should be; err says what went wrong
			}
		}()
	}
	if err := atomicfile.MkdirAll(o.To); err != nil {
		return nil, o.cannotWrite(err)
	}
	to, err := o.outputs()
	if err != nil {
		return nil, err
	}
	images, unreadable, err := o.stage(ctx, src)
	if err != nil {
		return nil, err
	}
	defer images.close()
	set, err := o.arrange(src.classes, images.labels, images.trains)
	if err != nil {
		return nil, err
	}
	d.Classes = len(set.classes)
	d.Images = data.Counts{Train: len(set.train), Test: len(set.test)}
	if err := o.checkTrained(set, set.train); err != nil {
		return nil, err
	}
	// The places of the images that train are those that a loader will read.
	loaded, err := data.New(d, map[string]*data.Images{"train": set.unseen(set.train), "test": set.unseen(set.test)})
	if err != nil {
		return nil, err
	}
	notes := set.lacking("ori-test", set.test)
	if images.brightest == 1 { // of pictures: other sources are scaled
		notes = append(notes, "no pixel is above 1 of 255, so that the pictures are nearly black: if 1 means white, write them anew with 255")
	}
	if o.ValidSeed != nil {
		if err := o.checkTrained(set, set.of(loaded.Train.Indices)); err != nil {
			return nil, err
		}
		notes = append(notes, set.lacking("x-valid", set.of(loaded.Eval[1].Indices))...)
	}
	if err := o.write(ctx, to, &d, images, set, loaded.Train.Indices); err != nil {
		return nil, err
	}
	report = &Report{
		Dataset: o.Name, Definition: o.file(definitionFile), Pixels: o.file(pixelFile),
		Source: src.kind, Parts: Parts{src.train, cmp.Or(src.test, src.train)}, Table: src.table, Classes: set.classes,
		Images: Images{Train: loaded.Train.Len(), Test: len(set.test)},
		Size:   o.Size, Mean: d.Mean, Std: d.Std,
		Notes: append(src.notes, notes...), Unreadable: unreadable,
	}
	if o.ValidSeed != nil {
		report.Images.Valid = loaded.Eval[1].Len()
	}
	return report, nil
}

// Extensions of the two files.
const (
	definitionFile = ".json"
	pixelFile      = ".npz"
)

// outputs are the two files to make.
type outputs struct{ definition, pixels *outfile.Output }

func (o *Options) file(extension string) string { return filepath.Join(o.To, o.Name+extension) }

// check refuses wrong options before anything is read.
func (o *Options) check() error {
	if err := configs.CheckName(o.Name); err != nil {
		return usage.Errorf("the name %w", err)
	}
	if slices.Contains(configs.Datasets(), o.Name) {
		return usage.Errorf("%s is a published dataset key: choose another name", o.Name)
	}
	if !(o.Test >= 0 && o.Test < 1) {
		return usage.Errorf("%v of the images to test: use a fraction between 0 and 1", o.Test)
	}
	if _, err := os.Stat(o.Source); err != nil {
		return usage.Errorf("cannot read the images: %w", err)
	}
	if _, err := os.Stat(o.To); errors.Is(err, fs.ErrNotExist) {
		return nil // it will be made
	}
	_, err := o.outputs()
	return err
}

// outputs finds out whether the two files can be made in the directory, which is there.
func (o *Options) outputs() (to outputs, err error) {
	rules := outfile.Rules{Force: o.Force, Regular: true} // both are to be read again
	if info, err := os.Stat(o.Source); err == nil && !info.IsDir() {
		rules.Inputs = []string{o.Source}
	}
	if to.definition, err = outfile.Check(o.file(definitionFile), rules); err == nil {
		to.pixels, err = outfile.Check(o.file(pixelFile), rules)
	}
	return to, err
}

// definition is the dataset definition, as far as the options tell.
func (o *Options) definition() data.Definition {
	padding := o.CropPadding
	if padding < 0 {
		padding = o.Size / 8
	}
	d := data.Definition{
		Name: o.Name, Format: "npz", Path: o.Name + pixelFile,
		Size:    [2]int{o.Size, o.Size},
		Augment: data.Augment{Flip: o.Flip, CropPadding: padding},
		Train:   data.SplitDefinition{From: "train", Order: data.Shuffle},
		Eval:    []data.SplitDefinition{{Name: "ori-test", From: "test", Order: data.Sequential}},
	}
	if o.ValidSeed != nil {
		d.Train = data.SplitDefinition{From: "train", Half: "first", HalfSeed: o.ValidSeed, Order: data.Subset}
		d.Eval = append(d.Eval, data.SplitDefinition{Name: "x-valid", From: "train", Half: "second", HalfSeed: o.ValidSeed, Order: data.Subset})
	}
	return d
}

// encode is the text of the definition file. One that this program would not read is a
// usage error.
func (o *Options) encode(d data.Definition) ([]byte, error) {
	text, err := json.Marshal(d, jsontext.WithIndent("  "))
	if err != nil {
		return nil, err
	}
	_, err = data.DecodeDefinition(o.file(definitionFile), text, o.To)
	return append(text, '\n'), err
}

// arranged are the images as the store holds them.
type arranged struct {
	classes     []string // names
	labels      []int32  // of the staged images
	train, test []int    // places of staged images
	size        int
}

// unseen is the images at places without their pixels.
func (a *arranged) unseen(places []int) *data.Images {
	images := &data.Images{Labels: make([]int32, len(places)), Size: a.size}
	for i, place := range places {
		images.Labels[i] = a.labels[place]
	}
	return images
}

// arrange labels the staged images by their classes and says which of them train: the
// first trains of them, but for the test part that is to be drawn. Without names, the
// classes are the values that there are among the labels, in their order.
func (o *Options) arrange(names []string, labels []float64, trains int) (*arranged, error) {
	a := &arranged{classes: names, labels: make([]int32, len(labels)), size: o.Size}
	values := make([]float64, len(names)) // the label of each class
	for class := range values {
		values[class] = float64(class)
	}
	if names == nil {
		values = slices.Compact(slices.Sorted(slices.Values(labels)))
		for _, v := range values {
			a.classes = append(a.classes, fmt.Sprintf("%.0f", v))
		}
	}
	if len(a.classes) < 2 {
		return nil, usage.Errorf("%s: at least 2 classes are needed, and there are %d", o.Source, len(a.classes))
	}
	train := make([][]int, len(values)) // by class
	for place, label := range labels {
		class, _ := slices.BinarySearch(values, label)
		a.labels[place] = int32(class)
		if place < trains {
			train[class] = append(train[class], place)
		} else {
			a.test = append(a.test, place)
		}
	}
	draw := random.NewPython(o.Seed)
	for _, places := range train {
		n := 0 // to test
		if o.Test > 0 {
			n = min(len(places), max(1, int(math.Round(o.Test*float64(len(places))))))
			draw.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		}
		a.test = append(a.test, places[:n]...)
		a.train = append(a.train, places[n:]...)
	}
	if len(a.test) == 0 {
		return nil, usage.Errorf("%s: there are no images to test", o.Source)
	}
	slices.Sort(a.train)
	slices.Sort(a.test)
	return a, nil
}

// of is the places, among all, of some of the images in the training part.
func (a *arranged) of(part []int32) []int {
	places := make([]int, len(part))
	for i, k := range part {
		places[i] = a.train[k]
	}
	return places
}

// without lists the classes that the images at places lack.
func (a *arranged) without(places []int) []string {
	has := make([]bool, len(a.classes))
	for _, place := range places {
		has[a.labels[place]] = true
	}
	var lacking []string
	for class, name := range a.classes {
		if !has[class] {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// lacking notes the classes that an evaluation set lacks.
func (a *arranged) lacking(set string, places []int) []string {
	if lacking := a.without(places); len(lacking) > 0 {
		return []string{fmt.Sprintf("classes without images in %s: %s", set, list(lacking))}
	}
	return nil
}

// checkTrained refuses classes that the images that train, at places, lack.
func (o *Options) checkTrained(a *arranged, places []int) error {
	lacking := a.without(places)
	if len(lacking) == 0 {
		return nil
	}
	all := 0
	for _, label := range a.labels {
		if a.classes[label] == lacking[0] {
			all++
		}
	}
	mend := "the training part needs some of each class"
	switch {
	case len(places) < len(a.train):
		mend = "--valid-seed draws all of them for x-valid: use another seed, or add images of the class"
	case o.Test > 0:
		mend = "--test draws all of them for the test: add images of the class"
	}
	return usage.Errorf("%s: class %q has no images to train (%d in all): %s", o.Source, lacking[0], all, mend)
}

// write publishes the pixel store, and then the definition with the mean and deviation
// of the training images at places, nil meaning all.
func (o *Options) write(ctx context.Context, to outputs, d *data.Definition, images *staged, set *arranged, places []int32) error {
	err := to.pixels.Write(ctx, func(w io.Writer) error {
		measured, err := set.write(ctx, w, images, places)
		if err != nil {
			return err
		}
		d.Mean, d.Std = measured.Mean(), measured.Std()
		for c, channel := range []string{"red", "green", "blue"} {
			d.Mean[c], d.Std[c] = round(d.Mean[c]), round(d.Std[c])
			if d.Std[c] == 0 {
				return usage.Errorf("%s: %s has the same value in all pixels that train: there is nothing to normalise by", o.Source, channel)
			}
		}
		// An older definition must not be left with these pixels.
		if o.Force {
			err = os.Remove(to.definition.Path())
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	text, err := o.encode(*d)
	if err == nil {
		err = to.definition.Write(ctx, func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
	}
	if err != nil {
		return errors.Join(err, os.Remove(to.pixels.Path()))
	}
	return nil
}

// round leaves four digits after the point.
func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// cannotWrite makes of an error one that says what cannot be written, unless it is of
// the source or a stop.
func (o *Options) cannotWrite(err error) error {
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	switch {
	case usage.Is(err):
		return err
	case atomicfile.Unwritable(err) && errors.As(err, &ofPath):
		return usage.Errorf("cannot write %s into %s: %w", o.Name, o.To, ofPath.Err)
	case atomicfile.Unwritable(err) && errors.As(err, &ofLink):
		return usage.Errorf("cannot write %s into %s: %w", o.Name, o.To, ofLink.Err)
	}
	return fmt.Errorf("cannot write %s into %s: %w", o.Name, o.To, err)
}
