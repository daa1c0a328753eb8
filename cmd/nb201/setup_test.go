package main

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/plugin"
)

// setup keeps and reports an undamaged plugin; internal/plugin tests the rest.
func TestSetup(t *testing.T) {
	pin := plugin.Pins()[plugin.CPU]
	if pin.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		needs.Plugin(t, fmt.Errorf("none is pinned for %s/%s", runtime.GOOS, runtime.GOARCH))
	}
	found, _ := plugin.Find(plugin.CPU)
	home := emptyHome(t)
	empty := httptest.NewServer(nil)
	defer empty.Close()
	t.Setenv("PIP_CONFIG_FILE", os.DevNull)
	t.Setenv("PIP_PROXY", "")
	t.Setenv("PIP_INDEX_URL", empty.URL)
	if err := os.WriteFile(filepath.Join(home, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		arguments, home string
		code            int
		want            string
	}{
		{"setup --device tpu", "own", 2, `device "tpu"; use one of cpu, cuda12, cuda13`},
		{"setup all", "own", 2, "all"},
		{"setup", "file", 2, "set NB201_HOME"},
		{"setup", "own", 1, "no package index has " + pin.Wheels[0].File},
		{"setup --device cuda13", "own", 1, "no package index has jax_cuda13_pjrt"},
		{"setup --device cuda13 --compiler", "own", 1, "cannot install the cuda13-compiler plugin: no package index has jax_cuda13_pjrt"},
		{"setup --compiler", "own", 2, "--compiler is for --device cuda13 only"},
	} {
		t.Setenv("NB201_HOME", filepath.Join(home, c.home))
		var stdout, stderr strings.Builder
		if code := run(strings.Fields(c.arguments), &stdout, &stderr); code != c.code || !strings.Contains(stderr.String(), c.want) || stdout.Len() > 0 {
			t.Errorf("%s: exit code %d\n%s%s", c.arguments, code, stdout.String(), stderr.String())
		}
	}

	// The directory's name contains the hash of the pin: let the program choose it.
	t.Setenv("NB201_HOME", filepath.Join(home, "own"))
	root, err := plugin.Root()
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(root, pin.Directory(plugin.CPU))
	installed := filepath.Join(directory, pin.Plugin)
	if err := os.MkdirAll(filepath.Dir(installed), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(installed, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	if code := run([]string{"setup"}, &stdout, &stderr); code != 1 || stdout.Len() > 0 ||
		!strings.HasPrefix(stderr.String(), "installing the plugin again, because the installed one is damaged: damaged: ") ||
		!strings.Contains(stderr.String(), "no package index has") {
		t.Errorf("damaged: exit code %d\n%s%s", code, stdout.String(), stderr.String())
	}
	if found.Source != plugin.FromSetup {
		needs.Plugin(t, fmt.Errorf("the pinned one is not installed (found %q)", found.Path))
	}
	if err := errors.Join(os.RemoveAll(directory), os.Symlink(strings.TrimSuffix(found.Path, "/"+pin.Plugin), directory)); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(home, "other.so")
	if err := os.WriteFile(other, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ arguments, backend, out, err string }{
		{"setup", "", "XLA plugin for cpu, version " + pin.Version + ": " + installed + "\n", ""},
		{"setup --json", "", `"path": "` + installed + `"`, ""},
		{"setup", "xla:" + other, installed, "note: training will use another plugin, which GOMLX_BACKEND names: " + other + "\n"},
	} {
		t.Setenv("GOMLX_BACKEND", c.backend)
		var stdout, stderr strings.Builder
		if code := run(strings.Fields(c.arguments), &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), c.out) || stderr.String() != c.err {
			t.Errorf("%s: exit code %d\n%s%s", c.arguments, code, stdout.String(), stderr.String())
		}
	}
}
