// Package data turns image files into the batches that the original's loaders
// deliver: the same images, in the same order, with the same flips and crops.
//
// A dataset definition (Definition) says where the images of a dataset key are,
// in which format, and how training and evaluation read them. A stored split,
// "train" or "test", is what the files hold; a split (Split) is what a loader
// reads: a stored split or some of its images, in an order. The
// training set is one split, every evaluation set (ori-test, x-valid, x-test) is
// another.
//
// One image's way: Definition.Load finds the files and decodes them into Images,
// uint8 in rows, columns, channels, which package train/device brings to the device;
// Dataset.TrainEpoch draws the order of an epoch and the Crop of every sample from the
// trial's Streams; the device cuts the crops of one batch and looks up what Dataset.Normal
// makes of each byte. Package datatest does the last step plainly, for tests.
package data
