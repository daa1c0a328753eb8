package published_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// TestDamagedIsNotLacking damages a file of one architecture in each format. Every query that
// needs it must fail with an error that names the file, while an architecture that merely lacks
// what is asked for is skipped.
func TestDamagedIsNotLacking(t *testing.T) {
	trial := func(arch int, dataset string) results.Trial {
		return results.Trial{Arch: arch, Dataset: dataset, Epochs: 2, Seed: 777}
	}
	c := resultstest.Fill(t, trial(3, "cifar10"), trial(4, "cifar10"), trial(5, "cifar10"), trial(5, "cifar100"), trial(9, "cifar100"))
	search := benchmark.Search{Dataset: "cifar10", Set: "test"}
	cut := func(text []byte) []byte { return text[:len(text)/2] }
	for _, test := range []struct {
		format  benchmark.Format
		file    string // of architecture 4
		damage  func(text []byte) []byte
		opening bool // it is found when the benchmark is opened
	}{
		{published.CampaignFormat, "trials/000004/cifar10/0002-0777.json", cut, false},
		{published.NATS, "000004.pickle.pbz2", cut, false},
		{published.NATS, "000004.pickle.pbz2", func([]byte) []byte { return nil }, false},
		{published.NATS, "000004.pickle.pbz2", func(text []byte) []byte { return slices.Concat(text[:40], []byte{^text[40]}, text[41:]) }, false},
		{published.Archive, "000004-FULL.pth", cut, false},
		{published.Archive, "000004-FULL.pth", func([]byte) []byte { return []byte("<html>") }, false},
		{published.Runs, "000000-015624-C8-N1-LESS/arch-000004-seed-0777.pth", cut, false},
		{published.CSV, "trials.csv", func(text []byte) []byte {
			return []byte(strings.Replace(string(text), "\n4,|", "\n4,nonsense|", 1))
		}, false},
		{published.Parquet, "trials.parquet", cut, true},
		{published.NASBench201, "", cut, true},
	} {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		var dir string
		hp := "2"
		if test.format != published.CampaignFormat {
			source, err := published.Open(t.Context(), c.Dir)
			if err != nil {
				t.Fatal(err)
			}
			dir = filepath.Join(t.TempDir(), "new.pth")
			if _, err := export.Run(t.Context(), source, export.Options{Format: test.format, To: dir, Less: "2", Full: "3"}); err != nil {
				t.Fatal(err)
			}
			if test.format == published.NATS || test.format == published.Archive || test.format == published.NASBench201 {
				hp = "12"
			}
		} else {
			dir = filepath.Join(t.TempDir(), "campaign")
			if err := os.CopyFS(dir, os.DirFS(c.Dir)); err != nil {
				t.Fatal(err)
			}
		}
		search.HP = hp
		b, err := published.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if best, err := b.FindBest(t.Context(), search); err != nil || best.Compared != 3 || best.Lacking != 1 {
			t.Errorf("%s: sound: %+v, %v", test.format, best, err)
		}
		if info, err := b.MoreInfo(9, "cifar10", benchmark.Last, hp, benchmark.Mean()); !errors.Is(err, benchmark.ErrNoTrial) || !errors.Is(err, benchmark.ErrNotHeld) || errors.Is(err, results.ErrDamaged) {
			t.Errorf("%s: not held: %+v, %v", test.format, info, err)
		}
		b.Close()

		path := filepath.Join(dir, filepath.FromSlash(test.file))
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, test.damage(text), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err = published.Open(t.Context(), dir)
		if test.opening || err != nil {
			checkDamaged(t, test.format, err, path)
			continue
		}
		_, err = b.FindBest(t.Context(), search)
		checkDamaged(t, test.format, err, path)
		_, err = b.Statistics(t.Context(), "cifar10", hp, nil)
		checkDamaged(t, test.format, err, path)
		_, err = b.AvailableHPs(t.Context(), nil)
		checkDamaged(t, test.format, err, path)
		_, err = b.MoreInfo(4, "cifar10", benchmark.Last, hp, benchmark.Mean())
		checkDamaged(t, test.format, err, path)
		if _, err := b.MoreInfo(3, "cifar10", benchmark.Last, hp, benchmark.Mean()); err != nil {
			t.Errorf("%s: a sound architecture beside it: %v", test.format, err)
		}
		b.Close()
	}
}

func checkDamaged(t *testing.T, format benchmark.Format, err error, path string) {
	t.Helper()
	if !errors.Is(err, results.ErrDamaged) || errors.Is(err, benchmark.ErrNotHeld) || !usage.Is(err) {
		t.Errorf("%s: error %v, want ErrDamaged", format, err)
	} else if dir := filepath.Dir(path); !strings.Contains(err.Error(), path) && !(format == published.CSV && strings.Contains(err.Error(), dir)) {
		t.Errorf("%s: error %v does not name %s", format, err, path)
	}
}

// A file that the system cannot read is neither damaged nor missing from the benchmark.
func TestGoneIsNotDamaged(t *testing.T) {
	c := resultstest.Fill(t, results.Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 777})
	source, err := published.Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "nats")
	if _, err := export.Run(t.Context(), source, export.Options{Format: published.NATS, To: dir}); err != nil {
		t.Fatal(err)
	}
	b, err := published.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "000003.pickle.pbz2")); err != nil {
		t.Fatal(err)
	}
	_, err = b.FindBest(t.Context(), benchmark.Search{Dataset: "cifar10", Set: "test", HP: "2"})
	if err == nil || errors.Is(err, results.ErrDamaged) || errors.Is(err, benchmark.ErrNotHeld) {
		t.Errorf("error %v", err)
	}
}

// TestRenamed opens files under other names: a merged file may have any, one of a single
// architecture is refused under a name of no format, and answers for no other architecture.
func TestRenamed(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	c := resultstest.Fill(t, results.Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 777})
	for _, test := range []struct {
		o                export.Options
		from, to, damage string // "" for none
		open             string
	}{
		{export.Options{Format: published.NASBench201}, "", "my-own.pth", "", ""},
		{export.Options{Format: published.NATS, Merged: true}, "", "x.pickle.pbz2", "", ""},
		{export.Options{Format: published.NASBench201}, "", "000003.pickle.pbz2", "", "is a merged NAS-Bench-201 file; nb201 query, verify, export and compare read it if its name ends in .pth"},
		{export.Options{Format: published.Archive}, "000003-FULL.pth", "renamed.pth", "", "rename it to its published name, such as 000123-FULL.pth"},
		{export.Options{Format: published.NATS}, "000003.pickle.pbz2", "one.pickle.pbz2", "", "rename it to its published name, such as 000123.pickle.pbz2"},
		{export.Options{Format: published.NATS}, "000003.pickle.pbz2", "000003.pickle", "", "rename it to its published name"},
		{export.Options{Format: published.Archive}, "000003-FULL.pth", "000004-FULL.pth", "it is architecture 3", ""},
		{export.Options{Format: published.NATS}, "000003.pickle.pbz2", "000004.pickle.pbz2", "it is architecture 3", ""},
	} {
		source, err := published.Open(t.Context(), c.Dir)
		if err != nil {
			t.Fatal(err)
		}
		test.o.To, test.o.Less, test.o.Full = filepath.Join(t.TempDir(), "new"), "2", "3"
		if _, err := export.Run(t.Context(), source, test.o); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), test.to)
		if err := os.Rename(filepath.Join(test.o.To, test.from), path); err != nil {
			t.Fatal(err)
		}
		b, err := published.Open(t.Context(), path)
		if test.open != "" {
			if !usage.Is(err) || !strings.Contains(err.Error(), test.open) || errors.Is(err, results.ErrDamaged) {
				t.Errorf("%s: error %v, want %q", test.to, err, test.open)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.to, err)
			continue
		}
		_, err = b.Architecture(b.Evaluated()[0])
		if test.damage == "" && err != nil || test.damage != "" && (!errors.Is(err, results.ErrDamaged) || !strings.Contains(err.Error(), test.damage)) {
			t.Errorf("%s: error %v, want %q", test.to, err, test.damage)
		}
		b.Close()
	}
}
