package picture

import (
	"fmt"
	"image"
	"image/color"
)

// convert converts the result of a PNG or JPEG decoder to red, green and blue.
func convert(decoded image.Image) (Image, error) {
	bounds := decoded.Bounds()
	out := Image{bounds.Dx(), bounds.Dy(), make([]byte, 3*bounds.Dx()*bounds.Dy())}
	switch m := decoded.(type) {
	case *image.YCbCr:
		return out, out.setYCbCr(m)
	case *image.Gray:
		out.each(m.Pix, m.Stride, 1, func(rgb, p []byte) { rgb[0], rgb[1], rgb[2] = p[0], p[0], p[0] })
	case *image.Gray16:
		out.each(m.Pix, m.Stride, 2, func(rgb, p []byte) { rgb[0], rgb[1], rgb[2] = p[0], p[0], p[0] })
	case *image.RGBA: // the decoders return it only without alpha
		out.each(m.Pix, m.Stride, 4, func(rgb, p []byte) { copy(rgb, p) })
	case *image.NRGBA:
		out.each(m.Pix, m.Stride, 4, func(rgb, p []byte) { copy(rgb, p) })
	case *image.RGBA64:
		out.each(m.Pix, m.Stride, 8, func(rgb, p []byte) { rgb[0], rgb[1], rgb[2] = p[0], p[2], p[4] })
	case *image.NRGBA64:
		out.each(m.Pix, m.Stride, 8, func(rgb, p []byte) { rgb[0], rgb[1], rgb[2] = p[0], p[2], p[4] })
	case *image.CMYK:
		out.each(m.Pix, m.Stride, 4, func(rgb, p []byte) {
			for c := range rgb {
				rgb[c] = light(p[c], p[3])
			}
		})
	case *image.Paletted:
		var palette [256][3]byte
		for i, c := range m.Palette {
			switch c := c.(type) {
			case color.RGBA: // opaque
				palette[i] = [3]byte{c.R, c.G, c.B}
			case color.NRGBA:
				palette[i] = [3]byte{c.R, c.G, c.B}
			}
		}
		out.each(m.Pix, m.Stride, 1, func(rgb, p []byte) { copy(rgb, palette[p[0]][:]) })
	default:
		return Image{}, fmt.Errorf("has pixels of the unsupported type %T", decoded)
	}
	return out, nil
}

// each calls set for each pixel in pix, whose rows have stride bytes and pixels size bytes.
func (im *Image) each(pix []byte, stride, size int, set func(rgb, p []byte)) {
	for y := range im.Height {
		row, out := pix[y*stride:], im.Pixels[3*im.Width*y:]
		for x := range im.Width {
			set(out[3*x:][:3:3], row[size*x:][:size:size])
		}
	}
}

// light returns the light that an ink and black let through (cmyk2rgb in
// libImaging/Convert.c).
func light(ink, black byte) byte {
	left := 255 - int(black)
	product := int(ink)*left + 128
	return byte(left - (product+product>>8)>>8)
}

// setYCbCr converts colours as libjpeg does by default: it interpolates chroma of half the
// resolution ("fancy upsampling", jdsample.c), repeats coarser chroma, and computes colours
// with 16 fractional bits (jdcolor.c).
func (im *Image) setYCbCr(m *image.YCbCr) error {
	h, v := 1, 1 // luma samples for each chroma sample
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio444:
	case image.YCbCrSubsampleRatio440:
		v = 2
	case image.YCbCrSubsampleRatio422:
		h = 2
	case image.YCbCrSubsampleRatio420:
		h, v = 2, 2
	case image.YCbCrSubsampleRatio411:
		h = 4
	case image.YCbCrSubsampleRatio410:
		h, v = 4, 2
	default:
		return fmt.Errorf("has the unsupported chroma subsampling %v", m.SubsampleRatio)
	}
	blue, red := newChroma(im, m.Cb, m.CStride, h, v), newChroma(im, m.Cr, m.CStride, h, v)
	for y := range im.Height {
		cb, cr := blue.row(y), red.row(y)
		luma, out := m.Y[y*m.YStride:], im.Pixels[3*im.Width*y:]
		for x := range im.Width {
			l, b, r := int32(luma[x]), int32(cb[x])-128, int32(cr[x])-128
			rgb := out[3*x:][:3]
			rgb[0] = clamp(l + (91881*r+1<<15)>>16)
			rgb[1] = clamp(l + (-22554*b-46802*r+1<<15)>>16)
			rgb[2] = clamp(l + (116130*b+1<<15)>>16)
		}
	}
	return nil
}

func clamp(v int32) byte { return byte(min(max(v, 0), 255)) }

// chroma is a plane of Cb or Cr with one sample for h x v pixels.
type chroma struct {
	plane         []byte
	stride        int
	width, height int // in samples
	h, v          int
	sums          []int32 // of a row
	out           []byte
}

func newChroma(im *Image, plane []byte, stride, h, v int) *chroma {
	width, height := (im.Width+h-1)/h, (im.Height+v-1)/v
	return &chroma{plane, stride, width, height, h, v, make([]int32, width), make([]byte, width*h)}
}

// row returns the chroma of row y of the pixels. It is valid until the next call.
func (c *chroma) row(y int) []byte {
	near := c.plane[y/c.v*c.stride:][:c.width]
	switch {
	case c.h == 1 && c.v == 1:
		return near
	case c.h > 2 || c.h == 2 && c.width <= 2: // libjpeg does not interpolate these
		for x := range c.out {
			c.out[x] = near[x/c.h]
		}
		return c.out
	}
	// A sample has 3 times the weight of the neighbour that is next to the pixel. The rounding
	// term alternates between pixels, so that they are rounded up and down in turn.
	var shift int
	var round [2]int32 // for even and odd pixels
	if c.v == 1 {
		for x, s := range near {
			c.sums[x] = int32(s)
		}
		shift, round = 2, [2]int32{1, 2}
	} else {
		next := min(max(y/2-1+y%2*2, 0), c.height-1)
		for x, s := range c.plane[next*c.stride:][:c.width] {
			c.sums[x] = 3*int32(near[x]) + int32(s)
		}
		shift, round = 4, [2]int32{8, 7}
	}
	if c.h == 1 {
		for x, s := range c.sums {
			c.out[x] = byte((s + int32(1+y%2)) >> 2)
		}
		return c.out
	}
	last := c.width - 1
	for x, s := range c.sums {
		c.out[2*x] = byte((3*s + c.sums[max(x-1, 0)] + round[0]) >> shift)
		c.out[2*x+1] = byte((3*s + c.sums[min(x+1, last)] + round[1]) >> shift)
	}
	return c.out
}
