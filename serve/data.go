package serve

import (
	"bytes"
	"context"
	"sync"

	"nb201/cell"
	"nb201/results/benchmark"
	"nb201/results/report"
	"nb201/results/summary"
)

// data holds what is known of the finished trials at a time. What it is made of does not change.
type data struct {
	version string
	space   cell.Space
	summary *summary.Summary
	page    []byte             // what the page's script reads: see [report.Report.WriteData]
	tables  []*groupTable      // of each group
	counts  func() map[int]int // of trials by architecture
	answers answers
}

// newData returns the data of a summary of architectures of a space. What not every request needs is computed when one asks for it.
func newData(space cell.Space, s *summary.Summary, page []byte) *data {
	d := &data{version: version(page), space: space, summary: s, page: page, counts: sync.OnceValue(func() map[int]int { return trialCounts(s) })}
	for _, g := range s.Groups {
		d.tables = append(d.tables, &groupTable{rows: sync.OnceValue(func() []*row { return newRows(g) })})
	}
	return d
}

// trialCounts returns the numbers of trials by architecture.
func trialCounts(s *summary.Summary) map[int]int {
	counts := map[int]int{}
	for _, g := range s.Groups {
		for i := range g.Trials {
			counts[g.Trials[i].Arch]++
		}
	}
	return counts
}

// builder makes data from a source, again when it has changed.
type builder struct {
	source  *source
	summary *summary.Summary // nil: nothing has been read
	changed []int            // architectures that have changed since
	stale   bool
}

func newBuilder(src *source) *builder { return &builder{source: src, stale: true} }

// isStale reports whether build would make other data than before.
func (b *builder) isStale() bool { return b.stale }

// look finds out whether the source has changed. The error says why it cannot be read.
func (b *builder) look(ctx context.Context) error {
	found, err := b.source.follow(ctx)
	if found.all {
		b.summary = nil
	}
	b.changed = append(b.changed, found.archs...)
	b.stale = b.stale || found.all || len(found.archs) > 0
	return err
}

// build reads what has changed and makes the data.
func (b *builder) build(ctx context.Context, program string, progress benchmark.Progress) (*data, error) {
	var d *data
	err := b.source.read(func(source *benchmark.Benchmark) error {
		var read *summary.Summary
		var err error
		if b.summary == nil {
			read, err = summary.Read(ctx, source, progress)
		} else {
			read, err = b.summary.Update(ctx, source, b.changed, progress)
		}
		if err == nil {
			err = b.source.check()
		}
		if err != nil {
			return err
		}
		r, err := report.New(read, source, report.Options{Program: program})
		if err != nil {
			return err
		}
		var page bytes.Buffer
		if err := r.WriteData(&page); err != nil {
			return err
		}
		d = newData(source.Space, read, page.Bytes())
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.summary, b.changed, b.stale = d.summary, nil, false
	return d, nil
}
