// Package device holds what of a trial lives on the device: the images of its dataset
// (Images), what training changes (State), the compiled step and evaluation (Executable),
// and the loop over the batches of a stage (Runner).
//
// One batch's way: an epoch's order gives each image a row (fillRows), an executable looks
// the rows' pixels up in the images that are on the device already (lookUp), trains on them
// or evaluates them, and leaves what it measured (Batch). One call of an executable goes
// through many batches, and the next call's rows are filled while it runs.
//
// A row is a sample of a batch on the device, an index is an image's among those of a
// stored split, and a stage is a pass over a set of images: the training set or one of the
// evaluation sets.
package device
