package data

import "math"

// PixelStats computes the mean and the standard deviation of each channel over pixels. Its
// sums are whole numbers, so that the order of the images does not matter. The zero value
// is ready to use.
type PixelStats struct {
	pixels      uint64
	sum, square [3]uint64
}

// Add adds the pixels of images, which end in an axis of 3 channels: [..., 3].
func (m *PixelStats) Add(pixels []byte) {
	var counts [3][256]uint64
	for i := 0; i+2 < len(pixels); i += 3 {
		counts[0][pixels[i]]++
		counts[1][pixels[i+1]]++
		counts[2][pixels[i+2]]++
	}
	m.pixels += uint64(len(pixels) / 3)
	for c := range counts {
		for v, n := range counts[c] {
			m.sum[c] += uint64(v) * n
			m.square[c] += uint64(v*v) * n
		}
	}
}

// Mean returns the means of red, green and blue, on the scale 0 to 255. Without pixels they
// are 0.
func (m *PixelStats) Mean() (mean [3]float64) {
	for c := range mean {
		mean[c] = float64(m.sum[c]) / float64(max(m.pixels, 1))
	}
	return mean
}

// Std returns the standard deviations of red, green and blue, on the scale 0 to 255. They
// are those of a population, as in numpy's std.
func (m *PixelStats) Std() (std [3]float64) {
	mean := m.Mean()
	for c := range std {
		std[c] = math.Sqrt(max(0, float64(m.square[c])/float64(max(m.pixels, 1))-mean[c]*mean[c]))
	}
	return std
}

// Stats returns the statistics of the images with the given indices. nil means all.
func (im *Images) Stats(indices []int32) *PixelStats {
	m := new(PixelStats)
	if indices == nil {
		m.Add(im.Pixels)
	}
	for _, i := range indices {
		m.Add(im.image(i))
	}
	return m
}
