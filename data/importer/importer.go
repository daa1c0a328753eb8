// Package importer makes a dataset from a user's pictures, arrays or tables. It writes a
// dataset definition, KEY.json, and a pixel store, KEY.npz.
//
// The source is a directory of class directories with pictures, or numpy arrays, or CSV
// files. The pixel store contains the numpy arrays x_train and x_test (uint8 [N, H, W, 3]),
// y_train and y_test (int64 [N]: labels from 0) and classes (names), which the format npz of
// package data reads. From a source of evaluation sets alone it makes x_SET and y_SET of each set.
//
// [Run] is the whole import. It resizes the images of the source one by one and writes them
// to a staging file next to the store, and from there to the store once the training set and
// the test set are known. Its memory is therefore bounded, whatever the number of images.
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

// Options configures [Run].
type Options struct {
	Source string // path of a directory or a file
	Name   string // the dataset key
	To     string // directory for the definition and the pixel store

	Size int // side of the images in pixels; 0 keeps the size that they all have
	// Test is the fraction of each class's images to draw for the test set. 0 means that
	// the source has a test set.
	Test float64
	Seed uint64 // for drawing the test set
	// ValidSeed, if not nil, splits the training images into halves, as cifar10-valid does:
	// one is the training set, the other the evaluation set x-valid.
	ValidSeed   *uint64
	Flip        bool // augment by mirroring
	CropPadding int  // augment by random crops, padded by this many pixels; negative means Size/8

	// Label is the column of a CSV file with the labels, "first" or "last". Empty means the
	// column that the header names, or else the first.
	Label  string
	Planes bool // the pixels of a CSV line are [C, H, W], not [H, W, C]

	// EvaluationOnly imports evaluation sets alone, for weights that were trained on the dataset Like.
	// Size, Test, Seed, ValidSeed, Flip and CropPadding then have no meaning.
	EvaluationOnly bool
	Like           string // a dataset key or definition file; the classes, size, mean and deviation are its
	Severities     int    // divide the images of each numpy array into this many sets of equal size; 0: do not

	SkipUnreadable bool // leave out pictures that cannot be read
	Force          bool // overwrite an existing definition and pixel store

	// Progress is called with the amount read so far and in total, in units of "pictures",
	// "images" or progress.Bytes. It may be nil.
	Progress func(done, total int64, unit string)

	like data.Definition // of Like
}

// Report is the outcome of [Run].
type Report struct {
	Dataset    string     `json:"dataset"`         // the dataset key
	Definition string     `json:"definition"`      // path of the definition
	Pixels     string     `json:"pixels"`          // path of the pixel store
	Source     string     `json:"source"`          // the kind of source that was recognised
	Parts      Parts      `json:"parts,omitzero"`  // where the images came from; zero for evaluation sets alone
	Table      string     `json:"table,omitempty"` // for CSV, how the header and the labels were read
	Classes    []string   `json:"classes"`         // names, in the order of the labels
	Images     Images     `json:"images,omitzero"` // zero for evaluation sets alone
	Sets       []Set      `json:"sets,omitempty"`  // evaluation sets alone
	Like       string     `json:"like,omitempty"`  // the dataset key whose classes, size, mean and deviation they have
	Size       int        `json:"size"`            // side of the images in pixels
	Mean       [3]float64 `json:"mean"`            // of red, green, blue over the training set, on the scale 0 to 255
	Std        [3]float64 `json:"std"`
	Notes      []string   `json:"notes"`      // what was assumed or skipped
	Unreadable []string   `json:"unreadable"` // an error message for each picture that was left out
	Warning    string     `json:"warning,omitempty"`
}

// Parts names the directories, arrays or files of a source that the images came from.
type Parts struct {
	Train string `json:"train"` // of the training set
	Test  string `json:"test"`  // of the test set; the same as Train if it was drawn from that
}

// Images holds the numbers of images in the sets of the new dataset.
type Images struct {
	Train int `json:"train"` // in the training set
	Test  int `json:"test"`  // in the evaluation set ori-test
	Valid int `json:"valid"` // in the evaluation set x-valid
}

// Set is an evaluation set of a dataset that has evaluation sets alone.
type Set struct {
	Name   string `json:"name"`
	From   string `json:"from"`   // the directory, array or file that the images came from
	Images int    `json:"images"` // how many
}

// Run imports a dataset. It writes the pixel store and then the definition. If it fails, it
// leaves neither behind. Wrong options and sources that cannot be imported are usage errors.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.EvaluationOnly {
		return o.runEvaluation(ctx)
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
	d.Classes, d.Std = 2, [3]float64{1, 1, 1} // replaced once they are known
	return o.withStaged(ctx, src, d, o.finish)
}

// begun is an import whose images are staged.
type begun struct {
	src        *source
	definition data.Definition // not complete yet
	to         outputs
	images     *staged
	unreadable []string
}

// withStaged checks the definition, opens the outputs, stages the images of a source and calls finish. If
// that fails, it leaves no files behind.
func (o *Options) withStaged(ctx context.Context, src *source, d data.Definition, finish func(context.Context, begun) (*Report, error)) (report *Report, err error) {
	if _, err := o.encode(d); err != nil {
		return nil, err
	}
	to, undo, err := o.makeOutputs()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			undo()
		}
	}()
	images, unreadable, err := o.stage(ctx, src)
	if err != nil {
		return nil, err
	}
	defer images.close()
	return finish(ctx, begun{src, d, to, images, unreadable})
}

// finish divides the staged images into sets, and writes the dataset.
func (o *Options) finish(ctx context.Context, b begun) (*Report, error) {
	src, d, images := b.src, b.definition, b.images
	trains := 0
	if len(images.counts) > 0 {
		trains = images.counts[0]
	}
	set, err := o.arrange(src.classes, images.labels, trains)
	if err != nil {
		return nil, err
	}
	d.Classes = len(set.classes)
	d.Images = data.Counts{Train: len(set.train), Test: len(set.test)}
	if err := o.checkTrained(set, set.train); err != nil {
		return nil, err
	}
	// Let data choose the training set, so that it is the one that a loader will read.
	loaded, err := data.New(d, map[string]*data.Images{"train": set.unseen(set.train), "test": set.unseen(set.test)})
	if err != nil {
		return nil, err
	}
	notes := set.noteMissing("ori-test", set.test)
	if o.ValidSeed != nil {
		if err := o.checkTrained(set, set.trainIndices(loaded.Train.Indices)); err != nil {
			return nil, err
		}
		notes = append(notes, set.noteMissing("x-valid", set.trainIndices(loaded.Eval[1].Indices))...)
	}
	err = o.writeOutputs(ctx, b.to, &d, func(w io.Writer) error {
		measured, err := set.writeStore(ctx, w, images, loaded.Train.Indices)
		if err != nil {
			return err
		}
		d.Mean, d.Std = measured.Mean(), measured.Std()
		for c, channel := range []string{"red", "green", "blue"} {
			d.Mean[c], d.Std[c] = round(d.Mean[c]), round(d.Std[c])
			if d.Std[c] == 0 {
				return usage.Errorf("%s: %s has the same value in all training pixels and cannot be normalised; use other images", o.Source, channel)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	report := &Report{
		Dataset: o.Name, Definition: o.file(definitionFile), Pixels: o.file(pixelFile),
		Source: src.kind, Parts: Parts{src.train, cmp.Or(src.test, src.train)}, Table: src.table, Classes: set.classes,
		Images: Images{Train: loaded.Train.Len(), Test: len(set.test)},
		Size:   o.Size, Mean: d.Mean, Std: d.Std,
		Notes: append(src.notes, notes...), Unreadable: b.unreadable, Warning: images.warnDark(),
	}
	if o.ValidSeed != nil {
		report.Images.Valid = loaded.Eval[1].Len()
	}
	return report, nil
}

// Extensions of the two files that Run makes.
const (
	definitionFile = ".json"
	pixelFile      = ".npz"
)

// outputs holds the two files to make.
type outputs struct{ definition, pixels *outfile.Output }

func (o *Options) file(extension string) string { return filepath.Join(o.To, o.Name+extension) }

// check returns a usage error for wrong options, before anything is read.
func (o *Options) check() error {
	if err := configs.CheckName(o.Name); err != nil {
		return usage.Errorf("the name %w", err)
	}
	if slices.Contains(configs.Datasets(), o.Name) {
		return usage.Errorf("%s is a published dataset key; choose another name", o.Name)
	}
	if !(o.Test >= 0 && o.Test < 1) {
		return usage.Errorf("cannot use %v of the images for the test set; use a fraction between 0 and 1", o.Test)
	}
	if o.Size != 0 && !data.ValidSize(o.Size) {
		return usage.Errorf("--size %d: use a multiple of 4 from 4 to %d", o.Size, data.MaxSize)
	}
	switch _, err := os.Stat(o.Source); {
	case errors.Is(err, fs.ErrNotExist):
		return usage.Errorf("%s does not exist; name a directory or a file of images", o.Source)
	case err != nil:
		return usage.Errorf("cannot read the images: %w", err)
	}
	if _, err := os.Stat(o.To); errors.Is(err, fs.ErrNotExist) {
		return nil // Run will make it
	}
	_, err := o.outputs()
	return err
}

// outputs checks that the two files can be made in the directory, which must exist.
func (o *Options) outputs() (to outputs, err error) {
	rules := outfile.Rules{Force: o.Force, Regular: true} // both will be read again
	if info, err := os.Stat(o.Source); err == nil && !info.IsDir() {
		rules.Inputs = []string{o.Source}
	}
	if filepath.Ext(o.Like) == ".json" {
		rules.Inputs = append(rules.Inputs, o.Like)
	}
	if to.definition, err = outfile.Check(o.file(definitionFile), rules); err == nil {
		to.pixels, err = outfile.Check(o.file(pixelFile), rules)
	}
	return to, err
}

// makeOutputs makes the directory of the two files and checks that they can be made. undo removes
// the directory if it did not exist before and is empty.
func (o *Options) makeOutputs() (to outputs, undo func(), err error) {
	undo = func() {}
	if _, missing := os.Stat(o.To); errors.Is(missing, fs.ErrNotExist) {
		undo = func() { _ = os.Remove(o.To) } // fails if it is not empty; another error says what went wrong
	}
	if err := atomicfile.MkdirAll(o.To); err != nil {
		undo()
		return to, undo, o.cannotWrite(err)
	}
	if to, err = o.outputs(); err != nil {
		undo()
	}
	return to, undo, err
}

// definition returns the dataset definition as far as the options determine it.
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

// encode returns the text of the definition file, or a usage error if data would refuse it.
func (o *Options) encode(d data.Definition) ([]byte, error) {
	var value any = d
	if d.EvaluationOnly() {
		value = struct {
			data.Definition
			Augment struct{} `json:"augment,omitzero"` // in place of the definition's: there is nothing to vary
		}{Definition: d}
	}
	text, err := json.Marshal(value, jsontext.WithIndent("  "))
	if err != nil {
		return nil, err
	}
	_, err = data.DecodeDefinition(o.file(definitionFile), text, o.To)
	return append(text, '\n'), err
}

// arranged divides the staged images into the stored splits of the pixel store. It refers to
// an image by its index among the staged images.
type arranged struct {
	classes     []string // names
	labels      []int32  // of the staged images
	train, test []int    // indices of staged images, in order
	size        int
}

// unseen returns the images with the given indices, without their pixels.
func (a *arranged) unseen(indices []int) *data.Images {
	images := &data.Images{Labels: make([]int32, len(indices)), Size: a.size}
	for i, index := range indices {
		images.Labels[i] = a.labels[index]
	}
	return images
}

// arrange labels the staged images by their classes and divides them: the first trains of
// them are training images, except for those that are drawn for the test set. If names is
// nil, the classes are the distinct labels in ascending order.
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
		return nil, usage.Errorf("%s: the number of classes is %d; use at least 2", o.Source, len(a.classes))
	}
	train := make([][]int, len(values)) // by class
	for index, label := range labels {
		class, _ := slices.BinarySearch(values, label)
		a.labels[index] = int32(class)
		if index < trains {
			train[class] = append(train[class], index)
		} else {
			a.test = append(a.test, index)
		}
	}
	draw := random.NewPython(o.Seed)
	for _, indices := range train {
		n := 0 // images to move to the test set
		if o.Test > 0 {
			n = min(len(indices), max(1, int(math.Round(o.Test*float64(len(indices))))))
			draw.Shuffle(len(indices), func(i, j int) { indices[i], indices[j] = indices[j], indices[i] })
		}
		a.test = append(a.test, indices[:n]...)
		a.train = append(a.train, indices[n:]...)
	}
	if len(a.test) == 0 {
		return nil, usage.Errorf("%s: the test set has no images; add some, or remove it and draw one with --test", o.Source)
	}
	slices.Sort(a.train)
	slices.Sort(a.test)
	return a, nil
}

// trainIndices translates indices into the stored split "train" to indices of staged images.
func (a *arranged) trainIndices(stored []int32) []int {
	indices := make([]int, len(stored))
	for i, k := range stored {
		indices[i] = a.train[k]
	}
	return indices
}

// missingClasses lists the classes that the images with the given indices lack.
func (a *arranged) missingClasses(indices []int) []string {
	found := make([]bool, len(a.classes))
	for _, index := range indices {
		found[a.labels[index]] = true
	}
	var missing []string
	for class, name := range a.classes {
		if !found[class] {
			missing = append(missing, name)
		}
	}
	return missing
}

// noteMissing returns a note on the classes that an evaluation set lacks, if any.
func (a *arranged) noteMissing(set string, indices []int) []string {
	if missing := a.missingClasses(indices); len(missing) > 0 {
		return []string{fmt.Sprintf("classes without images in %s: %s", set, joinFirst(missing))}
	}
	return nil
}

// checkTrained returns a usage error if the training images, with the given indices, lack a
// class.
func (o *Options) checkTrained(a *arranged, indices []int) error {
	missing := a.missingClasses(indices)
	if len(missing) == 0 {
		return nil
	}
	all := 0
	for _, label := range a.labels {
		if a.classes[label] == missing[0] {
			all++
		}
	}
	remedy := "the training set needs images of each class; add some"
	switch {
	case len(indices) < len(a.train):
		remedy = "--valid-seed draws all of them for x-valid; use another seed, or add images of the class"
	case o.Test > 0:
		remedy = "--test draws all of them for the test set; add images of the class"
	}
	return usage.Errorf("%s: class %q has no training images (%d in all): %s", o.Source, missing[0], all, remedy)
}

// writeOutputs writes the pixel store with writeStore, which may complete the definition, and then
// the definition.
func (o *Options) writeOutputs(ctx context.Context, to outputs, d *data.Definition, writeStore func(io.Writer) error) error {
	err := to.pixels.Write(ctx, func(w io.Writer) error {
		if err := writeStore(w); err != nil {
			return err
		}
		// An older definition must not stay with the new pixels.
		var err error
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

// round rounds to four decimals.
func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// cannotWrite adds to an error what cannot be written and where. It leaves usage errors,
// which are about the source, as they are.
func (o *Options) cannotWrite(err error) error {
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	switch {
	case usage.Is(err):
		return err
	case atomicfile.Unwritable(err) && errors.As(err, &ofPath):
		return usage.Errorf("cannot write %s to %s: %w", o.Name, o.To, ofPath.Err)
	case atomicfile.Unwritable(err) && errors.As(err, &ofLink):
		return usage.Errorf("cannot write %s to %s: %w", o.Name, o.To, ofLink.Err)
	}
	return fmt.Errorf("cannot write %s to %s: %w", o.Name, o.To, err)
}
