package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"nb201/internal/usage"
)

const (
	formatCIFAR10Python = "cifar10-python"
	formatCIFAR10Binary = "cifar10-binary"
)

// A format reads the stored splits of a definition from the files in dir.
type format func(d *Definition, dir string) (stored map[string]*Images, files []File, err error)

// formats are the readers by the names that definitions give.
var formats = map[string]format{
	formatCIFAR10Python: cifar10("", decodePython),
	formatCIFAR10Binary: cifar10(".bin", decodeBinary),
	formatDigits:        readDigits,
}

// cifar10 is a format that keeps its images as CIFAR-10 does: five files to train
// and one to test, in CHW planes, each with as many images as it holds.
func cifar10(suffix string, decode func(text []byte, images *Images, classes int) error) format {
	names := map[string][]string{"test": {"test_batch"}}
	for i := range 5 {
		names["train"] = append(names["train"], fmt.Sprintf("data_batch_%d", i+1))
	}
	return func(d *Definition, dir string) (map[string]*Images, []File, error) {
		stored := map[string]*Images{}
		var files []File
		for _, split := range []string{"train", "test"} {
			images := &Images{Size: d.Size[0]}
			for _, name := range names[split] {
				path := filepath.Join(dir, name+suffix)
				text, file, err := readFile(path)
				if err != nil {
					return nil, nil, err
				}
				before := images.Len()
				if err := decode(text, images, d.Classes); err != nil {
					return nil, nil, usage.Errorf("%s: %w", path, err)
				}
				if images.Len() == before {
					return nil, nil, usage.Errorf("%s: holds no images", path)
				}
				files = append(files, file)
			}
			stored[split] = images
		}
		return stored, files, nil
	}
}

// decodeBinary reads the format cifar10-binary: for each image a byte of label and
// its planes of red, green and blue, row by row.
func decodeBinary(text []byte, images *Images, classes int) error {
	record := 1 + 3*images.Size*images.Size
	if n := len(text) % record; n != 0 {
		return fmt.Errorf("%d bytes are not whole records of %d bytes: the file is damaged or holds images of another size", len(text), record)
	}
	images.grow(len(text) / record)
	for r := range slices.Chunk(text, record) {
		if err := images.add(r[1:], int(r[0]), classes); err != nil {
			return err
		}
	}
	return nil
}

// decodePython reads the format cifar10-python: a pickled dict with "data", a
// uint8 matrix of one image's planes a row, and "labels", a list.
func decodePython(text []byte, images *Images, classes int) error {
	dict, err := unpickle(text)
	if err != nil {
		return err
	}
	row := 3 * images.Size * images.Size
	rows, err := rows(dict["data"], row)
	if err != nil {
		return fmt.Errorf(`its "data" %w`, err)
	}
	labels, err := integers(dict["labels"])
	if err != nil {
		return fmt.Errorf(`its "labels" %w`, err)
	}
	if len(labels)*row != len(rows) {
		return fmt.Errorf("it holds %d images but %d labels", len(rows)/row, len(labels))
	}
	images.grow(len(labels))
	for i, label := range labels {
		if err := images.add(rows[i*row:][:row], label, classes); err != nil {
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

// add appends an image that is given as planes of red, green and blue.
func (im *Images) add(planes []byte, label, classes int) error {
	if label < 0 || label >= classes {
		return fmt.Errorf("image %d is labelled %d, outside 0..%d", im.Len(), label, classes-1)
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
	f, err := os.Open(path)
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
	name := filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
	return text, describe(filepath.ToSlash(name), text), nil
}

// describe names a file's contents for the record.
func describe(name string, text []byte) File {
	sum := sha256.Sum256(text)
	return File{Name: name, SHA256: hex.EncodeToString(sum[:])}
}
