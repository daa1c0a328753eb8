// Package export makes files of the published formats from a benchmark: from the
// trials of a campaign that are done, or from a file of another format.
//
// A format either has two slots for schedules, less and full, which the Python clients
// call '12' and '200', or it takes every schedule under its own name. What the clients
// want of a file and the source lacks is left out and told of in the Report.
//
// An export is made in parts, a part for some architectures, by as many workers as
// there are cores. Parts lie in a folder PATH.partial beside the export until it is
// whole, so that an export that was stopped or killed goes on where it was; a part is
// named after what went into it and never used for anything else. In memory there is
// one architecture for each worker.
package export

import (
	"cmp"
	"context"
	"os"
	"path/filepath"

	"nb201/internal/atomicfile"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// Run makes an export of a benchmark. It is made whole or not at all; when ctx ends, or
// on an error once parts are done, the error is a *Partial and what is done is kept for
// the next Run with the same options. What is wrong with the options or the source, and
// a full disk, is a usage error.
func Run(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	return allWriters().run(ctx, b, o)
}

func (all writers) run(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	o.Times = cmp.Or(o.Times, Measured)
	w, err := all.check(&o, b)
	if err != nil {
		return nil, err
	}
	o.To = filepath.Clean(o.To)
	given, err := newLatencies(o.Latencies)
	if err != nil {
		return nil, err
	}
	e := &exporter{benchmark: b, options: o, writer: w, latencies: given}
	e.layout = w.layout(&e.options)
	if info, err := os.Stat(o.To); err == nil && info.IsDir() && e.layout.name != nil {
		e.into = true
		e.partial = filepath.Join(o.To, "."+string(o.Format)+".partial")
	} else {
		if _, err := os.Lstat(o.To); err == nil {
			return nil, isThere(o.To)
		}
		e.partial = o.To + ".partial"
	}
	if dir := filepath.Dir(e.partial); !isDir(dir) {
		return nil, usage.Errorf("cannot export to %s: there is no directory %s", o.To, dir)
	}
	if err := atomicfile.CheckCreate(e.partial); err != nil {
		return nil, usage.Errorf("cannot export to %s: %w", o.To, err)
	}
	return e.run(ctx)
}
