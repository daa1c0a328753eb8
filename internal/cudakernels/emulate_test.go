package cudakernels

import (
	"os/exec"
	"path/filepath"
	"testing"

	"nb201/internal/needs"
)

// TestKernels runs the kernels on a CPU, where the threads of a block take turns, and compares them
// with the definition of what they compute.
func TestKernels(t *testing.T) {
	needs.Long(t, "emulates a GPU")
	t.Parallel()
	compiler := needs.Program(t, "g++")
	program := filepath.Join(t.TempDir(), "emulate")
	// Contracting a multiplication and an addition would change what rounds a number to TF32.
	build := exec.Command(compiler, "-std=c++17", "-O2", "-ffp-contract=off", "-Wno-unknown-pragmas", "-o", program, "testdata/emulate.cc")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
