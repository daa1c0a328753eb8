package export

import (
	"fmt"
	"io"
	"path/filepath"

	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/results"
)

// newLayout is that of the format of the options.
func (e *exporter) newLayout() layout {
	o := &e.options
	constant := o.Times == Published
	switch o.Format {
	case results.Runs:
		return layout{begin: func(dir string) (partWriter, error) { return runs{dir, encoding{torchWeights, constant}}, nil }, fill: fillRuns}
	case results.Archive:
		return layout{begin: func(dir string) (partWriter, error) { return archive{dir, constant}, nil }, fill: moveParts}
	case results.NASBench201:
		return layout{
			begin: func(dir string) (partWriter, error) {
				return newItems(dir, func(w io.Writer, a *results.Architecture) error {
					value, err := encoding{constant: constant}.slots(a)
					if err != nil {
						return err
					}
					return pickle.NewEncoder(w).EncodeItem(a.Index, value)
				})
			},
			file: writeNASBench201,
			name: func(md5 string) string { return "NAS-Bench-201-" + lastDigits(md5, 6) + ".pth" },
		}
	case results.NATS:
		return o.natsLayout()
	case results.Parquet:
		return layout{begin: newParquetPart, fill: fillParquet}
	default:
		return layout{begin: func(dir string) (partWriter, error) { return newCSVPart(dir, o.RawCells) }, fill: fillCSV}
	}
}

func lastDigits(md5 string, n int) string { return md5[len(md5)-n:] }

// slots is the value of an architecture in Archive and NASBench201 files: an
// ArchResults.state_dict for each slot. The client cannot load a file in which one is
// missing, so a slot without trials is an ArchResults without results.
func (c encoding) slots(a *results.Architecture) (pickle.Dict, error) {
	less, err := c.archResults(a.Index, a.Genotype, a.Schedules[0])
	if err != nil {
		return nil, err
	}
	full, err := c.archResults(a.Index, a.Genotype, a.Schedules[1])
	return pickle.Dict{{Key: "full", Value: full}, {Key: "less", Value: less}}, err
}

// archive writes the files of exps/NAS-Bench-201/statistics.py (simplify).
type archive struct {
	dir      string
	constant bool
}

func (w archive) add(a *results.Architecture) error {
	for _, kind := range []struct {
		name string
		encoding
	}{{"FULL", encoding{torchWeights, w.constant}}, {"SIMPLE", encoding{constant: w.constant}}} {
		value, err := kind.slots(a)
		if err != nil {
			return err
		}
		path := filepath.Join(w.dir, fmt.Sprintf("%06d-%s.pth", a.Index, kind.name))
		if err := writeFile(path, func(w io.Writer) error { return torchfile.Write(w, value) }); err != nil {
			return err
		}
	}
	return nil
}

func (archive) close() error { return nil }

// items is the part of a merged file: items of its dict arch2infos, encoded.
type items struct {
	*file
	write func(w io.Writer, a *results.Architecture) error
}

const itemsName = "items"

func newItems(dir string, write func(io.Writer, *results.Architecture) error) (partWriter, error) {
	f, err := createFile(filepath.Join(dir, itemsName))
	return items{f, write}, err
}

func (w items) add(a *results.Architecture) error { return w.write(w.file, a) }

func (w items) close() error { return w.Close() }

// copyItems writes the items of all parts.
func copyItems(w io.Writer, x *whole) error {
	for _, p := range x.parts {
		if err := copyFile(w, filepath.Join(p.dir, itemsName)); err != nil {
			return err
		}
	}
	return nil
}

// writeNASBench201 writes what NASBench201API reads (nas_201_api/api_201.py, __init__).
func writeNASBench201(w io.Writer, x *whole) error {
	return torchfile.Write(w, pickle.Dict{
		{Key: "meta_archs", Value: metaArchs(x.listed)},
		{Key: "total_archs", Value: x.listed},
		{Key: "arch2infos", Value: pickle.RawDict(func(w io.Writer) error { return copyItems(w, x) })},
		{Key: "evaluated_indexes", Value: pickle.List(x.archs())},
	})
}
