package data

import (
	"context"
	"crypto/sha256"
	"path/filepath"
	"slices"

	"nb201/configs"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// FoundFiles lists files of a dataset that were found but not yet read.
type FoundFiles []source

// source is a file, or a directory of pictures, that a [File] describes.
type source struct {
	name string                 // the Name of the File
	hash func() (string, error) // reads the contents and returns their SHA-256 in hex
}

// FindFiles finds the files that [Definition.Load] would read with the same root. It opens
// them, but neither reads nor decodes them; for an image-folder it lists the pictures. As
// with Load, a missing file is a usage error. Damaged contents are not noticed.
func (d Definition) FindFiles(root string) (FoundFiles, error) {
	format, dir, err := d.locate(root)
	if err != nil {
		return nil, err
	}
	found, err := formats[format].find(&d, dir)
	if err != nil {
		return nil, err
	}
	for _, p := range d.splits() {
		switch {
		case p.Indices != "":
			list, err := findFiles([]string{p.indicesPath(d.dir)})
			if err != nil {
				return nil, err
			}
			found = append(found, list...)
		case p.Split != "":
			_, name, text := configs.Split(p.Split)
			found = append(found, embedded(name, text))
		}
	}
	return found, nil
}

// Describe reads the files and returns what [Definition.Load] puts in Dataset.Files. It
// does not keep whole files in memory, and stops between two files when ctx is done.
func (f FoundFiles) Describe(ctx context.Context) ([]File, error) {
	var files []File
	for _, s := range f {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sum, err := s.hash()
		if err != nil {
			return nil, err
		}
		if file := (File{s.name, sum}); !slices.Contains(files, file) { // two splits may share a list of indices
			files = append(files, file)
		}
	}
	return files, nil
}

// findFiles finds files that each have a [File] to describe them.
func findFiles(paths []string) (FoundFiles, error) {
	var found FoundFiles
	for _, path := range paths {
		f, err := infile.Open(path)
		if err != nil {
			return nil, usage.Errorf("cannot read the data: %w", err)
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		found = append(found, source{recordName(path), func() (string, error) { return hashFile(path, sha256.New()) }})
	}
	return found, nil
}

// embedded returns a file that is embedded in the program.
func embedded(name string, text []byte) source {
	return source{name, func() (string, error) { return describe(name, text).SHA256, nil }}
}

// indicesPath returns the path of the indices file of p, whose definition is in dir.
func (p *SplitDefinition) indicesPath(dir string) string {
	if filepath.IsAbs(p.Indices) {
		return p.Indices
	}
	return filepath.Join(dir, p.Indices)
}
