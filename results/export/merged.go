package export

import (
	"io"
	"path/filepath"

	"nb201/results/benchmark"
)

func lastDigits(md5 string, n int) string { return md5[len(md5)-n:] }

// items writes a part of a merged file: encoded items of its dict arch2infos.
type items struct {
	*file
	write func(w io.Writer, a *benchmark.Architecture) error
}

const itemsName = "items"

func newItems(dir string, write func(io.Writer, *benchmark.Architecture) error) (partWriter, error) {
	f, err := createFile(filepath.Join(dir, itemsName))
	return items{f, write}, err
}

func (w items) add(a *benchmark.Architecture) error { return w.write(w.file, a) }

func (w items) close() error { return w.Close() }

// copyItems copies the items of all parts to w.
func copyItems(w io.Writer, x *whole) error {
	for _, p := range x.parts {
		if err := copyFile(w, filepath.Join(p.dir, itemsName)); err != nil {
			return err
		}
	}
	return nil
}
