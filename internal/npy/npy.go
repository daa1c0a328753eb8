// Package npy reads and writes numpy's array files.
//
// An .npy file contains one array: a header, which is a Python dict with the type of the
// elements, their order and the shape, and the bytes of the elements. An .npz file is a zip
// archive of .npy files, compressed by deflate or not. The format is described in
// numpy/lib/format.py. Versions 1.0, 2.0 and 3.0 are supported; arrays of objects and records
// are not.
//
// Start at [OpenSet] to read and at [NewWriter] to write. Errors are predicates, such as "is
// not a regular file", which follow the name of a file or an array.
package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const magic = "\x93NUMPY"

// maxHeader is the largest length of a header, in bytes. Headers of arrays of numbers are far
// shorter; numpy itself refuses more than 10,000.
const maxHeader = 1 << 16

// Header describes the array in a file.
type Header struct {
	Type    Type
	Fortran bool  // the first index, not the last, varies fastest
	Shape   []int // not negative
}

// Type is the type of an array's elements.
type Type struct {
	Kind      byte // i: signed integer, u: unsigned integer, f: floating-point number, U: text
	Size      int  // of an element, in bytes
	BigEndian bool
}

// Integer reports whether the elements are whole numbers.
func (t Type) Integer() bool { return t.Kind == 'i' || t.Kind == 'u' }

// String returns numpy's name of the type, such as uint8.
func (t Type) String() string {
	switch t.Kind {
	case 'i':
		return fmt.Sprintf("int%d", 8*t.Size)
	case 'u':
		return fmt.Sprintf("uint%d", 8*t.Size)
	case 'f':
		return fmt.Sprintf("float%d", 8*t.Size)
	}
	return "str"
}

// parseType parses a typestr of numpy's array interface.
func parseType(text string) (Type, error) {
	t := Type{BigEndian: strings.HasPrefix(text, ">")}
	code := strings.TrimLeft(text, "<>|=")
	var size int
	if code != "" {
		t.Kind = code[0]
		size, _ = strconv.Atoi(code[1:]) // 0, on an error, is refused below
	}
	switch t.Size = size; t.Kind {
	case 'i', 'u':
		if size == 1 || size == 2 || size == 4 || size == 8 {
			return t, nil
		}
	case 'f':
		if size == 4 || size == 8 {
			return t, nil
		}
	case 'U':
		const char = 4
		if t.Size = char * size; size > 0 && size < maxHeader {
			return t, nil
		}
	}
	return Type{}, fmt.Errorf("has numpy type %.20q; only integers, float32, float64 and text are supported", text)
}

// Float64s converts len(dst) elements of an integer or floating-point type from their bytes.
// Integers beyond 2^53 are rounded. It panics for text.
func (t Type) Float64s(dst []float64, raw []byte) {
	order := binary.ByteOrder(binary.LittleEndian)
	if t.BigEndian {
		order = binary.BigEndian
	}
	var convert func(b []byte) float64
	switch t.Kind {
	case 'u':
		switch t.Size {
		case 1:
			convert = func(b []byte) float64 { return float64(b[0]) }
		case 2:
			convert = func(b []byte) float64 { return float64(order.Uint16(b)) }
		case 4:
			convert = func(b []byte) float64 { return float64(order.Uint32(b)) }
		default:
			convert = func(b []byte) float64 { return float64(order.Uint64(b)) }
		}
	case 'i':
		switch t.Size {
		case 1:
			convert = func(b []byte) float64 { return float64(int8(b[0])) }
		case 2:
			convert = func(b []byte) float64 { return float64(int16(order.Uint16(b))) }
		case 4:
			convert = func(b []byte) float64 { return float64(int32(order.Uint32(b))) }
		default:
			convert = func(b []byte) float64 { return float64(int64(order.Uint64(b))) }
		}
	case 'f':
		convert = func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) }
		if t.Size == 4 {
			convert = func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) }
		}
	default:
		panic(fmt.Sprintf("npy: elements of kind %q are not numbers", t.Kind))
	}
	for i := range dst {
		dst[i] = convert(raw[i*t.Size:])
	}
}

// readHeader reads a header and returns its length in bytes.
func readHeader(r io.Reader) (h Header, length int, err error) {
	start := make([]byte, len(magic)+2)
	if _, err := io.ReadFull(r, start); err != nil {
		return Header{}, 0, readError(err)
	}
	if string(start[:len(magic)]) != magic {
		return Header{}, 0, errors.New("is not a numpy file: it does not begin with \\x93NUMPY")
	}
	var size [4]byte
	field := size[:4]
	switch major := start[len(magic)]; major {
	case 1:
		field = size[:2]
	case 2, 3:
	default:
		return Header{}, 0, fmt.Errorf("has version %d of numpy's format; versions 1 to 3 are supported", major)
	}
	if _, err := io.ReadFull(r, field); err != nil {
		return Header{}, 0, readError(err)
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n > maxHeader {
		return Header{}, 0, fmt.Errorf("has a header of %d bytes; the limit is %d", n, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return Header{}, 0, readError(err)
	}
	h, err = parseHeader(string(text))
	return h, len(start) + len(field) + len(text), err
}

// readError describes an error of reading bytes that must exist.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("ends before the array is complete; the file is truncated")
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// writeHeader writes a header of version 1.0 for an array in C order, padded as numpy does.
// The type is a typestr of numpy's array interface, such as |u1.
func writeHeader(w io.Writer, typestr string, shape []int) error {
	var dims strings.Builder
	for i, n := range shape {
		if i > 0 {
			dims.WriteByte(' ')
		}
		fmt.Fprintf(&dims, "%d,", n)
	}
	tuple := dims.String()
	if len(shape) > 1 {
		tuple = strings.TrimSuffix(tuple, ",")
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", typestr, tuple)
	const before, align = len(magic) + 4, 64
	padding := align - 1 - (before+len(text))%align
	out := append([]byte(magic), 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(text)+padding+1))
	_, err := fmt.Fprintf(w, "%s%s%*s\n", out, text, padding, "")
	return err
}
