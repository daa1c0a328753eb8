package data

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A pickle of a few bytes, or of many, may not ask for more memory than a constant
// and some multiple of itself.
func TestPickleBombs(t *testing.T) {
	lengths := func(op string, length ...byte) string { return "\x80\x04" + op + string(length) }
	long := "T" + string(binary.LittleEndian.AppendUint32(nil, 1<<20)) + strings.Repeat("a", 1<<20)
	for name, text := range map[string]string{
		"str of 2 GiB":        lengths("T", 0xff, 0xff, 0xff, 0x7f),
		"bytes of 4 GiB":      lengths("B", 0xff, 0xff, 0xff, 0xff),
		"bytes of 2^40":       lengths("\x8e", 0, 0, 0, 0, 0, 1, 0, 0),
		"bytes of 2^63":       lengths("\x96", 0, 0, 0, 0, 0, 0, 0, 0x80),
		"frame of 2^40":       lengths("\x95", 0, 0, 0, 0, 0, 1, 0, 0) + "N.",
		"frame of 2^64-1":     lengths("\x95", 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) + "N.",
		"marks":               "\x80\x02" + strings.Repeat("(", 1<<20) + "N.",
		"dicts":               "\x80\x02" + strings.Repeat("}", 1<<22) + ".",
		"repeated":            "\x80\x02" + long + "q\x00(" + strings.Repeat("h\x00", 1<<16) + "t)R.",
		"repeated after ops":  "\x80\x02" + long + "Nb\x94(" + strings.Repeat("h\x00", 1<<16) + "t)R.",
		"repeated through 2":  "\x80\x02" + long + "q\x00q\x01(" + strings.Repeat("h\x01", 1<<16) + "t)R.",
		"repeated class name": "\x80\x02" + long + "q\x00(" + strings.Repeat("j\x00\x00\x00\x00", 1<<16) + "t\x93.",
	} {
		var err error
		used := allocated(func() { err = decodePython([]byte(text), &Images{Size: 4}, 10) })
		if err == nil {
			t.Errorf("%s: read", name)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
		if limit := uint64(64<<20 + 16*len(text)); used > limit {
			t.Errorf("%s: allocated %d bytes for %d", name, used, len(text))
		}
	}
}

// gopickle panics over these.
func TestPicklePanics(t *testing.T) {
	for _, text := range []string{"\x80\x02\x8a\x00.", "\x80\x02}(K\x01u.", "\xff"} {
		if err := decodePython([]byte(text), &Images{Size: 4}, 10); err == nil {
			t.Errorf("%q: read", text)
		}
	}
}

// checkDecoded checks what a decoder promises of whatever it could read.
func checkDecoded(t *testing.T, images *Images) {
	if len(images.Pixels) != images.Len()*3*images.Size*images.Size {
		t.Fatalf("%d images of %d bytes", images.Len(), len(images.Pixels))
	}
	for i, l := range images.Labels {
		if l < 0 || l >= 10 {
			t.Fatalf("image %d is labelled %d", i, l)
		}
	}
}

func FuzzDecodePython(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "pickles", "*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		images := &Images{Size: 4}
		var err error
		used := allocated(func() { err = decodePython(text, images, 10) })
		if used > uint64(64<<20+16*len(text)) {
			t.Fatalf("allocated %d bytes for %d", used, len(text))
		}
		if err == nil {
			checkDecoded(t, images)
		} else if len(err.Error()) > 300 {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
	})
}

func FuzzDecodeBinary(f *testing.F) {
	record := append([]byte{7}, bytes.Repeat([]byte{1, 2, 3}, 16)...)
	f.Add([]byte{})
	f.Add(record)
	f.Add(append(record, record...))
	f.Add(record[:20])
	f.Fuzz(func(t *testing.T, text []byte) {
		images := &Images{Size: 4}
		if err := decodeBinary(text, images, 10); err != nil {
			return
		}
		checkDecoded(t, images)
		if images.Len() != len(text)/49 {
			t.Fatalf("%d images in %d bytes", images.Len(), len(text))
		}
		for i, l := range images.Labels {
			record, image := text[49*i:], images.at(int32(i))
			if byte(l) != record[0] || image[0] != record[1] || image[1] != record[17] || image[47] != record[48] {
				t.Fatalf("image %d is not record %d", i, i)
			}
		}
	})
}
