package pickle

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// stream hides the other methods of a reader, and reads a few bytes at a time.
type stream struct{ io.Reader }

func (s stream) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 7)]) }

// pickleOf returns the pickle in a file of testdata/index, which is the whole file or part of
// a checkpoint.
func pickleOf(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case strings.HasSuffix(path, "-zip.pth"):
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		f, err := z.Open("merged-zip/data.pkl")
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
	case strings.HasSuffix(path, "-legacy.pth"):
		for range 3 {
			_, n, err := Reader{}.DecodeFrom(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			data = data[n:]
		}
		_, n, err := Reader{}.DecodeFrom(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		data = data[:n]
	}
	return data
}

// split separates the items of the dict under key from the rest of a value.
func split(t testing.TB, v any, key string) (rest, items Dict) {
	t.Helper()
	if o, ok := v.(*OrderedDict); ok {
		v = &o.Items
	}
	for _, p := range *v.(*Dict) {
		if p.Key == key {
			switch v := p.Value.(type) {
			case *Dict:
				items, p.Value = *v, new(Dict)
			case *OrderedDict:
				items, p.Value = v.Items, new(OrderedDict)
			default:
				t.Fatalf("%q is a %T", key, v)
			}
		}
		rest = append(rest, p)
	}
	return rest, items
}

// checkIndex compares entries decoded with an index of data with those of the whole pickle.
func checkIndex(t testing.TB, data []byte, src io.Reader) *Index {
	t.Helper()
	whole, err := Reader{}.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	rest, items := split(t, whole, "arch2infos")
	value, ix, err := Reader{}.Index(src, "arch2infos")
	if err != nil {
		t.Fatal(err)
	}
	if outside, left := split(t, value, "arch2infos"); !reflect.DeepEqual(outside, rest) || len(left) > 0 {
		t.Errorf("outside the entries it has\n%v, not\n%v", outside, rest)
	}
	if ix.Length != int64(len(data)) || len(ix.Entries) != len(items) {
		t.Fatalf("the index has %d bytes and %d entries, not %d and %d", ix.Length, len(ix.Entries), len(data), len(items))
	}
	text, err := json.Marshal(ix)
	if err != nil {
		t.Fatal(err)
	}
	var again Index
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	entries := Reader{}.Entries(bytes.NewReader(data), &again)
	var wait sync.WaitGroup
	for i := range items {
		item := items[len(items)-1-i]
		wait.Go(func() {
			got, err := entries.Decode(item.Key.(int64))
			if err != nil {
				t.Error(err)
			} else if !reflect.DeepEqual(got, item.Value) {
				t.Errorf("entry %d is\n%v, not\n%v", item.Key, got, item.Value)
			}
		})
	}
	wait.Wait()
	if _, err := entries.Decode(1 << 40); err == nil || !strings.Contains(err.Error(), "no entry") {
		t.Errorf("a missing entry: error %v", err)
	}
	return ix
}

// Files written by testdata/index.py.
func TestIndex(t *testing.T) {
	files, err := filepath.Glob("testdata/index/*")
	if err != nil || len(files) < 14 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data := pickleOf(t, path)
			checkIndex(t, data, bytes.NewReader(data))
			_, _, err := Reader{}.Index(stream{bytes.NewReader(data)}, "arch2infos")
			refers := !strings.Contains(path, "alone") && !strings.Contains(path, "empty")
			if refers != (err != nil && strings.Contains(err.Error(), "refers back into its entries")) {
				t.Errorf("from a stream: %v", err)
			}
		})
	}
}

// benchmark returns a merged file of n entries, as package export writes it.
func benchmark(n, epochs int) Dict {
	curve := func(i int) Dict {
		var d Dict
		for epoch := range epochs {
			d = append(d, Pair{epoch, float64(i) + 1/float64(epoch+1)})
		}
		return d
	}
	return Dict{
		{"meta_archs", List{"a", "b", "train_acc1es"}},
		{"arch2infos", DictSeq(func(emit func(k, v any) error) error {
			for i := range n {
				trial := Dict{{"name", "cifar10"}, {"train_acc1es", curve(i)}, {"train_losses", curve(-i)}}
				if err := emit(i, Dict{{"full", OrderedDict{Items: Dict{{"a", trial}}}}, {"less", trial}}); err != nil {
					return err
				}
			}
			return nil
		})},
		{"evaluated_indexes", List{1, 2, "a"}},
	}
}

func TestIndexOfWritten(t *testing.T) {
	data := encode(t, benchmark(50, 12))
	checkIndex(t, data, stream{bytes.NewReader(data)})
	data = encode(t, Dict{{"arch2infos", Dict{{5, "five"}, {6, List{}}}}})
	checkIndex(t, data, stream{bytes.NewReader(data)})

	// Entries encoded singly each number their objects from 0.
	var items bytes.Buffer
	e := NewEncoder(&items)
	for i := range 20 {
		if err := e.EncodeItem(i, List{"entry", fmt.Sprint("entry", i), "entry", OrderedDict{}}); err != nil {
			t.Fatal(err)
		}
	}
	raw := RawDict(func(w io.Writer) error { _, err := w.Write(items.Bytes()); return err })
	data = encode(t, Dict{{"a", "entry"}, {"arch2infos", raw}, {"b", List{"entry", "arch2infos", OrderedDict{}}}})
	checkIndex(t, data, stream{bytes.NewReader(data)})
}

// Random values as entries.
func TestIndexOfRandom(t *testing.T) {
	for seed := range uint64(300) {
		var entries Dict
		for i := range seed % 5 {
			v, _ := sample(seed + 1000*i)
			entries = append(entries, Pair{int(i*i*i) << (seed % 40), v})
		}
		before, _ := sample(seed + 1)
		after, _ := sample(seed + 2)
		data := encode(t, Dict{{"before", before}, {"arch2infos", entries}, {"after", List{after, before}}})
		checkIndex(t, data, bytes.NewReader(data))
	}
}

func TestIndexRefuses(t *testing.T) {
	head := "}(U\x03outK\x05U\x01k}q\x00"
	for name, c := range map[string]struct{ data, want string }{
		"nothing":          {"", "truncated at byte 0"},
		"no dictionary":    {"].", "dict under \"k\""},
		"no such key":      {"}U\x01l}s.", "dict under \"k\""},
		"another value":    {"}U\x01kNs.", "dict under \"k\""},
		"key is a value":   {"}(K\x01U\x01k}K\x02u.", "dict under \"k\""},
		"deeper":           {"}K\x01}U\x01k}ss.", "dict under \"k\""},
		"items at once":    {"}U\x01k(K\x01Nds.", "dict under \"k\""},
		"dict of a call":   {"}U\x01kccollections\nOrderedDict\n]](K\x01K\x02ea\x85Rs.", "dict under \"k\""},
		"cut":              {head + "K\x01K", "truncated at byte"},
		"cut in a string":  {head + "K\x01U\xff", "truncated at byte 17"},
		"stop":             {head + "K\x01.", "pickle is malformed"},
		"key of text":      {head + "(U\x01aNuu.", "not a whole number at byte 16"},
		"key without":      {head + "(K\x01NK\x02uu.", "without a value"},
		"no mark":          {head + "K\x01uu.", "pickle is malformed"},
		"mark of the dict": {head + "K\x01Nuu.", "pickle is malformed"},
		"opcode":           {head + "K\x01\xffs.", "0xff at byte 17"},
		"not kept":         {head + "K\x01NsU\x01ah\x05u.", "not in its memo"},
	} {
		_, _, err := Reader{}.Index(strings.NewReader(c.data), "k")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

// An index of another file must not be trusted.
func TestForeignIndex(t *testing.T) {
	data := pickleOf(t, "testdata/index/merged-protocol4.pickle")
	_, ix, err := Reader{}.Index(bytes.NewReader(data), "arch2infos")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(e *Entry){
		"key":      func(e *Entry) { e.Key = 100 },
		"offset":   func(e *Entry) { e.Offset += 2 },
		"negative": func(e *Entry) { e.Offset = -1 },
		"length":   func(e *Entry) { e.Length-- },
		"too long": func(e *Entry) { e.Length = 1 << 50 },
		"less":     func(e *Entry) { e.Length = -5 },
	} {
		other := *ix
		other.Entries = append([]Entry{}, ix.Entries...)
		change(&other.Entries[3])
		if _, err := (Reader{}).Entries(bytes.NewReader(data), &other).Decode(other.Entries[3].Key); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestStreamFails(t *testing.T) {
	data := pickleOf(t, "testdata/index/alone-protocol2.pickle")
	src := io.MultiReader(bytes.NewReader(data[:30]), failing{})
	if _, _, err := (Reader{}).Index(src, "arch2infos"); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("error %v", err)
	}
}

// endless repeats the rest of a pickle.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

// The memory for an endless pickle is bounded.
func TestEndlessPickles(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		rest endless
	}{
		"values outside": {"", "N0"},
		"values inside":  {"}U\x01k}(", "K\x01"},
		"marks inside":   {"}U\x01k}K\x01", "("},
		"entries":        {"}U\x01k}", "K\x01Ns"},
		"line outside":   {"c", "a"},
	} {
		src := io.MultiReader(strings.NewReader(c.head), io.LimitReader(c.rest, 1<<30))
		var err error
		used := allocated(func() { _, _, err = Reader{}.Index(src, "k") })
		if err == nil || strings.Contains(err.Error(), "truncated") || used > 2<<30 {
			t.Errorf("%s: error %v after %d bytes", name, err, used)
		}
	}
}

func FuzzIndex(f *testing.F) {
	for _, name := range []string{"merged-protocol0.pickle", "merged-protocol2.pickle", "merged-protocol4.pickle", "top-protocol4.pickle", "merged-zip.pth"} {
		f.Add(pickleOf(f, "testdata/index/"+name))
	}
	f.Add(encode(f, benchmark(3, 2)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var ix *Index
		var err error
		src := bytes.NewReader(data)
		if used := allocated(func() { _, ix, err = Reader{}.Index(src, "arch2infos") }); used > memory(len(data)) {
			t.Fatalf("allocated %d bytes for %d", used, len(data))
		}
		if err != nil {
			if utf8.RuneCountInString(err.Error()) > 300 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		entries := Reader{}.Entries(src, ix)
		for _, e := range ix.Entries[:min(len(ix.Entries), 5)] {
			if e.Offset < 0 || e.Length < 2 || e.Offset+e.Length > int64(len(data)) {
				t.Fatalf("entry %+v of %d bytes", e, len(data))
			}
			if used := allocated(func() { _, _ = entries.Decode(e.Key) }); used > uint64(len(ix.Entries)+1)*memory(len(data)) {
				t.Fatalf("allocated %d bytes for an entry of %d", used, len(data))
			}
		}
	})
}

func BenchmarkIndex(b *testing.B) {
	data := encode(b, benchmark(200, 200))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := (Reader{}).Index(bytes.NewReader(data), "arch2infos"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEntry(b *testing.B) {
	data := encode(b, benchmark(200, 200))
	_, ix, err := Reader{}.Index(bytes.NewReader(data), "arch2infos")
	if err != nil {
		b.Fatal(err)
	}
	entries := Reader{}.Entries(bytes.NewReader(data), ix)
	b.SetBytes(ix.Entries[7].Length)
	for b.Loop() {
		if _, err := entries.Decode(7); err != nil {
			b.Fatal(err)
		}
	}
}
