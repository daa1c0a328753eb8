// Package infile opens the files that the program reads. Anyone may have made them: a named
// pipe would block for ever, and a device has no end. So it opens only regular files, and
// limits the size of files that are read whole.
package infile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxText limits, in bytes, a file of JSON or other text. A record of ten thousand epochs and
// a plan of all trials in the benchmark are far smaller.
const MaxText = 64 << 20

// ErrNotRegular reports a file that is not a regular file. The errors of [Open] wrap it.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge reports a file larger than the limit. The errors of [Read] wrap it.
var ErrTooLarge = errors.New("too large")

// Open opens the regular file at path, following symbolic links. It never waits for a
// writer. Errors are *fs.PathError.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%w: it is %s", ErrNotRegular, kind(info.Mode()))}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
}

// Read reads the regular file at path, which may have at most limit bytes. Errors are
// *fs.PathError.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, tooLarge(path, limit)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1)) // the file may grow while it is read
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, tooLarge(path, limit)
	}
	return text, nil
}

func tooLarge(path string, limit int64) error {
	return &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, limit)}
}
