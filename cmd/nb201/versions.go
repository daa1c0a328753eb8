package main

import (
	"cmp"
	"runtime/debug"

	"nb201/internal/backend"
	"nb201/results"
)

// release is the number of the release that this source is, or will be.
const release = "0.2.0"

// commit is the commit that the program was built from, with ".dirty" where the tree had changes.
// The Makefile sets it with -ldflags '-X main.commit=...'; it is empty where it is not known.
var commit string

// version is the program's version as `nb201 --version`, records and metrics show it: the release,
// and the commit as semver build metadata, such as 0.2.0+8f69167.dirty.
var version = formatVersion(cmp.Or(commit, stampedCommit()))

func formatVersion(commit string) string {
	if commit == "" {
		return release
	}
	return release + "+" + commit
}

// stampedCommit returns the commit that go build or go install stamped into the program, or ""
// where they did not, as in a tree without version control and in tests.
func stampedCommit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return commitOf(info.Settings)
	}
	return ""
}

// commitOf returns the commit in the form in which the Makefile sets it.
func commitOf(stamps []debug.BuildSetting) string {
	var revision, dirty string
	for _, s := range stamps {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(7, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = ".dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}

// versionsOn returns the versions of all software that determines a result computed on b.
func versionsOn(b *backend.Opened) results.Versions {
	return results.Versions{Program: version, GoMLX: moduleVersion("github.com/gomlx/gomlx"), Plugin: b.Plugin, PluginSHA256: b.SHA256, Kernels: b.Kernels, GPUKernels: b.GPUKernels}
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
