// Package report makes a page on which people look at a benchmark: learning curves, accuracy
// against cost, operations, rank correlations, how the campaign is doing, and how far another
// benchmark is apart. The page is one file that needs no network.
//
// [New] takes a summary of a benchmark, computes ranks (ranks.go), and packs the numbers
// (compose.go, pack.go) in as much detail as a page of 10 MB has room for. [Report.WriteHTML]
// writes the page (page.go). The page itself is in the folder page; it draws with Apache ECharts.
//
// The same page can live: a server serves [LiveFiles], what [Report.WriteData] writes, and the state
// of a campaign as server-sent events (live.go).
package report

import (
	"context"

	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/compare"
	"nb201/results/summary"
)

// Report is a page about a benchmark.
type Report struct {
	content content
	columns [blocks][]byte // see packer.text
}

// Options configures a report.
type Options struct {
	Program string          // name and version of the program, for the page
	Against *compare.Report // comparison with another benchmark; nil: none
	// Campaign is a document that says how far the campaign is, as JSON the one that nb201 status
	// --json prints. It is nil for published files.
	Campaign any
	Reading  benchmark.Progress // receives the number of architectures read
}

// Make reads all trials of a benchmark for a report. Damaged trials are left out and listed on
// the page; see [Report.Damaged]. Without Campaign, a benchmark without a trial is a usage error.
func Make(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	s, err := summary.Read(ctx, b, o.Reading)
	if err != nil {
		return nil, err
	}
	if len(s.Groups) == 0 && o.Campaign == nil {
		return nil, usage.Errorf("%s has no finished trial to report%s; train one first", b.Path, unread(s.Damaged))
	}
	return New(s, b, o)
}

// New makes a report of the trials in a summary of a benchmark, of which it reads nothing. There may
// be none.
func New(s *summary.Summary, b *benchmark.Benchmark, o Options) (*Report, error) {
	return newReport(s, b, o, maxPage)
}

// newReport makes a report whose page takes at most room bytes if it can.
func newReport(s *summary.Summary, b *benchmark.Benchmark, o Options, room int) (*Report, error) {
	r := &Report{}
	r.content = content{
		Program:  o.Program,
		Source:   source{Path: b.Path, Format: string(b.Format), Architectures: len(s.Archs)},
		Space:    b.Space.Parts(),
		Campaign: o.Campaign,
	}
	r.content.Health = newCensus(s).health()
	r.content.Health.Damaged = append(r.content.Health.Damaged, s.Damaged...)
	r.content.addRanks(s.Groups)
	p := &composer{content: &r.content, packer: new(packer), summary: s, room: room}
	if len(s.Archs) > 0 {
		p = newComposer(&r.content, b.Space, s, room)
		if o.Against != nil {
			p.addAgainst(o.Against)
		}
	}
	var err error
	r.columns, err = p.addCurves()
	return r, err
}

// unread says in an error that some trials could not be read.
func unread(damaged []string) string {
	if len(damaged) == 0 {
		return ""
	}
	return " (" + damaged[0] + ")"
}

// Architectures returns the number of architectures on the page.
func (r *Report) Architectures() int { return r.content.Source.Architectures }

// Trials returns the number of trials on the page.
func (r *Report) Trials() int { return r.content.Source.Trials }

// Damaged lists what was damaged and is left out of the page.
func (r *Report) Damaged() []string { return r.content.Health.Damaged }
