package download

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnpack(t *testing.T) {
	archive := pack(t,
		entry{name: "./top/", kind: tar.TypeDir},
		entry{name: "top/a", content: "one"},
		entry{name: "./top/b/c", content: "two"},
		entry{name: "top/b/../d", content: ""})
	dir := t.TempDir()
	if err := unpack(bytes.NewReader(archive), "top", dir, 4*512+6); err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, dir), map[string]string{"a": "one", "b/c": "two", "d": ""}; !maps.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

func TestUnpackTooLarge(t *testing.T) {
	many := make([]entry, 100)
	for i := range many {
		many[i] = entry{name: "top/", kind: tar.TypeDir}
	}
	var behind bytes.Buffer // the end of the tar file
	w := gzip.NewWriter(&behind)
	if _, err := w.Write(make([]byte, 40<<10)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, archive := range map[string][]byte{
		"file":          pack(t, entry{name: "top/a", content: strings.Repeat("x", 40<<10)}),
		"files":         pack(t, entry{name: "top/a", content: strings.Repeat("x", 20<<10)}, entry{name: "top/b", content: strings.Repeat("x", 20<<10)}),
		"empty entries": pack(t, many...),
		"after the end": append(pack(t, entry{name: "top/a", content: "x"}), behind.Bytes()...),
	} {
		dir := t.TempDir()
		const limit = 32 << 10
		if err := unpack(bytes.NewReader(archive), "top", dir, limit); err == nil || !strings.Contains(err.Error(), "it unpacks to more than") {
			t.Errorf("%s: the error is %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "b")); err == nil {
			t.Errorf("%s: too much is unpacked", name)
		}
	}
}

// Whatever the bytes of a tar file, unpack writes only below the directory, and no more than
// the limit.
func FuzzUnpack(f *testing.F) {
	add := func(entries ...entry) {
		zipped, err := gzip.NewReader(bytes.NewReader(pack(f, entries...)))
		if err != nil {
			f.Fatal(err)
		}
		var plain bytes.Buffer
		if _, err := plain.ReadFrom(zipped); err != nil {
			f.Fatal(err)
		}
		f.Add(plain.Bytes())
	}
	add(entry{name: "top/", kind: tar.TypeDir}, entry{name: "top/a/b", content: "content"})
	add(entry{name: "top/../../evil", content: "x"})
	add(entry{name: "top/a", content: "/etc", kind: tar.TypeSymlink}, entry{name: "top/a/evil", content: "x"})
	add(entry{name: "top/" + strings.Repeat("long/", 60) + "a", content: "x"})
	f.Fuzz(func(t *testing.T, archive []byte) {
		var zipped bytes.Buffer
		w, err := gzip.NewWriterLevel(&zipped, gzip.NoCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(archive); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "dir")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		const limit = 4000
		_ = unpack(&zipped, "top", dir, limit)
		total := 0
		for _, content := range tree(t, dir) {
			total += len(content)
		}
		if total > limit {
			t.Errorf("%d bytes are unpacked", total)
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v", entries, err)
		}
	})
}
