package safetensors

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// tensors reads all tensors of a file, by name.
func tensors(path string) (map[string]*torchfile.Tensor, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	read := map[string]*torchfile.Tensor{}
	for _, w := range f.Weights() {
		if read[w.Name], err = w.Load(); err != nil {
			return nil, err
		}
	}
	return read, nil
}

// TestFiles reads files that the Python library wrote: the committed ones and, if NB201_PYTHON
// names a Python, new ones.
func TestFiles(t *testing.T) {
	dirs := []string{"testdata"}
	if python := needs.PythonIfSet(t); python != "" {
		dirs = append(dirs, t.TempDir())
		if out, err := exec.Command(python, "testdata/save.py", dirs[1]).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	weight := []float32{-5.5, -4.5, -3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5}
	for _, c := range []struct {
		name  string
		dtype torchfile.DType
		bias  []float32 // 1/3 and -2e-5, rounded
	}{
		{"float32", torchfile.Float32, []float32{1.0 / 3, -2e-5}},
		{"float64", torchfile.Float64, []float32{1.0 / 3, -2e-5}},
		{"float16", torchfile.Float16, []float32{1365.0 / 4096, -336.0 / (1 << 24)}},
		{"bfloat16", torchfile.BFloat16, []float32{171.0 / 512, -168.0 / (1 << 23)}},
	} {
		for _, dir := range dirs {
			got, err := tensors(filepath.Join(dir, c.name+".safetensors"))
			if err != nil {
				t.Error(err)
				continue
			}
			if d := got["stem.1.bias"].DType(); d != c.dtype {
				t.Errorf("%s: type %v", c.name, d)
			}
			want := map[string]*torchfile.Tensor{
				"stem.0.weight": {Shape: []int{2, 2, 3}, Float32: weight}, "stem.1.bias": {Shape: []int{2}, Float32: c.bias},
				"stem.1.num_batches_tracked": {Shape: []int{}, Int64: []int64{1 << 40}}, "empty": {Shape: []int{0, 3}, Float32: []float32{}},
			}
			for name, w := range got {
				if w.Int64 == nil {
					got[name] = w.ToFloat32()
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: read %v, not %v", c.name, got, want)
			}
		}
	}
	if _, err := tensors("testdata/float8.safetensors"); err == nil || !usage.Is(err) || !strings.Contains(err.Error(), `its type "F8_E4M3" is not supported`) {
		t.Errorf("float8: error %v", err)
	}
}

// file returns a file with a header and data zeros.
func file(header string, data int) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + strings.Repeat("\x00", data)
}

func TestRefuses(t *testing.T) {
	const two = `"dtype":"F32","shape":[2],"data_offsets"`
	for name, c := range map[string]struct{ data, want string }{
		"sound":           {file(`{"a":{`+two+`:[0,8]}, "__metadata__":{"format":"pt"}}   `, 8), ""},
		"empty file":      {"", "ends within the length of its header"},
		"cut length":      {"\x10\x00\x00", "ends within the length of its header"},
		"cut header":      {file(`{"a":{`+two+`:[0,8]}}`, 0)[:20], "truncated or damaged"},
		"huge header":     {"\xff\xff\xff\xff\xff\xff\xff\xff{}", "truncated or damaged"},
		"no JSON":         {file(`{"a":`, 8), "its header is damaged"},
		"a list":          {file(`[]`, 8), "not a JSON object"},
		"no header":       {file("", 8), "not a JSON object"},
		"space first":     {file(` {"a":{`+two+`:[0,8]}}`, 8), "not a JSON object"},
		"two documents":   {file(`{"a":{`+two+`:[0,8]}}{}`, 8), "contains more than a JSON object"},
		"no tensor":       {file(`{}`, 0), "contains no tensors"},
		"metadata alone":  {file(`{"__metadata__":{}}`, 0), "contains no tensors"},
		"metadata":        {file(`{"__metadata__":{"a":1}}`, 0), "its header is damaged"},
		"same name twice": {file(`{"a":{`+two+`:[0,8]},"a":{`+two+`:[8,16]}}`, 16), "its header is damaged"},
		"unknown member":  {file(`{"a":{`+two+`:[0,8],"stride":[1]}}`, 8), "its header is damaged"},
		"offset":          {file(`{"a":{`+two+`:[0.5,8]}}`, 8), "its header is damaged"},
		"three offsets":   {file(`{"a":{`+two+`:[0,8,8]}}`, 8), "its header is damaged"},
		"beyond the end":  {file(`{"a":{`+two+`:[0,8]}}`, 7), `"a" is at bytes 0 to 8 of 7,`},
		"hole":            {file(`{"a":{`+two+`:[4,12]}}`, 12), "should begin at 0;"},
		"overlap":         {file(`{"a":{`+two+`:[0,8]},"b":{`+two+`:[4,12]}}`, 12), `"b" is at bytes 4 to 12 of 12, but should begin at 8;`},
		"backwards":       {file(`{"a":{`+two+`:[0,-8]}}`, 8), `"a" is at bytes 0 to -8`},
		"rest":            {file(`{"a":{`+two+`:[0,8]}}`, 9), "it has 1 bytes after its tensors"},
		"shape":           {file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), `"a": it has 8 bytes instead of 12`},
		"negative shape":  {file(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "impossible shape"},
		"huge shape":      {file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}`, 8), "impossible shape"},
		"no type":         {file(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), "is not supported"},
		"no offsets":      {file(`{"a":{"dtype":"F32","shape":[2]}}`, 0), "0 bytes instead of 8"},
	} {
		path := filepath.Join(t.TempDir(), "w.safetensors")
		if err := os.WriteFile(path, []byte(c.data), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := tensors(path)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !usage.Is(err) || !strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.safetensors")); !usage.Is(err) {
		t.Errorf("no file: error %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"float32", "float16", "float8"} {
		data, err := os.ReadFile("testdata/" + name + ".safetensors")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, data string) {
		stored, err := read(strings.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if !IsFile([]byte(data)) {
			t.Error("read, but not recognised")
		}
		for _, w := range stored {
			tensor, err := w.Load()
			if err != nil {
				continue
			}
			if held := len(tensor.ToFloat32().Float32); held != tensor.Elements() {
				t.Errorf("%s: shape %v, %d elements", w.Name, w.Shape, held)
			}
		}
	})
}
