package main

import (
	"runtime/debug"

	"nb201/internal/backend"
	"nb201/results"
)

// versionsOn are the versions of what computes on b.
func versionsOn(b *backend.Opened) results.Versions {
	return results.Versions{Program: version, GoMLX: moduleVersion("github.com/gomlx/gomlx"), Plugin: b.Plugin, PluginSHA256: b.SHA256, Kernels: b.Kernels}
}

// moduleVersion is the version of a module that the program was built with.
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
