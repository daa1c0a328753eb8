package backend

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestRestart restarts a process, this test, which keeps its number, arguments and other variables.
func TestRestart(t *testing.T) {
	const child = "NB201_TEST_RESTART"
	if os.Getenv(child) != "" {
		Restart()
		fmt.Printf("%d %d %s\n", os.Getpid(), len(os.Args), os.Getenv(tunables))
		os.Exit(0)
	}
	for before, want := range map[string]string{
		"":                             "glibc.malloc.tcache_count=0",
		"glibc.malloc.perturb=0":       "glibc.malloc.perturb=0:glibc.malloc.tcache_count=0",
		"glibc.malloc.tcache_count=3":  "glibc.malloc.tcache_count=3",
		"glibc.malloc.tcache_count=0:": "glibc.malloc.tcache_count=0:",
	} {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestRestart$")
		c.Env = append(os.Environ(), child+"=1", tunables+"="+before)
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if want = fmt.Sprintf("%d 3 %s\n", c.Process.Pid, want); string(out) != want {
			t.Errorf("%q: the process printed %q, not %q", before, out, want)
		}
	}
}
