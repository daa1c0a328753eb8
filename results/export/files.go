package export

import (
	"bufio"
	"errors"
	"io"
	"os"

	"nb201/internal/infile"
)

func copyFile(w io.Writer, path string) error {
	f, err := infile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// writeFile creates a file with the content that write writes, and syncs it to disk. An
// existing file is an error.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := createFile(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// file is a new file with a write buffer.
type file struct {
	*bufio.Writer
	file *os.File
}

func createFile(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &file{bufio.NewWriterSize(f, 1<<16), f}, nil
}

// Close flushes the buffer, syncs the file to disk and closes it.
func (f *file) Close() error {
	return errors.Join(f.Flush(), f.file.Sync(), f.file.Close())
}
