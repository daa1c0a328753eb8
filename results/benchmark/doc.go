// Package benchmark answers questions about the trials of a benchmark: a campaign or what
// somebody published, in any format.
//
// A Benchmark is read from its Source an architecture at a time (Architecture). What it
// holds of one trial is a ResultsCount, and of all trials of an architecture along one
// schedule an ArchResults, as in the Python packages nas-bench-201 and nats-bench, whose
// calls have their counterparts here. An evaluation set is one of the sets of images that
// a trial is evaluated on: ori-test, x-valid, x-test. Its Measures are a Series of values
// by epoch for each measure.
//
// What a benchmark does not hold is ErrNotHeld; a file that cannot be read is
// results.ErrDamaged. Package published opens benchmarks.
package benchmark
