package kernels

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/needs"
)

// TestFrames calls the kernels from a C program in the place of XLA: testdata/frames.c.
func TestFrames(t *testing.T) {
	if Instructions() == "" {
		needs.Kernels(t, "there are no kernels for this processor")
	}
	compiler, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*.c")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "frames")
	args := append([]string{"-std=c11", "-g", "-pthread", "-o", program, filepath.Join("testdata", "frames.c")}, sources...)
	if out, err := exec.Command(strings.TrimSpace(string(compiler)), append(args, "-lm")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(program).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
