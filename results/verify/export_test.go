package verify

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	stdbzip2 "compress/bzip2"

	"github.com/dsnet/compress/bzip2"

	"nb201/internal/needs"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// exports exports a campaign in every format, into one directory.
func exports(t *testing.T) (dir string) {
	t.Helper()
	c := resultstest.Fill(t, resultstest.Grid(4, 11)...)
	b := open(t, c.Dir)
	dir = t.TempDir()
	for name, o := range map[string]export.Options{
		"runs": {Format: published.Runs}, "archive": {Format: published.Archive}, "merged.pth": {Format: published.NASBench201},
		"nats": {Format: published.NATS}, "weights": {Format: published.NATS, Weights: true}, "merged.pickle.pbz2": {Format: published.NATS},
		"201.pickle": {Format: published.NASBench201}, "nats.pickle": {Format: published.NATS},
		"parquet": {Format: published.Parquet}, "csv": {Format: published.CSV},
	} {
		o.To, o.Less, o.Full = filepath.Join(dir, name), "2", "3"
		if _, err := export.Run(t.Context(), b, o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return dir
}

// TestNASLib checks that an export for NASLib is sound though it has one evaluation set of a trial, and that a
// planted fault is found.
func TestNASLib(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(4, 11)...)
	to := filepath.Join(t.TempDir(), "data")
	if _, err := export.Run(t.Context(), open(t, c.Dir), export.Options{Format: published.NASLib, To: to, Full: "3"}); err != nil {
		t.Fatal(err)
	}
	r := run(t, to, Options{})
	if len(r.Faults) > 0 || r.Trials != 6 || r.Format != published.NASLib {
		t.Errorf("%d trials, found %v", r.Trials, r.Faults)
	}
	edit(t, filepath.Join(to, published.NASLibName("cifar100")), func(b []byte) []byte {
		b = slices.Clone(b)
		at := bytes.Index(b, []byte("params"))
		at += bytes.IndexByte(b[at:], 'G') + 1
		b[at+3] ^= 1
		return b
	})
	if r := run(t, to, Options{}); len(r.Faults) != 1 || r.Faults[0].Check != CheckCosts || r.Faults[0].Trial.Dataset != "cifar100" {
		t.Errorf("found %v", r.Faults)
	}
}

// TestExports checks that exports of all formats are sound, and that faults planted in them
// are found in the right place.
func TestExports(t *testing.T) {
	sound := exports(t)
	entries, err := os.ReadDir(sound)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		r := run(t, filepath.Join(sound, e.Name()), Options{})
		weights := 0
		if slices.Contains([]string{"runs", "archive", "weights"}, e.Name()) {
			weights = 24
		}
		if len(r.Faults) > 0 || r.Trials != 24 || r.Weights != weights {
			t.Errorf("%s: %d trials, %d with weights, found %v", e.Name(), r.Trials, r.Weights, r.Faults)
		}
	}

	// The name of the published file is not a fault, but worth a note.
	const asked = "NAS-Bench-201-v1_1-096897.pth"
	named := filepath.Join(t.TempDir(), asked)
	if text, err := os.ReadFile(filepath.Join(sound, "merged.pth")); err != nil || os.WriteFile(named, text, 0o666) != nil {
		t.Fatal(err)
	}
	r := run(t, named, Options{})
	isNoted := slices.ContainsFunc(r.Notes, func(n Note) bool {
		return n.Check == CheckFiles && strings.Contains(n.What, asked+" has the name of the published file, and is not that file")
	})
	if len(r.Faults) > 0 || !isNoted {
		t.Errorf("%s: found %v, noted %v", asked, r.Faults, r.Notes)
	}

	change := func(file string, change func([]byte) []byte) func(*testing.T, string) string {
		return func(t *testing.T, dir string) string {
			matches, err := filepath.Glob(filepath.Join(dir, file))
			if err != nil || len(matches) != 1 {
				t.Fatalf("%s: %v (%v)", file, matches, err)
			}
			edit(t, matches[0], change)
			return ""
		}
	}
	flip := func(b []byte) []byte {
		b = slices.Clone(b)
		b[len(b)/2] ^= 1
		return b
	}
	pickled := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			plain, err := io.ReadAll(stdbzip2.NewReader(bytes.NewReader(b)))
			if err != nil || !bytes.Contains(plain, []byte(old)) {
				t.Fatalf("no %q in the pickle (%v)", old, err)
			}
			var packed bytes.Buffer
			w, err := bzip2.NewWriter(&packed, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(bytes.Replace(plain, []byte(old), []byte(new), 1)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return packed.Bytes()
		}
	}
	tests := []struct {
		name, export string
		plant        func(t *testing.T, path string) (renamed string)
		trials       int // those that can still be read
		want         []string
	}{
		{"a flipped bit in a tensor", "archive", change("000004-FULL.pth", flip), 24, []string{"files: ", "weights: "}},
		{"a truncated file", "archive", change("000004-FULL.pth", truncate), 12, []string{"files: "}},
		{"a truncated file that is not needed", "archive", change("000004-SIMPLE.pth", truncate), 24, []string{"files: "}},
		{"an empty file", "archive", change("000004-FULL.pth", func([]byte) []byte { return nil }), 12, []string{"files: "}},
		{"the file of another architecture", "archive", func(t *testing.T, dir string) string {
			other, err := os.ReadFile(filepath.Join(dir, "000011-FULL.pth"))
			if err != nil {
				t.Fatal(err)
			}
			return change("000004-FULL.pth", func([]byte) []byte { return other })(t, dir)
		}, 12, []string{"files: "}},
		{"runs of two architectures exchanged", "runs", func(t *testing.T, dir string) string {
			runs, err := filepath.Glob(filepath.Join(dir, "*", "arch-0000??-seed-0888.pth"))
			if err != nil || len(runs) != 2 {
				t.Fatal(runs, err)
			}
			temp := runs[0] + ".x"
			for _, move := range [][2]string{{runs[0], temp}, {runs[1], runs[0]}, {temp, runs[1]}} {
				if err := os.Rename(move[0], move[1]); err != nil {
					t.Fatal(err)
				}
			}
			return ""
		}, 24, []string{"costs: ", "weights: "}},
		{"a wrong seed list", "nats", change("000004.pickle.pbz2", pickled("M\x09\x03M\x78\x03e", "M\x09\x03M\xe7\x03e")), 12, []string{"files: "}}, // 999 for 888
		{"another genotype", "nats", change("000004.pickle.pbz2", pickled("nor_conv_1x1~1", "nor_conv_3x3~1")), 12, []string{"files: "}},
		{"a truncated record", "nats", change("000004.pickle.pbz2", truncate), 12, []string{"files: "}},
		{"a flipped bit in a record", "weights", change("000004.pickle.pbz2", flip), 12, []string{"files: "}},
		{"digits of another MD5", "merged.pth", func(t *testing.T, path string) string {
			renamed := filepath.Join(filepath.Dir(path), "NAS-Bench-201-v1_2-096897.pth")
			if err := os.Rename(path, renamed); err != nil {
				t.Fatal(err)
			}
			return renamed
		}, 24, []string{"files: "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), test.export)
			source := filepath.Join(sound, test.export)
			if info, err := os.Stat(source); err != nil {
				t.Fatal(err)
			} else if info.IsDir() {
				err = os.CopyFS(path, os.DirFS(source))
				if err != nil {
					t.Fatal(err)
				}
			} else if text, err := os.ReadFile(source); err != nil || os.WriteFile(path, text, 0o666) != nil {
				t.Fatal(err)
			}
			if renamed := test.plant(t, path); renamed != "" {
				path = renamed
			}
			r := run(t, path, Options{})
			kinds := map[string]bool{}
			for _, fault := range r.Faults {
				kinds[string(fault.Check)+": "] = true
			}
			for _, want := range test.want {
				if !kinds[want] {
					t.Errorf("nothing found of %s", want)
				}
			}
			if len(kinds) != len(test.want) || r.Trials != test.trials {
				t.Errorf("%d trials, found %v", r.Trials, r.Faults)
			}
			for _, fault := range r.Faults {
				if test.export != "runs" && fault.Trial != nil && fault.Trial.Arch != 4 || strings.Count(fault.String(), "\n") > 0 {
					t.Errorf("found %v", fault)
				}
			}
		})
	}
}

// TestPublished checks that the published records in the directory NB201_PUBLISHED are
// sound, with the known peculiarities noted.
func TestPublished(t *testing.T) {
	dir := needs.Published(t)
	r := run(t, dir, Options{})
	if len(r.Faults) > 0 || r.Trials == 0 || len(r.Notes) != 9 {
		t.Errorf("%d trials, found %v, notes %v", r.Trials, r.Faults, r.Notes)
	}
}
