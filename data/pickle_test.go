package data

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unicode/utf8"
)

// allocated returns the number of bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// checkDecoded checks what must hold for any images that a decoder returns.
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

// pickles lists the decoders of pickled files, and the keys of their labels in the seeds.
var pickles = map[string]decoder{"cifar10-python": decodePython("labels"), "imagenet16": decodeImageNet16}

func FuzzDecodePickles(f *testing.F) {
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
		for format, decode := range pickles {
			images := &Images{Size: 4}
			var err error
			used := allocated(func() { err = decode(text, images, 10) })
			if used > uint64(64<<20+16*len(text)) {
				t.Fatalf("%s: allocated %d bytes for %d", format, used, len(text))
			}
			if err == nil {
				checkDecoded(t, images)
			} else if n := utf8.RuneCountInString(err.Error()); n > 300 {
				t.Fatalf("%s: an error of %d characters", format, n)
			}
		}
	})
}

func FuzzDecodeBinary(f *testing.F) {
	record := append([]byte{7}, bytes.Repeat([]byte{1, 2, 3}, 16)...)
	f.Add([]byte{})
	f.Add(record)
	f.Add(append(record, record...))
	f.Add(record[:20])
	f.Add(append([]byte{1}, record...)) // with a coarse label
	f.Fuzz(func(t *testing.T, text []byte) {
		for labels := 1; labels <= 2; labels++ {
			images := &Images{Size: 4}
			if err := decodeBinary(labels)(text, images, 10); err != nil {
				continue
			}
			checkDecoded(t, images)
			size := labels + 48
			if images.Len() != len(text)/size {
				t.Fatalf("%d images in %d bytes", images.Len(), len(text))
			}
			for i, l := range images.Labels {
				record, image := text[size*i:][labels-1:], images.image(int32(i))
				if byte(l) != record[0] || image[0] != record[1] || image[1] != record[17] || image[47] != record[48] {
					t.Fatalf("image %d is not record %d", i, i)
				}
			}
		}
	})
}
