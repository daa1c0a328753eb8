package main

import (
	"runtime/debug"

	"nb201/internal/backend"
	"nb201/results"
)

// versionsOn returns the versions of all software that determines a result computed on b.
func versionsOn(b *backend.Opened) results.Versions {
	return results.Versions{Program: version, GoMLX: moduleVersion("github.com/gomlx/gomlx"), Plugin: b.Plugin, PluginSHA256: b.SHA256, Kernels: b.Kernels}
}

// moduleVersion returns the version of a module that this program was built with, or "unknown".
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return "unknown"
}
