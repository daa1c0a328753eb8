package export

import (
	"nb201/results"
	"nb201/results/benchmark"
)

// Times says which times an export tells.
type Times string

const (
	// Measured are the times that the source holds.
	Measured Times = "measured"
	// Published are times by the rule of the published files; see rule.
	Published Times = "published"
)

// AllTimes lists the kinds of times.
func AllTimes() []Times { return []Times{Measured, Published} }

// Options of an export.
type Options struct {
	Format benchmark.Format
	// To is the file or directory to make. What stands there already is never touched,
	// but into a directory that stands there NASBench201 and NATS put their file, or
	// directory, under the name of the published ones with the last digits of its own
	// MD5: NAS-Bench-201-HHHHHH.pth, NATS-tss-v1_0-HHHHH.pickle.pbz2 and
	// NATS-tss-v1_0-HHHHH-simple (or -full), the MD5 of a directory being that of its
	// files one after the other, in order of their names.
	To string
	// Merged makes one file of NATS in place of a directory, as a name To that ends in
	// .pickle.pbz2 does too.
	Merged bool
	// Less and Full name the schedules that fill the slots. 0 means 12 and 200. NATS has
	// slots, '12' and '200', when one of them is given, else it takes every schedule
	// under its own name, like the tables of Parquet and CSV.
	Less, Full int
	// Weights keeps the trained weights in NATS. Runs and Archive always hold them.
	Weights bool
	Times   Times // "" means Measured
	// Mixed puts trials on one dataset key and along one schedule together though they
	// differ in their settings, which is refused else.
	Mixed bool
	// RawCells leaves text in CSV as it is. Without it, text that a spreadsheet would take
	// for a formula gets an apostrophe in front.
	RawCells bool
	// Latencies take the place of what the trials of their architectures and datasets
	// have measured themselves, perhaps beside others on a busy device.
	Latencies []*results.LatencyTable
	// Progress, if any, is told after every architecture how many of the source's are
	// done. Only one call is made at a time.
	Progress func(done, total int)
}
