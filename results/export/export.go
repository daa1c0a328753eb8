// Package export writes a benchmark in the published formats: from the finished trials of
// a campaign, or from published files in another format.
//
// A format either has two slots for schedules, less and full, which the Python clients
// call '12' and '200', or takes every schedule under its own name; NASLib takes one. What differs between the
// search spaces is in original.go. Whatever the clients
// expect and the source lacks is left out and listed in the [Report].
//
// An export is made in parts of a few architectures each, by one goroutine per core; each
// goroutine holds one architecture in memory. The parts are kept in a directory
// PATH.partial beside the export until it is complete, so that an interrupted export
// resumes. A part's name is a hash of everything that goes into it, so a part is reused
// only for the same input.
//
// Start at [Run]. A format is a writer (writer.go), defined in the file named after the
// format and listed in writers.go.
package export

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/internal/atomicfile"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// Run exports a benchmark. The export appears complete or not at all. When ctx ends, or
// on an error once parts are finished, the error is a [*Partial] and the finished parts
// are kept for the next Run with the same options. Invalid options, a source that cannot
// be exported and a full disk are usage errors.
func Run(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	return allWriters().run(ctx, b, o)
}

func (all writers) run(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	o.Times, o.Listed = cmp.Or(o.Times, Measured), cmp.Or(o.Listed, ListFirst)
	w, err := all.check(&o, b)
	if err != nil {
		return nil, err
	}
	archs, err := chooseArchs(b, o.Archs)
	if err != nil {
		return nil, err
	}
	asked := o.To
	o.To = filepath.Clean(o.To)
	measured, err := joinLatencies(o.Latencies, b.Space)
	if err != nil {
		return nil, err
	}
	e := &exporter{benchmark: b, options: o, archs: archs, writer: w, original: originalOf(b.Space), latencies: measured}
	e.layout = w.layout(&e.options, b.Space)
	switch info, err := os.Stat(o.To); {
	case err == nil && info.IsDir() && (o.AsPublished || e.layout.name != nil):
		e.into = true
		e.partial = filepath.Join(o.To, "."+string(o.Format)+".partial")
		if path := filepath.Join(o.To, e.layout.published); o.AsPublished && exists(path) {
			return nil, existsError(path)
		}
	case o.AsPublished:
		return nil, usage.Errorf("cannot export to %s under a published name: it is not an existing directory; name the directory that the clients get as TORCH_HOME", o.To)
	default:
		if exists(o.To) {
			return nil, existsError(o.To)
		}
		// "exports/" means a directory to write into; a format with published names would become a
		// file or directory of that name.
		if (e.layout.file != nil || e.layout.name != nil) && strings.HasSuffix(asked, string(filepath.Separator)) {
			return nil, usage.Errorf("cannot export to %s: it does not exist; create the directory first", asked)
		}
		e.partial = o.To + ".partial"
	}
	if dir := filepath.Dir(e.partial); !isDir(dir) {
		return nil, usage.Errorf("cannot export to %s: no directory %s; create it first", o.To, dir)
	}
	if err := atomicfile.CheckCreate(e.partial); err != nil {
		return nil, usage.Errorf("cannot export to %s: %w", o.To, err)
	}
	return e.run(ctx)
}

// chooseArchs returns the indices of the architectures to export, ascending: those of the source, or those
// asked for. One that the source does not hold is a usage error.
func chooseArchs(b *benchmark.Benchmark, asked []int) ([]int, error) {
	if asked == nil {
		return b.Evaluated(), nil
	}
	asked = slices.Compact(slices.Sorted(slices.Values(asked)))
	var missing []int
	for _, index := range asked {
		if _, held := slices.BinarySearch(b.Evaluated(), index); !held {
			missing = append(missing, index)
		}
	}
	switch {
	case len(asked) == 0:
		return nil, usage.Errorf("the list of architectures to export is empty; name at least one")
	case len(missing) > 0:
		more := ""
		if n := len(missing) - 1; n > 0 {
			more = fmt.Sprintf(" and %d more of those asked for", n)
		}
		return nil, usage.Errorf("%s does not hold architecture %d%s; name only architectures that it holds", b.Path, missing[0], more)
	}
	return asked, nil
}
