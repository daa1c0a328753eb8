// Package bom removes the byte order mark from text. Editors and spreadsheets on Windows
// write one before UTF-8, where it has no meaning and would be read as part of the first
// word.
package bom

import (
	"bufio"
	"bytes"
	"errors"
)

// mark is U+FEFF in UTF-8.
const mark = "\xef\xbb\xbf"

// others lists U+FEFF in unsupported encodings: little-endian UTF-16, with which
// little-endian UTF-32 begins too, big-endian UTF-16 and big-endian UTF-32.
var others = []string{"\xff\xfe", "\xfe\xff", "\x00\x00\xfe\xff"}

var errEncoding = errors.New("the text is in UTF-16 or UTF-32, by its first bytes; save it as UTF-8")

// Strip returns text without its byte order mark. Text in UTF-16 or UTF-32 is an error that
// says to save it as UTF-8.
func Strip(text []byte) ([]byte, error) {
	for _, other := range others {
		if bytes.HasPrefix(text, []byte(other)) {
			return nil, errEncoding
		}
	}
	return bytes.TrimPrefix(text, []byte(mark)), nil
}

// Skip skips a byte order mark at the beginning of r. It returns the errors of [Strip], but
// not those of r, which r reports when it is read.
func Skip(r *bufio.Reader) error {
	start, _ := r.Peek(4)
	rest, err := Strip(start)
	if err == nil {
		_, _ = r.Discard(len(start) - len(rest)) // cannot fail: they are in the buffer
	}
	return err
}
