// Package data turns image files into the batches that the original's loaders deliver:
// the same images, in the same order, with the same flips and crops.
//
// A [Definition] describes a dataset: where its files are, in which format, and how
// training and evaluation read them. The files hold two stored splits, "train" and "test".
// A [Split] is what a loader reads: all or some images of a stored split, in an order. The
// training set is one split, and each evaluation set (ori-test, x-valid, x-test) another.
//
// [Definition.Load] reads a dataset; [Find] and [Published] return definitions. To follow
// an image: Load decodes the files into [Images], uint8 [N, H, W, C] with 3 channels, which
// package train/device uploads. [Dataset.TrainEpoch] draws the order of an epoch and a
// [Crop] for every sample from the trial's random [Streams]. The device then cuts the crops
// of a batch and replaces each byte by its value in [Dataset.Normal]. datatest.Fill does
// that last step on the CPU, as the reference for tests.
package data
