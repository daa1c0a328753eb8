package importer

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"nb201/data/picture"
	"nb201/internal/npy"
	"nb201/internal/usage"
)

// imageWords and labelWords are the words in the names of arrays that denote images and
// labels, as in x_train (Keras), train_images (MedMNIST) and data (scikit-learn).
var (
	imageWords = []string{"x", "image", "images", "img", "imgs", "data", "pixels"}
	labelWords = []string{"y", "label", "labels", "target", "targets"}
)

// pair holds the names of the arrays with the images and the labels of one role. It is
// ambiguous if it has several of either.
type pair struct{ images, labels []string }

func (p pair) complete() bool { return len(p.images) > 0 && len(p.labels) > 0 }

// names returns the names of all arrays in p.
func (p pair) names() []string { return slices.Concat(p.images, p.labels) }

// pairs sorts the names of arrays by role. others are the names of neither images nor
// labels.
func pairs(names []string) (sorted map[role]pair, others []string) {
	sorted = map[role]pair{}
	for _, name := range names {
		r, words := roleOf(name)
		p := sorted[r]
		switch {
		case len(words) == 1 && slices.Contains(imageWords, words[0]):
			p.images = append(p.images, name)
		case len(words) == 1 && slices.Contains(labelWords, words[0]):
			p.labels = append(p.labels, name)
		default:
			others = append(others, name)
		}
		sorted[r] = p
	}
	return sorted, others
}

// arrays reads the images of one array: of the training set, the test set or evaluation sets.
type arrays struct {
	source        string // path
	name          string // of the images
	set           *npy.Set
	kind          npy.Type
	labels        []float64
	height, width int
	channels      int
	planes        bool // channels come before rows and columns
	first         int  // sample.set of the first image
	each          int  // number of images of a set, which the next set follows; 0: all are of one set
}

// openArrays opens an .npz file or a directory of .npy files.
func (o *Options) openArrays() (src *source, err error) {
	set, err := npy.OpenSet(o.Source)
	if err != nil {
		return nil, usage.Errorf("%s: %w", o.Source, err)
	}
	defer func() {
		if err != nil {
			_ = set.Close() // it was only read
		}
	}()
	named, left := pairs(set.Names())
	// choose removes from named the first of the roles that has images and labels.
	choose := func(roles ...role) (pair, error) {
		for _, r := range roles {
			p := named[r]
			if !p.complete() {
				continue
			}
			delete(named, r)
			if len(p.images) > 1 || len(p.labels) > 1 {
				return p, usage.Errorf("%s: each of the arrays %s could be the %s; keep one of images and one of labels",
					o.Source, joinFirst(p.names()), cmp.Or(r.String(), "images and labels"))
			}
			return p, nil
		}
		return pair{}, nil
	}
	train, err := choose(forTraining, unnamed)
	if err != nil {
		return nil, err
	}
	if !train.complete() {
		return nil, usage.Errorf("%s: its arrays are %s; name them x_train and y_train, or train_images and train_labels, or x and y, or images and labels",
			o.Source, cmp.Or(joinFirst(set.Names()), "none"))
	}
	test, err := choose(forTest, forValidation)
	if err != nil {
		return nil, err
	}
	src = &source{kind: ofArrays, train: train.images[0], close: func() { _ = set.Close() }}
	taken := []pair{train}
	if test.complete() {
		src.test = test.images[0]
		taken = append(taken, test)
	}
	if err := o.checkTest(src); err != nil {
		return nil, err
	}
	for _, p := range named {
		left = append(left, p.names()...)
	}
	if len(left) > 0 {
		slices.Sort(left)
		src.notes = append(src.notes, fmt.Sprintf("arrays left out: %s", joinFirst(left)))
	}
	var sets []*arrays
	for i, p := range taken {
		a := &arrays{source: o.Source, name: p.images[0], set: set, first: i}
		if err := a.open(p.labels[0]); err != nil {
			return nil, usage.Errorf("%s: %w", o.Source, err)
		}
		sets = append(sets, a)
	}
	return src, o.readArrays(src, sets)
}

// ofArrays is the kind of a source of numpy arrays.
const ofArrays = "numpy arrays"

// readArrays makes src read the images of sets, which must have the same shape and kind of numbers.
func (o *Options) readArrays(src *source, sets []*arrays) error {
	var total int64
	for _, a := range sets {
		if !a.compatible(sets[0]) {
			return usage.Errorf("%s: the images of %s and %s have different shapes or types; convert one of them", o.Source, sets[0].name, a.name)
		}
		total += int64(len(a.labels))
	}
	src.dims = func(context.Context) (int, int, error) { return sets[0].height, sets[0].width, nil }
	src.read = func(ctx context.Context, size int, each func(sample) error) error {
		white := 1.0 // the value that means the greatest brightness
		for i, a := range sets {
			most, err := a.brightest(ctx)
			switch {
			case err != nil:
				return err
			case i == 0 && most > 1:
				white = 255
			case white > 1 && 0 < most && most <= 1:
				return usage.Errorf("%s: %s has values above 1, but %s has none; convert them to the same scale", o.Source, sets[0].name, a.name)
			}
		}
		switch kind := sets[0].kind; {
		case kind.Integer() && white == 1:
			src.notes = append(src.notes, fmt.Sprintf("the images are of type %v with no value above 1: they were read on a scale of 0 to 1", kind))
		case kind.String() != "uint8":
			src.notes = append(src.notes, fmt.Sprintf("the images are of type %v: they were read on a scale of 0 to %v", kind, white))
		}
		var done int64
		for _, a := range sets {
			err := a.read(ctx, white, func(im picture.Image, s sample) error {
				done++
				o.report(done, total, "images")
				s.pixels = im.Square(size)
				return each(s)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// maxImage is the largest image in bytes that is read.
const maxImage = 1 << 28

// open reads the labels and the shape of the images. Errors begin with an array's name.
func (a *arrays) open(labels string) (err error) {
	if a.labels, err = a.set.Integers(labels); err != nil {
		return err
	}
	x, err := a.set.Open(a.name)
	if err != nil {
		return err
	}
	defer x.Close()
	a.kind = x.Type
	if !a.kind.Integer() && a.kind.Kind != 'f' || x.Fortran {
		return fmt.Errorf("%s is not an array of numbers in C order; save it after numpy.ascontiguousarray", a.name)
	}
	channels := func(n int) bool { return n == 1 || n == 3 }
	switch s := x.Shape; {
	case len(s) == 3:
		a.height, a.width, a.channels = s[1], s[2], 1
	case len(s) == 4 && channels(s[3]) && !channels(s[1]):
		a.height, a.width, a.channels = s[1], s[2], s[3]
	case len(s) == 4 && channels(s[1]) && !channels(s[3]):
		a.height, a.width, a.channels, a.planes = s[2], s[3], s[1], true
	default:
		return fmt.Errorf("%s has the shape %v; use [N, H, W], [N, H, W, C] or [N, C, H, W], where C is 1 or 3", a.name, s)
	}
	if x.Shape[0] != len(a.labels) {
		return fmt.Errorf("%s has %d images, but %s has %d labels; store one label for each image", a.name, x.Shape[0], labels, len(a.labels))
	}
	if a.height < 1 || a.width < 1 || a.height > maxImage/a.width/a.channels/a.kind.Size {
		return fmt.Errorf("%s has images of %dx%d pixels; use at least 1 pixel and at most %d bytes per image", a.name, a.height, a.width, maxImage)
	}
	return nil
}

// compatible reports whether the images of a and b have the same shape and kind of numbers.
func (a *arrays) compatible(b *arrays) bool {
	return a.height == b.height && a.width == b.width && a.channels == b.channels && a.planes == b.planes &&
		a.kind.Integer() == b.kind.Integer()
}

// eachRaw calls image with the raw bytes of each image, which are valid during the call.
func (a *arrays) eachRaw(ctx context.Context, image func(i int, raw []byte) error) error {
	x, err := a.set.Open(a.name)
	if err != nil {
		return usage.Errorf("%s: %w", a.source, err)
	}
	defer x.Close()
	r := bufio.NewReaderSize(x, 1<<16)
	raw := make([]byte, a.height*a.width*a.channels*a.kind.Size)
	for i := range a.labels {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.ReadFull(r, raw); err != nil {
			return usage.Errorf("%s: %s %w", a.source, a.name, err)
		}
		if err := image(i, raw); err != nil {
			return err
		}
	}
	return nil
}

// errBright stops the search for a value above 1.
var errBright = errors.New("a value is above 1")

// brightest returns the greatest value, or the greatest in the first image with a value
// above 1.
func (a *arrays) brightest(ctx context.Context) (most float64, err error) {
	values := make([]float64, a.height*a.width*a.channels)
	err = a.eachRaw(ctx, func(_ int, raw []byte) error {
		a.kind.Float64s(values, raw)
		if v := slices.Max(values); v > most { // false for NaN
			most = v
		}
		if most > 1 {
			return errBright
		}
		return nil
	})
	if errors.Is(err, errBright) {
		err = nil
	}
	return most, err
}

// read calls each with the images, whose values are 0 to white, and the set and the label of each.
func (a *arrays) read(ctx context.Context, white float64, each func(im picture.Image, s sample) error) error {
	values := make([]float64, a.height*a.width*a.channels)
	plain := make([]byte, len(values))
	return a.eachRaw(ctx, func(i int, raw []byte) error {
		if a.kind.String() == "uint8" && white == 255 {
			plain = raw
		} else {
			a.kind.Float64s(values, raw)
			for k, v := range values {
				if !(v >= 0 && v <= white) {
					return usage.Errorf("%s: image %d of %s has the value %v, but must be from 0 to %v; correct or rescale it", a.source, i, a.name, v, white)
				}
				plain[k] = byte(math.RoundToEven(v / white * 255))
			}
		}
		s := sample{set: a.first, label: a.labels[i]}
		if a.each > 0 {
			s.set += i / a.each
		}
		return each(picture.Image{Width: a.width, Height: a.height, Pixels: colours(plain, a.channels, a.planes)}, s)
	})
}

// colours returns an image of 1 or 3 channels as [H, W, 3]. planes says that the channels
// come first.
func colours(pixels []byte, channels int, planes bool) []byte {
	if channels == 3 && !planes {
		return pixels
	}
	n := len(pixels) / channels
	red, green, blue := pixels[:n], pixels[:n], pixels[:n]
	if channels == 3 {
		green, blue = pixels[n:2*n], pixels[2*n:]
	}
	out := make([]byte, 0, 3*n)
	for i := range n {
		out = append(out, red[i], green[i], blue[i])
	}
	return out
}
