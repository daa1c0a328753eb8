// Package bom takes the byte order mark from text. Editors and spreadsheets on Windows
// write one before UTF-8, where it carries no meaning and would be read as part of the
// first word.
package bom

import (
	"bufio"
	"bytes"
	"errors"
)

// mark is U+FEFF in UTF-8.
const mark = "\xef\xbb\xbf"

// others are U+FEFF in the encodings that are not read: UTF-16 of either byte order, as
// which little-endian UTF-32 begins too, and big-endian UTF-32.
var others = []string{"\xff\xfe", "\xfe\xff", "\x00\x00\xfe\xff"}

var errEncoding = errors.New("the text is in UTF-16 or UTF-32, as its first bytes say: save it as UTF-8")

// Strip is text without its byte order mark. Text in UTF-16 or UTF-32 is an error that
// says what to do.
func Strip(text []byte) ([]byte, error) {
	for _, other := range others {
		if bytes.HasPrefix(text, []byte(other)) {
			return nil, errEncoding
		}
	}
	return bytes.TrimPrefix(text, []byte(mark)), nil
}

// Skip passes over the byte order mark at the beginning of r. An error is one of Strip;
// r reports its own when it is read.
func Skip(r *bufio.Reader) error {
	start, _ := r.Peek(4)
	rest, err := Strip(start)
	if err == nil {
		_, _ = r.Discard(len(start) - len(rest)) // they were peeked at
	}
	return err
}
