package datatest

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"iter"
	"slices"
	"strings"

	"nb201/data"
)

// ArchiveName is the name of the file of the format npz.
const ArchiveName = "images.npz"

// Npy returns an .npy file, version 1.0, of an array in C order.
func Npy(a Array) []byte {
	var shape strings.Builder
	for _, n := range a.Shape {
		fmt.Fprintf(&shape, "%d, ", n)
	}
	order := "<"
	if strings.HasSuffix(a.DType, "1") {
		order = "|"
	}
	header := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }", order, a.DType, strings.TrimSuffix(shape.String(), " "))
	const before, align = 10, 64
	header += strings.Repeat(" ", align-1-(before+len(header))%align) + "\n"
	out := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(out[8:], uint16(len(header)))
	return slices.Concat(out, []byte(header), a.Bytes)
}

// arrays yields the files of the format npy, named like Keras' arrays.
func arrays(train, test *data.Images) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, split := range []struct {
			name   string
			images *data.Images
		}{{"train", train}, {"test", test}} {
			im := split.images
			var labels []byte
			for _, l := range im.Labels {
				labels = binary.LittleEndian.AppendUint64(labels, uint64(l))
			}
			pixels := Array{"u1", []int{im.Len(), im.Size, im.Size, 3}, im.Pixels}
			if !yield("x_"+split.name+".npy", Npy(pixels)) ||
				!yield("y_"+split.name+".npy", Npy(Array{"i8", []int{im.Len()}, labels})) {
				return
			}
		}
	}
}

// archive yields the file of the format npz, as numpy.savez writes it.
func archive(train, test *data.Images) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		for name, text := range arrays(train, test) {
			w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
			if err == nil {
				_, err = w.Write(text)
			}
			if err != nil {
				panic(err) // cannot happen in memory
			}
		}
		if err := z.Close(); err != nil {
			panic(err)
		}
		yield(ArchiveName, out.Bytes())
	}
}

// pictures yields the files of the format image-folder: PNG files in class directories, with
// names that sort in the order of the images.
func pictures(train, test *data.Images) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, split := range []struct {
			name   string
			images *data.Images
		}{{"train", train}, {"test", test}} {
			for i, label := range split.images.Labels {
				name := fmt.Sprintf("%s/class_%04d/%06d.png", split.name, label, i)
				if !yield(name, PNG(Slice(split.images, i, i+1))) {
					return
				}
			}
		}
	}
}

// PNG returns the first of the images as a PNG file.
func PNG(images *data.Images) []byte {
	picture := image.NewNRGBA(image.Rect(0, 0, images.Size, images.Size))
	for i := range images.Size * images.Size {
		copy(picture.Pix[4*i:], images.Pixels[3*i:3*i+3])
		picture.Pix[4*i+3] = 255
	}
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		panic(err) // cannot happen in memory
	}
	return out.Bytes()
}

// ByClass returns the images sorted by class, the order in which class directories are read.
func ByClass(images *data.Images) *data.Images {
	order := make([]int, images.Len())
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(images.Labels[a], images.Labels[b]) })
	sorted := &data.Images{Size: images.Size}
	for _, i := range order {
		sorted.Labels = append(sorted.Labels, images.Labels[i])
		sorted.Pixels = append(sorted.Pixels, Slice(images, i, i+1).Pixels...)
	}
	return sorted
}
