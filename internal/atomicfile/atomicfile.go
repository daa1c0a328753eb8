// Package atomicfile makes files and directories that are there whole or not at
// all, also when the process is killed or the machine loses power while it writes.
//
// What is being written lies beside its final place as a hidden temporary,
// ".NAME.RANDOM.tmp"; only a process that was killed leaves one behind.
package atomicfile

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Create makes the new file path with what write writes. When path is there
// already, then or at the end, it stays as it is and the error is fs.ErrExist.
func Create(path string, write func(io.Writer) error) error {
	return at(path, func(dir Root, name string) error { return dir.Create(name, write) })
}

// Replace makes the file path with what write writes, in place of any that is there.
func Replace(path string, write func(io.Writer) error) error {
	return at(path, func(dir Root, name string) error { return dir.Replace(name, write) })
}

// at calls do with the directory of path, which may be a link, and the name in it.
func at(path string, do func(dir Root, name string) error) error {
	dir, err := OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	return cmp.Or(do(dir, filepath.Base(path)), dir.Close())
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

// CheckCreate returns an error of the nearest directory above path that is there if
// files cannot be made in it. It leaves nothing behind.
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
	return at(path, Root.probe)
}

// Unwritable tells whether err is of a place where the user cannot write: one without
// the right, without room or that is no directory.
func Unwritable(err error) bool {
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	var link *LinkError
	if errors.As(err, &link) {
		return true
	}
	if !errors.As(err, &ofPath) && !errors.As(err, &ofLink) {
		return false // perhaps of a connection, which may fail with the same numbers
	}
	reasons := []error{fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, syscall.ENOSPC, syscall.EDQUOT}
	return slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) })
}

// Rights describes, to be put behind the text of err, whose the file or directory is that
// err denies the user, and what its owner can do; "" for another error.
func Rights(err error) string {
	var ofPath *fs.PathError
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &ofPath) {
		return ""
	}
	path := ofPath.Path
	info, err := os.Stat(path)
	if err != nil { // the file that could not be made
		path = filepath.Dir(path)
		if info, err = os.Stat(path); err != nil {
			return ""
		}
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" (%s belongs to user %d, group %d, with the rights %v: its owner can share it with chmod g+w, and umask 002 before nb201)", path, owner.Uid, owner.Gid, info.Mode().Perm())
}

// RemoveTemps removes the temporaries of path that killed processes left. No other
// process may be making path.
func RemoveTemps(path string) error { return at(path, Root.RemoveTemps) }

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
	return syncAndClose(d)
}

func syncAndClose(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if err := cmp.Or(err, d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", d.Name(), err)
	}
	return nil
}
