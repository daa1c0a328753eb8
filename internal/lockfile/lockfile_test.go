package lockfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Users who share a directory share its locks.
func TestRights(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	defer syscall.Umask(syscall.Umask(0o002))
	l := New(path)
	if ok, err := l.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o664 {
		t.Errorf("%v (%v), want rw-rw-r--", info.Mode(), err)
	}
	other := New(path)
	if ok, err := other.TryLock(); ok || err != nil {
		t.Errorf("locked twice: %v, %v", ok, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Errorf("after the first was closed: %v, %v", ok, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "lock")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if ok, err := New(link).TryLock(); ok || err == nil {
		t.Errorf("locked through a link: %v, %v", ok, err)
	}
	if _, err := os.Lstat(target); !os.IsNotExist(err) {
		t.Errorf("made the file that the link names: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, uint32(fs.ModePerm)); err != nil {
		t.Fatal(err)
	}
	l := New(pipe)
	if _, err := l.TryLock(); err != nil { // returns at once
		t.Log(err)
	}
	_ = l.Close()
}
