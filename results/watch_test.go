package results_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"nb201/results"
)

// A watcher reports exactly the architectures whose files have changed, whatever happens to them.
func TestWatcher(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "campaign")
	w := results.Campaign{Dir: dir}.Watch()
	if _, _, err := w.Changed(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without a campaign: error %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "failed"), 0o777); err != nil {
		t.Fatal(err)
	}
	check := func(what string, want ...int) {
		t.Helper()
		changed, archs, err := w.Changed(t.Context())
		if err != nil || !slices.Equal(changed, want) {
			t.Fatalf("%s: changed %v, error %v; want %v", what, changed, err, want)
		}
		var held []int
		for i := range 40 {
			if _, err := os.Stat(archDir(dir, i)); err == nil {
				held = append(held, i)
			}
		}
		if !slices.Equal(archs, held) {
			t.Fatalf("%s: architectures %v, not %v", what, archs, held)
		}
	}
	check("a new campaign")
	random := rand.New(rand.NewPCG(1, 2))
	old := time.Now().Add(-time.Hour)
	for step := range 300 {
		arch := random.IntN(40)
		record := filepath.Join(archDir(dir, arch), []string{"cifar10", "cifar100"}[random.IntN(2)], fmt.Sprintf("0012-%04d.json", random.IntN(4)))
		_, missing := os.Stat(archDir(dir, arch))
		what := fmt.Sprintf("step %d, architecture %d", step, arch)
		switch random.IntN(5) {
		case 0:
			if err := os.RemoveAll(archDir(dir, arch)); err != nil {
				t.Fatal(err)
			}
			if missing != nil {
				check(what + " is not removed, as it did not exist")
				continue
			}
			check(what+" is removed", arch)
		case 1:
			if err := os.Remove(record); err != nil {
				check(what + " stays as it is")
				continue
			}
			check(what+" loses a record", arch)
		default: // as a record is published: with another name, then renamed
			if err := os.MkdirAll(filepath.Dir(record), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(record+".tmp", fmt.Appendf(nil, "%d", step), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(record+".tmp", record); err != nil {
				t.Fatal(err)
			}
			check(what+" gets a record", arch)
			if random.IntN(2) == 0 { // its directories settle
				for _, path := range []string{filepath.Dir(record), archDir(dir, arch)} {
					if err := os.Chtimes(path, old, old); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		check(what + ": nothing more happens")
	}
	if err := os.Rename(dir, dir+"-moved"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Changed(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a move: error %v", err)
	}
	if err := os.Rename(dir+"-moved", dir); err != nil {
		t.Fatal(err)
	}
	check("the campaign is back")
}

func archDir(dir string, arch int) string {
	return filepath.Join(dir, "trials", fmt.Sprintf("%06d", arch))
}

// What has the name of an architecture, a dataset or a record, but is something else, hides no record.
func TestWatcherStrays(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(archDir(dir, 1), "cifar10")
	if err := errors.Join(os.MkdirAll(good, 0o777), os.WriteFile(filepath.Join(good, "0012-0001.json"), nil, 0o666), os.MkdirAll(archDir(dir, 4), 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{archDir(dir, 2), filepath.Join(archDir(dir, 4), "cifar10"), filepath.Join(good, "0012-0002.json")} {
		if err := os.Symlink(path, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(archDir(dir, 3), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	w := results.Campaign{Dir: dir}.Watch()
	if changed, _, err := w.Changed(t.Context()); err != nil || !slices.Contains(changed, 1) || slices.Contains(changed, 2) || slices.Contains(changed, 3) {
		t.Errorf("changed %v, error %v", changed, err)
	}
	// A file instead of the campaign does not mean that all records have gone.
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	if changed, _, err := w.Changed(t.Context()); err == nil || changed != nil {
		t.Errorf("a file instead of the campaign: changed %v, error %v", changed, err)
	}
}
