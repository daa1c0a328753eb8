package datatest

import (
	"iter"

	"nb201/data"
)

// Fill does on the CPU, as simply as possible, what train/device does on the device. It
// writes images from (inclusive) to to (exclusive) of an epoch over split into dst,
// normalised, as float32 [to-from, Size, Size, 3], and their labels into labels. If the epoch has crops, it mirrors
// an image first, then pads it with black pixels and cuts it, and then cuts the square of set.Augment.Cutout out. The padding is black before
// Normalize, not after (torchvision's transforms.py: RandomHorizontalFlip, RandomCrop,
// ToTensor, Normalize). Fill may be called concurrently.
func Fill(set *data.Dataset, dst []float32, labels []int32, split *data.Split, e *data.Epoch, from, to int) {
	size, normal := set.Size, set.Normal()
	for k := from; k < to; k++ {
		index := e.Order[k]
		labels[k-from] = split.Images.Labels[index]
		image := split.Images.Pixels[int(index)*3*size*size:][:3*size*size]
		var crop data.Crop
		padding, cutout := 0, 0
		if e.Crops != nil {
			crop, padding, cutout = e.Crops[k], set.Augment.CropPadding, set.Augment.Cutout
		}
		for row := range size {
			for column := range size {
				y, x := row+int(crop.Row)-padding, column+int(crop.Column)-padding
				inside := y >= 0 && y < size && x >= 0 && x < size
				if crop.Flip {
					x = size - 1 - x
				}
				for channel := range 3 {
					value := 0
					if inside {
						value = int(image[(y*size+x)*3+channel])
					}
					dst[0] = normal[value*3+channel]
					if cutout > 0 && isCut(row, int(crop.CutRow), cutout) && isCut(column, int(crop.CutColumn), cutout) {
						dst[0] = 0
					}
					dst = dst[1:]
				}
			}
		}
	}
}

// isCut reports whether a row or a column is within a square of side pixels around a centre.
func isCut(at, centre, side int) bool { return at >= centre-side/2 && at < centre+side/2 }

// Batches yields the bounds of an epoch's batches in e.Order. The last batch is smaller if
// the batch size does not divide the number of images (drop_last=False).
func Batches(e *data.Epoch, batch int) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for from := 0; from < len(e.Order); from += batch {
			if !yield(from, min(from+batch, len(e.Order))) {
				return
			}
		}
	}
}
