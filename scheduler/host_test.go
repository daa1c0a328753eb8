package scheduler

import (
	"strings"
	"testing"

	"nb201/internal/hostmem"
)

func TestCheckMemory(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		memory hostmem.Memory
		says   string // "" when a trial may start
	}{
		{hostmem.Memory{Total: 16384 * mib, Free: 512 * mib}, ""},
		{hostmem.Memory{Total: 16384 * mib, Free: 511 * mib}, "the host has 511"},
		{hostmem.Memory{Total: 4096 * mib, Free: 100 * mib, Group: true}, "the control group (container or job) of this run has 100"},
		{hostmem.Memory{Total: 400 * mib, Free: 390 * mib, Group: true}, ""},
		{hostmem.Memory{Total: 400 * mib, Free: 99 * mib, Group: true}, "less than 100"},
	} {
		if got := checkMemory(c.memory); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%+v: %q, want %q", c.memory, got, c.says)
		}
	}
}
