package download

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
)

// maxUnpacked limits the bytes that an archive unpacks to. CIFAR's unpack to 190 MB.
const maxUnpacked = 256 << 20

// unpack writes the files in the archive to dir.
func (j *job) unpack(ctx context.Context, file *os.File, dir string) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	archive := &reader{ctx: ctx, r: file, report: func(done int64) { j.report("unpacking "+j.Name, done, j.Size) }}
	return unpack(bufio.NewReaderSize(archive, 1<<20), j.Directory, dir, maxUnpacked)
}

// reader stops reading when its context is done, and reports how much was read.
type reader struct {
	ctx    context.Context
	r      io.Reader
	done   int64
	report func(done int64)
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.done += int64(n)
	r.report(r.done)
	return n, err
}

// unpack writes the files in the directory top of a gzipped tar file to dir. Although the
// checksums were checked before, it refuses names that lead elsewhere, anything but files
// and directories, and more than limit bytes.
func unpack(archive io.Reader, top, dir string, limit int64) error {
	text, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := limit
	entries := tar.NewReader(text)
	for {
		entry, err := entries.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		const header = 512
		if left -= header + entry.Size; left < 0 {
			return fmt.Errorf("it unpacks to more than %s", humanize.IBytes(uint64(limit)))
		}
		if err := unpackEntry(root, top, entry, entries); err != nil {
			return err
		}
	}
	// Read to the end, where gzip has its checksum.
	if n, err := io.Copy(io.Discard, io.LimitReader(text, left+1)); err != nil {
		return err
	} else if n > left {
		return fmt.Errorf("it unpacks to more than %s", humanize.IBytes(uint64(limit)))
	}
	return nil
}

// unpackEntry writes a file or makes a directory in root.
func unpackEntry(root *os.Root, top string, entry *tar.Header, content io.Reader) error {
	name, inside := strings.CutPrefix(path.Clean(entry.Name)+"/", top+"/")
	if !filepath.IsLocal(filepath.FromSlash(entry.Name)) || !inside {
		return fmt.Errorf("%q is outside the directory %s", entry.Name, top)
	}
	name = path.Clean(name)
	switch entry.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o777)
	case tar.TypeReg:
	default:
		return fmt.Errorf("%q is neither a file nor a directory", entry.Name)
	}
	if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	// The files must be on disk before the directory gets its name.
	return errors.Join(err, file.Sync(), file.Close())
}
