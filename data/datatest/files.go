package datatest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"

	"nb201/data"
)

// Files yields the names and contents of the files that store train and test in a format
// (one of [data.Formats], except digits), as the dataset's authors laid them out. It makes
// one file at a time. The files of a split have unequal lengths. Labels start at 1 in
// ImageNet's files and at 0 in images.
func Files(format string, train, test *data.Images) iter.Seq2[string, []byte] {
	files, ok := layouts[format]
	if !ok {
		panic(fmt.Sprintf("datatest: unknown format %q", format))
	}
	return files(train, test)
}

// layouts yields the names and contents of files, by format.
var layouts = map[string]func(train, test *data.Images) iter.Seq2[string, []byte]{
	"cifar10-python":  batches(numbered("data_batch_%d", 5), "test_batch", cifar10Batch),
	"cifar10-binary":  batches(numbered("data_batch_%d.bin", 5), "test_batch.bin", func(im *data.Images) []byte { return binaryBatch(im, false) }),
	"cifar100-python": batches([]string{"train"}, "test", cifar100Batch),
	"cifar100-binary": batches([]string{"train.bin"}, "test.bin", func(im *data.Images) []byte { return binaryBatch(im, true) }),
	"imagenet16":      batches(numbered("train_data_batch_%d", 10), "val_data", imageNetBatch),
	"npy":             arrays,
	"npz":             archive,
	"image-folder":    pictures,
}

// batches returns a layout with several files of training images and one of test images.
func batches(trainFiles []string, testFile string, encode func(*data.Images) []byte) func(train, test *data.Images) iter.Seq2[string, []byte] {
	return func(train, test *data.Images) iter.Seq2[string, []byte] {
		return func(yield func(string, []byte) bool) {
			n, from := len(trainFiles), 0
			for i, name := range trainFiles {
				to := train.Len() * (i + 1) * (i + 2) / (n * (n + 1))
				if !yield(name, encode(Slice(train, from, to))) {
					return
				}
				from = to
			}
			yield(testFile, encode(test))
		}
	}
}

func numbered(format string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i+1)
	}
	return names
}

// Slice returns images[from:to], which shares the pixels and labels of images.
func Slice(images *data.Images, from, to int) *data.Images {
	n := 3 * images.Size * images.Size
	return &data.Images{Pixels: images.Pixels[from*n : to*n], Labels: images.Labels[from:to], Size: images.Size}
}

// Planes returns the pixels in the order of the files: [N, 3, Size, Size].
func Planes(images *data.Images) []byte {
	area := images.Size * images.Size
	out := make([]byte, len(images.Pixels))
	for i := range images.Len() {
		planes, image := out[i*3*area:][:3*area], images.Pixels[i*3*area:][:3*area]
		for k := range area {
			planes[k], planes[area+k], planes[2*area+k] = image[3*k], image[3*k+1], image[3*k+2]
		}
	}
	return out
}

// coarse returns a made-up superclass of CIFAR-100.
func coarse(label int32) int32 { return label / 5 }

// binaryBatch returns a file of CIFAR's binary versions.
func binaryBatch(images *data.Images, superclass bool) []byte {
	n := 3 * images.Size * images.Size
	planes := Planes(images)
	out := make([]byte, 0, len(planes)+2*images.Len())
	for i, label := range images.Labels {
		if superclass {
			out = append(out, byte(coarse(label)))
		}
		out = append(out, byte(label))
		out = append(out, planes[i*n:(i+1)*n]...)
	}
	return out
}

// pixels returns the matrix "data" of images: uint8 [N, 3*Size*Size].
func pixels(images *data.Images) Array {
	return Array{"u1", []int{images.Len(), 3 * images.Size * images.Size}, Planes(images)}
}

func filenames(images *data.Images) []string {
	names := make([]string, images.Len())
	for i := range names {
		names[i] = fmt.Sprintf("photograph_s_%06d.png", i)
	}
	return names
}

func cifar10Batch(images *data.Images) []byte {
	return Pickle(Python2,
		Item{"batch_label", "training batch 1 of 5"},
		Item{"labels", images.Labels},
		Item{"data", pixels(images)},
		Item{"filenames", filenames(images)})
}

func cifar100Batch(images *data.Images) []byte {
	superclasses := make([]int32, images.Len())
	for i, label := range images.Labels {
		superclasses[i] = coarse(label)
	}
	return Pickle(Python2,
		Item{"filenames", filenames(images)},
		Item{"batch_label", "training batch 1 of 1"},
		Item{"fine_labels", images.Labels},
		Item{"coarse_labels", superclasses},
		Item{"data", pixels(images)})
}

func imageNetBatch(images *data.Images) []byte { return ImageNetBatch(Python3, images) }

// ImageNetBatch returns a file of downsampled ImageNet, pickled in the given style.
func ImageNetBatch(style Style, images *data.Images) []byte {
	labels := make([]int32, images.Len())
	for i, label := range images.Labels {
		labels[i] = label + 1
	}
	n := 3 * images.Size * images.Size
	return Pickle(style,
		Item{"data", pixels(images)},
		Item{"labels", labels},
		Item{"mean", Array{"f8", []int{n}, make([]byte, 8*n)}})
}

// Style is the Python version and the protocol that write a pickle.
type Style int

// The styles in which CIFAR's and ImageNet's pickles occur.
const (
	Python2     Style = iota // cPickle with protocol 2: text is str
	Python3                  // protocol 3, the default for many years: str and bytes
	Python3For2              // Python 3 with protocol 2: bytes are latin1 text
)

// Item is an item of a pickled dict. Value is a string, []string, []int32 (a list of whole
// numbers) or [Array].
type Item struct {
	Key   string
	Value any
}

// Array is a numpy array.
type Array struct {
	DType string // kind and size in bytes of an element, such as u1
	Shape []int
	Bytes []byte
}

// Pickle returns a pickled dict. It uses the opcodes of the style's pickler, except that it
// writes repeated values again.
func Pickle(style Style, items ...Item) []byte {
	p := pickler{style: style}
	protocol := byte(2)
	if style == Python3 {
		protocol = 3
	}
	p.Write([]byte{0x80, protocol, '}'})
	p.put()
	p.WriteByte('(')
	for _, item := range items {
		p.string(item.Key)
		switch v := item.Value.(type) {
		case string:
			p.string(v)
		case []string:
			list(&p, v, p.string)
		case []int32:
			list(&p, v, func(n int32) { p.integer(int(n)) })
		case Array:
			p.array(v)
		default:
			panic(fmt.Sprintf("datatest: cannot pickle a %T", v))
		}
	}
	p.WriteString("u.")
	return p.Bytes()
}

type pickler struct {
	bytes.Buffer
	style Style
	puts  int
}

// put stores the last value written in the memo.
func (p *pickler) put() {
	if p.puts < 256 {
		p.Write([]byte{'q', byte(p.puts)})
	} else {
		p.sized('r', uint32(p.puts))
	}
	p.puts++
}

func (p *pickler) sized(op byte, n uint32) {
	p.Write(binary.LittleEndian.AppendUint32([]byte{op}, n))
}

func (p *pickler) integer(v int) {
	switch {
	case v >= 0 && v < 1<<8:
		p.Write([]byte{'K', byte(v)})
	case v >= 0 && v < 1<<16:
		p.Write(binary.LittleEndian.AppendUint16([]byte{'M'}, uint16(v)))
	default:
		p.sized('J', uint32(v))
	}
}

// string writes a str.
func (p *pickler) string(s string) {
	if p.style == Python2 {
		p.bytes([]byte(s))
		return
	}
	p.sized('X', uint32(len(s)))
	p.WriteString(s)
	p.put()
}

// bytes writes an object that is of type bytes in Python 3.
func (p *pickler) bytes(b []byte) {
	if p.style == Python3For2 {
		p.global("_codecs", "encode")
		text := make([]rune, len(b))
		for i, v := range b {
			text[i] = rune(v)
		}
		p.string(string(text))
		p.string("latin1")
		p.WriteByte(0x86)
		p.put()
		p.WriteByte('R')
		p.put()
		return
	}
	short, long := byte('U'), byte('T')
	if p.style == Python3 {
		short, long = 'C', 'B'
	}
	if len(b) < 256 {
		p.Write([]byte{short, byte(len(b))})
	} else {
		p.sized(long, uint32(len(b)))
	}
	p.Write(b)
	p.put()
}

func (p *pickler) global(module, name string) {
	fmt.Fprintf(p, "c%s\n%s\n", module, name)
	p.put()
}

// list writes a list as picklers do, a thousand items at a time.
func list[T any](p *pickler, items []T, write func(T)) {
	p.WriteByte(']')
	p.put()
	for len(items) > 0 {
		n := min(len(items), 1000)
		p.WriteByte('(')
		for _, item := range items[:n] {
			write(item)
		}
		p.WriteByte('e')
		items = items[n:]
	}
}

// array writes an array as ndarray.__reduce__ describes it.
func (p *pickler) array(a Array) {
	p.global("numpy.core.multiarray", "_reconstruct")
	p.global("numpy", "ndarray")
	p.integer(0)
	p.tuple(1)
	p.bytes([]byte{'b'})
	p.tuple(3)
	p.WriteByte('R')
	p.put()

	p.WriteByte('(')
	p.integer(1)
	if len(a.Shape) > 3 {
		panic("datatest: an array of more than 3 dimensions")
	}
	for _, n := range a.Shape {
		p.integer(n)
	}
	p.tuple(len(a.Shape))

	p.global("numpy", "dtype")
	p.string(a.DType)
	p.integer(0)
	p.integer(1)
	p.tuple(3)
	p.WriteByte('R')
	p.put()
	p.WriteByte('(')
	p.integer(3)
	order := "<"
	if a.DType == "u1" || a.DType == "i1" {
		order = "|"
	}
	p.string(order)
	p.WriteString("NNN")
	p.integer(-1)
	p.integer(-1)
	p.integer(0)
	p.WriteByte('t')
	p.put()
	p.WriteByte('b')

	p.WriteByte(0x89) // in C order
	p.bytes(a.Bytes)
	p.WriteByte('t')
	p.put()
	p.WriteByte('b')
}

// tuple writes a tuple of the last n values, 1 to 3.
func (p *pickler) tuple(n int) {
	p.WriteByte(0x84 + byte(n))
	p.put()
}
