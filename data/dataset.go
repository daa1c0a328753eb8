package data

import (
	"fmt"
	"slices"

	"nb201/configs"
	"nb201/internal/random"
	"nb201/internal/usage"
)

// Dataset is what a trial trains on and evaluates.
type Dataset struct {
	Name    string
	Classes int
	Size    int // side of the square images, in pixels
	Augment Augment
	Train   Split
	Eval    []Split
	Files   []File // that were read, in reading order

	normal []float32
}

// File is a file that was read, for the record of a trial.
type File struct {
	Name   string `json:"name"`   // its directory's name and its own, with a slash
	SHA256 string `json:"sha256"` // in hex
}

// Images are the images of a stored split.
type Images struct {
	Pixels []byte  // image, row, column, channel (red, green, blue), each 0..255
	Labels []int32 // of each image, 0..classes-1
	Size   int     // side of the square images, in pixels
}

// Len is the number of images.
func (im *Images) Len() int { return len(im.Labels) }

// at is one image: row, column, channel.
func (im *Images) at(i int32) []byte {
	n := 3 * im.Size * im.Size
	return im.Pixels[int(i)*n:][:n]
}

// Split is what a loader reads: images of a stored split, in an order.
type Split struct {
	Name    string // train, or the evaluation set's
	Images  *Images
	Order   Order
	Indices []int32 // of the images, in Images; nil: all
}

// Len is the number of images that an epoch delivers.
func (s *Split) Len() int {
	if s.Indices != nil {
		return len(s.Indices)
	}
	return s.Images.Len()
}

// Load reads the images of a definition. root is the data directory (--data); a
// relative path of the definition is looked for beside the definition file, then
// in root, then in root/cifar.python. Where a cifar10-python definition finds no
// cifar-10-batches-py, it reads the same images from a cifar-10-batches-bin; likewise
// a cifar100-python definition without cifar-100-python from a cifar-100-binary.
// Missing or damaged files, and another number of images than the definition says,
// are usage errors that name the file or the directory.
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
		return nil, usage.Errorf("%s: dataset %s %w: get its files anew, or read these by a definition file without \"images\"", dir, d.Name, err)
	}
	ds, err := New(d, stored)
	if err != nil {
		return nil, err
	}
	ds.Files = append(files, ds.Files...)
	return ds, nil
}

// check compares the stored splits with what they must hold.
func (c Counts) check(stored map[string]*Images) error {
	switch train, test := stored["train"].Len(), stored["test"].Len(); {
	case c.Train != 0 && train != c.Train:
		return fmt.Errorf("has %d images to train, not the %d of these files", c.Train, train)
	case c.Test != 0 && test != c.Test:
		return fmt.Errorf("has %d images to test, not the %d of these files", c.Test, test)
	}
	return nil
}

// New makes a dataset of a valid definition from the stored splits, train and
// test, in memory.
func New(d Definition, stored map[string]*Images) (*Dataset, error) {
	ds := &Dataset{
		Name:    d.Name,
		Classes: d.Classes,
		Size:    d.Size[0],
		Augment: d.Augment,
		normal:  normalise(d.Mean, d.Std),
	}
	var err error
	if ds.Train, err = ds.split(d.dir, "train", d.Train, stored); err != nil {
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

// split picks a part's images; an indices file lies in dir. That and a published split
// are added to Files.
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
		if err := ds.list(file, &s, p.From, record); err != nil {
			return Split{}, err
		}
	case p.Split != "":
		indices, file, text := configs.Split(p.Split)
		s.Indices = indices
		if err := ds.list(p.Split, &s, p.From, describe(file, text)); err != nil {
			return Split{}, err
		}
	}
	if s.Len() == 0 {
		return Split{}, usage.Errorf("dataset %s: %s has no images", ds.Name, name)
	}
	return s, nil
}

// list checks the indices of a split, which come from the named list, and adds its file
// to Files.
func (ds *Dataset) list(name string, s *Split, from string, file File) error {
	n := int32(s.Images.Len())
	if i := slices.IndexFunc(s.Indices, func(v int32) bool { return v < 0 || v >= n }); i >= 0 {
		return usage.Errorf("%s: index %d is %d, outside the %d images of %q", name, i, s.Indices[i], n, from)
	}
	if !slices.Contains(ds.Files, file) {
		ds.Files = append(ds.Files, file)
	}
	return nil
}

// halves divides the indices 0..n-1 as the original's cifar-split.txt: shuffled by
// CPython's random from the seed, cut at n/2, each half sorted.
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

// CheckBatch refuses, as a usage error, a batch of more images than the dataset trains on.
func (ds *Dataset) CheckBatch(batch int) error {
	if n := ds.Train.Len(); batch > n {
		return usage.Errorf("a batch of %d images is larger than the data: %s has %d training images", batch, ds.Name, n)
	}
	return nil
}
