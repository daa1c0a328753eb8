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

// format reads a file format. dir is the directory of the files; for npz, the file.
type format struct {
	// read decodes the stored splits, those of Definition.storedSplits or more, and describes the files.
	read func(d *Definition, dir string) (stored map[string]*Images, files []File, err error)
	// find finds the same files in the same order, without reading them.
	find func(d *Definition, dir string) (FoundFiles, error)
}

// formats maps the name of a format in a definition to its reader.
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

// decoder appends the images in a file to those of a stored split.
type decoder func(text []byte, images *Images, classes int) error

// batches returns a format with several files of training images and one of test images.
// The images are stored as CHW planes; a file may have any number of them. Only one file is
// in memory at a time.
func batches(train []string, test string, decode decoder) format {
	names := map[string][]string{"train": train, "test": {test}}
	read := func(d *Definition, dir string) (map[string]*Images, []File, error) {
		stored := map[string]*Images{}
		var files []File
		for _, split := range d.storedSplits() {
			images := &Images{Size: d.Size[0]}
			for _, name := range names[split] {
				path := filepath.Join(dir, name)
				text, file, err := readFile(path)
				if err != nil {
					return nil, nil, err
				}
				before := images.Len()
				if err := decode(text, images, d.Classes); err != nil {
					return nil, nil, usage.Errorf("%s: %w; get the file again, or correct \"format\" or \"size\" in the definition", path, err)
				}
				if images.Len() == before {
					return nil, nil, usage.Errorf("%s contains no images of the %d classes; get the file again", path, d.Classes)
				}
				files = append(files, file)
				runtime.GC() // otherwise the files read so far double the memory
			}
			stored[split] = images
		}
		return stored, files, nil
	}
	find := func(d *Definition, dir string) (FoundFiles, error) {
		var paths []string
		for _, split := range d.storedSplits() {
			for _, name := range names[split] {
				paths = append(paths, filepath.Join(dir, name))
			}
		}
		return findFiles(paths)
	}
	return format{read, find}
}

// numbered returns n file names, numbered from 1.
func numbered(prefix string, n int, suffix string) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d%s", prefix, i+1, suffix)
	}
	return names
}

// decodeBinary decodes CIFAR's binary versions. Each image has that many bytes of labels,
// of which the last is the (fine) label, then its planes of red, green and blue, row by row.
func decodeBinary(labels int) decoder {
	return func(text []byte, images *Images, classes int) error {
		record := labels + 3*images.Size*images.Size
		if len(text)%record != 0 {
			return fmt.Errorf("%d bytes is not a multiple of %d, the length of an image with its labels: the file is damaged, or its images have another size",
				len(text), record)
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

// decodePython decodes CIFAR's Python versions, which store the labels under the given key.
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

// imageNetClasses is the number of classes in a file of downsampled ImageNet.
const imageNetClasses = 1000

// decodeImageNet16 decodes a file of downsampled ImageNet, whose labels start at 1. It keeps
// the images of the first classes, in file order, and labels them from 0
// (ImageNet16 in xautodl/datasets/DownsampledImageNet.py).
func decodeImageNet16(text []byte, images *Images, classes int) error {
	rows, labels, err := unpickleBatch(text, "labels", images.Size)
	if err != nil {
		return err
	}
	kept := 0
	for i, label := range labels {
		if label < 1 || label > imageNetClasses {
			return fmt.Errorf("the label of image %d is %d, but must be from 1 to %d", i, label, imageNetClasses)
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

// add appends an image, given as planes of red, green and blue. i is its index in the file.
func (im *Images) add(i int, planes []byte, label, classes int) error {
	if label < 0 || label >= classes {
		return fmt.Errorf("the label of image %d is %d, but must be from 0 to %d", i, label, classes-1)
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

// maxFile is the largest file in bytes that is read. The largest published one has 0.2 GB.
const maxFile = 4 << 30

// readFile reads a whole data file and describes it. Its errors are usage errors.
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
	if info.Size() > maxFile {
		return nil, File{}, usage.Errorf("%s has %d bytes, more than the limit of %d; get the file again", path, info.Size(), int64(maxFile))
	}
	text := make([]byte, info.Size())
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, File{}, usage.Errorf("cannot read %s: %w", path, err)
	}
	return text, describe(recordName(path), text), nil
}

// recordName returns the name of a file in a record: that of its directory and its own.
func recordName(path string) string {
	return filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
}

// describe returns the [File] of a file's contents.
func describe(name string, text []byte) File {
	sum := sha256.Sum256(text)
	return File{Name: name, SHA256: hex.EncodeToString(sum[:])}
}
