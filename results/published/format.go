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

// reader describes how a format, or one form of a format, is opened and recognised. It is
// defined in the source file of the format and listed in allReaders. The benchmark.Source that
// open creates reads and checks the files.
type reader struct {
	name   benchmark.Format
	merged bool   // the form with all architectures in one file
	plain  bool   // that form as a plain pickle
	noun   string // for help texts; "" if another form of the format has it
	// clients returns the file or directory name under which the Python clients look for the
	// published benchmark of a space, "" if there is none; nil if they do not look for one.
	clients func(cell.Space) string

	// file matches the names of files that can be opened alone; nil if none can.
	file *regexp.Regexp
	// inDir lists the files of the format in a directory, given its entries; nil if the format
	// does not consist of directories.
	inDir func(dir string, entries []os.DirEntry) ([]string, error)
	// example (a file in a directory) and extension (of a file opened alone) appear in errors
	// that list the expected names; "" is left out.
	example, extension string

	open func(ctx context.Context, o *opening) (*benchmark.Benchmark, error)
	// recognise identifies a file by its contents; ok is false if it is not of this format.
	recognise func(c *content) (k Kind, ok bool)
}

// opening is a request to open a benchmark.
type opening struct {
	path     string
	files    []string                // files of the format: those in the directory, or path itself
	progress func(done, total int64) // may be nil
	bare     bool                    // without evaluations on further datasets
	// elsewhere lists dataset keys on which the evaluations of another directory count instead.
	elsewhere []string
	// refuse turns the error of reading a file into one that says what the file is instead, if
	// that is known. It is results.ErrDamaged unless the system could not read the file.
	refuse func(file string, why error) error
}

// readers lists the readers of several formats. The first one that matches opens a path.
type readers []reader

// suffixPattern matches names with a suffix.
func suffixPattern(suffix string) *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(suffix) + "$")
}

// listMatching returns an inDir that lists the files whose names match, in order of their names.
func listMatching(name *regexp.Regexp) func(dir string, entries []os.DirEntry) ([]string, error) {
	return func(dir string, entries []os.DirEntry) (files []string, err error) {
		for _, e := range entries {
			if name.MatchString(e.Name()) {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
		return files, nil
	}
}

// pathsByArchitecture maps each architecture of a space to its file, by the first group of name in the
// file's name. If several files have the same architecture, the first counts.
func pathsByArchitecture(files []string, name *regexp.Regexp, space cell.Space) (map[int]string, error) {
	paths := map[int]string{}
	for _, file := range files {
		index, err := parseIndex(file, space, name.FindStringSubmatch(filepath.Base(file))[1])
		if err != nil {
			return nil, err
		}
		if paths[index] == "" {
			paths[index] = file
		}
	}
	return paths, nil
}

// parseIndex parses the digits of an architecture's index in a file's name.
func parseIndex(file string, space cell.Space, digits string) (int, error) {
	index, err := strconv.Atoi(digits)
	if err != nil || index >= space.Count() {
		return 0, usage.Errorf("%s: there is no architecture %s in the %s, of which the other files are; indices run from 0 to %d",
			file, digits, space.Title(), space.Count()-1)
	}
	return index, nil
}

// matchFile returns the reader for the name of a file; nil if there is none.
func (all readers) matchFile(path string) *reader {
	i := slices.IndexFunc(all, func(f reader) bool { return f.file != nil && f.file.MatchString(filepath.Base(path)) })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// matchDir returns the reader for the names in a directory, and the files of its format; nil if
// there is none.
func (all readers) matchDir(dir string) (*reader, []string, error) {
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
