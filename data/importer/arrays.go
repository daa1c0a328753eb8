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

// imageWords and labelWords are what arrays are called but for the word for their part,
// as in x_train (Keras), train_images (MedMNIST) and data (scikit-learn).
var (
	imageWords = []string{"x", "image", "images", "img", "imgs", "data", "pixels"}
	labelWords = []string{"y", "label", "labels", "target", "targets"}
)

// pair are the names of arrays of images and of labels of one part: one each, unless it is
// not clear which are meant.
type pair struct{ images, labels []string }

func (p pair) whole() bool { return len(p.images) > 0 && len(p.labels) > 0 }

// names of the arrays.
func (p pair) names() []string { return slices.Concat(p.images, p.labels) }

// pairs sorts arrays by the part that their names stand for; others are neither images
// nor labels.
func pairs(names []string) (parts map[role]pair, others []string) {
	parts = map[role]pair{}
	for _, name := range names {
		r, words := roleOf(name)
		p := parts[r]
		switch {
		case len(words) == 1 && slices.Contains(imageWords, words[0]):
			p.images = append(p.images, name)
		case len(words) == 1 && slices.Contains(labelWords, words[0]):
			p.labels = append(p.labels, name)
		default:
			others = append(others, name)
		}
		parts[r] = p
	}
	return parts, others
}

// arrays are the images of one part of a source.
type arrays struct {
	source        string // path
	name          string // of the images
	set           *npy.Set
	kind          npy.Type
	labels        []float64
	height, width int
	channels      int
	planes        bool // channels come before rows and columns
	test          bool
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
	// take is the first of the parts that is there; those before it are left out.
	take := func(roles ...role) (pair, error) {
		for _, r := range roles {
			p := named[r]
			if !p.whole() {
				continue
			}
			delete(named, r)
			if len(p.images) > 1 || len(p.labels) > 1 {
				return p, usage.Errorf("%s: it is not clear which arrays are the %s, of %s: keep one of images and one of labels", o.Source, cmp.Or(r.String(), "images"), list(p.names()))
			}
			return p, nil
		}
		return pair{}, nil
	}
	train, err := take(forTraining, unnamed)
	if err != nil {
		return nil, err
	}
	if !train.whole() {
		return nil, usage.Errorf("%s: holds no arrays x_train and y_train, or train_images and train_labels, or x and y, or images and labels, but %s", o.Source, cmp.Or(list(set.Names()), "none"))
	}
	test, err := take(forTest, forValidation)
	if err != nil {
		return nil, err
	}
	src = &source{kind: "numpy arrays", train: train.images[0], close: func() { _ = set.Close() }}
	taken := []pair{train}
	if test.whole() {
		src.test = test.images[0]
		taken = append(taken, test)
	}
	if err := o.parted(src); err != nil {
		return nil, err
	}
	for _, p := range named {
		left = append(left, p.names()...)
	}
	if len(left) > 0 {
		slices.Sort(left)
		src.notes = append(src.notes, fmt.Sprintf("arrays left out: %s", list(left)))
	}
	var parts []*arrays
	var total int64
	for i, p := range taken {
		a := &arrays{source: o.Source, name: p.images[0], set: set, test: i > 0}
		if err := a.open(p.labels[0]); err != nil {
			return nil, usage.Errorf("%s: %w", o.Source, err)
		}
		if i > 0 && !a.like(parts[0]) {
			return nil, usage.Errorf("%s: the images of %s and %s are of different shapes or kinds of numbers", o.Source, parts[0].name, a.name)
		}
		parts = append(parts, a)
		total += int64(len(a.labels))
	}
	src.dims = func(context.Context) (int, int, error) { return parts[0].height, parts[0].width, nil }
	src.read = func(ctx context.Context, size int, each func(sample) error) error {
		white := 1.0 // the value that stands for the brightest there can be
		for i, a := range parts {
			most, err := a.brightest(ctx)
			switch {
			case err != nil:
				return err
			case i == 0 && most > 1:
				white = 255
			case white > 1 && 0 < most && most <= 1:
				return usage.Errorf("%s: %s has values above 1 and %s has none: bring them to one scale", o.Source, parts[0].name, a.name)
			}
		}
		switch kind := parts[0].kind; {
		case kind.Integer() && white == 1:
			src.notes = append(src.notes, fmt.Sprintf("the images are of type %v, none above 1: their values were taken to be 0..1", kind))
		case kind.String() != "uint8":
			src.notes = append(src.notes, fmt.Sprintf("the images are of type %v: their values were taken to be 0..%v", kind, white))
		}
		var done int64
		for _, a := range parts {
			err := a.read(ctx, white, func(im picture.Image, label float64) error {
				done++
				o.report(done, total, "images")
				return each(sample{test: a.test, label: label, pixels: im.Square(size)})
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	return src, nil
}

// maxImage is the length of an image in bytes beyond which it is none.
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
		return fmt.Errorf("%s is not an array of numbers in C order: save it with numpy.ascontiguousarray", a.name)
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
		return fmt.Errorf("%s has the shape %v, where (N, H, W), (N, H, W, channels) or (N, channels, H, W) is needed, of 1 or 3 channels", a.name, s)
	}
	if x.Shape[0] != len(a.labels) {
		return fmt.Errorf("%s has %d images but %s %d labels", a.name, x.Shape[0], labels, len(a.labels))
	}
	if a.height < 1 || a.width < 1 || a.height > maxImage/a.width/a.channels/a.kind.Size {
		return fmt.Errorf("%s has images of %dx%d pixels, which cannot be imported", a.name, a.height, a.width)
	}
	return nil
}

// like tells whether the images of b can be read as those of a.
func (a *arrays) like(b *arrays) bool {
	return a.height == b.height && a.width == b.width && a.channels == b.channels && a.planes == b.planes &&
		a.kind.Integer() == b.kind.Integer()
}

// each reads the images one by one, as raw bytes, valid until the next.
func (a *arrays) each(ctx context.Context, image func(i int, raw []byte) error) error {
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

// errBright ends the search for a value above 1.
var errBright = errors.New("a value is above 1")

// brightest is the greatest value, or the first above 1.
func (a *arrays) brightest(ctx context.Context) (most float64, err error) {
	values := make([]float64, a.height*a.width*a.channels)
	err = a.each(ctx, func(_ int, raw []byte) error {
		a.kind.Float64s(values, raw)
		if v := slices.Max(values); v > most { // NaN is not
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

// read reads the images, whose values are 0..white, and their labels.
func (a *arrays) read(ctx context.Context, white float64, each func(im picture.Image, label float64) error) error {
	values := make([]float64, a.height*a.width*a.channels)
	plain := make([]byte, len(values))
	return a.each(ctx, func(i int, raw []byte) error {
		if a.kind.String() == "uint8" && white == 255 {
			plain = raw
		} else {
			a.kind.Float64s(values, raw)
			for k, v := range values {
				if !(v >= 0 && v <= white) {
					return usage.Errorf("%s: image %d of %s has the value %v, outside 0..%v", a.source, i, a.name, v, white)
				}
				plain[k] = byte(math.RoundToEven(v / white * 255))
			}
		}
		return each(picture.Image{Width: a.width, Height: a.height, Pixels: colours(plain, a.channels, a.planes)}, a.labels[i])
	})
}

// colours is an image of 1 or 3 channels as row, column, channel of 3.
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
