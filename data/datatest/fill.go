package datatest

import (
	"iter"

	"nb201/data"
)

// Fill is what train/device does on the device, plainly: it writes the images from..to-1 of
// an epoch over split into dst, normalised, as image, row, column, channel (to-from images
// of 3*Size*Size values), and their labels into labels. The epoch's crops apply where it has
// them: an image is mirrored first, then padded with black pixels and cut. Padding is black
// before Normalize, not after (torchvision's transforms.py: RandomHorizontalFlip, RandomCrop,
// ToTensor, Normalize). Calls may run at the same time.
func Fill(set *data.Dataset, dst []float32, labels []int32, split *data.Split, e *data.Epoch, from, to int) {
	size, normal := set.Size, set.Normal()
	for k := from; k < to; k++ {
		index := e.Order[k]
		labels[k-from] = split.Images.Labels[index]
		image := split.Images.Pixels[int(index)*3*size*size:][:3*size*size]
		var crop data.Crop
		padding := 0
		if e.Crops != nil {
			crop, padding = e.Crops[k], set.Augment.CropPadding
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
					dst[0], dst = normal[value*3+channel], dst[1:]
				}
			}
		}
	}
}

// Batches yields the bounds, in Order, of an epoch's batches; the last is shorter where the
// batch size does not divide the images (drop_last=False).
func Batches(e *data.Epoch, batch int) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for from := 0; from < len(e.Order); from += batch {
			if !yield(from, min(from+batch, len(e.Order))) {
				return
			}
		}
	}
}
