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

// FoundFiles are the files of a dataset, which were found but not read.
type FoundFiles []source

// source is what a File describes.
type source struct {
	name string                 // of the File
	hash func() (string, error) // reads it and returns its SHA-256 in hex
}

// FindFiles finds the files that Load reads with the same root. It opens them, but neither reads
// nor decodes them; of an image-folder it lists the pictures. A file that is not there is a
// usage error, as it is of Load; what only the content shows Load alone reports.
func (d Definition) FindFiles(root string) (FoundFiles, error) {
	format, dir, err := d.locate(root)
	if err != nil {
		return nil, err
	}
	found, err := formats[format].find(&d, dir)
	if err != nil {
		return nil, err
	}
	for _, p := range append([]SplitDefinition{d.Train}, d.Eval...) {
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

// Describe reads the files, in pieces, and describes them exactly as Load does in
// Dataset.Files.
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
		if file := (File{s.name, sum}); !slices.Contains(files, file) { // two parts may share a list
			files = append(files, file)
		}
	}
	return files, nil
}

// findFiles finds files that are described one by one.
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

// embedded is a file that the program holds.
func embedded(name string, text []byte) source {
	return source{name, func() (string, error) { return describe(name, text).SHA256, nil }}
}

// indicesPath is where the list of a part's images is; dir is that of its definition.
func (p *SplitDefinition) indicesPath(dir string) string {
	if filepath.IsAbs(p.Indices) {
		return p.Indices
	}
	return filepath.Join(dir, p.Indices)
}
