package pickle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/needs"
)

// fragments returns a pickle with a dict of separately encoded items, which use their own
// memos, between values that use another memo.
func fragments(t testing.TB) []byte {
	t.Helper()
	var items bytes.Buffer
	for i := range 300 {
		value := List{"shared", fmt.Sprint("own ", i), Repeated(0.5), Repeated(0.5), Repeated(math.Copysign(0, -1)), Repeated(0), Tuple{"shared", OrderedDict{}}}
		if err := NewEncoder(&items).EncodeItem(i, value); err != nil {
			t.Fatal(err)
		}
	}
	return encode(t, Dict{
		{"before", List{"shared", "own 1"}},
		{"items", RawDict(func(w io.Writer) error { _, err := w.Write(items.Bytes()); return err })},
		{"after", List{"shared", "own 1", "before", OrderedDict{}}},
	})
}

const fragmentsInPython = `{'before': ['shared', 'own 1'],
 'items': {i: ['shared', 'own %d' % i, 0.5, 0.5, -0.0, 0.0, ('shared', OrderedDict())] for i in range(300)},
 'after': ['shared', 'own 1', 'before', OrderedDict()]}`

// Separately encoded items read back in their dict, whatever surrounds it.
func TestFragments(t *testing.T) {
	python := needs.Python(t)
	path := filepath.Join(t.TempDir(), "fragments")
	if err := os.WriteFile(path, fragments(t), 0o666); err != nil {
		t.Fatal(err)
	}
	script := `import pickle, sys
from collections import OrderedDict
value = pickle.load(open(sys.argv[1], "rb"))
print(repr(value) == repr(` + fragmentsInPython + `))
print(value["items"][7][2] is value["items"][7][3])`
	out, err := exec.Command(python, "-c", script, path).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "True\nTrue" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRepeatedFloatsAreWrittenOnce(t *testing.T) {
	var list List
	for range 1000 {
		list = append(list, Repeated(7.25))
	}
	if n := len(encode(t, list)); n > 2100 {
		t.Errorf("%d bytes", n)
	}
}

func TestBytes(t *testing.T) {
	got, err := Reader{}.Decode(encode(t, Tuple{Bytes("\x00\xff"), Bytes{}}))
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%q", got); !strings.Contains(text, `"\x00\xff" ""`) {
		t.Errorf("read %s", text)
	}
}

// Arrays read back unchanged, here and in numpy.
func TestArrays(t *testing.T) {
	text := encode(t, Tuple{
		NewArray("u1", []byte{1, 2, 3, 4, 5, 255}, 2, 3),
		NewArray("f8", binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1)), 1),
		NewArray("i8", nil, 0),
		NewArray("u1", make([]byte, 1<<17), 1<<16, 2, 1),
	})
	got, err := Reader{}.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	arrays, ok := got.(Tuple)
	if !ok || len(arrays) != 4 {
		t.Fatalf("read %T", got)
	}
	first, ok := arrays[0].(*Array)
	if data, _ := first.Bytes(); !ok || first.DType.Name != "u1" || first.Fortran || !bytes.Equal(data, []byte{1, 2, 3, 4, 5, 255}) || fmt.Sprint(first.Shape) != "[2 3]" {
		t.Errorf("read %+v", first)
	}

	python := needs.Python(t)
	path := filepath.Join(t.TempDir(), "arrays")
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-W", "error::DeprecationWarning", "-c", `import pickle, sys, numpy
a, b, c, d = pickle.load(open(sys.argv[1], "rb"), encoding="latin1")
print(a.tolist(), a.dtype == numpy.uint8, b.tolist(), b.dtype == numpy.float64, c.shape, c.dtype == numpy.int64, d.shape, int(d.sum()), a.flags.writeable)`, path).CombinedOutput()
	if want := "[[1, 2, 3], [4, 5, 255]] True [0.1] True (0,) True (65536, 2, 1) 0 True\n"; err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}

// A full disk must end encoding of items.
func TestFragmentsOnAFullDisk(t *testing.T) {
	e := NewEncoder(&full{room: 1 << 20})
	for i := range 1 << 20 {
		if e.EncodeItem(i, "some text") != nil {
			return
		}
	}
	t.Error("a million items were written into a megabyte")
}

// A numpy scalar is written as the scalar that was read.
func TestScalars(t *testing.T) {
	python := needs.Python(t)
	scalars := List{&Scalar{"f8", 0.1}, &Scalar{"f4", 0.5}, &Scalar{"i8", int64(-2)}, &Scalar{"i4", int64(-3)}, &Scalar{"u2", int64(65535)}, &Scalar{"b1", true}}
	text := encode(t, scalars)
	got, err := Reader{}.Decode(text)
	if err != nil || !same(scalars, got) {
		t.Errorf("read %v, %v", got, err)
	}
	script := `import pickle, sys
print([(type(v).__name__, v.item()) for v in pickle.load(sys.stdin.buffer)])`
	c := exec.Command(python, "-c", script)
	c.Stdin = bytes.NewReader(text)
	out, err := c.CombinedOutput()
	const want = "[('float64', 0.1), ('float32', 0.5), ('int64', -2), ('int32', -3), ('uint16', 65535), ('bool', True)]\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}
