package results_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"nb201/cell"
	. "nb201/results"
	"nb201/results/export"
	"nb201/results/resultstest"
)

// mergedFile makes a merged file of one trial, whose loss after the first epoch is given.
func mergedFile(t *testing.T, format Format, arch int, loss float64) (content []byte) {
	t.Helper()
	c := Campaign{Dir: t.TempDir()}
	r := resultstest.Record(t, Trial{Arch: arch, Dataset: "cifar10", Epochs: 2, Seed: 1})
	r.Train.Loss[0] = loss
	if err := c.Publish(r, nil); err != nil {
		t.Fatal(err)
	}
	b, err := Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "new.pth")
	if format == NATS {
		to = filepath.Join(t.TempDir(), "new.pickle.pbz2")
	}
	if _, err := export.Run(t.Context(), b, export.Options{Format: format, To: to, Less: 2, Full: 3}); err != nil {
		t.Fatal(err)
	}
	if content, err = os.ReadFile(to); err != nil {
		t.Fatal(err)
	}
	return content
}

// firstLoss is what a merged file answers.
func firstLoss(t *testing.T, path string) float64 {
	t.Helper()
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := b.Architecture(3)
	if err != nil {
		t.Fatal(err)
	}
	loss, _ := a.Schedules[0].Results[0].Training.Loss.At(0)
	return loss
}

// A merged file that takes another's place is read, whatever its size and times; and
// nothing that may happen to the cache gives another answer or an error.
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
				if got := firstLoss(t, path); got != loss {
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
			third, _ := cell.ByIndex(3)
			twin := 4
			for arch, err := cell.ByIndex(twin); err == nil && len(arch.String()) != len(third.String()); arch, err = cell.ByIndex(twin) {
				twin++
			}
			other := mergedFile(t, format, twin, 1.25)
			if len(other) != len(before) {
				t.Fatalf("%d and %d bytes", len(before), len(other))
			}
			put(other)
			b, err := Open(path)
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
		if format == NATS {
			pickle := cached(".pickle")[0]
			for _, damage := range []func() error{
				func() error { return os.Remove(pickle) },
				func() error { return os.Truncate(pickle, 100) },
				func() error { return os.WriteFile(pickle, make([]byte, fileSize(t, pickle)), 0o666) },
			} {
				if err := damage(); err != nil {
					t.Fatal(err)
				}
				want(1.25)
			}
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
