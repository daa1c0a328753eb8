// Package cachedir limits the size of cache directories, whose files can be made again.
package cachedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// List returns the files in dir whose names match ours, and their total size in bytes. A
// directory that does not exist has no files.
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

// Trim removes files of [List] if their total size exceeds limit bytes. It removes the files
// with the oldest modification times first, until a tenth of limit is free, but no file for
// which keep returns true.
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
