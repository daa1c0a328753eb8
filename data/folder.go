package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/data/picture"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Directory is what lies in a directory, by name and in the order of the names.
type Directory struct {
	Path        string
	Directories []string
	Pictures    []string // files that end in .png, .jpg or .jpeg, whatever the case
	Other       int      // files that do not
	Hidden      int      // what ListDirectory passes over
}

// ListDirectory lists a directory. It passes over what is hidden: what begins with a dot,
// and __MACOSX, in which archives from a Mac keep such files.
func ListDirectory(path string) (Directory, error) {
	d := Directory{Path: path}
	entries, err := os.ReadDir(path)
	if err != nil {
		return d, usage.Errorf("cannot read the class directories: %w", err)
	}
	for _, e := range entries {
		name, isDir := e.Name(), e.IsDir()
		if e.Type()&os.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(path, name))
			isDir = err == nil && info.IsDir() // what a broken link names will be missed when it is read
		}
		switch {
		case strings.HasPrefix(name, ".") || name == "__MACOSX":
			d.Hidden++
		case isDir:
			d.Directories = append(d.Directories, name)
		case isPicture(name):
			d.Pictures = append(d.Pictures, name)
		default:
			d.Other++
		}
	}
	return d, nil
}

// ClassDirectory is the pictures of a class: a directory of its name.
type ClassDirectory struct {
	Name          string
	Files         []string // paths of the pictures, in order
	Other, Hidden int      // of all its directories, as in Directory
}

// ListClasses lists the class directories in dir as torchvision's ImageFolder does
// (find_classes and make_dataset of torchvision/datasets/folder.py): classes sorted by
// name, the files of a class sorted by name within each of its directories, which may be
// nested. Unlike ImageFolder it passes over what is hidden.
func ListClasses(dir string) ([]ClassDirectory, error) {
	listed, err := ListDirectory(dir)
	if err != nil {
		return nil, err
	}
	var classes []ClassDirectory
	for _, name := range listed.Directories {
		c := ClassDirectory{Name: name}
		if err := c.list(filepath.Join(dir, name), nil); err != nil {
			return nil, err
		}
		slices.SortStableFunc(c.Files, func(a, b string) int { return strings.Compare(filepath.Dir(a), filepath.Dir(b)) })
		classes = append(classes, c)
	}
	return classes, nil
}

// list adds the pictures in dir, then those in the directories in it; above are those
// that it is in.
func (c *ClassDirectory) list(dir string, above []os.FileInfo) error {
	self, err := os.Stat(dir)
	if err != nil {
		return usage.Errorf("cannot read the pictures: %w", err)
	}
	if slices.ContainsFunc(above, func(info os.FileInfo) bool { return os.SameFile(info, self) }) {
		return usage.Errorf("cannot read the pictures: %s is a link to a directory that it is in", dir)
	}
	d, err := ListDirectory(dir)
	if err != nil {
		return err
	}
	for _, name := range d.Pictures {
		c.Files = append(c.Files, filepath.Join(dir, name))
	}
	c.Other += d.Other
	c.Hidden += d.Hidden
	for _, name := range d.Directories {
		if err := c.list(filepath.Join(dir, name), append(above, self)); err != nil {
			return err
		}
	}
	return nil
}

func isPicture(name string) bool {
	return slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(filepath.Ext(name)))
}

// readImageFolder is the format image-folder: dir/train and dir/test, each with the class
// directories of ListClasses. The classes are those of train, labelled in their order. A
// record has one file for each of the two.
func readImageFolder(d *Definition, dir string) (map[string]*Images, []File, error) {
	stored := map[string]*Images{}
	var files []File
	var names []string // of the classes
	for _, split := range []string{"train", "test"} {
		path := filepath.Join(dir, split)
		classes, err := ListClasses(path)
		if err != nil {
			return nil, nil, err
		}
		if split == "train" {
			for _, c := range classes {
				names = append(names, c.Name)
			}
			if len(names) != d.Classes {
				return nil, nil, usage.Errorf("%s: has %d class directories, not one for each of the definition's %d classes", path, len(names), d.Classes)
			}
		}
		images, file, err := readClasses(path, classes, names, d.Size[0])
		if err != nil {
			return nil, nil, usage.Errorf("%s: %w", path, err)
		}
		stored[split] = images
		files = append(files, file)
	}
	return stored, files, nil
}

// readClasses reads the pictures in the class directories of dir, labelled by the places
// of their classes among names. Its File has the SHA-256 of what sha256sum prints for
// all of them: a line with the sum of each and its path within dir.
func readClasses(dir string, classes []ClassDirectory, names []string, size int) (*Images, File, error) {
	images := &Images{Size: size}
	var paths []string
	for _, c := range classes {
		label := slices.Index(names, c.Name)
		if label < 0 {
			return nil, File{}, fmt.Errorf("has the class %q, which the images to train lack", c.Name)
		}
		paths = append(paths, c.Files...)
		images.Labels = append(images.Labels, slices.Repeat([]int32{int32(label)}, len(c.Files))...)
	}
	if len(paths) == 0 {
		return nil, File{}, errors.New("holds no pictures (*.png, *.jpg, *.jpeg) in class directories")
	}
	images.Pixels = make([]byte, 0, 3*size*size*len(paths))
	sums := sha256.New()
	err := picture.Read(context.Background(), paths, size, func(i int, im picture.Squeezed, err error) error {
		if err != nil {
			return err
		}
		images.Pixels = append(images.Pixels, im.Pixels...)
		text, err := infile.Read(paths[i], maxFile)
		if err != nil {
			return err
		}
		within, err := filepath.Rel(dir, paths[i])
		fmt.Fprintf(sums, "%x  %s\n", sha256.Sum256(text), filepath.ToSlash(within))
		return err
	})
	return images, File{Name: recordName(dir), SHA256: hex.EncodeToString(sums.Sum(nil))}, err
}
