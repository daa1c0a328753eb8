package pickle

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
)

// random returns a value to pickle, and a Python expression for it.
func random(r *rand.Rand, depth int) (any, string) {
	if depth == 0 {
		return scalar(r)
	}
	n := r.IntN(6)
	var values []any
	var texts []string
	for range n {
		v, text := random(r, depth-1)
		values, texts = append(values, v), append(texts, text)
	}
	list := strings.Join(texts, ", ")
	switch r.IntN(7) {
	case 0:
		return List(values), "[" + list + "]"
	case 1:
		if n == 1 {
			list += ","
		}
		return Tuple(values), "(" + list + ")"
	case 2, 3, 4:
		var pairs Dict
		var items []string
		for i, text := range texts {
			key, keyText := any(fmt.Sprintf("key%d", i)), fmt.Sprintf("'key%d'", i)
			if i%2 == 1 {
				key, keyText = Tuple{"data", i}, fmt.Sprintf("('data', %d)", i)
			}
			pairs = append(pairs, Pair{key, values[i]})
			items = append(items, "("+keyText+", "+text+")")
		}
		ordered := "OrderedDict([" + strings.Join(items, ", ") + "])"
		switch r.IntN(3) {
		case 0:
			return OrderedDict{Items: pairs}, ordered
		case 1:
			return DictSeq(func(emit func(k, v any) error) error {
				for _, p := range pairs {
					if err := emit(p.Key, p.Value); err != nil {
						return err
					}
				}
				return nil
			}), "dict(" + ordered + ")"
		}
		return pairs, "dict(" + ordered + ")"
	case 5:
		set := Set{r.IntN(1000), "element"}
		return set, fmt.Sprintf("{%d, 'element'}", set[0])
	default:
		return scalar(r)
	}
}

func scalar(r *rand.Rand) (any, string) {
	switch r.IntN(6) {
	case 0:
		return nil, "None"
	case 1:
		if r.IntN(2) == 0 {
			return true, "True"
		}
		return false, "False"
	case 2:
		edges := []int64{0, 255, 256, 65535, 65536, -1, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt64, math.MinInt64}
		v := edges[r.IntN(len(edges))]
		return v, fmt.Sprint(v)
	case 3:
		v := int(r.Uint64() >> r.IntN(64))
		return v, fmt.Sprint(v)
	case 4:
		edges := []float64{0, math.Copysign(0, -1), 1, 200, math.Inf(1), math.MaxFloat64, math.SmallestNonzeroFloat64, r.NormFloat64()}
		v := edges[r.IntN(len(edges))]
		return v, "float.fromhex('" + strings.Replace(fmt.Sprintf("%x", v), "+Inf", "inf", 1) + "')"
	default:
		words := []string{"", "ori-test@11", "naïve ☃", "a'b\\c\n", fmt.Sprint(strings.Repeat("long", 100), r.Uint64()), fmt.Sprint(r.IntN(5))}
		v := words[r.IntN(len(words))]
		return v, "bytes.fromhex('" + hex.EncodeToString([]byte(v)) + "').decode()"
	}
}

// sample returns the random value of a seed, and a Python expression for it.
func sample(seed uint64) (any, string) {
	return random(rand.New(rand.NewPCG(seed, 0)), 1+int(seed%5))
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := NewEncoder(&b).Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// same reports whether the value got, which was read, equals the one that was written.
func same(want, got any) bool {
	all := func(want, got []any) bool { return slices.EqualFunc(want, got, same) }
	items := func(want, got Dict) bool {
		return slices.EqualFunc(want, got, func(w, g Pair) bool { return same(w.Key, g.Key) && same(w.Value, g.Value) })
	}
	switch want := want.(type) {
	case int:
		return got == int64(want)
	case float64:
		v, ok := got.(float64)
		return ok && math.Float64bits(v) == math.Float64bits(want)
	case List:
		v, ok := got.(*List)
		return ok && all(want, *v)
	case Tuple:
		v, ok := got.(Tuple)
		return ok && all(want, v)
	case Set:
		v, ok := got.(*Set)
		return ok && all(want, *v)
	case Dict:
		v, ok := got.(*Dict)
		return ok && items(want, *v)
	case DictSeq:
		var items Dict
		_ = want(func(k, v any) error { items = append(items, Pair{k, v}); return nil })
		return same(items, got)
	case OrderedDict:
		v, ok := got.(*OrderedDict)
		return ok && items(want.Items, v.Items) && items(want.Attributes, v.Attributes)
	default:
		return reflect.DeepEqual(want, got)
	}
}

func TestWrittenValuesReadBack(t *testing.T) {
	for seed := range uint64(2000) {
		v, _ := sample(seed)
		data := encode(t, v)
		got, err := Reader{}.Decode(data)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !same(v, got) {
			t.Fatalf("seed %d: wrote %#v, read %#v", seed, v, got)
		}
	}
}

// TestPython checks that Python unpickles the values as equal, with the same types, to their
// expressions.
func TestPython(t *testing.T) {
	python := needs.Python(t)
	dir := t.TempDir()
	var expressions []string
	for seed := range uint64(500) {
		v, text := sample(seed)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(seed)), encode(t, v), 0o666); err != nil {
			t.Fatal(err)
		}
		expressions = append(expressions, text)
	}
	if err := os.WriteFile(filepath.Join(dir, "expressions"), []byte(strings.Join(expressions, "\x00")), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "testdata/compare.py", dir).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "500 equal" {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestRepeatedStringsAreWrittenOnce(t *testing.T) {
	var list List
	for range 1000 {
		list = append(list, "a string that is long enough to be seen", Global{"torch", "FloatStorage"})
	}
	if n := len(encode(t, list)); n > 6000 {
		t.Errorf("%d bytes", n)
	}
}

func TestAttributes(t *testing.T) {
	v := OrderedDict{Items: Dict{{"a", 1}}, Attributes: Dict{{"_metadata", "m"}}}
	got, err := Reader{}.Decode(encode(t, v))
	if err != nil {
		t.Fatal(err)
	}
	if !same(v, got) {
		t.Errorf("wrote %v, read %v", v, got)
	}
}

func TestConvert(t *testing.T) {
	e := NewEncoder(io.Discard)
	if err := e.Encode(List{int32(1)}); err == nil {
		t.Error("an int32 was written without Convert")
	}
	failure := errors.New("refused")
	e.Convert = func(any) (any, error) { return nil, failure }
	if err := e.Encode(List{int32(1)}); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
}

func TestNotUTF8(t *testing.T) {
	if err := NewEncoder(io.Discard).Encode("\xff"); err == nil {
		t.Error("a string that is not UTF-8 was written")
	}
}

type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("no room left")
	}
	return len(p), nil
}

// A full disk must end an endless dictionary.
func TestFullDisk(t *testing.T) {
	emitted := 0
	endless := DictSeq(func(emit func(k, v any) error) error {
		for {
			emitted++
			if err := emit(emitted, 1.5); err != nil {
				return err
			}
		}
	})
	if err := NewEncoder(&full{room: 1 << 20}).Encode(endless); err == nil || emitted > 1<<18 {
		t.Errorf("error %v after %d items", err, emitted)
	}
}
