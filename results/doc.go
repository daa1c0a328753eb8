// Package results reads and writes the records and weights of trials.
//
// A [Trial] is one training run: an architecture, a dataset key, a schedule and a seed. The
// dataset key names the images: cifar10-valid, cifar10, cifar100, ImageNet16-120, or a user's
// own key. The schedule is the training recipe, named by its number of epochs. A [Record] is
// the JSON file of a finished trial, with curves per epoch ([Curve]), costs, times and
// everything the trial depended on; its weights are the trained state dict. A [Campaign] is a
// directory of records and weights from one experiment: its trials agree in their [Settings].
// A [LatencyTable] holds latencies measured outside any trial.
//
// Start with [Campaign.Records], or [ReadRecord] for a single file. The error for a damaged file
// is [ErrDamaged], and for a missing one [io/fs.ErrNotExist].
//
// Losses are mean cross entropies, accuracies are percent from 0 to 100, times are seconds,
// and FLOPs (multiply-adds for one image) and parameters are millions. Package benchmark
// answers questions about many trials; package published opens files in published formats.
package results
