// Package seal puts the SHA-256 of a JSON file into the file, so that any changed bit
// shows: in its values, its keys, its white space and the hash.
//
// A sealed file ends in the line
//
//	"sha256": "64 digits in hex"
//
// of its outermost object, the closing brace and a line break. The hash is that of the
// file's bytes with 64 zeros in place of the digits. In Python:
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

// end is how an object that Seal takes ends.
const end = "\n}"

// Seal seals an object that is not empty and indented, without a line break behind it.
func Seal(object []byte) []byte {
	text := slices.Concat(bytes.TrimSuffix(object, []byte(end)), []byte(before), bytes.Repeat([]byte("0"), digits), []byte(after))
	copy(text[len(text)-len(after)-digits:], sum(text))
	return text
}

// Open takes the seal off a text: it returns the object that Seal took. sealed reports
// whether the text ends as a sealed one does. The error says that it does, but that it was
// changed since; the object is then as it is now.
func Open(text []byte) (object []byte, sealed bool, err error) {
	at := len(text) - len(after) - digits
	if at < len(before) || !bytes.HasSuffix(text[:at], []byte(before)) || !bytes.HasSuffix(text, []byte(after)) {
		return nil, false, nil
	}
	if holds, is := string(text[at:at+digits]), sum(text); holds != is {
		err = fmt.Errorf("its SHA-256 is %s, but it says %.*q", is, digits, holds)
	}
	return slices.Concat(text[:at-len(before)], []byte(end)), true, err
}

// sum is the hash of a text with a seal, in hex.
func sum(text []byte) string {
	at := len(text) - len(after) - digits
	hash := sha256.New()
	hash.Write(text[:at])
	hash.Write(bytes.Repeat([]byte("0"), digits))
	hash.Write(text[at+digits:])
	return hex.EncodeToString(hash.Sum(nil))
}
