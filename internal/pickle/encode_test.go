package pickle

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fragments is a pickle with a dict of items that were encoded before, each with a memo
// of its own, between values that share a memo with none of them.
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

// Items that were encoded apart read back in their dict, whatever stands around them.
func TestFragments(t *testing.T) {
	python := os.Getenv("NB201_PYTHON")
	if python == "" {
		t.Skip("NB201_PYTHON names no Python")
	}
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

// A full disk must end the writing of fragments.
func TestFragmentsOnAFullDisk(t *testing.T) {
	e := NewEncoder(&full{room: 1 << 20})
	for i := range 1 << 20 {
		if e.EncodeItem(i, "some text") != nil {
			return
		}
	}
	t.Error("a million items were written into a megabyte")
}
