package main

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nb201/results"
	"nb201/results/resultstest"
)

// special replaces a regular file by a special one.
var special = map[string]func(path string) error{
	"a named pipe": func(path string) error { return syscall.Mkfifo(path, 0o666) },
	"a device":     func(path string) error { return os.Symlink("/dev/zero", path) },
	"a directory":  func(path string) error { return os.Mkdir(path, 0o777) },
}

// place is a file that commands read, with their exit codes if a special file replaces it.
type place struct {
	name, dir, file string
	commands        map[string]int // exit codes; DIR, FILE and OUT stand for places
}

// TestSpecialFiles checks that every command that reads a file ends within seconds, with one sentence,
// if a pipe, a device or a directory replaces it.
func TestSpecialFiles(t *testing.T) {
	for _, p := range specialPlaces(t) {
		for kind, put := range special {
			for command, want := range p.commands {
				kept := p.file + ".kept"
				if err := os.Rename(p.file, kept); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(p.file), 0o777), put(p.file)); err != nil {
					t.Fatal(err)
				}
				args := strings.Fields(strings.NewReplacer("DIR", p.dir, "FILE", p.file, "OUT", filepath.Join(t.TempDir(), "out")).Replace(command))
				var stdout, stderr string
				var code int
				done := make(chan bool)
				go func() { defer close(done); stdout, stderr, code = nb201(args...) }()
				select {
				case <-done:
				case <-time.After(20 * time.Second):
					t.Fatalf("%s in place of %s: %s has not ended after 20 s", kind, p.name, command)
				}
				sentences := strings.Count("\n"+stderr, "\nnb201: ")
				if code != want || sentences != min(code, 1) || code == 2 && kind != "a directory" && !strings.Contains(stderr, p.file) ||
					code != 2 && !strings.Contains(stdout, p.file+": not a regular file: it is "+kind) {
					t.Errorf("%s in place of %s: %s: code %d, stderr %q, stdout %q", kind, p.name, command, code, stderr, stdout)
				}
				if err := os.Remove(p.file); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(kept, p.file); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
		}
	}
}

// Every download reads .netrc in the home directory.
func TestSpecialNetrc(t *testing.T) {
	for kind, put := range special {
		plainSettings(t)
		home := t.TempDir()
		t.Setenv("HOME", home)
		if err := put(filepath.Join(home, ".netrc")); err != nil {
			t.Fatal(err)
		}
		done := make(chan bool)
		go func() {
			defer close(done)
			_, stderr, code := nb201("data", "get", "cifar10", "--data", filepath.Join(home, "data"), "--mirror", "http://127.0.0.1:9/")
			if code != 2 || !strings.Contains(stderr, ".netrc: not a regular file: it is "+kind) {
				t.Errorf("code %d, stderr %q", code, stderr)
			}
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: has not ended after 20 s", kind)
		}
	}
}

func specialPlaces(t *testing.T) []place {
	trial := results.Trial{Arch: 4, Dataset: "digits", Epochs: 2, Seed: 1}
	c := resultstest.Fill(t, trial, results.Trial{Arch: 5, Dataset: "digits", Epochs: 2, Seed: 1})
	ok := func(args ...string) {
		t.Helper()
		if _, stderr, code := nb201(args...); code != 0 {
			t.Fatalf("%q: %s", args, stderr)
		}
	}
	dir := t.TempDir()
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	planned := in("planned")
	ok("plan", planned, "--archs", "0", "--datasets", "digits", "--epochs", "1", "--seeds", "1", "--cells", "1", "--channels", "2")
	ok("export", c.Dir, "--format", "nasbench201", "--less", "2", "--to", in("merged.pth"))
	ok("export", c.Dir, "--format", "nats", "--merged", "--to", in("merged.pickle.pbz2"))
	ok("export", c.Dir, "--format", "archive", "--less", "2", "--to", in("archive"))
	ok("export", c.Dir, "--format", "csv", "--to", in("csv"))
	ok("export", c.Dir, "--format", "parquet", "--to", in("parquet"))
	definition := ownDataset(t)
	mine := filepath.Dir(definition)
	for _, class := range []string{"a", "b"} {
		for k := range 2 {
			at := in("pictures", class, fmt.Sprintf("%d.png", k))
			if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
				t.Fatal(err)
			}
			f, err := os.Create(at)
			if err == nil {
				err = errors.Join(png.Encode(f, image.NewGray(image.Rect(0, 0, 8, 8))), f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	const (
		train = "train 0 --cells 1 --channels 2 --batch 16 --epochs 1 --seed 1 --out OUT --dataset "
	)
	published := map[string]int{"query FILE 4": 2, "verify FILE": 2, "export FILE --format csv --to OUT": 2, "compare FILE FILE": 2,
		"train 4 --dataset digits --epochs 1 --seed 1 --out OUT --from FILE": 2}
	tables := map[string]int{"query DIR 4": 2, "verify DIR": 2, "export DIR --format nats --to OUT": 2, "compare DIR DIR": 2}
	part := map[string]int{"query DIR 4": 2, "verify DIR": 3, "export DIR --format nats --to OUT": 2, "compare DIR DIR": 2}
	return []place{
		{"a record", c.Dir, c.RecordPath(trial),
			map[string]int{"status DIR": 0, "verify DIR": 3, "query DIR 4": 2, "export DIR --format csv --to OUT": 2, "compare DIR DIR": 2}},
		{"weights", c.Dir, c.WeightsPath(trial),
			map[string]int{"verify DIR": 3, "export DIR --format archive --less 2 --to OUT": 2, "train 4 --dataset digits --eval-only --from FILE": 2}},
		{"a plan", planned, filepath.Join(planned, "plan.json"),
			map[string]int{"status DIR": 2, "run DIR": 2, "plan DIR": 2, "slurm DIR --kubernetes --image i --claim c": 2}},
		{"a run's state", c.Dir, filepath.Join(c.Dir, "running", "host-1.json"), map[string]int{"status DIR": 0}},
		{"failed attempts", c.Dir, filepath.Join(c.Dir, "failed", "000006", "digits", "0002-0001.json"), map[string]int{"status DIR": 0}},
		{"latencies", c.Dir, in("latency.json"), map[string]int{"export DIR --format csv --to OUT --latency FILE": 2}},
		{"a definition", mine, definition, map[string]int{"data check FILE": 2, "data list FILE": 2, "arch 0 --dataset FILE": 2,
			"init-weights 0 --seed 1 --to OUT --dataset FILE": 2, train + "FILE": 2,
			"plan OUT --archs 0 --epochs 1 --seeds 1 --datasets FILE": 2, "latency 0 --dataset FILE": 2}},
		{"images", mine, filepath.Join(mine, "data_batch_2.bin"),
			map[string]int{"data check DIR/mine.json": 2, train + "DIR/mine.json": 2, "plan OUT --archs 0 --epochs 1 --seeds 1 --batch 16 --datasets DIR/mine.json": 2}},
		{"a picture", in("pictures"), in("pictures", "a", "1.png"), map[string]int{"data import DIR --name own --test 0.5 --to OUT": 2}},
		{"arrays", dir, in("arrays.npz"), map[string]int{"data import FILE --name own --test 0.5 --to OUT": 2}},
		{"CSV", dir, in("images.csv.gz"), map[string]int{"data import FILE --name own --test 0.5 --to OUT": 2}},
		{"a list", dir, in("list.txt"), map[string]int{"plan OUT --datasets digits --epochs 1 --seeds 1 --archs FILE": 2, "latency --archs FILE": 2}},
		{"a merged file", dir, in("merged.pth"), published},
		{"a merged file", dir, in("merged.pickle.pbz2"), published},
		{"an archive's", in("archive"), in("archive", "000004-FULL.pth"), part},
		{"a table", in("csv"), in("csv", "epochs.csv"), tables},
		{"a table", in("csv"), in("csv", "trials.csv"), tables},
		{"a table", in("parquet"), in("parquet", "epochs.parquet"), tables},
	}
}
