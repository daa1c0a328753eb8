package export

import (
	"io"
	"path/filepath"
	"strings"

	"nb201/internal/pickle"
	"nb201/results/benchmark"
)

// plainExtension ends the name of a merged file that is a plain pickle: neither compressed nor in a torch
// checkpoint. Such a file can be read in place, by any program that unpickles.
const plainExtension = ".pickle"

func isPlain(o *Options) bool { return strings.HasSuffix(o.To, plainExtension) }

func lastDigits(md5 string, n int) string { return md5[len(md5)-n:] }

// mergedDict returns the dict in a merged file, whose encoded items of arch2infos copyItems writes.
func mergedDict(x *whole, copyItems func(io.Writer) error, evaluated any) pickle.Dict {
	return pickle.Dict{
		{Key: "meta_archs", Value: metaArchs(x.space, x.listed)},
		{Key: "total_archs", Value: x.listed},
		{Key: "arch2infos", Value: pickle.RawDict(copyItems)},
		{Key: "evaluated_indexes", Value: evaluated},
	}
}

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
