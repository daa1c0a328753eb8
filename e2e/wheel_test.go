package e2e

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/internal/schematest"
	"nb201/results"
)

// wheel returns the path of the wheel for x86-64, of which there must be one.
func wheel(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(needs.Wheel(t), "nb201-*-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"))
	if err != nil || len(found) != 1 {
		t.Fatalf("found the wheels %q, want one", found)
	}
	path, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// do runs a program in a directory and returns what it prints to stdout.
func do(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	c := exec.Command(program, args...)
	c.Dir = dir
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", program, args, err, &stdout, &stderr)
	}
	return stdout.String()
}

// unpack returns the path of the program in a wheel.
func unpack(t *testing.T, wheel string) string {
	t.Helper()
	dir := t.TempDir()
	do(t, dir, needs.Program(t, "python3"), "-m", "zipfile", "-e", wheel, ".")
	found, err := filepath.Glob(filepath.Join(dir, "*.data", "scripts", "nb201"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the wheel has the programs %q", found)
	}
	if err := os.Chmod(found[0], 0o755); err != nil {
		t.Fatal(err)
	}
	return found[0]
}

// installed lists the files and links in a virtual environment that no compiled module explains.
func installed(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !strings.Contains(path, "__pycache__") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

const openInstalled = `
import sys, nb201
assert "torch" not in sys.modules and "numpy" not in sys.modules and "pandas" not in sys.modules
with nb201.open(sys.argv[1]) as b:
    print(nb201.__version__, b.space, b.held, len(b.trials(11)))
`

// TestWheel installs the wheel into bare environments of Python and of PyPy, uses the command and the
// package, and removes it.
func TestWheel(t *testing.T) {
	needs.Long(t, "installs with pip")
	path := wheel(t)
	version := strings.Split(filepath.Base(path), "-")[1]
	published, err := filepath.Abs("../testdata/published-sss")
	if err != nil {
		t.Fatal(err)
	}
	for _, python := range []string{"python3", "pypy3"} { // Debian's pypy3 is Python 3.9
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			bin := filepath.Join(dir, "environment", "bin")
			do(t, dir, needs.Program(t, python), "-m", "venv", "environment")
			before := installed(t, dir)
			do(t, dir, filepath.Join(bin, "python"), "-m", "pip", "--disable-pip-version-check", "install", "--no-index", path)
			if got := do(t, dir, filepath.Join(bin, "nb201"), "--version"); !strings.HasPrefix(got, "nb201 version "+version) {
				t.Errorf("the command of nb201 %s prints %q", version, got)
			}
			if got := do(t, dir, filepath.Join(bin, "nb201"), "arch", "0", "--json"); !strings.Contains(got, `"|avg_pool_3x3~0|+`) {
				t.Errorf("architecture 0 is %s", got)
			}
			if got, want := do(t, dir, filepath.Join(bin, "python"), "-c", openInstalled, published), version+" sss [0, 11] "; !strings.HasPrefix(got, want) {
				t.Errorf("the package prints %q, want %q", got, want)
			}
			do(t, dir, filepath.Join(bin, "python"), "-m", "pip", "uninstall", "--yes", "nb201")
			if after := installed(t, dir); !slices.Equal(after, before) {
				t.Errorf("after the installation and removal there are %d files, before %d:\n%s", len(after), len(before), strings.Join(after, "\n"))
			}
		})
	}
}

// TestWheelBits trains with the wheel's command, which another C compiler has built, and compares the
// weights and the record with those of the program that Go's default compiler builds.
func TestWheelBits(t *testing.T) {
	needs.Long(t, "trains with two programs")
	path := wheel(t)
	devicetest.CPUOnly(t, "C code of nb201 computes on the CPU alone")
	devicetest.Open(t)
	dir := t.TempDir()
	fromWheel := unpack(t, path)
	arch, err := cell.Parse("40:24:56:8:64") // with 1 to 3 vectors at once
	if err != nil {
		t.Fatal(err)
	}
	trial := results.Trial{Space: arch.Space().Name(), Arch: arch.Index(), Dataset: "digits", Epochs: 1, Seed: 777}
	var records []*results.Record
	var weights [][]byte
	for name, nb201 := range map[string]string{"here": program(t, dir), "wheel": fromWheel} {
		do(t, dir, nb201, "train", arch.String(), "--dataset", "digits", "--epochs", "1", "--seed", "777", "--out", name)
		schematest.CheckDir(t, filepath.Join(dir, name))
		found, err := filepath.Glob(filepath.Join(dir, name, "weights", "*", "digits", "*.pth"))
		if err != nil || len(found) != 1 {
			t.Fatalf("found the weights %q", found)
		}
		content, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		record, err := results.Campaign{Dir: filepath.Join(dir, name)}.Record(trial)
		if err != nil {
			t.Fatal(err)
		}
		records, weights = append(records, record), append(weights, content)
	}
	records[0].Versions.Program = records[1].Versions.Program // the commit may differ
	checkAlike(t, "the wheel", records[1], records[0])
	if !bytes.Equal(weights[0], weights[1]) {
		t.Error("the weights differ")
	}
}

// TestWheelAgain builds the wheel a second time and compares the bytes.
func TestWheelAgain(t *testing.T) {
	needs.Nightly(t)
	path := wheel(t)
	dir := t.TempDir()
	python, err := filepath.Abs("../.cache/wheel/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	_, commit, _ := strings.Cut(strings.TrimSpace(do(t, dir, unpack(t, path), "--version")), "+")
	t.Setenv("COMMIT", commit)
	do(t, "..", python, "tools/wheel.py", "--to", dir)
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(dir, filepath.Base(path)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("%s differs from a second wheel of this tree; if the tree has changed, make the wheel again", path)
	}
}

// TestWheelFile checks what is in the wheel, and which versions of which libraries it needs.
func TestWheelFile(t *testing.T) {
	path := wheel(t)
	if info, err := os.Stat(path); err != nil || info.Size() > 30e6 {
		t.Errorf("%v, %d bytes", err, info.Size())
	}
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	contents := map[string][]byte{}
	for _, f := range r.File {
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if contents[f.Name], err = io.ReadAll(content); err != nil {
			t.Fatal(err)
		}
		if want := fs.FileMode(0o644) | f.Mode()&0o111; f.Mode() != want || f.Modified.Year() != 1980 {
			t.Errorf("%s has mode %v and time %v", f.Name, f.Mode(), f.Modified)
		}
	}
	info := strings.Join(strings.Split(filepath.Base(path), "-")[:2], "-")
	for _, name := range []string{"nb201/py.typed", "nb201/__init__.py", info + ".dist-info/METADATA", info + ".dist-info/licenses/LICENSE"} {
		if _, ok := contents[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
	for _, project := range []string{"github.com/gomlx/gomlx", "Apache ECharts", "Go's standard library"} {
		if !bytes.Contains(contents[info+".dist-info/licenses/NOTICES.txt"], []byte("="+"\n"+project)) {
			t.Errorf("the licence of %s is missing", project)
		}
	}
	for _, name := range []string{info + ".data/scripts/nb201", "nb201/libnb201.so"} {
		file, err := elf.NewFile(bytes.NewReader(contents[name]))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		symbols, err := file.ImportedSymbols()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range symbols {
			if !slices.Contains([]string{"", "GLIBC_2.2.5", "GLIBC_2.3", "GLIBC_2.3.2", "GLIBC_2.3.4", "GLIBC_2.4", "GLIBC_2.14", "GLIBC_2.17"}, s.Version) {
				t.Errorf("%s needs %s of %s", name, s.Name, s.Version)
			}
		}
	}
}
