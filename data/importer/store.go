package importer

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"nb201/data"
	"nb201/internal/npy"
	"nb201/internal/usage"
)

// staged holds the resized images of a source in a file without a name, of which nothing
// remains however the process ends. The images of one set follow those of another, in the order of
// sample.set.
type staged struct {
	file      *os.File
	labels    []float64 // as in the source
	counts    []int     // numbers of images by sample.set; training images include those that may be drawn for the test set
	brightest byte      // greatest value of all pixels
}

func (s *staged) close() { _ = s.file.Close() } // the file has no name: nothing is lost

// darkest is the greatest pixel value below which a dataset is suspected to have another scale than 0
// to 255, such as 0 to 16.
const darkest = 32

// warnDark returns a warning if all images are nearly black, or "".
func (s *staged) warnDark() string {
	if s.brightest >= darkest {
		return ""
	}
	return fmt.Sprintf("the largest pixel value is %d of 255, so the images are nearly black; if it means white, scale pixels to 0..255 and import again",
		s.brightest)
}

// mostNamed is the number of unreadable pictures that an error lists.
const mostNamed = 10

// stage reads the source into a staging file. unreadable has an error message for each
// picture that was left out.
func (o *Options) stage(ctx context.Context, src *source) (s *staged, unreadable []string, err error) {
	f, err := os.CreateTemp(o.To, ".import.*.tmp")
	if err != nil {
		return nil, nil, o.cannotWrite(err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // err says what went wrong
		}
	}()
	s = &staged{file: f}
	if err := os.Remove(f.Name()); err != nil {
		return nil, nil, o.cannotWrite(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = src.read(ctx, o.Size, func(im sample) error {
		if im.unreadable != nil {
			unreadable = append(unreadable, im.unreadable.Error())
			return nil
		}
		s.labels = append(s.labels, im.label)
		for len(s.counts) <= im.set {
			s.counts = append(s.counts, 0)
		}
		s.counts[im.set]++
		s.brightest = max(s.brightest, slices.Max(im.pixels))
		if _, err := w.Write(im.pixels); err != nil {
			return o.cannotWrite(err)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if n := len(unreadable); n > 0 && !o.SkipUnreadable {
		more := ""
		if n > mostNamed {
			more = fmt.Sprintf("; and %d more", n-mostNamed)
		}
		return nil, nil, usage.Errorf("%d of %d pictures cannot be read (%s%s); repair or remove them, or leave them out with --skip-unreadable",
			n, n+len(s.labels), strings.Join(unreadable[:min(n, mostNamed)], "; "), more)
	}
	if err := w.Flush(); err != nil {
		return nil, nil, o.cannotWrite(err)
	}
	return s, unreadable, nil
}

// writeStore writes the pixel store, and measures the training images with the given sorted
// indices into the stored split; nil means all.
func (a *arranged) writeStore(ctx context.Context, w io.Writer, images *staged, indices []int32) (*data.PixelStats, error) {
	store, measure := npy.NewWriter(w), new(data.PixelStats)
	each := func(i int, pixels []byte) {
		switch {
		case indices == nil:
			measure.Add(pixels)
		case len(indices) > 0 && int(indices[0]) == i:
			measure.Add(pixels)
			indices = indices[1:]
		}
	}
	if err := a.writeSplit(ctx, store, images, "train", a.train, each); err != nil {
		return nil, err
	}
	if err := a.writeSplit(ctx, store, images, "test", a.test, func(int, []byte) {}); err != nil {
		return nil, err
	}
	return measure, cmp.Or(store.Texts("classes", a.classes), store.Close())
}

// writeSplit writes the arrays x_NAME and y_NAME of the staged images with the given indices, and
// calls each with the pixels of the i-th of them.
func (a *arranged) writeSplit(ctx context.Context, store *npy.Writer, images *staged, name string, indices []int, each func(i int, pixels []byte)) error {
	x, err := store.Create("x_"+name, "|u1", len(indices), a.size, a.size, 3)
	if err != nil {
		return err
	}
	pixels := make([]byte, 3*a.size*a.size)
	for i, index := range indices {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := images.file.ReadAt(pixels, int64(index)*int64(len(pixels))); err != nil {
			return err
		}
		if _, err := x.Write(pixels); err != nil {
			return err
		}
		each(i, pixels)
	}
	y, err := store.Create("y_"+name, "<i8", len(indices))
	if err != nil {
		return err
	}
	var labels []byte
	for _, index := range indices {
		labels = binary.LittleEndian.AppendUint64(labels, uint64(a.labels[index]))
	}
	_, err = y.Write(labels)
	return err
}
