// Package cachedir bounds directories of files that can be made again.
package cachedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// List returns the files in dir whose names match ours, and how many bytes they have. A
// directory that is not there has none.
func List(dir string, ours *regexp.Regexp) (files []fs.FileInfo, total int64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		if !ours.MatchString(e.Name()) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		files = append(files, info)
		total += info.Size()
	}
	return files, total, nil
}

// Trim removes, of the files that List returns, those whose times are the oldest when all
// have more than limit bytes, until a tenth of it is free. Those for which keep is true
// stay.
func Trim(dir string, ours *regexp.Regexp, limit int64, keep func(fs.FileInfo) bool) error {
	files, total, err := List(dir, ours)
	if err != nil || total <= limit {
		return err
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if total <= limit-limit/10 {
			break
		}
		if keep(f) {
			continue
		}
		// Another process may have removed it.
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.Size()
	}
	return nil
}
