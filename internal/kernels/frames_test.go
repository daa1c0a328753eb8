package kernels

import (
	"os/exec"
	"path/filepath"
	"testing"

	"nb201/internal/needs"
)

// build compiles the kernels and a C program of testdata that calls them in the place of XLA, and
// returns the path of the program. It ends the test on a processor without kernels.
func build(t testing.TB, name string, flags ...string) string {
	t.Helper()
	if Instructions() == "" {
		needs.Kernels(t, "there are no kernels for this processor")
	}
	sources, err := filepath.Glob("*.c")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), name)
	args := append(append([]string{"-std=c11", "-pthread", "-I../ffi", "-o", program}, flags...), filepath.Join("testdata", name+".c"))
	if out, err := exec.Command(needs.CC(t), append(append(args, sources...), "-lm")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestFrames calls the kernels in ways in which XLA should not: testdata/frames.c.
func TestFrames(t *testing.T) {
	if out, err := exec.Command(build(t, "frames", "-g")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
