package blocks

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/buildtest"
)

// TestBlocks runs a program that allocates blocks, where it may reserve addresses and where it may not.
func TestBlocks(t *testing.T) {
	program := filepath.Join(t.TempDir(), "allocator")
	if err := buildtest.Build(program, "./testdata/allocator"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, script string
		most         int // kB
	}{
		// 200 MB of a step, 20 to 27 MB of 8 blocks beside it, and 64 + 32 MB of resize, or little more.
		{"reserved", `exec "$0"`, 500_000},
		{"not reserved", `ulimit -v 8000000; exec "$0" not`, 500_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := exec.Command("sh", "-c", c.script, program).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var most int
			if _, err := fmt.Sscanf(string(out), "%d kB", &most); err != nil || strings.Count(string(out), "\n") != 1 {
				t.Fatalf("%s", out)
			}
			if t.Log(most, "kB"); most > c.most {
				t.Errorf("the process needed %d kB, more than %d", most, c.most)
			}
		})
	}
}
