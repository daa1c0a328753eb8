package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/data/picture"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Directory lists the contents of a directory, sorted by name.
type Directory struct {
	Path        string
	Directories []string // names
	Pictures    []string // names of files that end in .png, .jpg or .jpeg, in any case
	Other       int      // number of other files
	Hidden      int      // number of entries that ListDirectory skips
}

// ListDirectory lists a directory. It skips hidden entries: names that begin with a dot, and
// __MACOSX, the directory where archives from a Mac keep such files.
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
			isDir = err == nil && info.IsDir() // reading the target of a broken link fails later
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

// ClassDirectory lists the pictures of a class, which are in a directory of its name.
type ClassDirectory struct {
	Name          string
	Files         []string // paths of the pictures, in order
	Other, Hidden int      // as in Directory, summed over all nested directories
}

// ListClasses lists the class directories in dir as torchvision's ImageFolder does
// (find_classes and make_dataset of torchvision/datasets/folder.py): classes sorted by
// name, and the files of a class sorted by name within each of its directories, which may
// be nested. Unlike ImageFolder, it skips hidden entries.
func ListClasses(dir string) ([]ClassDirectory, error) {
	listed, err := ListDirectory(dir)
	if err != nil {
		return nil, err
	}
	var classes []ClassDirectory
	for _, name := range listed.Directories {
		c := ClassDirectory{Name: name}
		if err := c.addPictures(filepath.Join(dir, name), nil); err != nil {
			return nil, err
		}
		slices.SortStableFunc(c.Files, func(a, b string) int { return strings.Compare(filepath.Dir(a), filepath.Dir(b)) })
		classes = append(classes, c)
	}
	return classes, nil
}

// addPictures adds the pictures in dir, then those in its subdirectories. above lists the
// directories that contain dir.
func (c *ClassDirectory) addPictures(dir string, above []os.FileInfo) error {
	self, err := os.Stat(dir)
	if err != nil {
		return usage.Errorf("cannot read the pictures: %w", err)
	}
	if slices.ContainsFunc(above, func(info os.FileInfo) bool { return os.SameFile(info, self) }) {
		return usage.Errorf("cannot read the pictures: %s is a link to a directory that contains it; remove the link", dir)
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
		if err := c.addPictures(filepath.Join(dir, name), append(above, self)); err != nil {
			return err
		}
	}
	return nil
}

func isPicture(name string) bool {
	return slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(filepath.Ext(name)))
}

// pictures lists the pictures of a stored split in the format image-folder.
type pictures struct {
	dir    string
	paths  []string
	labels []int32
}

// listImageFolder lists the pictures of the stored splits in dir/train and dir/test, each of which
// has the class directories of [ListClasses]. The classes are those of the first that is read, which
// is train if there is a training set, labelled in their order.
func listImageFolder(d *Definition, dir string) (listed []*pictures, err error) {
	var names []string // of the classes
	list := func(split string) (*pictures, error) {
		p := &pictures{dir: filepath.Join(dir, split)}
		classes, err := ListClasses(p.dir)
		if err != nil {
			return nil, err
		}
		if names == nil {
			for _, c := range classes {
				names = append(names, c.Name)
			}
			if len(names) != d.Classes {
				return nil, usage.Errorf("%s has %d class directories, but the definition has %d classes; correct \"classes\" or the directories",
					p.dir, len(names), d.Classes)
			}
		}
		for _, c := range classes {
			label := slices.Index(names, c.Name)
			if label < 0 {
				first := "the training images"
				if d.EvaluationOnly() {
					first = "those in " + filepath.Join(dir, d.storedSplits()[0])
				}
				return nil, usage.Errorf("%s has the class %q, which %s lack; remove it or add it to them", p.dir, c.Name, first)
			}
			p.paths = append(p.paths, c.Files...)
			p.labels = append(p.labels, slices.Repeat([]int32{int32(label)}, len(c.Files))...)
		}
		if len(p.paths) == 0 {
			return nil, usage.Errorf("%s contains no pictures in class directories; add *.png, *.jpg or *.jpeg files", p.dir)
		}
		return p, nil
	}
	for _, split := range d.storedSplits() {
		p, err := list(split)
		if err != nil {
			return nil, err
		}
		listed = append(listed, p)
	}
	return listed, nil
}

// readImageFolder reads the format image-folder. It describes each stored split by a single
// File.
func readImageFolder(d *Definition, dir string) (map[string]*Images, []File, error) {
	listed, err := listImageFolder(d, dir)
	if err != nil {
		return nil, nil, err
	}
	stored := map[string]*Images{}
	var files []File
	for i, split := range d.storedSplits() {
		images, file, err := listed[i].read(d.Size[0])
		if err != nil {
			return nil, nil, err
		}
		stored[split] = images
		files = append(files, file)
	}
	return stored, files, nil
}

// findImageFolder finds the Files of readImageFolder.
func findImageFolder(d *Definition, dir string) (FoundFiles, error) {
	listed, err := listImageFolder(d, dir)
	if err != nil {
		return nil, err
	}
	var found FoundFiles
	for _, p := range listed {
		found = append(found, source{recordName(p.dir), p.hash})
	}
	return found, nil
}

// read decodes the pictures, and hashes them at the same time.
func (p *pictures) read(size int) (*Images, File, error) {
	images := &Images{Size: size, Labels: p.labels, Pixels: make([]byte, 0, 3*size*size*len(p.paths))}
	sums := sha256.New()
	err := picture.Read(context.Background(), p.paths, size, func(i int, im picture.Squeezed, err error) error {
		if err != nil {
			return err
		}
		images.Pixels = append(images.Pixels, im.Pixels...)
		return p.hashOne(sums, i)
	})
	if err != nil {
		return nil, File{}, usage.Errorf("%s: %w", p.dir, err)
	}
	return images, File{Name: recordName(p.dir), SHA256: hex.EncodeToString(sums.Sum(nil))}, nil
}

// hash returns the SHA-256 of sha256sum's output for all pictures. See hashOne.
func (p *pictures) hash() (string, error) {
	sums := sha256.New()
	for i := range p.paths {
		if err := p.hashOne(sums, i); err != nil {
			return "", usage.Errorf("%s: %w", p.dir, err)
		}
	}
	return hex.EncodeToString(sums.Sum(nil)), nil
}

// hashOne writes sha256sum's output for picture i: a line with its SHA-256 and its path
// relative to the directory.
func (p *pictures) hashOne(sums io.Writer, i int) error {
	text, err := infile.Read(p.paths[i], maxFile)
	if err != nil {
		return err
	}
	within, err := filepath.Rel(p.dir, p.paths[i])
	fmt.Fprintf(sums, "%x  %s\n", sha256.Sum256(text), filepath.ToSlash(within))
	return err
}
