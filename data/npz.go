package data

import (
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"nb201/internal/npy"
	"nb201/internal/usage"
)

// arrays returns a format of the arrays that readArrays reads, in the files paths(dir, splits).
func arrays(paths func(dir string, splits []string) []string) format {
	return format{
		read: func(d *Definition, dir string) (map[string]*Images, []File, error) {
			return readArrays(d, dir, paths(dir, d.storedSplits()))
		},
		find: func(d *Definition, dir string) (FoundFiles, error) { return findFiles(paths(dir, d.storedSplits())) },
	}
}

// npzPaths returns the one file of the format npz.
func npzPaths(path string, _ []string) []string { return []string{path} }

// npyPaths returns the files of the format npy, one for each array.
func npyPaths(dir string, splits []string) []string {
	var paths []string
	for _, split := range splits {
		paths = append(paths, filepath.Join(dir, "x_"+split+".npy"), filepath.Join(dir, "y_"+split+".npy"))
	}
	return paths
}

// readArrays reads the arrays x_NAME and y_NAME of the stored splits: x_train, y_train, x_test and
// y_test, as Keras calls them, or those of evaluation sets alone. The images x are uint8
// [N, size, size, 3], or grey as [N, size, size, 1] or [N, size, size]; the labels y are whole
// numbers [N] or [N, 1]. Meanwhile, it hashes the files at paths.
func readArrays(d *Definition, path string, paths []string) (map[string]*Images, []File, error) {
	set, err := npy.OpenSet(path)
	if err != nil {
		return nil, nil, usage.Errorf("%s: %w", path, err)
	}
	defer set.Close()
	files := make([]File, len(paths))
	var unread error
	var hashing sync.WaitGroup
	hashing.Go(func() {
		for i, path := range paths {
			files[i].Name = recordName(path)
			if files[i].SHA256, unread = hashFile(path, sha256.New()); unread != nil {
				return
			}
		}
	})
	defer hashing.Wait()
	stored := map[string]*Images{}
	for _, split := range d.storedSplits() {
		if stored[split], err = readArray(set, split, d.Size[0], d.Classes); err != nil {
			return nil, nil, usage.Errorf("%s: %w", path, err)
		}
	}
	hashing.Wait()
	return stored, files, unread
}

// readArray reads a stored split.
func readArray(set *npy.Set, split string, size, classes int) (*Images, error) {
	labels, err := set.Integers("y_" + split)
	if err != nil {
		return nil, err
	}
	name := "x_" + split
	x, err := set.Open(name)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	switch n := len(x.Shape); {
	case x.Type.String() != "uint8" || x.Fortran:
		return nil, fmt.Errorf("%s is not an array of uint8 in C order; convert it with nb201 data import", name)
	case n != 3 && (n != 4 || x.Shape[3] != 1 && x.Shape[3] != 3):
		return nil, fmt.Errorf("%s has the shape %v; use [N, H, W] or [N, H, W, C], where C is 1 or 3", name, x.Shape)
	case x.Shape[1] != size || x.Shape[2] != size:
		return nil, fmt.Errorf("%s has images of %dx%d pixels, but the definition's \"size\" is %dx%[4]d; resize them with nb201 data import",
			name, x.Shape[1], x.Shape[2], size)
	case x.Shape[0] != len(labels):
		return nil, fmt.Errorf("%s has %d images, but y_%s has %d labels; store one label for each image", name, x.Shape[0], split, len(labels))
	}
	images := &Images{Labels: make([]int32, len(labels)), Size: size}
	for i, label := range labels {
		if !(label >= 0 && label < float64(classes)) {
			return nil, fmt.Errorf("y_%s: label %d is %.0f, but must be from 0 to %d; correct it, or \"classes\" in the definition", split, i, label, classes-1)
		}
		images.Labels[i] = int32(label)
	}
	images.Pixels = make([]byte, 3*size*size*len(labels))
	if len(x.Shape) == 4 && x.Shape[3] == 3 {
		_, err = io.ReadFull(x, images.Pixels)
	} else {
		err = readGrey(x, images)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return images, nil
}

// readGrey reads images of one channel, and repeats it three times.
func readGrey(r io.Reader, images *Images) error {
	grey := make([]byte, images.Size*images.Size)
	for i := range images.Labels {
		if _, err := io.ReadFull(r, grey); err != nil {
			return err
		}
		out := images.image(int32(i))
		for k, v := range grey {
			out[3*k], out[3*k+1], out[3*k+2] = v, v, v
		}
	}
	return nil
}
