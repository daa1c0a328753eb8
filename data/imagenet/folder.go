package imagenet

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nb201/data"
	"nb201/data/picture"
	"nb201/internal/bom"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// photo is a picture of an ImageNet folder.
type photo struct {
	file  string
	label int32 // from 0
}

// folder lists the pictures of the first 120 classes in an ImageNet folder.
type folder struct {
	dir               string
	train, validation []photo
}

// openFolder lists the pictures of an ImageNet folder: the training pictures sorted by label
// and file name, the validation pictures by file name. labels is the path of the file with
// the labels of the validation pictures; it may be empty.
func openFolder(dir, labels string) (*folder, error) {
	f := &folder{dir: dir}
	var err error
	if f.train, err = classDirectories(filepath.Join(dir, "train")); err != nil {
		return nil, err
	}
	val := filepath.Join(dir, "val")
	pictures, err := listPictures(val)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usage.Errorf("%s has no directory val; put the validation pictures there", dir)
	case err != nil:
		return nil, usage.Errorf("cannot list the pictures: %w", err)
	case len(pictures) == 0:
		f.validation, err = classDirectories(val)
		// By number, as if they were in one directory.
		slices.SortStableFunc(f.validation, func(a, b photo) int {
			return cmp.Compare(filepath.Base(a.file), filepath.Base(b.file))
		})
	default:
		f.validation, err = labelled(pictures, dir, labels)
	}
	return f, err
}

// classDirectories lists the pictures of all classes, which each have a directory in dir.
func classDirectories(dir string) ([]photo, error) {
	var photos []photo
	var missing []string
	for label, class := range classes() {
		pictures, err := listPictures(filepath.Join(dir, class.synset))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, usage.Errorf("cannot list the pictures: %w", err)
		}
		if len(pictures) == 0 {
			missing = append(missing, fmt.Sprintf("%s (%s)", class.synset, class.name))
		}
		for _, file := range pictures {
			photos = append(photos, photo{file, int32(label)})
		}
	}
	if len(missing) > 0 {
		return nil, usage.Errorf("%s has no pictures of %d of the %d classes: %s; add their directories", dir, len(missing), len(classes()), firstFew(missing))
	}
	return photos, nil
}

// listPictures returns the paths of the pictures in a directory, sorted by name.
func listPictures(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var files []string
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpeg", ".jpg", ".png":
			if !e.IsDir() && e.Name()[0] != '.' {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	return files, err
}

// groundTruth is the name of the development kit's file with the labels of the validation
// pictures, in the order of their numbers.
const groundTruth = "ILSVRC2012_validation_ground_truth.txt"

// labelled labels validation pictures that are all in one directory, and leaves out those of
// other classes. file is the path of the labels; if it is empty, labelled looks for it in
// dir.
func labelled(pictures []string, dir, file string) ([]photo, error) {
	if file == "" {
		places := []string{"", "data", "devkit/data", "ILSVRC2012_devkit_t12/data"}
		i := slices.IndexFunc(places, func(place string) bool {
			_, err := os.Stat(filepath.Join(dir, place, groundTruth))
			return err == nil
		})
		if i < 0 {
			return nil, usage.Errorf("%s has pictures but no class directories, and %s does not contain %s; name that file of the development kit with --labels",
				filepath.Join(dir, "val"), dir, groundTruth)
		}
		file = filepath.Join(dir, places[i], groundTruth)
	}
	text, err := infile.Read(file, infile.MaxText)
	if err != nil {
		return nil, usage.Errorf("cannot read the labels: %w", err)
	}
	if text, err = bom.Strip(text); err != nil {
		return nil, usage.Errorf("%s: %w", file, err)
	}
	lines := bytes.Fields(text)
	var photos []photo
	for _, path := range pictures {
		name := filepath.Base(path)
		name = strings.TrimSuffix(name, filepath.Ext(name))
		digits := name[len(strings.TrimRight(name, "0123456789")):]
		number, err := strconv.Atoi(digits)
		if err != nil || number < 1 || number > len(lines) {
			return nil, usage.Errorf("%s: its name must end in a number from 1 to %d, that of its label in %s; rename it", path, len(lines), file)
		}
		label, err := strconv.Atoi(string(lines[number-1]))
		if err != nil || label < 1 || label > 1000 {
			return nil, usage.Errorf("%s: label %d is %.20q, but must be a number from 1 to 1000; get the file again", file, number, lines[number-1])
		}
		if label <= len(classes()) {
			photos = append(photos, photo{path, int32(label - 1)})
		}
	}
	return photos, nil
}

// read reads the pictures. unreadable has an error message for each picture that cannot be
// read, which makes read fail unless skip is set.
func (f *folder) read(ctx context.Context, skip bool, progress func(string, int64, int64)) (train, validation *data.Images, unreadable []string, err error) {
	all := slices.Concat(f.train, f.validation)
	files := make([]string, len(all))
	for i, p := range all {
		files[i] = p.file
	}
	train, validation = emptyImages(len(f.train)), emptyImages(len(f.validation))
	err = picture.Read(ctx, files, size, func(i int, im picture.Squeezed, err error) error {
		to := train
		if i >= len(f.train) {
			to = validation
		}
		if err != nil {
			unreadable = append(unreadable, err.Error())
		} else {
			to.Pixels = append(to.Pixels, im.Pixels...)
			to.Labels = append(to.Labels, all[i].label)
		}
		if progress != nil {
			progress("reading pictures", int64(i+1), int64(len(all)))
		}
		return nil
	})
	if err == nil && len(unreadable) > 0 && !skip {
		err = usage.Errorf("%d of the %d pictures in %s cannot be read: %s; get them again, or leave them out with --skip-unreadable",
			len(unreadable), len(all), f.dir, firstFew(unreadable))
	}
	return train, validation, unreadable, err
}

// emptyImages returns no images, but allocates memory for n.
func emptyImages(n int) *data.Images {
	return &data.Images{Size: size, Pixels: make([]byte, 0, n*3*size*size), Labels: make([]int32, 0, n)}
}

// firstFew joins the first names of a list, and counts the others.
func firstFew(names []string) string {
	const few = 3
	if more := len(names) - few; more > 0 {
		return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}
