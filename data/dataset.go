package data

import (
	"fmt"
	"slices"

	"nb201/configs"
	"nb201/internal/random"
	"nb201/internal/usage"
)

// Dataset holds the images that a trial trains on and evaluates. [Definition.Load] reads
// one from files, and [New] makes one from images in memory.
type Dataset struct {
	Name    string // the dataset key
	Classes int
	Size    int // side of the square images in pixels
	Augment Augment
	Train   Split   // the training set; without images if the dataset has evaluation sets alone
	Eval    []Split // the evaluation sets, in the order of evaluation
	Files   []File  // the files that were read, in that order

	normal []float32
}

// File identifies a file that was read, as a trial's record lists it.
type File struct {
	Name   string `json:"name"`   // of its directory and the file, joined by a slash
	SHA256 string `json:"sha256"` // in hex
}

// Images holds the images of a stored split.
type Images struct {
	Pixels []byte  // [N, Size, Size, 3] in row-major order: red, green and blue, 0 to 255
	Labels []int32 // [N]: the class of each image, from 0
	Size   int     // side of the square images in pixels
}

// Len returns the number of images.
func (im *Images) Len() int { return len(im.Labels) }

// image returns the pixels of image i, [Size, Size, 3].
func (im *Images) image(i int32) []byte {
	n := 3 * im.Size * im.Size
	return im.Pixels[int(i)*n:][:n]
}

// Split selects the images that a loader reads: all or some of a stored split, in an order.
type Split struct {
	Name    string // "train", or the name of the evaluation set
	Images  *Images
	Order   Order
	Indices []int32 // the images, as indices into Images; nil means all
}

// Len returns the number of images that an epoch delivers.
func (s *Split) Len() int {
	if s.Indices != nil {
		return len(s.Indices)
	}
	return s.Images.Len()
}

// EvaluationOnly reports whether the dataset has evaluation sets alone, as
// [Definition.EvaluationOnly] does.
func (ds *Dataset) EvaluationOnly() bool { return ds.Train.Len() == 0 }

// Load reads the images of a definition. root is the data directory (--data). A relative
// Path in the definition is looked up in the directory of the definition file, then in
// root, then in root/cifar.python. If a cifar10-python definition finds no
// cifar-10-batches-py, Load reads the same images from cifar-10-batches-bin; likewise, a
// cifar100-python definition falls back from cifar-100-python to cifar-100-binary.
//
// If the files are not found, the error wraps [ErrNoData]. Missing or damaged files, and
// numbers of images that differ from the definition's, are usage errors that name the file
// or the directory.
func (d Definition) Load(root string) (*Dataset, error) {
	format, dir, err := d.locate(root)
	if err != nil {
		return nil, err
	}
	stored, files, err := formats[format].read(&d, dir)
	if err != nil {
		return nil, err
	}
	if err := d.Images.check(stored); err != nil {
		return nil, usage.Errorf("%s: dataset %s %w; get its files again, or read these with a definition file without \"images\"", dir, d.Name, err)
	}
	ds, err := New(d, stored)
	if err != nil {
		return nil, err
	}
	ds.Files = append(files, ds.Files...)
	return ds, nil
}

// check compares the numbers of images in the stored splits with c.
func (c Counts) check(stored map[string]*Images) error {
	train, test := stored["train"], stored["test"] // nil if the definition names none of their images
	switch {
	case c.Train != 0 && train != nil && train.Len() != c.Train:
		return fmt.Errorf("has %d training images, but these files hold %d", c.Train, train.Len())
	case c.Test != 0 && test != nil && test.Len() != c.Test:
		return fmt.Errorf("has %d test images, but these files hold %d", c.Test, test.Len())
	}
	return nil
}

// New makes the dataset of a valid definition from images in memory. stored holds the
// stored splits that it names, such as "train" and "test". Files that list indices are still
// read, and missing or damaged ones are usage errors.
func New(d Definition, stored map[string]*Images) (*Dataset, error) {
	ds := &Dataset{
		Name:    d.Name,
		Classes: d.Classes,
		Size:    d.Size[0],
		Augment: d.Augment,
		normal:  normalise(d.Mean, d.Std),
	}
	var err error
	if d.EvaluationOnly() {
		ds.Train = Split{Name: "train", Images: &Images{Size: ds.Size}, Order: Sequential}
	} else if ds.Train, err = ds.split(d.dir, "train", d.Train, stored); err != nil {
		return nil, err
	}
	for _, p := range d.Eval {
		s, err := ds.split(d.dir, p.Name, p, stored)
		if err != nil {
			return nil, err
		}
		ds.Eval = append(ds.Eval, s)
	}
	return ds, nil
}

// split selects the images of p. A relative path of an indices file starts in dir. The
// indices file or published split is added to Files.
func (ds *Dataset) split(dir, name string, p SplitDefinition, stored map[string]*Images) (Split, error) {
	s := Split{Name: name, Images: stored[p.From], Order: p.Order}
	switch {
	case p.Half != "":
		first, second := halves(s.Images.Len(), *p.HalfSeed)
		s.Indices = first
		if p.Half == "second" {
			s.Indices = second
		}
	case p.Indices != "":
		file := p.indicesPath(dir)
		text, record, err := readFile(file)
		if err != nil {
			return Split{}, err
		}
		if err := configs.Decode(file, text, &s.Indices); err != nil {
			return Split{}, err
		}
		if err := ds.addIndices(file, &s, p.From, record); err != nil {
			return Split{}, err
		}
	case p.Split != "":
		indices, file, text := configs.Split(p.Split)
		s.Indices = indices
		if err := ds.addIndices(p.Split, &s, p.From, describe(file, text)); err != nil {
			return Split{}, err
		}
	}
	if s.Len() == 0 {
		return Split{}, usage.Errorf("dataset %s: %q has no images; correct its definition or its files", ds.Name, name)
	}
	return s, nil
}

// addIndices checks the indices of s, which come from the list called name and point into
// the stored split from, and adds the list's file to Files.
func (ds *Dataset) addIndices(name string, s *Split, from string, file File) error {
	n := int32(s.Images.Len())
	if i := slices.IndexFunc(s.Indices, func(v int32) bool { return v < 0 || v >= n }); i >= 0 {
		return usage.Errorf("%s: entry %d is %d, but the indices of %q are 0 to %d; correct it", name, i, s.Indices[i], from, n-1)
	}
	if !slices.Contains(ds.Files, file) {
		ds.Files = append(ds.Files, file)
	}
	return nil
}

// halves divides the indices 0 to n-1 as the original's cifar-split.txt does: shuffled by
// CPython's random with the given seed, cut at n/2, and each half sorted.
func halves(n int, seed uint64) (first, second []int32) {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	random.NewPython(seed).Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	first, second = all[:n/2:n/2], all[n/2:]
	slices.Sort(first)
	slices.Sort(second)
	return first, second
}

// CheckBatch returns a usage error if batch, a number of images, exceeds the training set. An
// evaluation set may be smaller than a batch.
func (ds *Dataset) CheckBatch(batch int) error {
	if n := ds.Train.Len(); batch > n && !ds.EvaluationOnly() {
		return usage.Errorf("a batch of %d images is larger than the data: %s has %d training images; use a smaller batch", batch, ds.Name, n)
	}
	return nil
}
