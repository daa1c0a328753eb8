// Package datatest helps to test code that reads or trains on images. [Synth] makes the
// images that the golden vectors were computed from, [Files] writes images in every file
// format as the datasets' authors did, and [Fill] is the reference for cropping and
// normalising a batch.
package datatest

import "nb201/data"

// Synth returns n images of size x size pixels, as synth() in the generator of the golden
// vectors does. Image i has its own 64-bit linear congruential sequence, which starts from
// seed and i. After 4 steps, each step yields a byte, in the order row, column, channel, and
// one more step yields the label.
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
