// Package benchmark queries a benchmark: a campaign, or published files in any format.
//
// The nouns are those of the Python packages nas-bench-201 and nats-bench, whose calls have
// counterparts here. A [Benchmark] reads one [Architecture] at a time from its [Source]. An
// Architecture has an [ArchResults] for each schedule, which holds a [ResultsCount] for each
// trial. A trial has [Measures] of its training and of each evaluation set (ori-test, x-valid,
// x-test): one [Series] of values by epoch for each measure. Schedules go by their names in
// the files, such as "12" and "200", called hp as in the clients. Epochs count from 0.
//
// Open a benchmark with package published. Then start with [Benchmark.QueryMetaInfoByIndex]
// for one architecture and [Benchmark.FindBest] for a search. Use [Pick] to choose among
// seeds.
//
// The error for something that a benchmark does not hold is [ErrNotHeld]; if that is a trial, it
// is [ErrNoTrial] as well. The error for a damaged file is [results.ErrDamaged]. Losses are mean
// cross entropies, accuracies percent, times seconds, FLOPs and parameters millions.
package benchmark
