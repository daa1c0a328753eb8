package data

import (
	"nb201/configs"
	"nb201/internal/usage"
)

// Augmentation returns how a recipe varies the training images of the dataset; see [Augment.Change].
// A dataset of evaluation sets alone has none.
func (ds *Dataset) Augmentation(c configs.Augment) (Augment, error) {
	if ds.EvaluationOnly() {
		return Augment{}, nil
	}
	return ds.Augment.Change(c, ds.Name, ds.Size)
}

// Change returns the augmentation of a dataset as a recipe changes it; the images have sides of size
// pixels. A recipe that crops images of a dataset without padding, or cuts out squares larger than the
// images, is a usage error.
func (a Augment) Change(c configs.Augment, dataset string, size int) (Augment, error) {
	if c.Cutout > size {
		return a, usage.Errorf("the recipe cuts squares of %d pixels out of images, but those of dataset %s have %d; set its key \"augment.cutout\" to at most %d",
			c.Cutout, dataset, size, size)
	}
	a.Cutout = c.Cutout
	if c.Flip != nil {
		a.Flip = *c.Flip
	}
	if c.Crop != nil && !*c.Crop {
		a.CropPadding = 0
	} else if c.Crop != nil && a.CropPadding == 0 {
		return a, usage.Errorf("the recipe crops images, but the definition of dataset %s has no padding; set its key \"augment.crop_padding\"", dataset)
	}
	return a, nil
}

// Crop is the augmentation of one training image. The image is mirrored if Flip is set,
// then padded with [Augment].CropPadding zeros on each side, and cut to its original size
// from Row and Column on. After that, a square of [Augment].Cutout pixels around CutRow and CutColumn is
// blanked, as far as it is within the image.
type Crop struct {
	Flip        bool
	Row, Column int16 // in the padded image, 0 to 2*CropPadding

	CutRow, CutColumn int16 // in the image, 0 to its size-1
}

// Normal returns the value of each byte in each channel after ToTensor and Normalize:
// float32 [256, 3] in row-major order. Callers must not modify it.
func (ds *Dataset) Normal() []float32 { return ds.normal }

// normalise computes the table of [Dataset.Normal] as torch does: bytes and 255 are float32,
// mean and standard deviation are divided by 255 in float64, and every result is rounded to
// float32.
func normalise(mean, std [3]float64) []float32 {
	var normal []float32
	for v := range 256 {
		for c := range 3 {
			m, s := float32(mean[c]/255), float32(std[c]/255)
			normal = append(normal, (float32(v)/255-m)/s)
		}
	}
	return normal
}
