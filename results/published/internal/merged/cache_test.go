package merged

import (
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nb201/internal/blocksum"
	"nb201/internal/needs"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// one is a merged file of one architecture.
const one = "testdata/one.pickle.pbz2"

// cachedNames lists the files in a directory, except for locks.
func cachedNames(t *testing.T, dir string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".lock" {
			found = append(found, e.Name())
		}
	}
	return found
}

func TestSweep(t *testing.T) {
	const own, other, busy = "aa0000000000000000000001", "ab0000000000000000000002", "ac0000000000000000000003"
	dir := t.TempDir()
	put := func(name string, size, hoursOld int) {
		t.Helper()
		path := filepath.Join(dir, name)
		when := time.Now().Add(-time.Duration(hoursOld) * time.Hour)
		if err := errors.Join(os.WriteFile(path, make([]byte, size), 0o666), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{own, other, busy} {
		put(name+".index", 10, 10*i)
		put(name+".pickle", 100, 10*i+1)
		put("."+name+".pickle.ABC.tmp", 10, 0)
		put("."+name+".index.ABC.tmp", 10, 0)
	}
	put("thesis.tex", 1000, 10_000)
	put("0123456789abcdef.program", 1000, 10_000)
	lock := lockOf(dir, busy)
	if locked, err := lock.TryLock(); err != nil || !locked {
		t.Fatal(locked, err)
	}
	defer lock.Unlock()

	c := fileCache{dir, own}
	kept := []string{"." + busy + ".index.ABC.tmp", "." + busy + ".pickle.ABC.tmp", "0123456789abcdef.program", own + ".index", own + ".pickle"}
	c.sweep(1 << 20)
	want := append(slices.Clone(kept), other+".index", other+".pickle", busy+".index", busy+".pickle", "thesis.tex")
	if got := cachedNames(t, dir); !slices.Equal(got, want) {
		t.Errorf("left %q, not %q", got, want)
	}
	c.sweep(3*110 + 20 - 1) // removes the least recently used file
	if got := cachedNames(t, dir); !slices.Contains(got, other+".pickle") || slices.Contains(got, busy+".pickle") {
		t.Errorf("left %q", got)
	}
	c.sweep(0)
	if got := cachedNames(t, dir); !slices.Equal(got, append(kept, "thesis.tex")) {
		t.Errorf("left %q, not %q", got, kept)
	}
}

func TestTooFull(t *testing.T) {
	for _, c := range []struct {
		free, all, more uint64
		short           bool
	}{
		{1 << 40, 1 << 41, 1 << 20, false}, {1 << 30, 1 << 41, 1 << 20, false}, {256 << 20, 1 << 41, 1, true},
		{100 << 20, 600 << 20, 1 << 20, false}, {30 << 20, 600 << 20, 1 << 20, true}, {0, 0, 1 << 20, false},
	} {
		if got := tooFull(c.free, c.all, c.more); got != c.short {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A full disk is not the fault of the file.
func TestNoRoom(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	needs.System(t, err)
	defer full.Close()
	b := &boundedWriter{w: full, path: "m.pickle.pbz2", dir: "/cache", limit: 1 << 20}
	for range 2 {
		_, err = b.Write(make([]byte, 10))
		const want = "the cache directory /cache has no room to unpack m.pickle.pbz2 (0 B unpacked so far, no space left on device); free some"
		if err == nil || !usage.Is(err) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Of several processes that open a file at the same time, one unpacks it and the others wait.
func TestUnpackedOnce(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	cache, err := cacheOf(one)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(cache.dir, "."+cache.name+".pickle.ABC.tmp")
	if err := os.WriteFile(left, make([]byte, 100), 0o666); err != nil {
		t.Fatal(err)
	}
	unlock, locked, err := cache.lock(t.Context(), nil)
	if err != nil || !locked {
		t.Fatal(locked, err)
	}
	var unpacked, waiting atomic.Int32
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			waits, unpacks := false, false
			b, err := Open(t.Context(), one, BZ2, func(done, _ int64) {
				if !waits && done == 0 {
					waits = true
					waiting.Add(1)
				}
				if !unpacks && done > 0 {
					unpacks = true
					unpacked.Add(1)
				}
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			if d, err := b.Decode(0); err != nil || len(d.(*pickle.OrderedDict).Items) == 0 {
				t.Error(err)
			}
		})
	}
	for waiting.Load() < 6 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Open(ctx, one, BZ2, func(int64, int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waits: %v", err)
	}
	unlock()
	group.Wait()
	if n := unpacked.Load(); n != 1 {
		t.Errorf("unpacked %d times", n)
	}
	if got, want := cachedNames(t, cache.dir), []string{cache.name + ".index", cache.name + ".pickle"}; !slices.Equal(got, want) {
		t.Errorf("left %q, not %q", got, want)
	}
}

func TestUnpackingCancelled(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	cache, err := cacheOf(one)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, one, BZ2, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := cachedNames(t, cache.dir); got != nil {
		t.Errorf("left %q", got)
	}
}

// indexOfOne returns the index of the file one, and its unpacked pickle.
func indexOfOne(t testing.TB) (*fileIndex, []byte) {
	t.Helper()
	f, err := os.Open(one)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(bzip2.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p := &located{path: one, info: info}
	index, err := p.indexInFile(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return index, text
}

// An index whose contents are not those written is refused.
func TestIndexChecked(t *testing.T) {
	index, _ := indexOfOne(t)
	file, err := index.encode()
	if err != nil || decodeIndex(file) == nil {
		t.Fatalf("not decoded: %v", err)
	}
	for i := range 8 * len(file) {
		damaged := bytes.Clone(file)
		damaged[i/8] ^= 1 << (i % 8)
		if decodeIndex(damaged) != nil {
			t.Errorf("bit %d is changed", i)
		}
	}
	for n := range file {
		if decodeIndex(file[:n]) != nil {
			t.Errorf("cut to %d bytes", n)
		}
	}
	for name, change := range map[string]func(*fileIndex){
		"version":          func(i *fileIndex) { i.Version++ },
		"no pickle":        func(i *fileIndex) { i.Pickle = nil },
		"hash lacking":     func(i *fileIndex) { i.Sums.Hashes = nil },
		"longer than hash": func(i *fileIndex) { i.Pickle.Length = i.Sums.Length + 1 },
		"key":              func(i *fileIndex) { i.Pickle.Entries[0].Key = int64(i.Listed) },
		"preamble":         func(i *fileIndex) { i.Pickle.Preamble.Length = i.Pickle.Length + 1 },
		"objects":          func(i *fileIndex) { i.Pickle.Entries[0].FirstID = i.Pickle.Entries[0].EndID + 1 },
		"nothing hashed":   func(i *fileIndex) { i.Sums, i.Pickle.Length = blocksum.Sums{Length: -1}, -1 },
		"entry":            func(i *fileIndex) { i.Pickle.Entries[0].Offset = 1<<63 - 1 },
	} {
		index, _ := indexOfOne(t)
		change(index)
		if file, err := index.encode(); err != nil || decodeIndex(file) != nil {
			t.Errorf("%s: decoded, %v", name, err)
		}
	}
	var body bytes.Buffer
	if err := errors.Join(gob.NewEncoder(&body).Encode(index), gob.NewEncoder(&body).Encode(index)); err != nil || decodeIndex(sealIndex(body.Bytes())) != nil {
		t.Errorf("two indexes are one: %v", err)
	}
}

// FuzzMergedIndex reads an index with a right hash and any content.
func FuzzMergedIndex(f *testing.F) {
	index, text := indexOfOne(f)
	file, err := index.encode()
	if err != nil {
		f.Fatal(err)
	}
	head := len(file) - len(bytes.TrimPrefix(file, []byte(indexMagic))) + 32
	f.Add(file[head:])
	index.Pickle.Entries = nil
	if file, err = index.encode(); err != nil {
		f.Fatal(err)
	}
	f.Add(file[head:])
	f.Fuzz(func(t *testing.T, body []byte) {
		index := decodeIndex(sealIndex(body))
		if index == nil {
			return
		}
		entries := pickle.Reader{Class: torchfile.Class}.Entries(blocksum.NewReader(bytes.NewReader(text), index.Sums), index.Pickle)
		for _, e := range index.Pickle.Entries[:min(4, len(index.Pickle.Entries))] {
			_, _ = entries.Decode(e.Key)
		}
	})
}
