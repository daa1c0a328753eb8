package outfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nb201/internal/needs"
	"nb201/internal/usage"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func put(name, content string, r Rules) error {
	o, err := Check(name, r)
	if err != nil {
		return err
	}
	return o.Write(context.Background(), text(content))
}

func want(t *testing.T, path, content string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%s holds %q (%v), not %q", path, got, err, content)
	}
}

func place(t *testing.T, path, content string) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
		t.Fatal(err)
	}
	return path
}

func alone(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("%s holds %v (%v), not %v", dir, got, err, names)
	}
}

func TestReplacesOnlyItsOwn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	own := Rules{Own: func(head []byte) bool { return bytes.HasPrefix(head, []byte("own ")) }}
	for _, content := range []string{"own 1", "own 2"} {
		if err := put(path, content, own); err != nil {
			t.Fatal(err)
		}
		want(t, path, content)
	}
	place(t, path, "foreign")
	for _, r := range []Rules{own, {}} {
		if err := put(path, "own 3", r); !usage.Is(err) || !strings.Contains(err.Error(), "it already exists; name another file, or replace it with --force") {
			t.Errorf("%v", err)
		}
		want(t, path, "foreign")
	}
	if err := put(path, "own 4", Rules{Force: true}); err != nil {
		t.Error(err)
	}
	want(t, path, "own 4")
	place(t, path, "") // as mktemp makes it
	if err := put(path, "own 5", Rules{}); err != nil {
		t.Error(err)
	}
	want(t, path, "own 5")
	alone(t, dir, "out")
}

// A file that another process creates during the work is kept.
func TestLostRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	o, err := Check(path, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	place(t, path, "foreign")
	if err := o.Write(t.Context(), text("own")); !usage.Is(err) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	want(t, path, "foreign")
}

func TestLinksStay(t *testing.T) {
	dir := t.TempDir()
	target := place(t, filepath.Join(dir, "below", "target"), "")
	link, chain, dangling := filepath.Join(dir, "link"), filepath.Join(dir, "chain"), filepath.Join(dir, "dangling")
	if err := errors.Join(os.Symlink(filepath.Join("below", "target"), link), os.Symlink(link, chain), os.Symlink("below/new", dangling)); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{link: target, chain: target, dangling: filepath.Join(dir, "below", "new")} {
		if err := put(name, "text of "+name, Rules{Force: true}); err != nil {
			t.Error(err)
		}
		want(t, at, "text of "+name)
		if info, err := os.Lstat(name); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s is %v (%v)", name, info.Mode(), err)
		}
	}
	alone(t, dir, "below", "chain", "dangling", "link")
	alone(t, filepath.Join(dir, "below"), "new", "target")
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if err := put(loop, "", Rules{}); !usage.Is(err) {
		t.Errorf("%v", err)
	}
}

func TestInputsStay(t *testing.T) {
	dir := t.TempDir()
	file := place(t, filepath.Join(dir, "file"), "input")
	campaign := filepath.Join(dir, "campaign")
	record := place(t, filepath.Join(campaign, "trials", "record"), "record")
	link, hard, folder := filepath.Join(dir, "link"), filepath.Join(dir, "hard"), filepath.Join(dir, "folder")
	if err := errors.Join(os.Symlink(file, link), os.Link(file, hard), os.Symlink(campaign, folder)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ out, in, says string }{
		{file, file, "it is " + file},
		{link, file, "it is " + file},
		{file, link, "it is " + link},
		{hard, file, "it is " + file},
		{record, campaign, "it is inside " + campaign},
		{record, folder, "it is inside " + folder},
		{filepath.Join(folder, "trials", "new"), campaign, "it is inside " + campaign},
		{filepath.Join(campaign, "new"), campaign, "it is inside " + campaign},
		{campaign, campaign, "it is " + campaign},
	} {
		everything := func([]byte) bool { return true }
		err := put(c.out, "output", Rules{Inputs: []string{"absent", c.in}, Own: everything, Force: true})
		if !usage.Is(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s of %s: %v, want %s", c.out, c.in, err, c.says)
		}
	}
	want(t, file, "input")
	want(t, record, "record")
	alone(t, campaign, "trials")
	if err := put(filepath.Join(dir, "beside"), "output", Rules{Inputs: []string{campaign, file}}); err != nil {
		t.Error(err)
	}
}

func TestPipes(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o666), os.Symlink(pipe, link)); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("more than a pipe holds ", 10_000)
	for _, name := range []string{pipe, link} {
		read := make(chan string)
		go func() {
			time.Sleep(100 * time.Millisecond) // the writer waits
			got, err := os.ReadFile(pipe)
			read <- fmt.Sprint(string(got), err)
		}()
		if err := put(name, long, Rules{}); err != nil {
			t.Error(err)
		}
		if got := <-read; got != long+"<nil>" {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	alone(t, dir, "link", "pipe")
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the pipe is now %v (%v)", info.Mode(), err)
	}
	if err := put(pipe, "", Rules{Regular: true}); !usage.Is(err) {
		t.Errorf("to be read again: %v", err)
	}

	// Neither a pipe without a reader nor one whose reader sleeps delays cancellation.
	for _, reads := range []bool{false, true} {
		if reads {
			f, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		}
		o, err := Check(pipe, Rules{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := o.Write(ctx, text(long)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("reader %v: %v", reads, err)
		}
	}
}

func TestDescriptors(t *testing.T) {
	dir := t.TempDir()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	link := filepath.Join(dir, "stdout") // as /dev/stdout is
	if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", write.Fd()), link); err != nil {
		t.Fatal(err)
	}
	// Output that the shell has redirected to a file continues at its position.
	f, err := os.Create(filepath.Join(dir, "redirected"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("before, "); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), fmt.Sprintf("/proc/thread-self/fd/%d", write.Fd())} {
		if err := put(name, "through", Rules{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.WriteString(", after"); err != nil {
		t.Fatal(err)
	}
	want(t, f.Name(), "before, through, after")
	if err := put(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), "", Rules{Inputs: []string{f.Name()}}); !usage.Is(err) {
		t.Errorf("an input: %v", err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(read); err != nil || string(got) != "throughthrough" {
		t.Errorf("%q, %v", got, err)
	}
	alone(t, dir, "redirected", "stdout")
	if err := put("/proc/self/fd/987654", "", Rules{}); !usage.Is(err) || !strings.Contains(err.Error(), "bad file descriptor") {
		t.Errorf("no descriptor: %v", err)
	}
}

// node makes a device in a test's directory; the machine's own are not used.
func node(t *testing.T, name string, mode uint32, major, minor int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	needs.Root(t, syscall.Mknod(path, mode|0o666, major<<8|minor))
	return path
}

func TestRegular(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	file := place(t, filepath.Join(dir, "file"), "")
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err = errors.Join(err, syscall.Mkfifo(pipe, 0o666), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, want := range map[string]bool{
		file: true, link: true, filepath.Join(dir, "new"): true,
		pipe: false, fmt.Sprintf("/proc/self/fd/%d", f.Fd()): false,
	} {
		if o, err := Check(name, Rules{}); err != nil || o.Regular() != want {
			t.Errorf("%s: %v, want %t", name, err, want)
		}
	}
}

func TestDevices(t *testing.T) {
	null, full, disk := node(t, "null", syscall.S_IFCHR, 1, 3), node(t, "full", syscall.S_IFCHR, 1, 7), node(t, "disk", syscall.S_IFBLK, 7, 250)
	needs.Root(t, put(null, "text", Rules{}))
	if err := put(full, "text", Rules{}); !usage.Is(err) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full device: %v", err)
	}
	if err := put(disk, "text", Rules{Force: true}); !usage.Is(err) || !strings.Contains(err.Error(), "a disk") {
		t.Errorf("a disk: %v", err)
	}
	for _, path := range []string{null, full, disk} {
		if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeDevice == 0 {
			t.Errorf("%s is now %v (%v)", path, info.Mode(), err)
		}
		alone(t, filepath.Dir(path), filepath.Base(path))
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "socket"), place(t, filepath.Join(dir, "file"), "")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, says := range map[string]string{
		"":                            "the name is empty",
		dir:                           "it is a directory",
		dir + "/":                     "it is a directory",
		socket:                        "it is a socket",
		filepath.Join(dir, "no", "a"): "the directory " + filepath.Join(dir, "no") + " does not exist; create it",
		filepath.Join(file, "a"):      "not a directory",
	} {
		if err := put(name, "text", Rules{Force: true}); !usage.Is(err) || !strings.HasPrefix(err.Error(), "cannot write "+name) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", name, err, says)
		}
	}
}
