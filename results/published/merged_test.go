package published_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dsnet/compress/bzip2"

	"nb201/cell"
	"nb201/internal/needs"
	"nb201/internal/usage"
	. "nb201/results"
	. "nb201/results/benchmark"
	"nb201/results/export"
	. "nb201/results/published"
	"nb201/results/resultstest"
)

// mergedFile makes a merged file of one trial with the given training loss in the first epoch.
func mergedFile(t *testing.T, format Format, arch int, loss float64) (content []byte) {
	t.Helper()
	c := Campaign{Dir: t.TempDir()}
	r := resultstest.Record(t, Trial{Arch: arch, Dataset: "cifar10", Epochs: 2, Seed: 1})
	r.Train.Loss[0] = loss
	if err := c.Publish(r, nil); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "new.pth")
	if format == NATS {
		to = filepath.Join(t.TempDir(), "new.pickle.pbz2")
	}
	if _, err := export.Run(t.Context(), b, export.Options{Format: format, To: to, Less: "2", Full: "3"}); err != nil {
		t.Fatal(err)
	}
	if content, err = os.ReadFile(to); err != nil {
		t.Fatal(err)
	}
	return content
}

// readThird reads architecture 3 of a merged file.
func readThird(t *testing.T, path string) *Architecture {
	t.Helper()
	b, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := b.Architecture(3)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func firstLoss(a *Architecture) float64 {
	loss, _ := a.Schedules[0].Results[0].Training.Loss.At(0)
	return loss
}

// A merged file that replaces another one is read, whatever its size and times; and no damage to
// the cache leads to wrong values or an error.
func TestMergedFileReplaced(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	cached := func(extension string) []string {
		paths, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "nb201", "*"+extension))
		if err != nil || len(paths) != 1 {
			t.Fatalf("cached: %q, %v", paths, err)
		}
		return paths
	}
	for format, name := range map[Format]string{NASBench201: "a.pth", NATS: "a.pickle.pbz2"} {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		path := filepath.Join(t.TempDir(), name)
		before, after := mergedFile(t, format, 3, 1.25), mergedFile(t, format, 3, 1.5)
		if format == NASBench201 && len(before) != len(after) {
			t.Fatalf("%d and %d bytes", len(before), len(after))
		}
		put := func(content []byte) {
			t.Helper()
			info, err := os.Stat(path)
			if err := os.WriteFile(path, content, 0o666); err != nil {
				t.Fatal(err)
			}
			if err == nil {
				if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := func(loss float64) {
			t.Helper()
			for range 2 { // the second time from the cache
				if got := firstLoss(readThird(t, path)); got != loss {
					t.Errorf("%s: %v, want %v", name, got, loss)
				}
			}
		}
		put(before)
		want(1.25)
		put(after)
		want(1.5)
		put(before)
		want(1.25)
		if format == NASBench201 { // of another architecture, whose name is as long
			third, _ := cell.Topology{}.ByIndex(3)
			twin := 4
			for arch, err := (cell.Topology{}).ByIndex(twin); err == nil && len(arch.String()) != len(third.String()); arch, err = (cell.Topology{}).ByIndex(twin) {
				twin++
			}
			other := mergedFile(t, format, twin, 1.25)
			if len(other) != len(before) {
				t.Fatalf("%d and %d bytes", len(before), len(other))
			}
			put(other)
			b, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Architecture(twin); err != nil || !slices.Equal(b.Evaluated(), []int{twin}) {
				t.Errorf("%s holds %v, %v", name, b.Evaluated(), err)
			}
			b.Close()
			put(before)
			want(1.25)
		}

		index := cached(".index")[0]
		text, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		for at := range text { // a byte of the index is damaged
			damaged := append([]byte{}, text...)
			damaged[at] ^= 1 << (at % 8)
			if err := os.WriteFile(index, damaged, 0o666); err != nil {
				t.Fatal(err)
			}
			if at%64 == 0 {
				want(1.25)
			}
		}
		for _, size := range []int64{0, 10, int64(len(text)) - 1} {
			if err := os.Truncate(index, size); err != nil {
				t.Fatal(err)
			}
			want(1.25)
		}
	}
}

// Whatever replaces the files in the cache, the merged file's own values are read.
func TestMergedCacheDamaged(t *testing.T) {
	needs.Long(t, "writes some hundred files")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := filepath.Join(os.Getenv("XDG_CACHE_HOME"), "nb201")
	paths := map[string]*Architecture{}
	for i, format := range []Format{NASBench201, NATS, NATS} {
		name := []string{"a.pth", "a.pickle.pbz2", "b.pickle.pbz2"}[i]
		path, loss := filepath.Join(t.TempDir(), name), 1.25+float64(i)/4
		if err := os.WriteFile(path, mergedFile(t, format, 3, loss), 0o666); err != nil {
			t.Fatal(err)
		}
		if paths[path] = readThird(t, path); firstLoss(paths[path]) != loss {
			t.Fatalf("%s has loss %v, not %v", name, firstLoss(paths[path]), loss)
		}
	}
	check := func(what string) {
		t.Helper()
		for path, want := range paths {
			if got := readThird(t, path); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s has %+v, not %+v", what, filepath.Base(path), got, want)
			}
		}
	}
	indexes, err := filepath.Glob(filepath.Join(dir, "*.index"))
	if err != nil || len(indexes) != 3 {
		t.Fatalf("cached: %q, %v", indexes, err)
	}
	pickles, err := filepath.Glob(filepath.Join(dir, "*.pickle"))
	if err != nil || len(pickles) != 2 {
		t.Fatalf("cached: %q, %v", pickles, err)
	}

	random := rand.New(rand.NewPCG(1, 2))
	for round := range 28 {
		path := slices.Concat(indexes, pickles, pickles)[round%7]
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := random.IntN(len(text))
		what := [...]string{"flipped", "cut", "ones", "longer"}[random.IntN(4)]
		switch what {
		case "flipped":
			text[at] ^= 1 << random.IntN(8)
		case "cut":
			text = text[:at]
		case "ones":
			copy(text[at:], "\xff\xff\xff\xff\xff\xff\xff\xff")
		case "longer":
			text = slices.Insert(text, at, []byte("more")...)
		}
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprint(filepath.Ext(path), " ", what, " at ", at))
	}

	exchange := func(a, b string) error {
		return errors.Join(os.Rename(a, a+"_"), os.Rename(b, a), os.Rename(a+"_", b))
	}
	for _, path := range []string{indexes[0], pickles[0]} {
		size := fileSize(t, path)
		for what, put := range map[string]func() error{
			"a directory":     func() error { return os.MkdirAll(filepath.Join(path, "deep"), 0o777) },
			"a named pipe":    func() error { return syscall.Mkfifo(path, 0o666) },
			"an endless file": func() error { return os.Symlink("/dev/zero", path) },
			"nothing":         func() error { return nil },
			"a broken link":   func() error { return os.Symlink("/nonexistent/x", path) },
			"zeros":           func() error { return os.WriteFile(path, make([]byte, size), 0o666) },
		} {
			if err := errors.Join(os.Remove(path), put()); err != nil {
				t.Fatal(what, err)
			}
			check(what)
		}
	}
	if err := errors.Join(exchange(indexes[0], indexes[1]), exchange(pickles[0], pickles[1])); err != nil {
		t.Fatal(err)
	}
	check("those of other files")
}

// A file whose contents change while the benchmark is open is indexed again.
func TestMergedFileWrittenTo(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	path := filepath.Join(t.TempDir(), "a.pth")
	if err := os.WriteFile(path, mergedFile(t, NASBench201, 3, 1.25), 0o666); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := os.WriteFile(path, mergedFile(t, NASBench201, 3, 1.5), 0o666); err != nil {
		t.Fatal(err)
	}
	a, err := b.Architecture(3)
	if err != nil {
		t.Fatal(err)
	}
	if loss := firstLoss(a); loss != 1.5 {
		t.Errorf("loss %v", loss)
	}
}

// A few bytes may unpack to gigabytes: they are refused before they fill the disk.
func TestUnpackingBounded(t *testing.T) {
	packed := func(texts ...string) (content []byte) {
		for _, text := range texts {
			var b bytes.Buffer
			w, err := bzip2.NewWriter(&b, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			content = append(content, b.Bytes()...)
		}
		return content
	}
	const open = "\x80\x02}(X\x0a\x00\x00\x00arch2infos}(K\x00"
	nones := packed(strings.Repeat("N0", 1<<19))
	one, err := os.ReadFile("internal/merged/testdata/one.pickle.pbz2")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"entry":     slices.Concat(packed(open), bytes.Repeat(nones, 200)),
		"argument":  slices.Concat(packed(open+"B\xff\xff\xff\x7f"), bytes.Repeat(nones, 200)),
		"behind it": slices.Concat(one, bytes.Repeat(nones, 200)),
	} {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		path := filepath.Join(t.TempDir(), "NATS-tss.pickle.pbz2")
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s (%d bytes) unpacks to more than 64 MiB", path, len(content))
		if _, err := Open(t.Context(), path); err == nil || !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
		err := filepath.WalkDir(os.Getenv("XDG_CACHE_HOME"), func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() && fileSize(t, path) > 0 {
				t.Errorf("%s: left %s", name, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A merged checkpoint has a CRC, which is compared while its index is made: a changed number, which leaves a
// valid pickle, does not pass for the measured one.
func TestMergedCRC(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	c := resultstest.Fill(t, resultstest.Grid(0, 1)...)
	b, err := Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	path := filepath.Join(t.TempDir(), "merged.pth")
	if _, err := export.Run(t.Context(), b, export.Options{Format: NASBench201, To: path, Less: "2", Full: "3"}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.Architecture(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []float64{a.Schedules[0].Results[0].Training.Loss[1].Value, a.Schedules[1].Results[1].Evaluation[0].Top1[2].Value} {
		number := binary.BigEndian.AppendUint64(nil, math.Float64bits(value))
		at := bytes.LastIndex(whole, number)
		if at < 0 {
			t.Fatalf("%v is not in the file", value)
		}
		changed := bytes.Clone(whole)
		changed[at+3] ^= 1
		if err := os.WriteFile(path, changed, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), path)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "do not match their CRC") {
			t.Errorf("error %v", err)
		}
	}
	if err := os.WriteFile(path, whole, 0o666); err != nil {
		t.Fatal(err)
	}
	if whole, err := Open(t.Context(), path); err != nil || whole.Close() != nil {
		t.Errorf("the file itself: %v", err)
	}
}
