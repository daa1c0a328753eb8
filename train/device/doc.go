// Package device runs a trial's stages on the device. It holds the images of the dataset
// ([Images]), what training changes ([State]), the compiled training step and evaluation
// ([Executable]), and the loop over the batches of a stage ([Runner], where to start reading).
//
// A batch goes this way: fillRows turns the epoch's order into rows, one per image; the
// executable looks up the rows' pixels in the images on the device (lookUp), trains on them or
// evaluates them, and returns the results ([Batch]). One call of an executable runs many batches,
// and the rows of the next call are filled meanwhile.
//
// A row is a sample of a batch; its index is the image's position among the stored images. A
// stage is one pass over a set of images: the training set or an evaluation set.
package device
