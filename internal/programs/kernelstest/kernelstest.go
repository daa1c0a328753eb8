// Package kernelstest decides with which plugins tests must have the kernels for the CPU.
package kernelstest

import (
	"testing"

	"nb201/internal/needs"
	"nb201/internal/plugin"
)

// Require ends the test if programs call no kernels; missing is the reason, or "" if they do. It
// fails the test with the pinned plugin, and skips it with another.
func Require(t testing.TB, missing string) {
	t.Helper()
	if missing == "" {
		return
	}
	found, err := plugin.Find(plugin.CPU)
	if err != nil || found.Source != plugin.FromSetup {
		needs.Kernels(t, missing+", and the plugin is not the pinned one")
	}
	t.Fatalf("kernels exist for this plugin, but programs call none: %s", missing)
}
