package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"

	"nb201/internal/infile"
	"nb201/internal/usage"
)

const (
	formatCIFAR10Python  = "cifar10-python"
	formatCIFAR10Binary  = "cifar10-binary"
	formatCIFAR100Python = "cifar100-python"
	formatCIFAR100Binary = "cifar100-binary"
	formatImageNet16     = "imagenet16"
	formatNpy            = "npy"
	formatNpz            = "npz"
	formatImageFolder    = "image-folder"
)

// A format is how the files in dir hold the stored splits of a definition; of npz dir is
// the file.
type format struct {
	// read decodes the stored splits and describes the files.
	read func(d *Definition, dir string) (stored map[string]*Images, files []File, err error)
	// find finds the same files in the same order, without reading them.
	find func(d *Definition, dir string) (FoundFiles, error)
}

// formats are the readers by the names that definitions give.
var formats = map[string]format{
	formatCIFAR10Python:  batches(numbered("data_batch_", 5, ""), "test_batch", decodePython("labels")),
	formatCIFAR10Binary:  batches(numbered("data_batch_", 5, ".bin"), "test_batch.bin", decodeBinary(1)),
	formatCIFAR100Python: batches([]string{"train"}, "test", decodePython("fine_labels")),
	formatCIFAR100Binary: batches([]string{"train.bin"}, "test.bin", decodeBinary(2)),
	formatImageNet16:     batches(numbered("train_data_batch_", 10, ""), "val_data", decodeImageNet16),
	formatNpy:            arrays(npyPaths),
	formatNpz:            arrays(npzPaths),
	formatImageFolder:    {readImageFolder, findImageFolder},
	formatDigits:         {readDigits, findDigits},
}

// A decoder appends the images in a file's text to those of a stored split.
type decoder func(text []byte, images *Images, classes int) error

// batches is a format that keeps the images to train in some files and those to test
// in one, in CHW planes, each file with as many images as it holds. One file is in
// memory at a time.
func batches(train []string, test string, decode decoder) format {
	names := map[string][]string{"train": train, "test": {test}}
	read := func(d *Definition, dir string) (map[string]*Images, []File, error) {
		stored := map[string]*Images{}
		var files []File
		for _, split := range []string{"train", "test"} {
			images := &Images{Size: d.Size[0]}
			for _, name := range names[split] {
				path := filepath.Join(dir, name)
				text, file, err := readFile(path)
				if err != nil {
					return nil, nil, err
				}
				before := images.Len()
				if err := decode(text, images, d.Classes); err != nil {
					return nil, nil, usage.Errorf("%s: %w: get the file again, or name the format that it has", path, err)
				}
				if images.Len() == before {
					return nil, nil, usage.Errorf("%s: holds no images of the %d classes", path, d.Classes)
				}
				files = append(files, file)
				runtime.GC() // or else the files read before double the memory
			}
			stored[split] = images
		}
		return stored, files, nil
	}
	find := func(_ *Definition, dir string) (FoundFiles, error) {
		var paths []string
		for _, name := range append(slices.Clone(train), test) {
			paths = append(paths, filepath.Join(dir, name))
		}
		return findFiles(paths)
	}
	return format{read, find}
}

// numbered are n file names that count from 1.
func numbered(prefix string, n int, suffix string) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d%s", prefix, i+1, suffix)
	}
	return names
}

// decodeBinary decodes CIFAR's binary versions: for each image some bytes of labels,
// of which the last is the (fine) label, and its planes of red, green and blue, row by
// row.
func decodeBinary(labels int) decoder {
	return func(text []byte, images *Images, classes int) error {
		record := labels + 3*images.Size*images.Size
		if len(text)%record != 0 {
			return fmt.Errorf("%d bytes are not whole records of %d bytes: the file is damaged or holds images of another size", len(text), record)
		}
		images.grow(len(text) / record)
		for i := range len(text) / record {
			r := text[i*record:][:record]
			if err := images.add(i, r[labels:], int(r[labels-1]), classes); err != nil {
				return err
			}
		}
		return nil
	}
}

// decodePython decodes CIFAR's Python versions, whose labels have the given key.
func decodePython(labels string) decoder {
	return func(text []byte, images *Images, classes int) error {
		rows, labels, err := unpickleBatch(text, labels, images.Size)
		if err != nil {
			return err
		}
		images.grow(len(labels))
		for i, row := range rows {
			if err := images.add(i, row, labels[i], classes); err != nil {
				return err
			}
		}
		return nil
	}
}

// imageNetClasses is how many classes a file of downsampled ImageNet may have.
const imageNetClasses = 1000

// decodeImageNet16 decodes a file of downsampled ImageNet. Its labels count from 1; the
// images of the first classes are kept, in file order, and labelled from 0 on
// (ImageNet16 of xautodl/datasets/DownsampledImageNet.py).
func decodeImageNet16(text []byte, images *Images, classes int) error {
	rows, labels, err := unpickleBatch(text, "labels", images.Size)
	if err != nil {
		return err
	}
	kept := 0
	for i, label := range labels {
		if label < 1 || label > imageNetClasses {
			return fmt.Errorf("image %d is labelled %d, outside 1..%d", i, label, imageNetClasses)
		}
		if label <= classes {
			kept++
		}
	}
	images.grow(kept)
	for i, row := range rows {
		if labels[i] > classes {
			continue
		}
		if err := images.add(i, row, labels[i]-1, classes); err != nil {
			return err
		}
	}
	return nil
}

// grow makes room for n more images.
func (im *Images) grow(n int) {
	im.Pixels = slices.Grow(im.Pixels, n*3*im.Size*im.Size)
	im.Labels = slices.Grow(im.Labels, n)
}

// add appends an image that is given as planes of red, green and blue; i is its place in
// its file.
func (im *Images) add(i int, planes []byte, label, classes int) error {
	if label < 0 || label >= classes {
		return fmt.Errorf("image %d is labelled %d, outside 0..%d", i, label, classes-1)
	}
	im.Labels = append(im.Labels, int32(label))
	n := im.Size * im.Size
	red, green, blue := planes[:n], planes[n:2*n], planes[2*n:3*n]
	start := len(im.Pixels)
	im.Pixels = slices.Grow(im.Pixels, 3*n)[:start+3*n]
	out := im.Pixels[start:]
	for i := range n {
		o := out[3*i:][:3]
		o[0], o[1], o[2] = red[i], green[i], blue[i]
	}
	return nil
}

// maxFile is the size in bytes beyond which a file is not what it should be; the
// largest published one has 0.2 GB.
const maxFile = 4 << 30

// readFile reads a data file whole; what is wrong with it is a usage error.
func readFile(path string) ([]byte, File, error) {
	f, err := infile.Open(path)
	if err != nil {
		return nil, File{}, usage.Errorf("cannot read the data: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, File{}, usage.Errorf("cannot read the data: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, File{}, usage.Errorf("%s: is not a regular file of at most %d bytes", path, maxFile)
	}
	text := make([]byte, info.Size())
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, File{}, usage.Errorf("cannot read %s: %w", path, err)
	}
	return text, describe(recordName(path), text), nil
}

// recordName is what a record calls a file: its directory's name and its own.
func recordName(path string) string {
	return filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
}

// describe names a file's contents for the record.
func describe(name string, text []byte) File {
	sum := sha256.Sum256(text)
	return File{Name: name, SHA256: hex.EncodeToString(sum[:])}
}
