// Package results keeps what trials leave.
//
// A trial (Trial) is one training run: an architecture, a dataset key, a schedule and a
// seed. The dataset key names what it is trained and evaluated on: cifar10-valid, cifar10,
// cifar100, ImageNet16-120, or a user's own. The schedule is the training recipe, named by
// its epochs. A record (Record) is what a trial leaves: curves (Curve) per epoch, costs,
// times and all that the run depended on. Its weights are the trained state dict. A
// campaign (Campaign) is a directory of records and weights of one experiment: its trials
// agree in their Settings. A LatencyTable holds latencies measured apart from any trial.
//
// Losses are mean cross entropies, accuracies percent from 0 to 100, times seconds, FLOPs
// (multiply-adds of one image) and parameters millions. Questions across trials are for
// package benchmark, files of published formats for package published.
package results
