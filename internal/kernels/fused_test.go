package kernels

import (
	"testing"

	"nb201/internal/needs"
)

// TestThreads calls the kernels of several layers with different numbers of threads: testdata/threads.c.
func TestThreads(t *testing.T) {
	if out, err := needs.Compiled(build(t, "threads", "-g")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
