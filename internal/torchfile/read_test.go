package torchfile

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/internal/pickle"
	"nb201/internal/usage"
)

// saved returns the state dict in the files written by testdata/save.py.
func saved() StateDict {
	return StateDict{
		{"weight", &Tensor{Shape: []int{2, 3}, Float32: []float32{2, 3, 4, 5, 6, 7}}},
		{"bias", &Tensor{Shape: []int{2}, Float32: []float32{0, 1}}},
		{"running_mean", &Tensor{Shape: []int{2}, Float64: []float64{1.5, -2.5}}},
		{"num_batches_tracked", &Tensor{Shape: []int{}, Int64: []int64{1 << 40}}},
		{"empty", &Tensor{Shape: []int{0, 3}, Float32: []float32{}}},
		{"parameter", &Tensor{Shape: []int{2}, Float32: []float32{1, 1}}},
	}
}

// state returns the value under full and net_state_dict.
func state(t testing.TB, v any) any {
	t.Helper()
	for _, key := range []string{"full", "net_state_dict"} {
		d, ok := v.(*pickle.Dict)
		if !ok {
			t.Fatalf("a %T instead of a dict", v)
		}
		if v, ok = d.Get(key); !ok {
			t.Fatalf("no %q", key)
		}
	}
	return v
}

func TestFile(t *testing.T) {
	for _, name := range []string{"zip.pth", "legacy.pth"} {
		path := filepath.Join("testdata", "read", name)
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Check(); err != nil {
			t.Error(err)
		}
		v, err := f.Value()
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.StateDict(state(t, v))
		if err != nil {
			t.Fatal(err)
		}
		if want := saved(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %v, not %v", name, got, want)
		}
		full, _ := v.(*pickle.Dict).Get("full")
		if shape, _ := full.(*pickle.Dict).Get("shape"); !reflect.DeepEqual(shape, pickle.Tuple{int64(2), int64(3)}) {
			t.Errorf("%s: shape %v", name, shape)
		}
		if _, err := f.StateDict(full); err == nil || !strings.Contains(err.Error(), path) || !usage.Is(err) {
			t.Errorf("%s: not a state dict: error %v", name, err)
		}

		section, deflated, err := f.Pickle()
		if err != nil || deflated {
			t.Fatal(deflated, err)
		}
		_, n, err := pickle.Reader{Class: Class, Persistent: storages{}.persistent}.DecodeFrom(section)
		if err != nil || n > section.Size() || name == "zip.pth" && n != section.Size() {
			t.Errorf("%s: a pickle of %d of %d bytes, %v", name, n, section.Size(), err)
		}
	}
}

// A merged file may have its pickle compressed.
func TestDeflatedPickle(t *testing.T) {
	data := repack(t, write(t, pickle.Dict{{Key: "full", Value: pickle.Dict{{Key: "net_state_dict", Value: net()}}}}),
		func(h *zip.FileHeader, content []byte) []byte {
			if h.Name == "archive/data.pkl" {
				h.Method = zip.Deflate
			}
			return content
		})
	f, err := NewFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, deflated, err := f.Pickle(); err != nil || !deflated {
		t.Errorf("deflated %v, %v", deflated, err)
	}
	v, err := f.Value()
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.StateDict(state(t, v))
	if err != nil || !reflect.DeepEqual(got, net()) {
		t.Errorf("read %v, %v", got, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestEmbedded reads tensors in plain pickles.
func TestEmbedded(t *testing.T) {
	for _, name := range []string{"embedded-protocol2", "embedded-protocol4", "whole"} {
		data, err := os.ReadFile(filepath.Join("testdata", "read", name+".pickle"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := pickle.Reader{Class: Class}.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := LoadStateDict(state(t, v))
		if err != nil {
			t.Fatal(err)
		}
		if want := saved(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read %v, not %v", name, got, want)
		}
	}
}

func TestEmbeddedRefuses(t *testing.T) {
	whole := write(t, net())
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"not a checkpoint": {[]byte("hello"), "not a complete torch checkpoint"},
		"damaged":          {flip(t, whole, "archive/data/0"), "record data/0 is damaged"},
		"a number":         {write(t, 5), "no dictionary of tensors"},
	} {
		if _, err := LoadStateDict(&Embedded{c.data}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no storage": {whole, "something other than a storage"},
		"too short":  {legacyStorage(t), "4 elements with strides [1] at offset 0 is beyond its storage of 3 elements"},
	} {
		ref := &Ref{Shape: []int{4}, storage: &Embedded{c.data}, stride: []int{1}}
		if _, err := LoadStateDict(&pickle.Dict{{Key: "weight", Value: ref}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

// legacyStorage returns a checkpoint of one storage of three numbers, as torch.save writes it
// in the legacy format.
func legacyStorage(t testing.TB) []byte {
	t.Helper()
	head := legacyHead(t)
	return []byte(head + "\x80\x02(U\x07storagectorch\nFloatStorage\nU\x01aU\x03cpuK\x03NtQ." + "\x80\x02]U\x01aa." +
		"\x03\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40")
}

// legacyHead returns the beginning of a legacy file, before the pickle.
func legacyHead(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/read/legacy.pth")
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data[:f.legacy])
}

func TestLegacyRefuses(t *testing.T) {
	head := legacyHead(t)
	storage := func(key, class, count string) string {
		return "(U\x07storagectorch\n" + class + "\nU\x01" + key + "U\x03cpu" + count + "NtQ"
	}
	object := "\x80\x02" + storage("a", "FloatStorage", "K\x01") + "."
	const keys, count, element = "\x80\x02]U\x01aa.", "\x01\x00\x00\x00\x00\x00\x00\x00", "\x00\x00\x80\x3f"
	for name, c := range map[string]struct{ data, want string }{
		"sound":             {head + object + keys + count + element, ""},
		"magic":             {"\x80\x02K\x05." + head[15:], "not a complete torch checkpoint"},
		"version":           {head[:15] + "\x80\x02M\xea\x03." + head[21:], "does not have version 1001"},
		"big endian":        {strings.Replace(head, "\x88", "\x89", 1), "byte order is not little-endian"},
		"no info":           {head[:21] + "\x80\x02N.", "does not contain the byte order"},
		"cut in the head":   {head[:30], "truncated"},
		"cut in the object": {head + object[:20], "truncated"},
		"cut in the keys":   {head + object + keys[:5], "truncated"},
		"keys not a list":   {head + object + "N.", "no list of its storages"},
		"no keys":           {head + object + "].", `storage "a" is missing`},
		"foreign key":       {head + object + "]U\x01ba.", `storage "b" is unused`},
		"same key twice":    {head + object + "](U\x01aU\x01ae." + count + element, `storage "a" is unused or a duplicate`},
		"key no name":       {head + object + "]K\x01a.", "is unused"},
		"cut in the count":  {head + object + keys + count[:7], "ends before storage a"},
		"other count":       {head + object + keys + "\x02" + count[1:] + element, "2 elements instead of 1"},
		"cut in elements":   {head + object + keys + count + element[:3], "ends within storage a"},
		"huge storage":      {head + storage("a", "FloatStorage", "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x07") + "." + keys + "\x00\x00\x00\x00\x00\x00\x00\x07", "ends within storage a"},
		"impossible count":  {head + storage("a", "FloatStorage", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f") + "." + keys, "malformed reference to a storage"},
		"two lengths":       {head + "(" + storage("a", "FloatStorage", "K\x01") + storage("a", "FloatStorage", "K\x02") + "t.", "two types or lengths"},
		"two types":         {head + "(" + storage("a", "FloatStorage", "K\x01") + storage("a", "LongStorage", "K\x01") + "t.", "two types or lengths"},
		"view":              {head + strings.Replace(storage("a", "FloatStorage", "K\x01"), "N", "K\x01", 1) + ".", "an object that is not a storage"},
		"module":            {head + "U\x06moduleQ.", "an object that is not a storage"},
		"class":             {head + "cposix\nsystem\n.", `refers to "posix.system"`},
	} {
		f, err := NewFile(strings.NewReader(c.data), int64(len(c.data)))
		if err == nil {
			_, err = f.Value()
		}
		switch {
		case c.want == "":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case err == nil || !usage.Is(err) || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	data := write(t, net())
	for _, record := range []string{"archive/data.pkl", "archive/data/5", "archive/.data/serialization_id"} {
		damaged := flip(t, data, record)
		f, err := NewFile(bytes.NewReader(damaged), int64(len(damaged)))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Check(); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(record, "archive/")+" is damaged") {
			t.Errorf("a bit of %s: error %v", record, err)
		}
	}
}

// readAll reads everything in a checkpoint, as far as possible.
func readAll(data []byte) (StateDict, error) {
	f, err := NewFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	_ = f.Check()
	if section, _, err := f.Pickle(); err == nil {
		_, _ = io.Copy(io.Discard, section)
	}
	v, err := f.Value()
	if err != nil {
		return nil, err
	}
	return f.StateDict(v)
}

func fuzz(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readAll(data)
		if err != nil {
			if !usage.Is(err) {
				t.Fatalf("no usage error: %v", err)
			}
			return
		}
		back, err := readAll(write(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if len(back) != len(s) {
			t.Errorf("%d tensors, written and read again %d", len(s), len(back))
		}
	})
}

func FuzzZip(f *testing.F) {
	f.Add(write(f, net()))
	f.Add(write(f, net()[5:6]))
	f.Add(write(f, pickle.Dict{{Key: "epoch", Value: 3}}))
	fuzz(f)
}

func FuzzLegacy(f *testing.F) {
	data, err := os.ReadFile("testdata/read/legacy.pth")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(legacyStorage(f))
	head := legacyHead(f)
	f.Add([]byte(head + "}(X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nLongStorage\nU\x01aU\x03cpuK\x01NtQK\x00))\x89}tRu.]U\x01aa." +
		"\x01\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00"))
	fuzz(f)
}
