// Package picture reads pictures, files in PNG or JPEG format, as the square images of
// a data set: red, green and blue, of one byte each, squeezed to a size.
//
// It follows Pillow (PIL), through which the makers of image data sets read theirs:
//
//	Image.open(file).convert("RGB").resize((size, size), Image.BOX)
//
// A PNG picture gives Pillow's bytes, but for grey of 16 bits (see Decode). So does a JPEG
// picture up to the rounding of its cosine transform, for which libjpeg and Go's decoder
// have different fixed-point arithmetic: of 60,000 photographs of 32 x 32 pixels 3 % of the
// bytes differ, by 3 at most. Squeezing gives Pillow's bytes.
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

// Image is a picture in memory.
type Image struct {
	Width, Height int
	Pixels        []byte // rows, columns, channels (red, green, blue), each 0..255
}

// maxPixels is the size beyond which a picture is refused before memory is taken for
// it: a small file may claim any size. From there on Pillow warns of a decompression
// bomb (MAX_IMAGE_PIXELS of PIL/Image.py).
const maxPixels = 1 << 30 / 4 / 3

// Decode reads a PNG or JPEG picture as PIL's convert("RGB") does: it drops the alpha
// channel and leaves the colours below it as they are, looks up a palette, repeats grey
// in the three channels, and keeps the upper byte of 16 bits. (Of grey of 16 bits alone
// Pillow takes all above 255 for white, which leaves nothing of a picture.) A rotation
// that the file merely notes is not carried out.
//
// Its errors say in half a sentence what is wrong with the picture.
func Decode(r io.Reader) (Image, error) {
	s, err := open(r)
	if err != nil {
		return Image{}, err
	}
	return s.decode()
}

// source is a picture of which the header was read.
type source struct {
	pixels int // width times height, 1..maxPixels
	jpeg   bool
	r      io.Reader // from the beginning on
}

// startOfImage begins a JPEG picture.
const startOfImage = "\xff\xd8"

// adobe is Adobe's marker of a picture in inks, or in colours, that no transform has mixed.
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
		return source{}, fmt.Errorf("is a picture without pixels (%d x %d)", c.Width, c.Height)
	case c.Width > maxPixels/c.Height:
		return source{}, fmt.Errorf("claims to have %d x %d pixels, more than the %d million that are read", c.Width, c.Height, maxPixels/1_000_000)
	}
	s.pixels = c.Width * c.Height
	s.r = io.MultiReader(&header, buffered)
	if s.jpeg && c.ColorModel == color.CMYKModel {
		// Without Adobe's marker Go's decoder refuses four channels; libjpeg takes them for
		// inks, and Pillow for inverted ones, as with the marker. One in the file counts more.
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

// undecodable makes an error of a decoder one of Decode.
func undecodable(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("is cut short: it ends before its picture does")
	}
	return fmt.Errorf("cannot be decoded: %w", err)
}
