package atomicfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func content(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// list returns the names in a directory, including hidden files.
func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func want(t *testing.T, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s holds %q (%v), not %q", filepath.Base(path), got, err, content)
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := Create(path, content("first")); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, content("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create: %v", err)
	}
	want(t, path, "first")
	if names := list(t, dir); !slices.Equal(names, []string{"a"}) {
		t.Errorf("left %v", names)
	}
}

// The file may be created by another process while it is being written.
func TestCreateLosesRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	err := Create(path, func(w io.Writer) error {
		if err := Create(path, content("winner")); err != nil {
			t.Fatal(err)
		}
		return content("loser")(w)
	})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v", err)
	}
	want(t, path, "winner")
	if names := list(t, dir); !slices.Equal(names, []string{"a"}) {
		t.Errorf("left %v", names)
	}
}

func TestOneOfManyCreates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	var won sync.Map
	var group sync.WaitGroup
	for _, name := range strings.Split("abcdefghijklmnop", "") {
		group.Go(func() {
			if err := Create(path, content(name)); err == nil {
				won.Store(name, true)
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	winners := 0
	for name := range won.Range {
		winners++
		if name != string(got) {
			t.Errorf("Create of %v succeeded, but the file contains %s", name, got)
		}
	}
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, c := range []string{"first", "second"} {
		if err := Replace(path, content(c)); err != nil {
			t.Fatal(err)
		}
		want(t, path, c)
	}
	if names := list(t, dir); !slices.Equal(names, []string{"a"}) {
		t.Errorf("left %v", names)
	}
}

func TestCreateDir(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d")
	fill := func(dir string) error { return Create(filepath.Join(dir, "a"), content("text")) }
	failure := errors.New("half way")
	if err := CreateDir(path, func(dir string) error { return cmp.Or(fill(dir), failure) }); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	if names := list(t, dir); len(names) > 0 {
		t.Errorf("left %v", names)
	}
	if err := CreateDir(path+"/", fill); err != nil {
		t.Fatal(err)
	}
	want(t, filepath.Join(path, "a"), "text")
	if err := CreateDir(path, fill); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second: %v", err)
	}
}

// Whatever fails, no temporary is left and an existing file is unchanged.
func TestFailureLeavesNothing(t *testing.T) {
	full := func(w io.Writer) error {
		if err := content("some bytes")(w); err != nil {
			return err
		}
		return syscall.ENOSPC
	}
	for name, publish := range map[string]func(string) error{
		"Create":  func(path string) error { return Create(path, full) },
		"Replace": func(path string) error { return Replace(path, full) },
	} {
		dir := t.TempDir()
		if err := publish(filepath.Join(dir, "b")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: error %v", name, err)
		}
		if names := list(t, dir); len(names) > 0 {
			t.Errorf("%s left %v", name, names)
		}
	}
	path := filepath.Join(t.TempDir(), "a")
	if err := Replace(path, content("old")); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	want(t, path, "old")
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := MkdirAll(filepath.Join(dir, "a", "b", "c")); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := Create(file, content("")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if err := MkdirAll(path); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCheckCreate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := Create(file, content("")); err != nil {
		t.Fatal(err)
	}
	for path, possible := range map[string]bool{
		filepath.Join(dir, "a"):           true,
		filepath.Join(dir, "a", "b", "c"): true,
		filepath.Join(file, "a"):          false,
		filepath.Join(file, "a", "b"):     false,
	} {
		if err := CheckCreate(path); (err == nil) != possible {
			t.Errorf("%s: %v", path, err)
		}
	}
	if names := list(t, dir); !slices.Equal(names, []string{"file"}) {
		t.Errorf("left %v", names)
	}
	if os.Getuid() == 0 {
		t.Log("root may write into read-only directories: not checked")
		return
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := CheckCreate(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("read-only directory: %v", err)
	}
}

func TestRemoveTemps(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	for _, name := range []string{".a.json.X.tmp", ".a.json.Y.tmp", ".b.json.X.tmp", "a.json", "a.json.X.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, ".a.json.Z.tmp", "below"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := RemoveTemps(path); err != nil {
		t.Fatal(err)
	}
	if names, kept := list(t, dir), []string{".b.json.X.tmp", "a.json", "a.json.X.tmp"}; !slices.Equal(names, kept) {
		t.Errorf("kept %v, not %v", names, kept)
	}
}

func TestUnwritable(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.EACCES}, true},
		{fmt.Errorf("no: %w", &fs.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC}), true},
		{&os.LinkError{Op: "rename", Old: "a", New: "b", Err: syscall.EDQUOT}, true},
		{&fs.PathError{Op: "mkdir", Path: "a", Err: syscall.ENOTDIR}, true},
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.ENOENT}, false},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}, false},
		{nil, false},
	} {
		if got := Unwritable(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
