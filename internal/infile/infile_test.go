package infile

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within fails the test if do has not returned after ten seconds.
func within(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting after 10 s")
	}
}

func TestOpenRefusesSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, link, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "socket")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o666), os.Symlink("/dev/zero", link)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, says := range map[string]string{
		pipe:        "not a regular file: it is a named pipe",
		link:        "not a regular file: it is a device",
		"/dev/null": "not a regular file: it is a device",
		dir:         "not a regular file: it is a directory",
		socket:      "no such device or address", // open(2) refuses sockets
	} {
		within(t, func() {
			_, opening := Open(path)
			_, reading := Read(path, 10)
			for _, err := range []error{opening, reading} {
				var ofPath *fs.PathError
				if !errors.As(err, &ofPath) || ofPath.Path != path || !strings.HasSuffix(err.Error(), says) {
					t.Errorf("%s: %v, want %q", path, err, says)
				}
			}
		})
	}
}

func TestReadKeepsToTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	link := path + ".link"
	text := []byte(strings.Repeat("0123456789", 100))
	if err := errors.Join(os.WriteFile(path, text, 0o666), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		if got, err := Read(name, 1000); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s at the limit: %d bytes, %v", name, len(got), err)
		}
		if got, err := Read(name, 999); !errors.Is(err, ErrTooLarge) || got != nil {
			t.Errorf("%s beyond the limit: %d bytes, %v", name, len(got), err)
		}
	}
	// Files in /proc have the size 0, whatever their content.
	if _, err := Read("/proc/self/status", 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("/proc/self/status: %v", err)
	}
	if _, err := Open(filepath.Join(filepath.Dir(path), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
