// Package picture reads PNG and JPEG files as square images of a dataset, [size, size, 3]
// bytes of red, green and blue. [Read] reads many files on all cores; [Decode] and
// [Image.Square] are its two steps.
//
// The package reproduces Pillow (PIL), which the makers of image datasets use:
//
//	Image.open(file).convert("RGB").resize((size, size), Image.BOX)
//
// The bytes of a PNG picture are Pillow's, except for 16-bit grey (see [Decode]). Those of a
// JPEG picture are Pillow's up to the rounding of the cosine transform, for which libjpeg
// and Go's decoder use different fixed-point arithmetic: in 60,000 photographs of 32 x 32
// pixels, 3 % of the bytes differ, by at most 3. Resizing yields Pillow's bytes.
package picture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
)

// Image is a decoded picture.
type Image struct {
	Width, Height int
	Pixels        []byte // [Height, Width, 3] in row-major order: red, green and blue
}

// maxPixels is the largest picture that is decoded. Larger ones are refused before memory
// is allocated, because a small file may claim any size. Above this limit Pillow warns of a
// decompression bomb (MAX_IMAGE_PIXELS in PIL/Image.py).
const maxPixels = 1 << 30 / 4 / 3

// Decode reads a PNG or JPEG picture as PIL's convert("RGB") does: it drops the alpha
// channel without changing the colours, looks up palettes, repeats grey in all three
// channels, and keeps the upper byte of 16-bit values. (In 16-bit grey alone, Pillow turns
// all values above 255 into white, which would erase the picture.) An orientation in the
// file's EXIF data is ignored.
//
// Its errors continue a sentence that begins with the name of the picture.
func Decode(r io.Reader) (Image, error) {
	s, err := open(r)
	if err != nil {
		return Image{}, err
	}
	return s.decode()
}

// source is a picture whose header was read.
type source struct {
	pixels int // width times height, 1 to maxPixels
	jpeg   bool
	r      io.Reader // reads the file from its start
}

// startOfImage is the marker at the start of a JPEG picture.
const startOfImage = "\xff\xd8"

// adobe is Adobe's marker of a picture whose inks or colours were not transformed.
const adobe = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"

// open reads the header of a picture.
func open(r io.Reader) (source, error) {
	buffered := bufio.NewReader(r)
	var s source
	config := png.DecodeConfig
	switch start, _ := buffered.Peek(8); {
	case bytes.HasPrefix(start, []byte("\x89PNG\r\n\x1a\n")):
	case bytes.HasPrefix(start, []byte(startOfImage)):
		config, s.jpeg = jpeg.DecodeConfig, true
	default:
		return source{}, errors.New("is neither a PNG nor a JPEG picture")
	}
	var header bytes.Buffer
	c, err := config(io.TeeReader(buffered, &header))
	switch {
	case err != nil:
		return source{}, undecodable(err)
	case c.Width < 1 || c.Height < 1:
		return source{}, fmt.Errorf("has no pixels (%d x %d)", c.Width, c.Height)
	case c.Width > maxPixels/c.Height:
		return source{}, fmt.Errorf("claims to have %d x %d pixels, more than the limit of %d million", c.Width, c.Height, maxPixels/1_000_000)
	}
	s.pixels = c.Width * c.Height
	s.r = io.MultiReader(&header, buffered)
	if s.jpeg && c.ColorModel == color.CMYKModel {
		// Go's decoder refuses four channels without Adobe's marker. libjpeg takes them for
		// inks, and Pillow for inverted inks, as if the marker were present. A marker in the
		// file overrides this one.
		header.Next(len(startOfImage))
		s.r = io.MultiReader(strings.NewReader(startOfImage+adobe), s.r)
	}
	return s, nil
}

func (s source) decode() (Image, error) {
	decode := png.Decode
	if s.jpeg {
		decode = jpeg.Decode
	}
	decoded, err := decode(s.r)
	if err != nil {
		return Image{}, undecodable(err)
	}
	return convert(decoded)
}

// undecodable turns an error of a decoder into one of Decode.
func undecodable(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("is cut short")
	}
	return fmt.Errorf("cannot be decoded: %w", err)
}
