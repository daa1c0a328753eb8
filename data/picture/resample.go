package picture

// Square returns the picture resized to [size, size, 3], whatever its proportions. Its bytes
// are those of PIL's resize((size, size), Image.BOX), which averages the pixels under each
// new pixel (ImagingResample in libImaging/Resample.c), first along the rows, then along the
// columns, and rounds to bytes after each. (Since version 13, Pillow starts with the columns
// if a picture is much taller than wide, which changes some bytes by 1.) If the picture
// already has that size, Square returns its pixels, not a copy.
func (im Image) Square(size int) []byte {
	if im.Width != size {
		im = im.squeezeRows(boxes(im.Width, size))
	}
	if im.Height != size {
		im = im.squeezeColumns(boxes(im.Height, size))
	}
	return im.Pixels
}

// box defines a new pixel as the average of the old pixels [from:to] of its line.
type box struct {
	from, to int
	weight   int32 // of an old pixel, with precision fractional bits
}

// precision is the largest number of fractional bits that leaves room in 32 bits for 255 and
// a sign.
const precision = 32 - 8 - 2

// average returns the average of the pixels in the box, given their sum.
func (b *box) average(sum int32) byte {
	return clamp((sum*b.weight + 1<<(precision-1)) >> precision)
}

// boxes returns the boxes that turn a line of old pixels into n (precompute_coeffs and
// normalize_coeffs_8bpc). A box contains the old pixels whose centres are in it. If a line
// grows, each box contains the nearest old pixel.
func boxes(old, n int) []box {
	scale := float64(old) / float64(n)
	width := max(scale, 1)
	out := make([]box, n)
	for i := range out {
		// The conversion keeps the compiler from fusing the multiplication with an addition,
		// which would round differently.
		centre := float64((float64(i) + 0.5) * scale)
		inside := func(x int) bool {
			distance := (float64(x) - centre + 0.5) * (1 / width)
			return distance > -0.5 && distance <= 0.5
		}
		b := &out[i]
		b.from = max(int(centre-0.5*width+0.5), 0)
		b.to = min(int(centre+0.5*width+0.5), old)
		for b.from < b.to-1 && !inside(b.from) {
			b.from++
		}
		for b.to > b.from+1 && !inside(b.to-1) {
			b.to--
		}
		b.weight = int32(0.5 + 1/float64(b.to-b.from)*(1<<precision))
	}
	return out
}

// squeezeRows resizes each row to one pixel per box.
func (im Image) squeezeRows(boxes []box) Image {
	out := make([]byte, 0, 3*len(boxes)*im.Height)
	for y := range im.Height {
		row := im.Pixels[3*im.Width*y:]
		for _, b := range boxes {
			var red, green, blue int32
			pixels := row[3*b.from : 3*b.to]
			for i := 0; i+2 < len(pixels); i += 3 {
				red += int32(pixels[i])
				green += int32(pixels[i+1])
				blue += int32(pixels[i+2])
			}
			out = append(out, b.average(red), b.average(green), b.average(blue))
		}
	}
	return Image{len(boxes), im.Height, out}
}

// squeezeColumns resizes each column to one pixel per box.
func (im Image) squeezeColumns(boxes []box) Image {
	length := 3 * im.Width
	out := make([]byte, 0, length*len(boxes))
	sums := make([]int32, length)
	for _, b := range boxes {
		clear(sums)
		for y := b.from; y < b.to; y++ {
			for x, p := range im.Pixels[length*y:][:length] {
				sums[x] += int32(p)
			}
		}
		for _, s := range sums {
			out = append(out, b.average(s))
		}
	}
	return Image{im.Width, len(boxes), out}
}
