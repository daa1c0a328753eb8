// Package kernelstest decides on which machines tests must have the kernels for the CPU.
package kernelstest

import (
	"testing"

	"golang.org/x/sys/cpu"

	"nb201/internal/needs"
	"nb201/internal/plugin"
)

// Require ends the test if programs call no kernels; missing is the reason, or "" if they do. It
// fails the test on a processor with AVX2 and FMA and with the pinned plugin, and skips it
// elsewhere.
func Require(t testing.TB, missing string) {
	t.Helper()
	if missing == "" {
		return
	}
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		needs.Kernels(t, missing)
	}
	found, err := plugin.Find(plugin.CPU)
	if err != nil || found.Source != plugin.FromSetup {
		needs.Kernels(t, missing+", and the plugin is not the pinned one")
	}
	t.Fatalf("kernels exist for this processor and plugin, but programs call none: %s", missing)
}
