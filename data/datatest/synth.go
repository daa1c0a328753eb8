// Package datatest makes the images that the golden vectors were computed from, and files
// of images as the data sets' authors wrote them.
package datatest

import "nb201/data"

// Synth is synth() of the golden vectors' generator: n images of size pixels a
// side. Image i is a 64-bit linear congruential sequence of its own, started from
// seed and i; after 4 steps each further step gives a byte, in the order row,
// column, channel, and one more the label.
func Synth(n, size, classes int, seed uint64) *data.Images {
	images := &data.Images{Pixels: make([]byte, n*3*size*size), Labels: make([]int32, n), Size: size}
	pixels := images.Pixels
	for i := range n {
		x := seed*0x9E3779B97F4A7C15 + uint64(i)*0xD1B54A32D192ED03
		step := func() uint64 {
			x = x*6364136223846793005 + 1442695040888963407
			return x
		}
		for range 4 {
			step()
		}
		for k := range 3 * size * size {
			pixels[k] = byte(step() >> 56)
		}
		pixels = pixels[3*size*size:]
		images.Labels[i] = int32(step() >> 33 % uint64(classes))
	}
	return images
}
