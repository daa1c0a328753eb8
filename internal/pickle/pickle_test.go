package pickle

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nlpodyssey/gopickle/types"
)

// random returns a value to pickle, and the Python expression of the same value.
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

// sample makes the random value of a seed.
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

// class knows set, which gopickle does not.
func class(module, name string) (any, error) {
	if module+"."+name == "__builtin__.set" {
		return set{}, nil
	}
	return nil, fmt.Errorf("unknown class %s.%s", module, name)
}

type set struct{}

func (set) Call(args ...any) (any, error) { return types.NewSetFromSlice(*args[0].(*types.List)), nil }

// same tells whether gopickle's value got is what was written.
func same(want, got any) bool {
	all := func(want, got []any) bool { return slices.EqualFunc(want, got, same) }
	switch want := want.(type) {
	case int:
		return same(int64(want), got)
	case int64:
		if b, ok := got.(*big.Int); ok {
			return b.IsInt64() && b.Int64() == want
		}
		return got == int(want)
	case float64:
		v, ok := got.(float64)
		return ok && math.Float64bits(v) == math.Float64bits(want)
	case List:
		v, ok := got.(*types.List)
		return ok && all(want, *v)
	case Tuple:
		v, ok := got.(*types.Tuple)
		return ok && all(want, *v)
	case Set:
		v, ok := got.(*types.Set)
		return ok && v.Len() == len(want) && v.Has(want[0]) && v.Has(want[1])
	case Dict:
		v, ok := got.(*types.Dict)
		return ok && slices.EqualFunc(want, *v, func(p Pair, e types.DictEntry) bool {
			return same(p.Key, e.Key) && same(p.Value, e.Value)
		})
	case DictSeq:
		var items Dict
		_ = want(func(k, v any) error { items = append(items, Pair{k, v}); return nil })
		return same(items, got)
	case OrderedDict:
		v, ok := got.(*types.OrderedDict)
		if !ok || v.Len() != len(want.Items) {
			return false
		}
		at := v.List.Front()
		for _, p := range want.Items {
			e := at.Value.(*types.OrderedDictEntry)
			if !same(p.Key, e.Key) || !same(p.Value, e.Value) {
				return false
			}
			at = at.Next()
		}
		return true
	default:
		return reflect.DeepEqual(want, got)
	}
}

func TestWrittenValuesReadBack(t *testing.T) {
	for seed := range uint64(2000) {
		v, _ := sample(seed)
		data := encode(t, v)
		got, err := Reader{Class: class}.Decode(data)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !same(v, got) {
			t.Fatalf("seed %d: wrote %#v, read %#v", seed, v, got)
		}
	}
}

// TestPython has Python unpickle the values and compare them, with their types,
// with their expressions.
func TestPython(t *testing.T) {
	python := os.Getenv("NB201_PYTHON")
	if python == "" {
		t.Skip("NB201_PYTHON names no Python")
	}
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
	if m := got.(*types.OrderedDict).PyDict["_metadata"]; m != "m" {
		t.Errorf("_metadata is %v", m)
	}
}

func TestPersistentID(t *testing.T) {
	read := Reader{Persistent: func(id any) (any, error) { return fmt.Sprint("object ", *id.(*types.Tuple)), nil }}
	got, err := read.Decode(encode(t, List{PersistentID{Tuple{"storage", 7}}}))
	if err != nil {
		t.Fatal(err)
	}
	if want := "object [storage 7]"; (*got.(*types.List))[0] != want {
		t.Errorf("read %v", got)
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

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"nothing":           {"", "truncated at byte 0"},
		"no stop":           {"\x80\x02N", "truncated at byte 3"},
		"bytes after stop":  {"\x80\x02N.N", "ends after 4 of 5 bytes"},
		"opcode":            {"\x80\x02Nd.", "0x64 at byte 3 in place of an opcode"},
		"no opcode at all":  {"\xff", "0xff at byte 0"},
		"frame":             {"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00N.", "truncated at byte 2"},
		"long string":       {"\x80\x02X\xff\xff\xff\xff.", "truncated at byte 2"},
		"half a length":     {"\x80\x02X\x01", "truncated at byte 2"},
		"open name":         {"\x80\x02cos\nsystem", "truncated at byte 2"},
		"not UTF-8":         {"\x80\x02X\x01\x00\x00\x00\xff.", "string at byte 2 that is not UTF-8"},
		"deep":              {strings.Repeat("(", 1000), "too deep at byte 100"},
		"no mark":           {"\x80\x02t.", "nested wrongly"},
		"odd items":         {"\x80\x02}(K\x01u.", "malformed"},
		"empty long":        {"\x80\x02\x8a\x00.", "malformed"},
		"class":             {"\x80\x02cos\nsystem\n.", "unknown class os.system"},
		"empty stack":       {"\x80\x02.", "stack is empty"},
		"call of a non-fun": {"\x80\x02N)R.", "Callable"},
	} {
		_, err := Reader{Class: class}.Decode([]byte(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

// decodeAny decodes with classes and persistent ids that give back what they are given.
func decodeAny(data []byte) (any, error) {
	return Reader{Class: class, Persistent: func(id any) (any, error) { return id, nil }}.Decode(data)
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// memory is how many bytes Decode may allocate for a pickle of so many.
func memory(length int) uint64 { return uint64(64<<20 + 16*length) }

// A pickle of a few bytes, or of many, may not ask for more memory than a constant
// and some multiple of itself.
func TestPickleBombs(t *testing.T) {
	lengths := func(op string, length ...byte) string { return "\x80\x04" + op + string(length) }
	long := "T" + string(binary.LittleEndian.AppendUint32(nil, 1<<20)) + strings.Repeat("a", 1<<20)
	for name, text := range map[string]string{
		"str of 2 GiB":        lengths("T", 0xff, 0xff, 0xff, 0x7f),
		"bytes of 4 GiB":      lengths("B", 0xff, 0xff, 0xff, 0xff),
		"bytes of 2^40":       lengths("\x8e", 0, 0, 0, 0, 0, 1, 0, 0),
		"bytes of 2^63":       lengths("\x96", 0, 0, 0, 0, 0, 0, 0, 0x80),
		"frame of 2^40":       lengths("\x95", 0, 0, 0, 0, 0, 1, 0, 0) + "N.",
		"frame of 2^64-1":     lengths("\x95", 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) + "N.",
		"marks":               "\x80\x02" + strings.Repeat("(", 1<<20) + "N.",
		"dicts":               "\x80\x02" + strings.Repeat("}", 1<<22) + ".",
		"repeated":            "\x80\x02" + long + "q\x00(" + strings.Repeat("h\x00", 1<<16) + "t)R.",
		"repeated after ops":  "\x80\x02" + long + "Nb\x94(" + strings.Repeat("h\x00", 1<<16) + "t)R.",
		"repeated through 2":  "\x80\x02" + long + "q\x00q\x01(" + strings.Repeat("h\x01", 1<<16) + "t)R.",
		"repeated id":         "\x80\x02" + long + "Qq\x00(" + strings.Repeat("h\x00", 1<<16) + "t)R.",
		"repeated class name": "\x80\x02" + long + "q\x00(" + strings.Repeat("j\x00\x00\x00\x00", 1<<16) + "t\x93.",
	} {
		var err error
		used := allocated(func() { _, err = decodeAny([]byte(text)) })
		if err == nil {
			t.Errorf("%s: read", name)
		} else if n := utf8.RuneCountInString(err.Error()); n > 300 {
			t.Errorf("%s: an error of %d characters", name, n)
		}
		if used > memory(len(text)) {
			t.Errorf("%s: allocated %d bytes for %d", name, used, len(text))
		}
	}
}

func FuzzDecode(f *testing.F) {
	for seed := range uint64(20) {
		v, _ := sample(seed)
		f.Add(encode(f, v))
	}
	f.Add([]byte("\x80\x02ccollections\nOrderedDict\n)R]K\x01s."))
	f.Add([]byte("\x80\x02}(K\x01u."))
	f.Fuzz(func(t *testing.T, data []byte) {
		var err error
		if used := allocated(func() { _, err = decodeAny(data) }); used > memory(len(data)) {
			t.Fatalf("allocated %d bytes for %d", used, len(data))
		}
		if err != nil && utf8.RuneCountInString(err.Error()) > 300 {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
	})
}
