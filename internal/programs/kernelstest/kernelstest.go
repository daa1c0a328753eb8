// Package kernelstest says which machines must have the kernels for the CPU.
package kernelstest

import (
	"testing"

	"golang.org/x/sys/cpu"

	"nb201/internal/needs"
	"nb201/internal/plugin"
)

// Require ends a test when programs call no kernels, missing being why, or "" when they do. It
// fails the test on a processor and with a plugin that kernels are for, and skips it
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
	t.Fatalf("this processor and plugin have kernels, but programs call none: %s", missing)
}
