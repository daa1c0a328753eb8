package pickle

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/usage"
)

// compressed returns a pickled list of 100,000 None, compressed by Python's bz2.
func compressed(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/nones.pickle.pbz2")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReadBZ2(t *testing.T) {
	whole := compressed(t)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 4
	for name, c := range map[string]struct {
		data  []byte
		limit int64
		want  string // "": no error
	}{
		"whole":           {whole, 1 << 20, ""},
		"just fits":       {whole, 100_006, ""},
		"twice":           {append(bytes.Clone(whole), whole...), 1 << 20, ""},
		"too long":        {whole, 100_005, "more than 100005 bytes"},
		"nothing":         {nil, 10, "truncated"},
		"truncated":       {whole[:len(whole)-1], 1 << 20, "truncated"},
		"truncated early": {whole[:20], 1 << 20, "truncated"},
		"damaged":         {damaged, 1 << 20, "bzip2"},
		"text":            {[]byte("hello"), 10, "bzip2"},
		"bytes behind":    {append(bytes.Clone(whole), "hello"...), 1 << 20, "bzip2"},
	} {
		path := filepath.Join(t.TempDir(), "a.pickle.pbz2")
		if err := os.WriteFile(path, c.data, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := ReadBZ2(path, c.limit)
		if c.want == "" {
			if err != nil || len(got)%100_006 != 0 || len(got) == 0 {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		} else if err == nil || !usage.Is(err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one with the path and %q", name, err, c.want)
		}
	}
	if _, err := ReadBZ2(filepath.Join(t.TempDir(), "none"), 10); !usage.Is(err) {
		t.Errorf("no file: error %v", err)
	}
}

// A few compressed bytes may expand to many.
func FuzzDecompress(f *testing.F) {
	f.Add(compressed(f))
	f.Add([]byte("BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 4 << 20
		var err error
		used := allocated(func() {
			var text []byte
			if text, err = decompress(bytes.NewReader(data), limit); err == nil && len(text) < 1<<20 {
				_, _ = decodeAny(text)
			}
		})
		if used > 300<<20 {
			t.Fatalf("allocated %d bytes for %d", used, len(data))
		}
	})
}
