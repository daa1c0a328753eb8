// Package atomicfile writes files and directories that appear complete or not at all, even
// if the process is killed or the machine loses power during the write.
//
// While it is written, a file is a hidden temporary file, ".NAME.RANDOM.tmp", beside its
// final place. Only a killed process leaves one behind; [RemoveTemps] removes it.
//
// The functions take any path. The methods of [Root] work below a directory whose content
// is not trusted, and follow no symbolic links in it.
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

// Create creates the file path with the content that write writes. If path exists, before or
// after write runs, it is not changed and the error is fs.ErrExist.
func Create(path string, write func(io.Writer) error) error {
	return withDir(path, func(dir Root, name string) error { return dir.Create(name, write) })
}

// Replace creates or replaces the file path with the content that write writes.
func Replace(path string, write func(io.Writer) error) error {
	return withDir(path, func(dir Root, name string) error { return dir.Replace(name, write) })
}

// withDir opens the directory of path, which may be a symbolic link, and calls do with it
// and the name in it.
func withDir(path string, do func(dir Root, name string) error) error {
	dir, err := OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	return cmp.Or(do(dir, filepath.Base(path)), dir.Close())
}

// CreateDir creates the directory path with the content that fill puts into it. If path
// exists, it is not changed and the error is fs.ErrExist.
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
		_ = os.RemoveAll(temp) // err is the cause
		return err
	}
	return Sync(filepath.Dir(path))
}

// MkdirAll creates the directory path and those above it, and syncs them to disk.
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

// CheckCreate returns an error if files cannot be created in the nearest existing directory
// above path. It leaves nothing behind.
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
	return withDir(path, Root.probe)
}

// Unwritable reports whether err means that the user cannot write to a place: permission is
// denied, the disk or quota is full, the file system is read-only, or a directory in the path
// is a file or a symbolic link.
func Unwritable(err error) bool {
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	var link *LinkError
	if errors.As(err, &link) {
		return true
	}
	if !errors.As(err, &ofPath) && !errors.As(err, &ofLink) {
		return false // perhaps a network error, which may have the same numbers
	}
	reasons := []error{fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, syscall.ENOSPC, syscall.EDQUOT}
	return slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) })
}

// Rights returns text to append to err, if err is a permission error: the owner and mode of
// the file or directory, and what the owner can do. For other errors it is "".
func Rights(err error) string {
	var ofPath *fs.PathError
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &ofPath) {
		return ""
	}
	path := ofPath.Path
	info, err := os.Stat(path)
	if err != nil { // the file could not be created, so look at its directory
		path = filepath.Dir(path)
		if info, err = os.Stat(path); err != nil {
			return ""
		}
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" (%s belongs to user %d, group %d, and has mode %v; its owner can share it with chmod g+w, and with umask 002 before nb201)",
		path, owner.Uid, owner.Gid, info.Mode().Perm())
}

// RemoveTemps removes the temporary files of path that killed processes left behind. No
// other process may be writing path.
func RemoveTemps(path string) error { return withDir(path, Root.RemoveTemps) }

const tempSuffix = ".tmp"

func tempPrefix(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".")
}

func tempName(path string) string { return tempPrefix(path) + rand.Text() + tempSuffix }

// Sync syncs a file's content, or the names in a directory, to disk. It succeeds on file
// systems that cannot sync directories.
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
