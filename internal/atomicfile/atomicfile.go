// Package atomicfile makes files and directories that are there whole or not at
// all, also when the process is killed or the machine loses power while it writes.
//
// What is being written lies beside its final place as a hidden temporary,
// ".NAME.RANDOM.tmp"; only a process that was killed leaves one behind.
package atomicfile

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Create makes the new file path with what write writes. When path is there
// already, then or at the end, it stays as it is and the error is fs.ErrExist.
func Create(path string, write func(io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return publish(path, place, write)
}

// Replace makes the file path with what write writes, in place of any that is there.
func Replace(path string, write func(io.Writer) error) error {
	return publish(path, os.Rename, write)
}

// CreateNamed is Create in a directory, for a file whose name depends on its
// content: write returns the name. It returns the file's path.
func CreateNamed(dir string, write func(io.Writer) (name string, err error)) (path string, err error) {
	err = publish(filepath.Join(dir, "export"), func(temp, _ string) error { return place(temp, path) },
		func(w io.Writer) error {
			name, err := write(w)
			path = filepath.Join(dir, name)
			return err
		})
	return path, err
}

func publish(path string, place func(temp, path string) error, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(tempName(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		// After a rename there is nothing to remove.
		if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
			err = cmp.Or(err, gone)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := cmp.Or(write(w), w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return Sync(filepath.Dir(path))
}

// place gives temp the name path, unless there is a file of that name.
func place(temp, path string) error {
	err := os.Link(temp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without hard links.
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return os.Rename(temp, path)
}

// CreateDir makes the new directory path with what fill puts into it. When path is
// there already it stays as it is and the error is fs.ErrExist.
func CreateDir(path string, fill func(dir string) error) error {
	path = filepath.Clean(path)
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	temp := tempName(path)
	if err := os.Mkdir(temp, 0o777); err != nil {
		return err
	}
	err := fill(temp)
	if err == nil {
		err = Sync(temp)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.RemoveAll(temp) // err says what went wrong
		return err
	}
	return Sync(filepath.Dir(path))
}

// MkdirAll makes the directory path and those above it, and has them on disk.
func MkdirAll(path string) error {
	err := os.Mkdir(path, 0o777)
	if errors.Is(err, fs.ErrNotExist) {
		if err := MkdirAll(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o777)
	}
	if errors.Is(err, fs.ErrExist) {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
		}
		return nil
	}
	if err != nil {
		return err
	}
	return Sync(filepath.Dir(path))
}

// CheckCreate tells whether files can be made at path: an error of the nearest
// directory above it that is there. It leaves nothing behind.
func CheckCreate(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		return CheckCreate(dir)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "create a file in", Path: dir, Err: syscall.ENOTDIR}
	}
	probe := tempName(path)
	f, err := os.OpenFile(probe, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	return cmp.Or(f.Close(), os.Remove(probe))
}

// Unwritable tells whether err is of a place where the user cannot write: one without
// the right, without room or that is no directory.
func Unwritable(err error) bool {
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	if !errors.As(err, &ofPath) && !errors.As(err, &ofLink) {
		return false // perhaps of a connection, which may fail with the same numbers
	}
	reasons := []error{fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, syscall.ENOSPC, syscall.EDQUOT}
	return slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) })
}

// RemoveTemps removes the temporaries of path that killed processes left. No other
// process may be making path.
func RemoveTemps(path string) error {
	dir, prefix := filepath.Split(tempPrefix(path))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), tempSuffix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

const tempSuffix = ".tmp"

func tempPrefix(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".")
}

func tempName(path string) string { return tempPrefix(path) + rand.Text() + tempSuffix }

// Sync has a file's content, or the names in a directory, on disk. Some file systems
// cannot do that to directories, and say so; that is no error.
func Sync(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if err := cmp.Or(err, d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
