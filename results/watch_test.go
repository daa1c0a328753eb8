package results_test

import (
	"context"
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

// laterContext is a context that calls do when it is asked for its error the nth time.
type laterContext struct {
	context.Context
	n  int
	do func()
}

func (c *laterContext) Err() error {
	if c.n--; c.n == 0 {
		c.do()
	}
	return c.Context.Err()
}

// A campaign that goes away, or another takes its place, while the watcher looks has lost no records.
func TestWatcherCampaignGoes(t *testing.T) {
	for what, put := range map[string]func(path string) error{
		"nothing":         func(string) error { return nil },
		"a file":          func(path string) error { return os.WriteFile(path, nil, 0o666) },
		"an empty folder": func(path string) error { return os.Mkdir(path, 0o777) },
		"a broken link":   func(path string) error { return os.Symlink(path+".nothing", path) },
	} {
		for n := 1; n <= 4; n++ {
			dir := filepath.Join(t.TempDir(), "campaign")
			for arch := range 3 {
				record := filepath.Join(archDir(dir, arch), "cifar10", "0012-0777.json")
				if err := errors.Join(os.MkdirAll(filepath.Dir(record), 0o777), os.WriteFile(record, nil, 0o666)); err != nil {
					t.Fatal(err)
				}
			}
			w := results.Campaign{Dir: dir}.Watch()
			if changed, _, err := w.Changed(t.Context()); err != nil || len(changed) != 3 {
				t.Fatalf("changed %v, error %v", changed, err)
			}
			gone := false
			changed, archs, err := w.Changed(&laterContext{t.Context(), n, func() {
				gone = true
				if err := errors.Join(os.Rename(dir, dir+".away"), put(dir)); err != nil {
					t.Error(err)
				}
			}})
			if gone != (n < 4) || gone != (err != nil) || len(changed) > 0 {
				t.Errorf("%s at architecture %d: gone %v, changed %v, %v have records, error %v", what, n, gone, changed, archs, err)
			}
			if err := w.CheckSame(); (err != nil) != gone {
				t.Errorf("%s at architecture %d: CheckSame: %v", what, n, err)
			}
			if !gone {
				continue
			}
			if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".away", dir), w.CheckSame()); err != nil {
				t.Error(err)
			}
			if changed, archs, err := w.Changed(t.Context()); err != nil || len(changed) > 0 || len(archs) != 3 {
				t.Errorf("back after %s: changed %v, %v have records, error %v", what, changed, archs, err)
			}
		}
	}
}
