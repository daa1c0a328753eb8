package programs

import (
	"bytes"
	"compress/flate"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// program makes a program and its key.
func program(n, size int) (key, []byte) {
	return key{byte(n), byte(n >> 8)}, bytes.Repeat([]byte{byte(n), 1, 2, 3}, (size+3)/4)[:size]
}

func TestStore(t *testing.T) {
	s := store{filepath.Join(t.TempDir(), "deep", "programs"), Limit}
	k, p := program(1, 100_000)
	if got := s.load(k); got != nil {
		t.Fatal("a program before any was saved")
	}
	for range 2 { // the second time like another process that has compiled it too
		if err := s.save(k, p); err != nil {
			t.Fatal(err)
		}
		if got := s.load(k); !bytes.Equal(got, p) {
			t.Fatalf("%d bytes came back of %d", len(got), len(p))
		}
	}
	other, _ := program(2, 0)
	if got := s.load(other); got != nil {
		t.Fatal("another key's program")
	}
	if n, size, err := Kept(s.dir); n != 1 || size <= 0 || size > int64(len(p)) || err != nil {
		t.Errorf("kept %d programs of %d bytes, %v", n, size, err)
	}
}

func TestKeptNone(t *testing.T) {
	if n, size, err := Kept(filepath.Join(t.TempDir(), "none")); n != 0 || size != 0 || err != nil {
		t.Errorf("kept %d programs of %d bytes, %v", n, size, err)
	}
}

// A file that differs from what was saved is removed, whatever it would unpack to.
func TestDamaged(t *testing.T) {
	k, p := program(1, 1000)
	sound, err := pack(k, p)
	if err != nil {
		t.Fatal(err)
	}
	otherKey, otherProgram := program(2, 1000)
	other, err := pack(otherKey, otherProgram)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"another key's": other, "longer": append(slices.Clone(sound), 0), "foreign": []byte("#!/bin/sh\n")}
	for n := range sound {
		files[fmt.Sprint("cut to ", n)] = sound[:n]
		flipped := slices.Clone(sound)
		flipped[n] ^= 1
		files[fmt.Sprint("bit flipped in ", n)] = flipped
	}
	// Larger than any program, with a correct hash.
	var bomb bytes.Buffer
	w, err := flate.NewWriter(&bomb, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for range maxProgram>>20 + 1 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files["a bomb"] = append(header(k, bomb.Bytes()), bomb.Bytes()...)
	files["larger than any"] = nil // and sparse, see below
	s := store{t.TempDir(), Limit}
	for name, file := range files {
		if err := os.WriteFile(s.path(k), file, 0o666); err != nil {
			t.Fatal(err)
		}
		if file == nil {
			if err := os.Truncate(s.path(k), 1<<40); err != nil {
				t.Fatal(err)
			}
		}
		if s.load(k) != nil {
			t.Errorf("%s: a program", name)
		}
		if _, err := os.Lstat(s.path(k)); err == nil {
			t.Errorf("%s: the file is still there", name)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	k, p := program(1, 100)
	sound, err := pack(k, p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound, false)
	f.Add(sound[headerSize:], true)
	f.Add([]byte("not DEFLATE"), true)
	f.Fuzz(func(t *testing.T, file []byte, headed bool) {
		if headed { // so that what is behind the sums is reached
			file = append(header(k, file), file...)
		}
		if program, whole := unpack(k, file); whole && len(program) == 0 {
			t.Error("an empty program")
		}
		if _, whole := unpack(key{1, 2, 3}, file); whole {
			t.Error("a program of another key")
		}
	})
}

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	k, p := program(1, 100)
	file, err := pack(k, p)
	if err != nil {
		t.Fatal(err)
	}
	s := store{dir, int64(10*len(file) + len(file)/2)}
	hoursOld := func(name string, hours int) {
		t.Helper()
		when := time.Now().Add(-time.Duration(hours) * time.Hour)
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(dir, "thesis.tex")
	left := filepath.Join(dir, "."+filepath.Base(s.path(k))+".ABC.tmp") // by a killed process
	written := filepath.Join(dir, "."+filepath.Base(s.path(k))+".DEF.tmp")
	if err := os.WriteFile(written, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{foreign, left} {
		if err := os.WriteFile(name, file, 0o666); err != nil {
			t.Fatal(err)
		}
		hoursOld(name, 1000)
	}
	save := func(n int) {
		t.Helper()
		k, p := program(n, 100)
		if err := s.save(k, p); err != nil {
			t.Fatal(err)
		}
		hoursOld(s.path(k), 100-n)
	}
	save(0)
	if _, err := os.Lstat(left); err == nil {
		t.Error("what a killed process left is still there")
	}
	for n := range 9 {
		save(n)
	}
	save(10)                   // as many as fit
	if s.load(key{0}) == nil { // use the oldest
		t.Fatal("a program has gone within the limit")
	}
	save(9)
	var have []int
	for n := range 11 {
		k, _ := program(n, 0)
		if _, err := os.Lstat(s.path(k)); err == nil {
			have = append(have, n)
		}
	}
	if want := []int{0, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(have, want) {
		t.Errorf("programs %v are left, not %v", have, want)
	}
	if _, err := os.Lstat(written); err != nil {
		t.Error("what a process is writing has gone")
	}
	if _, err := os.Lstat(foreign); err != nil {
		t.Error("a file of the user's has gone")
	}
}

// Whatever other processes do to the directory, a program that is loaded is the one that was saved.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for worker := range 8 {
		s := store{dir, 2000} // 20 programs; each worker's store stands for a separate process
		group.Go(func() {
			for round := range 40 {
				k, p := program((worker*7+round*3)%40, 10_000)
				if got := s.load(k); got != nil && !bytes.Equal(got, p) {
					t.Error("not the program that was saved")
				}
				if err := s.save(k, p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if _, size, err := Kept(dir); err != nil || size > 2000 {
		t.Errorf("%d bytes are left, %v", size, err)
	}
}

func TestDirectory(t *testing.T) {
	home := t.TempDir()
	for _, c := range []struct{ programs, cache, home, want string }{
		{"", home, home, filepath.Join(home, "nb201", "programs")},
		{"", "", home, filepath.Join(home, ".cache", "nb201", "programs")},
		{filepath.Join(home, "p"), home, home, filepath.Join(home, "p")},
		{"off", home, home, ""},
	} {
		t.Setenv("NB201_PROGRAMS", c.programs)
		t.Setenv("XDG_CACHE_HOME", c.cache)
		t.Setenv("HOME", c.home)
		if got, err := Directory(); got != c.want || err != nil {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	// There is a directory even without a home directory, as in a container.
	t.Setenv("NB201_PROGRAMS", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if got, err := Directory(); err != nil || filepath.Base(got) != "programs" {
		t.Errorf("without a home: %q, %v", got, err)
	}
}
