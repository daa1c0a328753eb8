package bom_test

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"nb201/internal/bom"
)

func TestStrip(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"a":                             "a",
		"0\n1\n":                        "0\n1\n",
		"\xef\xbb\xbf":                  "",
		"\xef\xbb\xbf{}":                "{}",
		"\xef\xbb\xbf\xef\xbb\xbf{}":    "\xef\xbb\xbf{}", // only the first mark is removed
		"\xef\xbb":                      "\xef\xbb",
		"a\xef\xbb\xbf":                 "a\xef\xbb\xbf",
		"\xff\xfe0\x00":                 "refused", // UTF-16, little endian
		"\xfe\xff\x000":                 "refused", // UTF-16, big endian
		"\xff\xfe\x00\x000\x00\x00\x00": "refused", // UTF-32, little endian
		"\x00\x00\xfe\xff\x00\x00\x000": "refused", // UTF-32, big endian
	} {
		stripped, err := bom.Strip([]byte(text))
		r := bufio.NewReader(iotest.OneByteReader(strings.NewReader(text)))
		skipped := bom.Skip(r)
		if want == "refused" {
			if err == nil || skipped == nil || !strings.Contains(err.Error(), "save it as UTF-8") {
				t.Errorf("%q: errors %v and %v", text, err, skipped)
			}
			continue
		}
		rest, unread := io.ReadAll(r)
		if err != nil || skipped != nil || unread != nil || string(stripped) != want || string(rest) != want {
			t.Errorf("%q: %q and %q, errors %v, %v and %v, want %q", text, stripped, rest, err, skipped, unread, want)
		}
	}
}
