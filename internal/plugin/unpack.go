package plugin

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// unpack writes the files in a wheel below dir. Although the wheel's hash has been checked, unpack
// refuses names outside dir, links, and more bytes than w.Unpacked.
func unpack(ctx context.Context, wheel io.ReaderAt, w Wheel, dir string) error {
	archive, err := zip.NewReader(wheel, w.Size)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := w.Unpacked
	for _, entry := range archive.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !filepath.IsLocal(filepath.FromSlash(entry.Name)) {
			return fmt.Errorf("the file name %q is outside the directory", entry.Name)
		}
		if entry.Mode().IsDir() {
			if err := root.MkdirAll(path.Clean(entry.Name), 0o777); err != nil {
				return err
			}
			continue
		}
		if !entry.Mode().IsRegular() {
			return fmt.Errorf("%q is neither a file nor a directory", entry.Name)
		}
		n, err := unpackFile(root, entry, left)
		if err != nil {
			return fmt.Errorf("%s: %w", entry.Name, err)
		}
		left -= n
	}
	return nil
}

// unpackFile writes one file of at most limit bytes and returns its size.
func unpackFile(root *os.Root, entry *zip.File, limit int64) (n int64, err error) {
	if entry.UncompressedSize64 > uint64(limit) {
		return 0, errors.New("the wheel unpacks to more bytes than are pinned")
	}
	if err := root.MkdirAll(path.Dir(entry.Name), 0o777); err != nil {
		return 0, err
	}
	// Like pip, keep only whether the file is executable; the umask decides the rest.
	perm := fs.FileMode(0o666)
	if entry.Mode()&0o111 != 0 {
		perm = 0o777
	}
	content, err := entry.Open()
	if err != nil {
		return 0, err
	}
	defer content.Close()
	file, err := root.OpenFile(entry.Name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return 0, err
	}
	// The reader returns an error if there is more than entry.UncompressedSize64.
	n, err = io.Copy(file, content)
	return n, errors.Join(err, file.Close())
}
