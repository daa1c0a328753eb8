package backend

import (
	"os"
	"strings"
	"syscall"
)

// tunables is the variable with glibc's settings, which a process reads when it starts.
const tunables = "GLIBC_TUNABLES"

// Restart replaces this process by the same program with the same arguments, in which malloc keeps no cache of
// small blocks per thread. XLA allocates all buffers of a step as one block; with the cache, bytes cut off
// that block are not joined to it again when it is freed, so the next step does not find it, and the heap grows by
// another one. Figures are in docs/performance.md. Call it before anything else. It does nothing in a process
// that has the setting or another value of it, and returns where it cannot restart.
func Restart() {
	const count = "glibc.malloc.tcache_count="
	set := os.Getenv(tunables)
	program, err := os.Executable()
	if strings.Contains(set, count) || err != nil {
		return
	}
	if set != "" {
		set += ":"
	}
	if os.Setenv(tunables, set+count+"0") != nil {
		return
	}
	// Without the restart, the program only needs more memory.
	_ = syscall.Exec(program, os.Args, os.Environ())
}
