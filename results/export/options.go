package export

import (
	"nb201/results"
	"nb201/results/benchmark"
)

// Times selects the times that an export contains.
type Times string

const (
	// Measured selects the times in the source.
	Measured Times = "measured"
	// Published selects times computed by the rule of the published files; see timesRule.
	Published Times = "published"
)

// AllTimes lists the valid values of [Times].
func AllTimes() []Times { return []Times{Measured, Published} }

// Listing selects the architectures that a file of format NASBench201 or NATS lists, the clients' meta_archs
// and total_archs.
type Listing string

const (
	// ListFirst lists the exported architectures if they are the first ones in the official order, else the
	// whole search space.
	ListFirst Listing = "first"
	// ListAll lists the whole search space, as the published files do.
	ListAll Listing = "all"
	// ListHeld lists the architectures up to the last exported one.
	ListHeld Listing = "held"
)

// AllListings lists the valid values of [Listing].
func AllListings() []Listing { return []Listing{ListFirst, ListAll, ListHeld} }

// Options configures an export.
type Options struct {
	Format benchmark.Format
	// Archs lists the architectures to export, by their indices; nil means all that the source holds. Run
	// refuses one that the source does not hold.
	Archs []int
	// To is the file or directory to create. An existing file is never touched. In an
	// existing directory, NASBench201 and NATS create their file or directory under a name like
	// the published one, with the last digits of an MD5: NAS-Bench-201-HHHHHH.pth,
	// NATS-tss-v1_0-HHHHH.pickle.pbz2, or NATS-tss-v1_0-HHHHH-simple (or -full), with sss for tss
	// in the size search space. A directory of NATS has the MD5 of the merged file without
	// weights, so the three kinds of one benchmark share their digits, as in
	// exps/NATS-Bench/tss-collect.py; for this, every architecture is compressed twice.
	//
	// A To that ends in .pickle makes NASBench201 and the merged NATS a pickle that is neither
	// compressed nor in a torch checkpoint.
	To string
	// AsPublished gives NASBench201, Archive and NATS in the existing directory To the very name
	// of the published file or directory, which the clients open without a path if To is
	// $TORCH_HOME: see [published.DefaultPath].
	AsPublished bool
	// Merged makes NATS one file instead of a directory, as does a To that ends in
	// .pickle.pbz2 or .pickle.
	Merged bool
	// Less and Full name the schedules for the slots; "" means 12 and 200, or 12 and 90 in the
	// size search space. When either is given, NATS has the slots '12' and '200' (or '90');
	// otherwise it takes every schedule under its own name, as the Parquet and CSV tables do. So
	// do Runs in the size search space. NASLib has one schedule, that of Full.
	Less, Full string
	// Weights includes the trained weights in NATS, but for those of schedule 01 of the size search
	// space. Runs and Archive always include them.
	Weights bool
	Times   Times   // "" means Measured
	Seed    *uint32 // of the trials in NASLib's files; nil means 777
	Listed  Listing // "" means ListFirst; the others only for the formats that list architectures
	// Mixed allows trials that share a dataset key and a schedule to differ in their
	// settings. Without it, Run refuses them.
	Mixed bool
	// RawCells writes text to CSV unchanged. Without it, text that a spreadsheet would
	// take for a formula is prefixed with an apostrophe.
	RawCells bool
	// Latencies replace those that the trials of their architectures and datasets measured
	// themselves, perhaps while other trials kept the device busy.
	Latencies []*results.LatencyTable
	// Progress, if not nil, is called after every architecture with the number of
	// architectures exported and in the source. Calls do not overlap.
	Progress func(done, total int)
}
