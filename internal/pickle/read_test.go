package pickle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPersistentID(t *testing.T) {
	read := Reader{Persistent: func(id any) (any, error) { return fmt.Sprint("object ", id), nil }}
	got, err := read.Decode(encode(t, List{PersistentID{Tuple{"storage", 7}}}))
	if err != nil {
		t.Fatal(err)
	}
	if !same(List{"object [storage 7]"}, got) {
		t.Errorf("read %v", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"nothing":            {"", "truncated at byte 0"},
		"no stop":            {"\x80\x02N", "truncated at byte 3"},
		"bytes after stop":   {"\x80\x02N.N", "ends after 4 of 5 bytes"},
		"opcode":             {"\x80\x02No.", "0x6f at byte 3 instead of an opcode"},
		"no opcode at all":   {"\xff", "0xff at byte 0"},
		"half a number":      {"\x80\x02M\x01", "truncated at byte 2"},
		"long string":        {"\x80\x02X\xff\xff\xff\x00.", "truncated at byte 2"},
		"longer than memory": {"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "truncated at byte 2"},
		"half a length":      {"\x80\x02X\x01", "truncated at byte 2"},
		"open name":          {"\x80\x02cos\nsystem", "truncated at byte 2"},
		"open line":          {"I12", "truncated at byte 0"},
		"not UTF-8":          {"\x80\x02X\x01\x00\x00\x00\xff.", "string that is not UTF-8 at byte 2"},
		"no mark":            {"\x80\x02t.", "no open mark at byte 2"},
		"open mark":          {"\x80\x02K\x01(.", "empty stack at byte 5"},
		"odd items":          {"\x80\x02}(K\x01u.", "cannot have them at byte 6"},
		"odd dict":           {"(K\x01d.", "key without a value at byte 3"},
		"items of a number":  {"K\x01K\x02a.", "cannot have them at byte 4"},
		"items of nothing":   {"(K\x01e.", "empty stack at byte 3"},
		"below the mark":     {"K\x01(\x85.", "empty stack at byte 3"},
		"class":              {"\x80\x02cos\nsystem\n.", `byte 2: it refers to "os.system"`},
		"class of numbers":   {"\x80\x04K\x01K\x02\x93.", "values that are not strings at byte 6"},
		"long class":         {"c" + strings.Repeat("m", 300) + "\nf\n.", "malformed class name at byte 0"},
		"wide class":         {"cnumpy\nd\xc3\xb6type\n.", "malformed class name at byte 0"},
		"empty stack":        {"\x80\x02.", "empty stack at byte 2"},
		"call of a number":   {"\x80\x02K\x01)R.", "not a function at byte 5"},
		"call of a class":    {"cnumpy\nndarray\n)R.", "not a function"},
		"call with a list":   {"ccollections\nOrderedDict\n]R.", "malformed arguments"},
		"call with names":    {"ccollections\nOrderedDict\n)}X\x01\x00\x00\x00aK\x01s\x92.", "malformed arguments"},
		"dict of numbers":    {"ccollections\nOrderedDict\n]K\x01a\x85R.", "values that are not pairs"},
		"set of a number":    {"c__builtin__\nset\nK\x01\x85R.", "a value that is not a list"},
		"bytes of wide text": {"c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x98\x83X\x06\x00\x00\x00latin1\x86R.", "instead of a byte"},
		"bytes in UTF-8":     {"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8\x86R.", "not encoded as latin1"},
		"state of a list":    {"]}b.", "has none at byte 2"},
		"two states":         {"ccollections\nOrderedDict\n)R}K\x01K\x02sb}b.", "malformed attributes"},
		"not kept":           {"\x80\x02h\x07.", "not in its memo at byte 2"},
		"not kept before":    {"K\x01q\x07h\x06.", "not in its memo at byte 4"},
		"kept nothing":       {"q\x07.", "empty stack at byte 0"},
		"memo number":        {"K\x01p-1\n.", "malformed memo number at byte 2"},
		"text number":        {"I1x\n.", "malformed number or string at byte 0"},
		"text string":        {"S'a\n.", "malformed number or string"},
		"text escape":        {"V\\u12\n.", "malformed number or string"},
		"no scalar":          {"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8\x85RU\x01a\x86R.", `type "f8" has 1 bytes`},
		"no number":          {"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02c8\x85RU\x08aaaaaaaa\x86R.", `type "c8"`},
		"big endian":         {"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8\x85RK\x03U\x01>\x86bU\x08aaaaaaaa\x86R.", "not stored in little-endian"},
		"no dtype":           {"cnumpy.core.multiarray\nscalar\nNU\x08aaaaaaaa\x86R.", "has no type"},
		"persistent id":      {"K\x01Q.", "outside the pickle at byte 2"},
	} {
		_, err := Reader{}.Decode([]byte(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
		_, _, err = Reader{}.DecodeFrom(strings.NewReader(c.data))
		if name != "bytes after stop" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			if name != "longer than memory" || err == nil {
				t.Errorf("%s: from a stream, error %v, want one with %q", name, err, c.want)
			}
		}
	}
}

// Opcodes that the Encoder does not write.
func TestOpcodes(t *testing.T) {
	huge, _ := new(big.Int).SetString("119547037146038801333356", 10)
	nines, _ := new(big.Int).SetString("99999999999999999999", 10)
	for text, want := range map[string]any{
		"I-12\n.":                    -12,
		"I01\n.":                     true,
		"L123L\n.":                   123,
		"L-99999999999999999999L\n.": new(big.Int).Neg(nines),
		"\x8a\x00.":                  0,
		"\x8a\x01\xff.":              -1,
		"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.": huge,
		"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\xff.":     -1,
		"\x8b\x02\x00\x00\x00\xff\x7f.":                     32767,
		"F1.5\n.":                                           1.5,
		"S'a\\x00\\'\\n'\n.":                                "a\x00'\n",
		"S\"it's\"\n.":                                      "it's",
		"Vna\xefve \\u2603\\n\n.":                           "naïve ☃\\n",
		"U\x02\xff\x00.":                                    "\xff\x00",
		"T\x02\x00\x00\x00\xff\x00.":                        "\xff\x00",
		"(lp0\nI1\naI2\na.":                                 List{1, 2},
		"(I1\nI2\nd.":                                       Dict{{1, 2}},
		"(dp0\nI1\nI2\ns.":                                  Dict{{1, 2}},
		"(I1\nI2\n0t.":                                      Tuple{1},
		"I1\n(I2\n1.":                                       1,
		"I1\n(0.":                                           1,
		"I1\n2\x86.":                                        Tuple{1, 1},
		"I5\nq\x01g1\n\x86.":                                Tuple{5, 5},
		"\x8f(K\x01K\x02\x90.":                              Set{1, 2},
		"(K\x01K\x02\x91.":                                  Set{1, 2},
		"cbuiltins\nset\n)R.":                               Set{},
		"cbuiltins\nset\n](K\x01K\x02e\x85R.":               Set{1, 2},
		"cbuiltins\nset\n)\x81.":                            Set{},
		"cbuiltins\nset\n)}\x92.":                           Set{},
		"ccollections\nOrderedDict\n](](K\x01K\x02e](K\x03K\x04ee\x85R.":                                          OrderedDict{Items: Dict{{1, 2}, {3, 4}}},
		"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f4\x85RU\x04\x00\x00\xc0\x3f\x86R.":                  &Scalar{"f4", 1.5},
		"cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nU\x02i8\x85RU\x08\xfe\xff\xff\xff\xff\xff\xff\xff\x86R.": &Scalar{"i8", int64(-2)},
		"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02u2\x85RU\x02\xff\xff\x86R.":                          &Scalar{"u2", int64(65535)},
		"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02b1\x85RU\x01\x01\x86R.":                              &Scalar{"b1", true},
	} {
		got, err := Reader{}.Decode([]byte(text))
		if err != nil || !same(want, got) {
			t.Errorf("%q: read %v, %v, want %v", text, got, err, want)
		}
	}
}

// Files written by testdata/python2.py.
func TestPython2(t *testing.T) {
	files, err := filepath.Glob("testdata/python2/*.pickle")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	ordered := OrderedDict{Items: Dict{{"b", 1}, {"a", List{}}}}
	want := Dict{
		{"str", "a\x00\xff'\"\n\\"}, {"unicode", "naïve ☃ \\u2603 \n"}, {"int", -5}, {"big", 1 << 40}, {"bool", List{true, false}},
		{"float", List{0.1, math.Inf(1), math.Copysign(0, -1)}}, {"none", nil}, {"set", Set{1}}, {"ordered", ordered}, {"dict", Dict{}},
		{"again", List{ordered, ordered}},
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Reader{}.Decode(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got := *v.(*Dict)
		for _, p := range want {
			if v, ok := got.Get(p.Key); !ok || !same(p.Value, v) {
				t.Errorf("%s: %v is %v, not %v", path, p.Key, v, p.Value)
			}
		}
		if v, _ := got.Get("long"); !same(new(big.Int).Lsh(big.NewInt(1), 70), v) {
			t.Errorf("%s: long is %v", path, v)
		}
		tuples := Tuple{Tuple{}, Tuple{1}, Tuple{1, 2}, Tuple{1, 2, 3}, Tuple{1, 2, 3, 4}}
		if at := slices.IndexFunc(got, func(p Pair) bool { return same(Tuple{"tuple", 1}, p.Key) }); at < 0 || !same(tuples, got[at].Value) {
			t.Errorf("%s: tuples are not read", path)
		}
		if len(got) != len(want)+2 {
			t.Errorf("%s: %d items", path, len(got))
		}
		again, _ := got.Get("again")
		if list := *again.(*List); list[0] != list[1] {
			t.Errorf("%s: one object became two", path)
		}
	}
}

// decodeAny decodes with persistent IDs as the objects.
func decodeAny(data []byte) (any, error) {
	return Reader{Persistent: func(id any) (any, error) { return id, nil }}.Decode(data)
}

// allocated returns the number of bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// memory returns the number of bytes that Decode may allocate for a pickle of a length.
func memory(length int) uint64 { return uint64(2<<20 + 200*length) }

// A pickle, short or long, must not need more memory than a constant plus a multiple of its
// length.
func TestPickleBombs(t *testing.T) {
	lengths := func(op string, length ...byte) string { return "\x80\x04" + op + string(length) + "N" }
	size := binary.LittleEndian.AppendUint32(nil, 1<<20)
	long := "T" + string(size) + strings.Repeat("a", 1<<20)
	text := "X" + string(size) + strings.Repeat("a", 1<<20)
	list := "](" + strings.Repeat("N", 1<<20) + "e"
	for name, text := range map[string]string{
		"str of 2 GiB":       lengths("T", 0xff, 0xff, 0xff, 0x7f),
		"bytes of 4 GiB":     lengths("B", 0xff, 0xff, 0xff, 0xff),
		"bytes of 2^40":      lengths("\x8e", 0, 0, 0, 0, 0, 1, 0, 0),
		"bytes of 2^63":      lengths("\x96", 0, 0, 0, 0, 0, 0, 0, 0x80),
		"number of 4 GiB":    lengths("\x8b", 0xff, 0xff, 0xff, 0xff),
		"frame of 2^64-1":    lengths("\x95", 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) + ".",
		"memo of 4 Gi":       lengths("Nr", 0xff, 0xff, 0xff, 0xff) + ".",
		"memo of many":       "N" + strings.Repeat("r\xff\xff\xff\xffr\xff\xff\x00\xff", 1<<16) + ".",
		"marks":              "\x80\x02" + strings.Repeat("(", 1<<20) + "N.",
		"dicts":              "\x80\x02" + strings.Repeat("}", 1<<20) + ".",
		"ordered dicts":      "ccollections\nOrderedDict\nq\x00)q\x01" + strings.Repeat("h\x00)R", 1<<18) + ".",
		"items":              "\x80\x02}" + strings.Repeat("NNs", 1<<18) + ".",
		"tuples in tuples":   "\x80\x02N" + strings.Repeat("\x85", 1<<20) + ".",
		"repeated string":    "\x80\x02" + long + "q\x00(" + strings.Repeat("h\x00", 1<<16) + "t.",
		"repeated encoding":  "\x80\x02c_codecs\nencode\nq\x00" + text + "X\x06\x00\x00\x00latin1\x86q\x01(" + strings.Repeat("h\x00h\x01R", 1<<16) + "t.",
		"repeated bytearray": "c__builtin__\nbytearray\nq\x00B" + long[1:] + "\x85q\x01(" + strings.Repeat("h\x00h\x01R", 1<<16) + "t.",
		"repeated set":       "c__builtin__\nset\nq\x00" + list + "\x85q\x01(" + strings.Repeat("h\x00h\x01R", 1<<16) + "t.",
		"repeated pairs":     "ccollections\nOrderedDict\nq\x00](" + strings.Repeat(")", 1<<16) + "e\x85q\x01(" + strings.Repeat("h\x00h\x01R", 1<<16) + "t.",
		"repeated state":     "}(" + strings.Repeat("NN", 1<<16) + "uq\x00ccollections\nOrderedDict\n)R" + strings.Repeat("h\x00b", 1<<16) + ".",
		"long class":         "\x80\x02c" + strings.Repeat("a", 1<<20) + "\na\n.",
		"long number":        "L" + strings.Repeat("9", 1<<20) + "\n.",
		"many strings":       "(" + strings.Repeat("U\x03abcU\x00", 1<<16) + "t.",
	} {
		var err error
		used := allocated(func() { _, err = decodeAny([]byte(text)) })
		if err != nil && utf8.RuneCountInString(err.Error()) > 300 {
			t.Errorf("%s: an error of %d characters", name, len(err.Error()))
		}
		if used > memory(len(text)) {
			t.Errorf("%s: allocated %d bytes for %d", name, used, len(text))
		}
		used = allocated(func() { _, _, _ = Reader{}.DecodeFrom(strings.NewReader(text)) })
		if used > memory(len(text)) {
			t.Errorf("%s: allocated %d bytes for a stream of %d", name, used, len(text))
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
	for _, name := range []string{"merged-protocol0.pickle", "merged-protocol2.pickle", "merged-protocol4.pickle"} {
		f.Add(pickleOf(f, "testdata/index/"+name))
	}
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

// BenchmarkDecode reads curves by epoch, which most of a benchmark consists of.
func BenchmarkDecode(b *testing.B) {
	var list List
	for range 1000 {
		curve := Dict{}
		for epoch := range 200 {
			curve = append(curve, Pair{epoch, float64(epoch) / 3})
		}
		list = append(list, curve)
	}
	data := encode(b, list)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := (Reader{}).Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDescribe(t *testing.T) {
	for want, v := range map[string]any{
		"None": nil, "True": true, "the number -3": int64(-3), "the number 0.5": 0.5, `the string "a\nb"`: "a\nb", "a list": &List{},
		"a tuple": Tuple{}, "a dict": &OrderedDict{}, "a set": &Set{}, "a string of bytes": []byte{1}, "a numpy array": &Array{}, "an object": struct{}{},
	} {
		if got := Describe(v); got != want {
			t.Errorf("%v is described as %s, want %s", v, got, want)
		}
	}
}

// A pickle of small objects is refused before the objects take several times its length.
func TestMemory(t *testing.T) {
	const size = 64 << 20
	for name, c := range map[string]struct{ before, again string }{
		"dictionaries":         {"\x80\x02", "}"},
		"lists":                {"\x80\x02", "]"},
		"tuples in tuples":     {"\x80\x02N", "\x85"},
		"empty tuples":         {"\x80\x02", ")"},
		"marks":                {"\x80\x02", "("},
		"numbers":              {"\x80\x02", "M\x01\x02"},
		"kept in order":        {"\x80\x04N", "\x94"},
		"made and thrown away": {"\x80\x02", "}0"},
		"called":               {"\x80\x02ccollections\nOrderedDict\nq\x00", "h\x00)R"},
		"long memo":            {"\x80\x02N", "r\x00\x00\x00\x00r\x10\x00\x00\x00r\x20\x00\x00\x00r\x30\x00\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(c.before + strings.Repeat(c.again, size/len(c.again)) + ".")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Reader{}.Decode(data)
			runtime.ReadMemStats(&after)
			if taken := after.TotalAlloc - before.TotalAlloc; taken > 3*size { // without the pickle
				t.Errorf("took %d MiB for a pickle of %d", taken>>20, size>>20)
			}
			if name != "long memo" && (err == nil || !strings.Contains(err.Error(), "MiB of memory for its first")) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Files of numbers and weights stay far below the limit.
func TestMemoryOfHonestPickles(t *testing.T) {
	curve := make(List, 200)
	for i := range curve {
		curve[i] = float64(i) + 0.5
	}
	entries := make(Dict, 2000)
	for i := range entries {
		entries[i] = Pair{int64(1000 + i), Dict{{"loss", curve}, {"accuracy", curve}, {"name", strings.Repeat("x", 40)}}}
	}
	var b bytes.Buffer
	if err := NewEncoder(&b).Encode(entries); err != nil {
		t.Fatal(err)
	}
	if _, err := (Reader{}).Decode(b.Bytes()); err != nil {
		t.Errorf("%d bytes: %v", b.Len(), err)
	}
	b.Reset()
	if err := NewEncoder(&b).Encode(List{Bytes(make([]byte, 200<<20)), Bytes(make([]byte, 1<<20))}); err != nil {
		t.Fatal(err)
	}
	if _, err := (Reader{}).Decode(b.Bytes()); err != nil {
		t.Errorf("%d bytes: %v", b.Len(), err)
	}
}
