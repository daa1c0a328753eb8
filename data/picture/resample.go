package picture

// Square is the picture squeezed to size x size pixels, whatever its proportions: rows,
// columns, channels. Its bytes are those of PIL's resize((size, size), Image.BOX), which
// averages the pixels under each new one (ImagingResample of libImaging/Resample.c): first
// along the rows, then along the columns, rounding to bytes after each. (Since version 13
// Pillow begins with the columns of pictures that are far taller than wide; that changes
// some bytes by 1.) What has the size already is returned as it is, not as a copy.
func (im Image) Square(size int) []byte {
	if im.Width != size {
		im = im.squeezeRows(boxes(im.Width, size))
	}
	if im.Height != size {
		im = im.squeezeColumns(boxes(im.Height, size))
	}
	return im.Pixels
}

// box is a new pixel as the average of the old pixels from..to-1 of its line.
type box struct {
	from, to int
	weight   int32 // of an old pixel, with precision bits after the point
}

// precision leaves room in 32 bits for 255 and a sign.
const precision = 32 - 8 - 2

// of is the average of pixels, given their sum.
func (b *box) of(sum int32) byte {
	return clamp((sum*b.weight + 1<<(precision-1)) >> precision)
}

// boxes are the boxes that make n pixels of a line of old ones (precompute_coeffs and
// normalize_coeffs_8bpc). An old pixel is in the box where its centre is; when a line
// grows, each box has the one old pixel that is nearest.
func boxes(old, n int) []box {
	scale := float64(old) / float64(n)
	width := max(scale, 1)
	out := make([]box, n)
	for i := range out {
		// The conversion keeps compilers from multiplying and adding in one step, which rounds
		// otherwise.
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

// squeezeRows gives each row as many pixels as there are boxes.
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
			out = append(out, b.of(red), b.of(green), b.of(blue))
		}
	}
	return Image{len(boxes), im.Height, out}
}

// squeezeColumns gives each column as many pixels as there are boxes.
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
			out = append(out, b.of(s))
		}
	}
	return Image{im.Width, len(boxes), out}
}
