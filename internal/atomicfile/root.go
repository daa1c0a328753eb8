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

// Root is an open directory whose content may be somebody else's, such as an unpacked
// archive. What its methods make or remove lies below it: they follow no symbolic link
// on the way to a name, which is relative to the directory.
type Root struct{ *os.Root }

// LinkError reports a symbolic link where a directory is needed to write or remove files.
type LinkError struct{ Path string }

func (e *LinkError) Error() string {
	return fmt.Sprintf("%s is a symbolic link, and nothing is written or removed through one: put a directory in its place, on which another disk may be mounted", e.Path)
}

// OpenRoot opens a directory, or where a link at dir leads.
func OpenRoot(dir string) (Root, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() { // OpenRoot would wait at a named pipe
		return Root{}, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	r, err := os.OpenRoot(dir)
	return Root{r}, err
}

// path is where a name is, for errors.
func (r Root) path(name string) string { return filepath.Join(r.Name(), name) }

// CheckLinks returns a *LinkError if a directory on the way to name is a symbolic link.
func (r Root) CheckLinks(name string) error {
	if above := filepath.Dir(name); above != "." && above != string(filepath.Separator) {
		return r.CheckLink(above)
	}
	return nil
}

// CheckLink returns a *LinkError if name, or a directory on the way to it, is a symbolic
// link.
func (r Root) CheckLink(name string) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	if info, err := r.Lstat(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return &LinkError{r.path(name)}
	}
	return nil
}

// Create makes the new file name with what write writes. When it is there already, then
// or at the end, it stays as it is and the error is fs.ErrExist.
func (r Root) Create(name string, write func(io.Writer) error) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	if _, err := r.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: r.path(name), Err: fs.ErrExist}
	}
	return r.publish(name, r.place, write)
}

// Replace makes the file name with what write writes, in place of any that is there.
func (r Root) Replace(name string, write func(io.Writer) error) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	return r.publish(name, r.Rename, write)
}

func (r Root) publish(name string, place func(temp, name string) error, write func(io.Writer) error) (err error) {
	temp := tempName(name)
	f, err := r.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return r.located(err)
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
	if err := place(temp, name); err != nil {
		return r.located(err)
	}
	return r.sync(filepath.Dir(name))
}

// place gives temp its name, unless there is a file of that name.
func (r Root) place(temp, name string) error {
	r.observe(temp, name)
	err := r.Link(temp, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without hard links.
	if _, err := r.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return r.Root.Rename(temp, name)
}

// located makes the paths of an error of the system those below the working directory.
func (r Root) located(err error) error {
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
		return r.located(err)
	}
	return syncAndClose(d)
}

// openDir opens a directory; it does not wait at a named pipe in its place.
func (r Root) openDir(name string) (*os.File, error) {
	return r.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}

// MkdirAll makes the directory name and those above it, and syncs them to disk.
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
		return r.located(err)
	}
}

// CheckCreate returns an error if the file name cannot be made: of a link on the way to
// it, or of the nearest directory above it that is there. It leaves nothing behind.
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

// probe makes a file beside name and removes it.
func (r Root) probe(name string) error {
	temp := tempName(name)
	f, err := r.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return r.located(err)
	}
	return cmp.Or(f.Close(), r.Remove(temp))
}

// RemoveTemps removes the temporaries of name that killed processes left. No other
// process may be making it.
func (r Root) RemoveTemps(name string) error {
	if err := r.CheckLinks(name); err != nil {
		return err
	}
	dir, prefix := filepath.Dir(name), filepath.Base(tempPrefix(name))
	d, err := r.openDir(dir)
	if err != nil {
		return r.located(err)
	}
	entries, err := d.ReadDir(-1)
	if err := cmp.Or(err, d.Close()); err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), tempSuffix) {
			if err := r.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return r.located(err)
			}
		}
	}
	return nil
}
