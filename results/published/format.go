package published

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// reader is all that is known of how a published format, or one of its forms, is read. Its
// value is in the file of the format; allReaders lists it. The benchmark.Source that open
// makes says how the files are checked.
type reader struct {
	name   benchmark.Format
	merged bool   // it is the form with all architectures in one file
	noun   string // for help, "" where another form has it
	// clients is the name of the published file or directory where the Python clients look
	// for it; "" where they look for none.
	clients string

	// file matches the names of files that are opened by themselves; nil where none is.
	file *regexp.Regexp
	// inDir lists the files of the format that a directory holds; nil where only files are opened.
	inDir func(dir string, entries []os.DirEntry) ([]string, error)
	// example and extension are how its files are called, in what refuses other files: those
	// of a directory, or the end of the name of one that is opened by itself. "" leaves it out.
	example, extension string

	open func(ctx context.Context, o *opening) (*benchmark.Benchmark, error)
	// recognise says what a file is by its content; false where it is not of the format.
	recognise func(c *content) (Kind, bool)
}

// opening is what a format is to open.
type opening struct {
	path     string
	files    []string                // of the format: those of the directory, or path
	progress func(done, total int64) // may be nil
	// refuse is the error of a file that cannot be read, given why: it says what else the
	// file is, where that is known. It is results.ErrDamaged, unless the system refused.
	refuse func(file string, why error) error
}

// readers are those of the formats that can be opened. A file or directory whose names suit
// several is opened by the first.
type readers []reader

// endsIn matches names that end so.
func endsIn(extension string) *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(extension) + "$")
}

// filesNamed lists the files of a directory whose names match, in order of their names.
func filesNamed(name *regexp.Regexp) func(dir string, entries []os.DirEntry) ([]string, error) {
	return func(dir string, entries []os.DirEntry) (files []string, err error) {
		for _, e := range entries {
			if name.MatchString(e.Name()) {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
		return files, nil
	}
}

// pathsByArchitecture are the files by the architecture in their names, the first group of
// name; of several the first.
func pathsByArchitecture(files []string, name *regexp.Regexp) (map[int]string, error) {
	paths := map[int]string{}
	for _, file := range files {
		index, err := namedIndex(file, name.FindStringSubmatch(filepath.Base(file))[1])
		if err != nil {
			return nil, err
		}
		if paths[index] == "" {
			paths[index] = file
		}
	}
	return paths, nil
}

// namedIndex reads the six digits of an architecture in a file's name.
func namedIndex(file, digits string) (int, error) {
	index, err := strconv.Atoi(digits)
	if err != nil || index >= cell.Count {
		return 0, usage.Errorf("%s is named after an architecture that there is not: indices go from 0 to %d", file, cell.Count-1)
	}
	return index, nil
}

// ofFile is the format that the name of a file promises; nil for none.
func (all readers) ofFile(path string) *reader {
	i := slices.IndexFunc(all, func(f reader) bool { return f.file != nil && f.file.MatchString(filepath.Base(path)) })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// ofDir is the format that the names in a directory promise, with its files; nil for none.
func (all readers) ofDir(dir string) (*reader, []string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	for i := range all {
		if all[i].inDir == nil {
			continue
		}
		files, err := all[i].inDir(dir, entries)
		if err != nil || files != nil {
			return &all[i], files, err
		}
	}
	return nil, nil, nil
}
