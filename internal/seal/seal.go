// Package seal stores the SHA-256 of a JSON file in the file itself, so that a change of any
// bit is detected: in values, keys, white space or the hash.
//
// A sealed file ends with the line
//
//	"sha256": "64 digits in hex"
//
// of its outermost object, the closing brace and a newline. The hash is that of the file's
// bytes with zeros instead of the 64 digits. In Python:
//
//	b = open(path, "rb").read()
//	sound = hashlib.sha256(b[:-68] + b"0" * 64 + b[-4:]).hexdigest().encode() == b[-68:-4]
package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

const (
	before = ",\n  \"sha256\": \""
	after  = "\"\n}\n"
	digits = 2 * sha256.Size
)

// end is the end of an object to seal.
const end = "\n}"

// Seal seals a JSON object, which must be indented, not empty, and without a newline at the
// end.
func Seal(object []byte) []byte {
	text := slices.Concat(bytes.TrimSuffix(object, []byte(end)), []byte(before), bytes.Repeat([]byte("0"), digits), []byte(after))
	copy(text[len(text)-len(after)-digits:], sum(text))
	return text
}

// Open removes the seal from a text and returns the object. sealed reports whether the text
// ends with a seal. If it does but the hash does not match, the text was changed; Open then
// returns an error, and the object as it is now.
func Open(text []byte) (object []byte, sealed bool, err error) {
	at := len(text) - len(after) - digits
	if at < len(before) || !bytes.HasSuffix(text[:at], []byte(before)) || !bytes.HasSuffix(text, []byte(after)) {
		return nil, false, nil
	}
	if stored, actual := string(text[at:at+digits]), sum(text); stored != actual {
		err = fmt.Errorf("its SHA-256 is %s, but it contains %.*q", actual, digits, stored)
	}
	return slices.Concat(text[:at-len(before)], []byte(end)), true, err
}

// sum returns the hash, in hex, of a text with a seal.
func sum(text []byte) string {
	at := len(text) - len(after) - digits
	hash := sha256.New()
	hash.Write(text[:at])
	hash.Write(bytes.Repeat([]byte("0"), digits))
	hash.Write(text[at+digits:])
	return hex.EncodeToString(hash.Sum(nil))
}
