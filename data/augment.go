package data

// Crop is how a training image is varied: mirrored first, then padded with
// Augment.CropPadding zeros on each side and cut from Row and Column on.
type Crop struct {
	Flip        bool
	Row, Column int16 // of the padded image, 0..2*CropPadding
}

// Normal returns what ToTensor and Normalize make of each byte in each channel: float32
// [256, 3], row by row. Do not change it.
func (ds *Dataset) Normal() []float32 { return ds.normal }

// normalise computes Normal as torch does: byte and 255 in float32, mean and standard
// deviation divided by 255 in float64 first, every result rounded to float32.
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
