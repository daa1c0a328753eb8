package schematest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/atomicfile"
)

// digits returns a valid definition.
func digits(t *testing.T) string {
	text, err := os.ReadFile("../../configs/datasets/digits.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWatch writes files as the program does: one that is not valid fails a package's tests, also
// where it was replaced since or a child process wrote it.
func TestWatch(t *testing.T) {
	valid := digits(t)
	invalid := strings.Replace(valid, `"classes"`, `"clases"`, 1)
	write := func(path, text string) {
		t.Helper()
		if err := atomicfile.Replace(path, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		files [][2]string // names and texts
		want  int
	}{
		"nothing":      {nil, 0},
		"valid":        {[][2]string{{"own.json", valid}, {"list.txt", invalid}}, 0},
		"invalid":      {[][2]string{{"own.json", invalid}}, 1},
		"replaced":     {[][2]string{{"own.json", invalid}, {"own.json", valid}}, 1},
		"not JSON":     {[][2]string{{"own.json", valid[:20]}}, 1},
		"another kind": {[][2]string{{"plan.json", valid}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			exit := Watch()
			for _, f := range test.files {
				write(filepath.Join(dir, f[0]), f[1])
			}
			if code := exit(0); code != test.want {
				t.Errorf("exit status %d, want %d", code, test.want)
			}
		})
	}

	dir := t.TempDir()
	exit := Watch()
	child := Watch() // of a process that has inherited the environment
	write(filepath.Join(dir, "own.json"), invalid)
	if code := child(3); code != 3 {
		t.Errorf("a child's exit status is %d", code)
	}
	if code := exit(0); code != 1 {
		t.Errorf("after a child's fault the exit status is %d", code)
	}
	if code := Watch()(2); code != 2 {
		t.Errorf("failed tests exit with %d", code)
	}
}

func TestCheckDir(t *testing.T) {
	dir := t.TempDir()
	if fake := new(recorder); !fake.checks(dir) {
		t.Error("an empty directory passes")
	}
	path := filepath.Join(dir, "plan.json")
	if err := os.WriteFile(path, []byte(digits(t)), 0o666); err != nil {
		t.Fatal(err)
	}
	if fake := new(recorder); !fake.checks(dir) {
		t.Error("a definition passes for a plan")
	}
	if err := os.Rename(path, filepath.Join(dir, "own.json")); err != nil {
		t.Fatal(err)
	}
	if fake := new(recorder); fake.checks(dir) {
		t.Error("a definition does not pass")
	}
}

// recorder is a testing.TB that fails quietly.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

// checks reports whether CheckDir finds a fault.
func (r *recorder) checks(dir string) bool {
	CheckDir(r, dir)
	return r.failed
}
