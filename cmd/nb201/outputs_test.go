package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/resultstest"
)

// userOutputs returns the command lines that write a file named by the user, without that name. The
// key ends as the name must.
func userOutputs(campaign string) map[string][]string {
	return map[string][]string{
		"init":     {"init-weights", "0", "--seed", "1", "--cells", "1", "--channels", "2", "--to"},
		"arch":     {"arch", "0", "--svg"},
		"csv":      {"arch", "--all", "--csv"},
		"parquet":  {"arch", "--all", "--parquet"},
		"compare":  {"compare", campaign, campaign, "--report"},
		"plot.svg": {"query", campaign, "4", "--plot"},
		"plot.png": {"query", campaign, "--best", "--dataset", "digits", "--set", "train", "--schedule", "1", "--plot"},
		"report":   {"report", campaign, "--to"},
	}
}

// TestOutputsKeepFiles checks that no output replaces somebody else's file, a pipe, a device or a link.
func TestOutputsKeepFiles(t *testing.T) {
	c := resultstest.Fill(t, results.Trial{Arch: 4, Dataset: "digits", Epochs: 1, Seed: 1})
	dir := t.TempDir()
	for name, args := range userOutputs(c.Dir) {
		file, link := filepath.Join(dir, name), filepath.Join(dir, "link."+name)
		if err := errors.Join(os.WriteFile(file, []byte("thesis"), 0o666), os.Symlink(file, link)); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{file, link} {
			_, stderr, code := nb201(append(args, path)...)
			if text, err := os.ReadFile(file); code != 2 || stderr != "nb201: cannot write "+path+": it already exists; name another file, or replace it with --force\n" || string(text) != "thesis" {
				t.Errorf("%s: code %d, stderr %q, file %q (%v)", name, code, stderr, text, err)
			}
		}
		if _, stderr, code := nb201(append(args, link, "--force")...); code != 0 {
			t.Errorf("%s: code %d, stderr %q", name, code, stderr)
		}
		info, err := os.Lstat(link)
		if err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s: the link is %v (%v)", name, info.Mode(), err)
		}
		forced, err := os.ReadFile(file)
		if err != nil || len(forced) < 1000 {
			t.Errorf("%s: %d bytes, %v", name, len(forced), err)
		}

		again := 0 // drawings and reports are recognised as nb201's; weights and tables could be anybody's
		if slices.Contains([]string{"init", "csv", "parquet"}, name) {
			again = 2
		}
		if _, stderr, code := nb201(append(args, file)...); code != again {
			t.Errorf("%s again: code %d, stderr %q", name, code, stderr)
		}

		pipe := filepath.Join(dir, "pipe."+name)
		if err := syscall.Mkfifo(pipe, 0o666); err != nil {
			t.Fatal(err)
		}
		read := make(chan []byte)
		go func() { text, _ := os.ReadFile(pipe); read <- text }()
		if _, stderr, code := nb201(append(args, pipe)...); code != 0 {
			t.Errorf("%s into a pipe: code %d, stderr %q", name, code, stderr)
		}
		if text := <-read; !bytes.Equal(text, forced) {
			t.Errorf("%s: a pipe got %d bytes, a file %d", name, len(text), len(forced))
		}
		if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
			t.Errorf("%s: the pipe is %v (%v)", name, info.Mode(), err)
		}
	}
}

// Only root can make devices.
func TestOutputsWriteThroughDevices(t *testing.T) {
	dir := t.TempDir()
	c := resultstest.Fill(t, results.Trial{Arch: 4, Dataset: "digits", Epochs: 1, Seed: 1})
	for name, args := range userOutputs(c.Dir) {
		null, full := filepath.Join(dir, "null."+name), filepath.Join(dir, "full."+name)
		needs.Root(t, errors.Join(syscall.Mknod(null, syscall.S_IFCHR|0o666, 1<<8|3), syscall.Mknod(full, syscall.S_IFCHR|0o666, 1<<8|7)))
		needs.Root(t, os.WriteFile(null, nil, 0o666))
		if _, stderr, code := nb201(append(args, null)...); code != 0 {
			t.Errorf("%s: code %d, stderr %q", name, code, stderr)
		}
		if _, stderr, code := nb201(append(args, full, "--force")...); code != 2 || !strings.HasSuffix(stderr, "nb201: cannot write "+full+": no space left on device\n") {
			t.Errorf("%s: code %d, stderr %q", name, code, stderr)
		}
		for _, path := range []string{null, full} {
			if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeDevice|fs.ModeCharDevice {
				t.Errorf("%s: %s is now %v (%v)", name, path, info.Mode(), err)
			}
		}
	}
}

// TestOutputsKeepInputs checks that no output replaces a file that the command reads, even with --force.
func TestOutputsKeepInputs(t *testing.T) {
	c := resultstest.Fill(t, results.Trial{Arch: 4, Dataset: "digits", Epochs: 1, Seed: 1})
	dir := t.TempDir()
	definition := ownDataset(t)
	hard, record := filepath.Join(dir, "hard.json"), c.RecordPath(results.Trial{Arch: 4, Dataset: "digits", Epochs: 1, Seed: 1})
	needs.System(t, os.Link(definition, hard))
	for _, args := range [][]string{
		{"compare", c.Dir, c.Dir, "--report", record},
		{"compare", c.Dir, c.Dir, "--report", filepath.Join(c.Dir, "new.html")},
		{"query", c.Dir, "4", "--plot", filepath.Join(c.Dir, "new.svg")},
		{"arch", "0", "--dataset", definition, "--svg", definition},
		{"arch", "0", "--dataset", definition, "--svg", hard},
		{"arch", "--all", "--dataset", "digits," + definition, "--csv", hard},
		{"arch", "--all", "--dataset", definition, "--parquet", definition},
		{"init-weights", "0", "--seed", "1", "--dataset", hard, "--to", definition},
		{"data", "import", definition, "--name", "mine", "--to", filepath.Dir(definition)},
	} {
		before, err := os.ReadFile(definition)
		if err != nil {
			t.Fatal(err)
		}
		_, stderr, code := nb201(append(args, "--force")...)
		if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "name ") {
			t.Errorf("%v: code %d, stderr %q", args, code, stderr)
		}
		if after, err := os.ReadFile(definition); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%v changed the definition: %v", args, err)
		}
	}
	if _, stderr, code := nb201("verify", c.Dir); code != 0 {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}
