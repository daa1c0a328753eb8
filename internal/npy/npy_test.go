package npy

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
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
)

func TestParseHeader(t *testing.T) {
	u1 := Type{Kind: 'u', Size: 1}
	for _, c := range []struct {
		text string
		want Header
		err  string
	}{
		{"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), }  \n", Header{u1, false, []int{3, 4}}, ""},
		{`{"shape":(5,),"fortran_order":True,"descr":">i8"}`, Header{Type{'i', 8, true}, true, []int{5}}, ""},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", Header{Type{'f', 4, false}, false, []int{}}, ""},
		{"{'descr': '<U7', 'fortran_order': False, 'shape': (0L, 2L)}", Header{Type{'U', 28, false}, false, []int{0, 2}}, ""},
		{"{'descr': 'u1', 'fortran_order': False, 'shape': (3)}", Header{u1, false, []int{3}}, ""},
		{"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", Header{}, `numpy type "|O"`},
		{"{'descr': '<f2', 'fortran_order': False, 'shape': (3,)}", Header{}, `numpy type "<f2"`},
		{"{'descr': '<u3', 'fortran_order': False, 'shape': (3,)}", Header{}, `numpy type "<u3"`},
		{"{'descr': '', 'fortran_order': False, 'shape': (3,)}", Header{}, `numpy type ""`},
		{"{'descr': '<U99999999999999999999', 'fortran_order': False, 'shape': (3,)}", Header{}, "numpy type"},
		{"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (3,)}", Header{}, "records"},
		{"{'descr': '|u1', 'fortran_order': False, 'shape': (-3,)}", Header{}, "damaged header"},
		{"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}", Header{}, "damaged header"},
		{"{'descr': '|u1', 'fortran_order': False, 'shape': (" + strings.Repeat("1,", 65) + ")}", Header{}, "damaged header"},
		{"{'descr': '|u1', 'fortran_order': False, 'shape': (3,", Header{}, "damaged header"},
		{"{'descr': '|u1', 'fortran_order': 0, 'shape': (3,)}", Header{}, "damaged header"},
		{"{'descr': '|u1', 'fortran_order': False}", Header{}, "damaged header"},
		{"{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (3,)}", Header{}, "damaged header"},
		{"{'descr': '|u1', 'fortran_order': False, 'shape': (3,)} x", Header{}, "damaged header"},
		{"{'descr': '|u1' 'fortran_order': False, 'shape': (3,)}", Header{}, "damaged header"},
		{"{'descr: ", Header{}, "damaged header"},
		{"{'order': 1}", Header{}, `unknown key "order"`},
		{"", Header{}, "damaged header"},
	} {
		got, err := parseHeader(c.text)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.text, err, c.err)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
}

func TestFloat64s(t *testing.T) {
	for kind, want := range map[Type]string{
		{'u', 1, false}: "uint8", {'i', 1, false}: "int8", {'u', 2, true}: "uint16", {'i', 2, false}: "int16",
		{'u', 4, false}: "uint32", {'i', 4, true}: "int32", {'u', 8, false}: "uint64", {'i', 8, true}: "int64",
		{'f', 4, true}: "float32", {'f', 8, false}: "float64",
	} {
		if kind.String() != want {
			t.Errorf("%v: %s, want %s", kind, kind, want)
		}
		order := binary.AppendByteOrder(binary.LittleEndian)
		if kind.BigEndian {
			order = binary.BigEndian
		}
		values := []float64{0, 1, 100}
		switch kind.Kind {
		case 'u':
			values = append(values, math.Ldexp(1, 8*min(kind.Size, 6))-1)
		case 'i':
			values = append(values, -1, -math.Ldexp(1, 8*kind.Size-1))
		case 'f':
			values = append(values, -0.25, 1e9)
		}
		var raw []byte
		for _, v := range values {
			bits := uint64(int64(v))
			if kind.Kind == 'f' {
				bits = math.Float64bits(v)
				if kind.Size == 4 {
					bits = uint64(math.Float32bits(float32(v)))
				}
			}
			switch kind.Size {
			case 1:
				raw = append(raw, byte(bits))
			case 2:
				raw = order.AppendUint16(raw, uint16(bits))
			case 4:
				raw = order.AppendUint32(raw, uint32(bits))
			case 8:
				raw = order.AppendUint64(raw, bits)
			}
		}
		got := make([]float64, len(values))
		kind.Float64s(got, raw)
		if !slices.Equal(got, values) {
			t.Errorf("%v: %v, want %v", kind, got, values)
		}
	}
}

// sample returns an .npz file written by Writer.
func sample(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	x, err := w.Create("x", "|u1", 2, 3)
	if err == nil {
		_, err = x.Write([]byte{1, 2, 3, 4, 5, 255})
	}
	if err != nil {
		t.Fatal(err)
	}
	y, err := w.Create("y", "<i8", 2)
	if err == nil {
		_, err = y.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 7), math.MaxUint64))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Texts("classes", []string{"cat", "größer", ""}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func save(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// contents returns an array in the set at path, and the bytes of its elements.
func contents(path, name string) (*Array, []byte, error) {
	s, err := OpenSet(path)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	a, err := s.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	text, err := io.ReadAll(a)
	return a, text, err
}

// members returns the .npy files in an .npz file.
func members(t testing.TB, archive []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if texts[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// Arrays written by Writer are read from its file, from a compressed one and from a
// directory.
func TestSet(t *testing.T) {
	archive := sample(t)
	if !bytes.Equal(archive, sample(t)) {
		t.Error("the same arrays make different files")
	}
	dir := t.TempDir()
	var deflated bytes.Buffer
	z := zip.NewWriter(&deflated)
	for name, text := range members(t, archive) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{save(t, "a.npz", archive), save(t, "a.npz", deflated.Bytes()), dir} {
		s, err := OpenSet(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		names := slices.Sorted(slices.Values(s.Names()))
		if !slices.Equal(names, []string{"classes", "x", "y"}) {
			t.Errorf("%s holds %q", path, names)
		}
		a, text, err := contents(path, "x")
		if err != nil || !bytes.Equal(text, []byte{1, 2, 3, 4, 5, 255}) || !reflect.DeepEqual(a.Header, Header{Type{'u', 1, false}, false, []int{2, 3}}) {
			t.Errorf("%s: %+v, %v, %v", path, a, text, err)
		}
		if y, err := s.Integers("y"); err != nil || !slices.Equal(y, []float64{7, -1}) {
			t.Errorf("%s: y is %v, %v", path, y, err)
		}
		for _, name := range []string{"x", "classes", "z", "../x"} {
			if _, err := s.Integers(name); err == nil || !strings.HasPrefix(err.Error(), name+" ") {
				t.Errorf("%s: integers %s: error %v", path, name, err)
			}
		}
	}
}

// Versions 2.0 and 3.0 have a longer field for the header's length.
func TestVersions(t *testing.T) {
	for version, want := range map[byte]string{1: "", 2: "", 3: "", 4: "has version 4"} {
		header := "{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}\n"
		text := append([]byte(magic), version, 0)
		if version == 1 {
			text = binary.LittleEndian.AppendUint16(text, uint16(len(header)))
		} else {
			text = binary.LittleEndian.AppendUint32(text, uint32(len(header)))
		}
		path := save(t, "a.npy", slices.Concat(text, []byte(header), []byte{8, 9}))
		_, got, err := contents(filepath.Dir(path), "a")
		if want == "" && (err != nil || !bytes.Equal(got, []byte{8, 9})) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("version %d: %v, %v", version, got, err)
		}
	}
}

func TestDamaged(t *testing.T) {
	archive := sample(t)
	x := members(t, archive)["x.npy"]
	replace := func(from, to string) []byte { return bytes.Replace(x, []byte(from), []byte(to), 1) }
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"empty":      {nil, "truncated"},
		"cut":        {x[:len(x)-1], "5 bytes of elements"},
		"longer":     {append(bytes.Clone(x), 0), "7 bytes of elements"},
		"magic":      {replace("NUMPY", "NUMPI"), "is not a numpy file"},
		"large":      {replace("(2, 3)", "(2,33)"), "shape [2 33]"},
		"overflow":   {replace("(2, 3), }                  ", "(4294967296, 4294967296), }"), "shape [4294967296 4294967296]"},
		"no numbers": {replace("(2, 3)", "(0, 3)"), "shape [0 3]"},
		"header":     {append([]byte(magic+"\x02\x00\xff\xff\xff\xff"), x[10:]...), "has a header of 4294967295 bytes"},
	} {
		_, _, err := contents(filepath.Dir(save(t, "x.npy", c.text)), "x")
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "x ") {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	damaged := bytes.Clone(archive)
	damaged[bytes.Index(damaged, []byte{1, 2, 3, 4, 5, 255})]++
	_, _, err := contents(save(t, "a.npz", damaged), "x")
	if err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a changed element: error %v, want one of the checksum", err)
	}
	if _, err := OpenSet(save(t, "a.npz", archive[:len(archive)-1])); err == nil {
		t.Error("a truncated archive was opened")
	}
}

// A member cannot claim to be longer than its compressed bytes can expand to.
func TestBomb(t *testing.T) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	var body bytes.Buffer
	f, err := flate.NewWriter(&body, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeHeader(f, "|i8", []int{1 << 40}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		method uint16
	}{{"stored", zip.Store}, {"deflated", zip.Deflate}} {
		w, err := z.CreateRaw(&zip.FileHeader{Name: c.name + ".npy", Method: c.method, CompressedSize64: uint64(body.Len()), UncompressedSize64: 1<<43 + 128})
		if err == nil {
			_, err = w.Write(body.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stored", "deflated"} {
		if _, _, err := contents(save(t, "a.npz", out.Bytes()), name); err == nil || !strings.Contains(err.Error(), "claims to be longer") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// numpy reads what Writer writes, and Set what numpy writes.
func TestNumpy(t *testing.T) {
	python := needs.Python(t)
	path := save(t, "a.npz", sample(t))
	made := filepath.Join(t.TempDir(), "b.npz")
	c := exec.Command(python, "-c", `
import json, sys
import numpy as np
with np.load(sys.argv[1], allow_pickle=False) as z:
    print(json.dumps({k: [str(z[k].dtype), z[k].tolist()] for k in z.files}))
np.savez_compressed(sys.argv[2], x=np.arange(6, dtype=">u2").reshape(2, 3), y=np.array([[3], [4]]), f=np.ones((2, 3), order="F"))
`, path, made)
	c.Stderr = os.Stderr
	said, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string][]any
	if err := json.Unmarshal(said, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string][]any{
		"x":       {"uint8", []any{[]any{1., 2., 3.}, []any{4., 5., 255.}}},
		"y":       {"int64", []any{7., -1.}},
		"classes": {"<U6", []any{"cat", "größer", ""}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("numpy reads %v, want %v", got, want)
	}
	a, text, err := contents(made, "x")
	if err != nil || a.Type != (Type{'u', 2, true}) || !bytes.Equal(text, []byte{0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5}) {
		t.Errorf("numpy's uint16: %v, %v", text, err)
	}
	if a, _, err := contents(made, "f"); err != nil || !a.Fortran {
		t.Errorf("numpy's order F: %+v, %v", a, err)
	}
	s, err := OpenSet(made)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if y, err := s.Integers("y"); err != nil || !slices.Equal(y, []float64{3, 4}) {
		t.Errorf("numpy's labels: %v, %v", y, err)
	}
}

func FuzzNpy(f *testing.F) {
	for _, text := range members(f, sample(f)) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, n, err := readHeader(bytes.NewReader(text))
		if err == nil && (n > len(text) || h.Type.Size < 1 || slices.ContainsFunc(h.Shape, func(n int) bool { return n < 0 })) {
			t.Errorf("%q is the header %+v of %d bytes", text, h, n)
		}
	})
}

func FuzzNpz(f *testing.F) {
	f.Add(sample(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := save(t, "a.npz", text)
		s, err := OpenSet(path)
		if err != nil {
			return
		}
		defer s.Close()
		for _, name := range s.Names() {
			a, read, err := contents(path, name)
			if err != nil {
				continue
			}
			n := a.Type.Size
			for _, d := range a.Shape {
				n *= d
			}
			if n != len(read) {
				t.Errorf("%s of shape %v has %d bytes", name, a.Shape, len(read))
			}
		}
	})
}
