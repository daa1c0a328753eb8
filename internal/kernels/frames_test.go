package kernels

import (
	"os/exec"
	"path/filepath"
	"testing"

	"nb201/internal/needs"
)

// build compiles the kernels and a C program of testdata that calls them in the place of XLA, and
// returns the path of the program.
func build(t testing.TB, name string, flags ...string) string {
	t.Helper()
	sources, err := filepath.Glob("*.c")
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, name, append(flags, sources...)...)
}

// compile compiles a C program of testdata, with more flags and files, and returns its path.
func compile(t testing.TB, name string, more ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	args := append([]string{"-std=c11", "-pthread", "-I../ffi", "-o", program, filepath.Join("testdata", name+".c")}, more...)
	if out, err := exec.Command(needs.CC(t), append(args, "-lm")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestFrames calls the kernels in ways in which XLA should not: testdata/frames.c.
func TestFrames(t *testing.T) {
	if out, err := needs.Compiled(build(t, "frames", "-g")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
