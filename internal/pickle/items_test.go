package pickle

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
)

// The items of a large dict are decoded one at a time, and again from their bytes.
func TestItems(t *testing.T) {
	curve := make(List, 2000)
	for i := range curve {
		curve[i] = float64(i)
	}
	const items = 3000 // more floats than Decode may hold
	var b bytes.Buffer
	err := NewEncoder(&b).Encode(RawDict(func(w io.Writer) error {
		for i := range items {
			if err := NewEncoder(w).EncodeItem(strings.Repeat("k", i%50+1), Dict{{"a", curve}, {"a again", Tuple{"a", i}}}); err != nil {
				return err
			}
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Reader{}).Decode(b.Bytes()); err == nil {
		t.Error("Decode holds the whole dict")
	}
	n := 0
	err = Reader{}.Items(bytes.NewReader(b.Bytes()), func(item Pair, offset, length int64) error {
		again, err := Reader{}.DecodeItem(b.Bytes()[offset : offset+length])
		if err != nil || n%500 == 0 && !reflect.DeepEqual(again, item) || item.Key != any(strings.Repeat("k", n%50+1)) {
			t.Fatalf("item %d at %d: %v", n, offset, err)
		}
		n++
		return nil
	})
	if err != nil || n != items {
		t.Errorf("%d items, %v", n, err)
	}
	for text, want := range map[string]string{
		"\x80\x02N.":                 "it contains no dict",
		"\x80\x02}(K\x01NK\x02Nu.":   "pickle has 2 items at once at byte 3",
		"\x80\x02}K\x01":             "truncated",
		"\x80\x02}K\x01]q\x00sh\x00": "not in its memo",
		"\x80\x02]K\x01a.":           "it contains no dict",
	} {
		err := Reader{}.Items(strings.NewReader(text), func(Pair, int64, int64) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"", "K\x01Ns.", "K\x01NsK\x02Ns"} {
		if item, err := (Reader{}).DecodeItem([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, item)
		}
	}
}
