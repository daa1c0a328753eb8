package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/pickle"
	"nb201/internal/usage"
)

// net returns the state dict of a small module: a convolution, a BatchNorm, a linear layer.
func net() StateDict {
	weight := make([]float32, 4*3*3*3)
	for i := range weight {
		weight[i] = float32(math.Sin(float64(i)))
	}
	return StateDict{
		{"stem.0.weight", &Tensor{Shape: []int{4, 3, 3, 3}, Float32: weight}},
		{"stem.1.weight", &Tensor{Shape: []int{4}, Float32: []float32{1, 2, 3, 4}}},
		{"stem.1.bias", &Tensor{Shape: []int{4}, Float32: []float32{0, -1, math.MaxFloat32, math.SmallestNonzeroFloat32}}},
		{"stem.1.running_mean", &Tensor{Shape: []int{4}, Float32: make([]float32, 4)}},
		{"stem.1.running_var", &Tensor{Shape: []int{4}, Float32: []float32{1, 1, 1, 1}}},
		{"stem.1.num_batches_tracked", &Tensor{Shape: []int{}, Int64: []int64{1 << 40}}},
		{"classifier.weight", &Tensor{Shape: []int{2, 4}, Float64: []float64{1, 2, 3, 4, 5, 6, 7, math.Pi}}},
		{"classifier.bias", &Tensor{Shape: []int{2}, Float64: []float64{-1, 1}}},
	}
}

func write(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func save(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net.pth")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStateDictReadsBack(t *testing.T) {
	want := net()
	got, err := ReadStateDict(save(t, write(t, want)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %v, wrote %v", got, want)
	}
}

// The versions are those that torch stores for modules with tensors.
func TestVersions(t *testing.T) {
	versions := func(v int) pickle.Dict { return pickle.Dict{{Key: "version", Value: v}} }
	want := pickle.Dict{{Key: "_metadata", Value: pickle.OrderedDict{Items: pickle.Dict{
		{Key: "", Value: versions(1)}, {Key: "stem.0", Value: versions(1)}, {Key: "stem.1", Value: versions(2)}, {Key: "classifier", Value: versions(1)},
	}}}}
	if got := net().pickled().Attributes; !reflect.DeepEqual(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
}

func TestPlainDictReadsBack(t *testing.T) {
	want := net()[:1]
	got, err := ReadStateDict(save(t, write(t, pickle.Dict{{Key: want[0].Name, Value: want[0].Tensor}})))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %v, wrote %v", got, want)
	}
}

func TestEqualValuesGiveEqualBytes(t *testing.T) {
	if !bytes.Equal(write(t, net()), write(t, net())) {
		t.Error("two writes of one state dict differ")
	}
}

func TestContainer(t *testing.T) {
	for name, v := range map[string]any{
		"state dict": net(),
		"nested":     pickle.Dict{{Key: "full", Value: pickle.List{net(), net()}}, {Key: "less", Value: nil}},
		"no tensor":  pickle.Dict{},
	} {
		data := write(t, v)
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range z.File {
			names = append(names, strings.TrimPrefix(f.Name, "archive/"))
			offset, err := f.DataOffset()
			if err != nil {
				t.Fatal(err)
			}
			if f.Method != zip.Store || offset%64 != 0 {
				t.Errorf("%s: %s has method %d and offset %d", name, f.Name, f.Method, offset)
			}
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil { // checks the CRC
				t.Errorf("%s: %s: %v", name, f.Name, err)
			}
		}
		for _, want := range []string{"data.pkl", "version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s: no record %s", name, want)
			}
		}
	}
}

func TestWriteRefusesWrongTensors(t *testing.T) {
	for name, tensor := range map[string]*Tensor{
		"too few":    {Shape: []int{2, 2}, Float32: make([]float32, 3)},
		"none":       {Shape: []int{1}},
		"two slices": {Shape: []int{2}, Float32: make([]float32, 1), Int64: make([]int64, 1)},
	} {
		if err := Write(io.Discard, tensor); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if err := Write(io.Discard, struct{}{}); err == nil {
		t.Error("a struct was written")
	}
}

// flip returns data with one bit of a record changed.
func flip(t *testing.T, data []byte, record string) []byte {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if f.Name == record {
			offset, err := f.DataOffset()
			if err != nil {
				t.Fatal(err)
			}
			data = slices.Clone(data)
			data[offset] ^= 1
			return data
		}
	}
	t.Fatalf("no record %s", record)
	return nil
}

// repack copies the records of data to a new archive, with change applied to each.
func repack(t *testing.T, data []byte, change func(h *zip.FileHeader, content []byte) []byte) []byte {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		h := &zip.FileHeader{Name: f.Name}
		if content = change(h, content); content == nil {
			continue
		}
		dst, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dst.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadRefuses(t *testing.T) {
	whole := write(t, net())
	edit := func(record string, f func(h *zip.FileHeader, content []byte) []byte) []byte {
		return repack(t, whole, func(h *zip.FileHeader, content []byte) []byte {
			if h.Name == "archive/"+record {
				return f(h, content)
			}
			return content
		})
	}
	replace := func(old, new string) []byte {
		return edit("data.pkl", func(_ *zip.FileHeader, content []byte) []byte {
			if !bytes.Contains(content, []byte(old)) {
				t.Fatalf("%q is not in data.pkl", old)
			}
			return bytes.Replace(content, []byte(old), []byte(new), 1)
		})
	}
	remove := func(*zip.FileHeader, []byte) []byte { return nil }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":          {nil, "not a complete torch checkpoint"},
		"text":             {[]byte("hello"), "not a complete torch checkpoint"},
		"cut off":          {whole[:len(whole)-40], "not a complete torch checkpoint"},
		"bit in a weight":  {flip(t, whole, "archive/data/0"), "record data/0 is damaged"},
		"bit in the pick":  {flip(t, whole, "archive/data.pkl"), "record data.pkl is damaged"},
		"no pickle":        {edit("data.pkl", remove), "record data.pkl is missing"},
		"no weight":        {edit("data/3", remove), "record data/3 is missing"},
		"short weight":     {edit("data/1", func(_ *zip.FileHeader, b []byte) []byte { return b[:12] }), "12 bytes"},
		"deflated weight":  {edit("data/0", func(h *zip.FileHeader, b []byte) []byte { h.Method = zip.Deflate; return b }), "method 8"},
		"big endian":       {edit("byteorder", func(*zip.FileHeader, []byte) []byte { return []byte("big") }), `byte order is "big"`},
		"foreign class":    {replace("torch\nFloatStorage", "torch\nHalfStorage!"), "torch.HalfStorage! is not supported"},
		"code":             {replace("torch._utils\n_rebuild_tensor_v2", "os\nsystem"), `refers to "os.system"`},
		"strides beyond":   {replace("K\x1bK\x09K\x03", "K\x1bK\x0aK\x03"), "with strides [27 10 3 1] at offset 0 is beyond its storage of 108 elements"},
		"huge stride":      {replace("K\x1bK\x09K\x03", "K\x1b\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x03"), "storage of 108 elements"},
		"negative stride":  {replace("K\x1bK\x09K\x03", "K\x1bJ\xff\xff\xff\xffK\x03"), "the negative stride -1"},
		"huge shape":       {replace("(K\x04K\x03K\x03K\x03t", "(J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7fK\x03t"), "impossible shape"},
		"huge view":        {replace("K\x03K\x03K\x03t(K\x1bK\x09K\x03K\x01t", "J\xff\xff\xff\x00K\x03K\x03t(K\x00K\x00K\x00K\x00t"), `its views up to "stem.0.weight" have more than 16777216 elements`},
		"too large shape":  {replace("(K\x04K\x03K\x03K\x03t", "(K\x05K\x03K\x03K\x03t"), "storage of 108 elements"},
		"negative shape":   {replace("(K\x04K\x03K\x03K\x03t", "(J\xff\xff\xff\xffK\x03K\x03K\x03t"), "impossible shape"},
		"not a dict":       {write(t, pickle.List{1}), "no dictionary"},
		"not only tensors": {write(t, pickle.Dict{{Key: "epoch", Value: 3}}), `"epoch" is not a tensor`},
		"key not a name":   {write(t, pickle.Dict{{Key: 3, Value: 3}}), "key 0 of its dictionary is not a string"},
		"same name twice":  {write(t, pickle.Dict{{Key: "a", Value: net()[1].Tensor}, {Key: "a", Value: net()[1].Tensor}}), "a duplicate"},
		"empty":            {write(t, StateDict{}), "no tensors"},
	} {
		path := save(t, c.data)
		_, err := ReadStateDict(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || !usage.Is(err) {
			t.Errorf("%s: error %v, want one with the path and %q", name, err, c.want)
		}
	}
	if _, err := ReadStateDict(filepath.Join(t.TempDir(), "none.pth")); !usage.Is(err) {
		t.Errorf("no file: error %v", err)
	}
}

// A file must not make the reader need many times the file's size, as would an archive whose
// directory lists the same bytes many times.
func TestSharedBytesAreRefused(t *testing.T) {
	data := write(t, net())
	end := bytes.LastIndex(data, []byte("PK\x05\x06"))
	directory := bytes.Index(data, []byte("PK\x01\x02"))
	next := directory + 4 + bytes.Index(data[directory+4:], []byte("PK\x01\x02"))
	if !bytes.Contains(data[directory:next], []byte("archive/data.pkl")) {
		t.Fatal("the pickle is not the first record")
	}
	entries := slices.Clone(data[directory:end])
	for i := range 26 {
		entries = append(entries, bytes.Replace(data[directory:next], []byte("data.pkl"), []byte("data.pk"+string(rune('A'+i))), 1)...)
	}
	tail := slices.Clone(data[end:])
	count := binary.LittleEndian.Uint16(tail[10:]) + 26
	binary.LittleEndian.PutUint16(tail[8:], count)
	binary.LittleEndian.PutUint16(tail[10:], count)
	binary.LittleEndian.PutUint32(tail[12:], uint32(len(entries)))
	bomb := slices.Concat(data[:directory], entries, tail)
	_, err := ReadStateDict(save(t, bomb))
	if err == nil || !strings.Contains(err.Error(), "records are longer than the file") {
		t.Errorf("error %v", err)
	}
}

// TestTorch loads the files in torch with its default, weights-only unpickler, and reads a
// file that torch.save wrote.
func TestTorch(t *testing.T) {
	python := needs.Python(t)
	want := net()
	path := save(t, write(t, want))
	nested := save(t, write(t, pickle.Dict{{Key: "full", Value: pickle.Dict{
		{Key: pickle.Tuple{"cifar10", 777}, Value: want}, {Key: "none", Value: nil}, {Key: "set", Value: pickle.Set{"a", 1}},
	}}}))
	again := path + ".torch"
	out, err := exec.Command(python, "testdata/load.py", path, nested, again).Output()
	if err != nil {
		if e := new(exec.ExitError); errors.As(err, &e) {
			t.Fatalf("%v\n%s", err, e.Stderr)
		}
		t.Fatal(err)
	}
	var got []struct {
		Name, DType string
		Shape       []int
		Bytes       []byte
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("torch finds %d tensors, not %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if g.Name != w.Name || g.DType != "torch."+w.DType().String() || fmt.Sprint(g.Shape) != fmt.Sprint(w.Shape) || !bytes.Equal(g.Bytes, w.bytes()) {
			t.Errorf("torch reads %v, not %v", g, w)
		}
	}
	back, err := ReadStateDict(again)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, want) {
		t.Errorf("torch.save's file reads %v, not %v", back, want)
	}
}
