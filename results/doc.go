// Package results keeps what trials leave, and writes it in the published formats.
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
// (Campaign) is a directory of records and weights; a trial is done exactly when its
// record stands there. An export (Export) is a file, or a directory of files, of a
// published format made from a campaign: what the Python packages nas-bench-201 and
// nats-bench open.
//
// Losses are mean cross entropies, accuracies percent from 0 to 100, times seconds,
// FLOPs (multiply-adds of one image) and parameters millions.
package results
