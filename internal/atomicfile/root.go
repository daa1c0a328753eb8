package atomicfile

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Root is an open directory whose content is not trusted, such as an unpacked archive. Names
// are relative to it, and its methods write and remove only files below it: they follow no
// symbolic link in a name.
type Root struct{ *os.Root }

// LinkError reports a symbolic link in a place where Root needs a directory.
type LinkError struct{ Path string }

func (e *LinkError) Error() string {
	return fmt.Sprintf("%s is a symbolic link, and nb201 writes and removes nothing through one; replace it by a directory (another disk can be mounted there)", e.Path)
}

// OpenRoot opens the directory dir, following symbolic links.
func OpenRoot(dir string) (Root, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() { // OpenRoot would wait at a named pipe
		return Root{}, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	r, err := os.OpenRoot(dir)
	return Root{r}, err
}

// path returns the path of a name, for errors.
func (r Root) path(name string) string { return filepath.Join(r.Name(), name) }

// CheckLinks returns a [*LinkError] if a directory in name is a symbolic link.
func (r Root) CheckLinks(name string) error {
	if above := filepath.Dir(name); above != "." && above != string(filepath.Separator) {
		return r.CheckLink(above)
	}
	return nil
}

// CheckLink returns a [*LinkError] if name, or a directory in it, is a symbolic link.
func (r Root) CheckLink(name string) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	if info, err := r.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return &LinkError{r.path(name)}
	}
	return nil
}

// Create creates the file name with the content that write writes. If name exists, before or
// after write runs, it is not changed and the error is fs.ErrExist.
func (r Root) Create(name string, write func(io.Writer) error) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	if _, err := r.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: r.path(name), Err: fs.ErrExist}
	}
	return r.publish(name, r.renameNew, write)
}

// Replace creates or replaces the file name with the content that write writes.
func (r Root) Replace(name string, write func(io.Writer) error) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	return r.publish(name, r.Rename, write)
}

// publish writes a temporary file, and gives it its name with rename.
func (r Root) publish(name string, rename func(temp, name string) error, write func(io.Writer) error) (err error) {
	temp := tempName(name)
	f, err := r.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return r.withPath(err)
	}
	defer func() {
		// After a rename there is nothing to remove.
		if gone := r.Remove(temp); !errors.Is(gone, fs.ErrNotExist) {
			err = cmp.Or(err, gone)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := cmp.Or(write(w), w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := rename(temp, name); err != nil {
		return r.withPath(err)
	}
	return r.sync(filepath.Dir(name))
}

// renameNew renames temp to name, unless name exists.
func (r Root) renameNew(temp, name string) error {
	r.observe(temp, name)
	err := r.Link(temp, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// The file system has no hard links.
	if _, err := r.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return r.Root.Rename(temp, name)
}

// withPath prefixes the paths in a system error, which are relative to r, with r's own.
func (r Root) withPath(err error) error {
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	switch {
	case errors.As(err, &ofPath):
		return &fs.PathError{Op: strings.TrimSuffix(ofPath.Op, "at"), Path: r.path(ofPath.Path), Err: ofPath.Err}
	case errors.As(err, &ofLink):
		return &os.LinkError{Op: strings.TrimSuffix(ofLink.Op, "at"), Old: r.path(ofLink.Old), New: r.path(ofLink.New), Err: ofLink.Err}
	}
	return err
}

func (r Root) sync(dir string) error {
	d, err := r.openDir(dir)
	if err != nil {
		return r.withPath(err)
	}
	return syncAndClose(d)
}

// openDir opens a directory. It fails for a named pipe, rather than waiting for a writer.
func (r Root) openDir(name string) (*os.File, error) {
	return r.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}

// MkdirAll creates the directory name and those above it, and syncs them to disk.
func (r Root) MkdirAll(name string) error {
	if err := r.CheckLink(name); err != nil {
		return err
	}
	return r.mkdirAll(name)
}

func (r Root) mkdirAll(name string) error {
	if info, err := r.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if above := filepath.Dir(name); above != "." {
		if err := r.mkdirAll(above); err != nil {
			return err
		}
	}
	switch err := r.Mkdir(name, 0o777); {
	case err == nil:
		return r.sync(filepath.Dir(name))
	case errors.Is(err, fs.ErrExist):
		if info, err := r.Stat(name); err == nil && info.IsDir() { // another process was faster
			return nil
		}
		return &fs.PathError{Op: "mkdir", Path: r.path(name), Err: syscall.ENOTDIR}
	default:
		return r.withPath(err)
	}
}

// CheckCreate returns an error if the file name cannot be created: because of a symbolic
// link in name, or in the nearest existing directory above it. It leaves nothing behind.
func (r Root) CheckCreate(name string) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	dir := filepath.Dir(name)
	if _, err := r.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return r.CheckCreate(dir)
	}
	return r.probe(name)
}

// probe creates a file beside name and removes it.
func (r Root) probe(name string) error {
	temp := tempName(name)
	f, err := r.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return r.withPath(err)
	}
	return cmp.Or(f.Close(), r.Remove(temp))
}

// RemoveTemps removes the temporary files of name that killed processes left behind. No other
// process may be writing name.
func (r Root) RemoveTemps(name string) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	dir, prefix := filepath.Dir(name), filepath.Base(tempPrefix(name))
	d, err := r.openDir(dir)
	if err != nil {
		return r.withPath(err)
	}
	entries, err := d.ReadDir(-1)
	if err := cmp.Or(err, d.Close()); err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), tempSuffix) {
			if err := r.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return r.withPath(err)
			}
		}
	}
	return nil
}
