// Package results keeps what trials leave, and answers for it and for benchmarks in
// every published format.
//
// A trial (Trial) is one training run: an architecture, a dataset key, a schedule
// and a seed. The dataset key names what it is trained and evaluated on:
// cifar10-valid, cifar10, cifar100, ImageNet16-120, or a user's own. An evaluation
// set is one of the sets of images that it is evaluated on: ori-test, x-valid,
// x-test. The schedule is the training recipe, named by its epochs: 12 or 200 in
// the benchmark.
//
// A record (Record) is what a trial leaves: curves per epoch, costs, times and all
// that the run depended on. Its weights are the trained state dict. A campaign
// (Campaign) is a directory of records and weights, of one experiment: its trials agree
// in their Settings. A trial is done exactly when its record is there and can be read.
//
// A benchmark (Benchmark) is a campaign or what somebody published: Open takes any of
// the formats (Format). It is read an architecture at a time; what it tells of a trial
// is a ResultsCount, and of all trials of an architecture along one schedule an
// ArchResults, as in the Python packages nas-bench-201 and nats-bench, whose calls have
// their counterparts here. Files of the published formats are written by package
// export.
//
// Losses are mean cross entropies, accuracies percent from 0 to 100, times seconds,
// FLOPs (multiply-adds of one image) and parameters millions.
package results
