package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nb201/internal/backend"
	"nb201/internal/needs"
	"nb201/internal/plugin"
	"nb201/internal/programs"
)

// emptyHome hides the plugins that are installed on this machine.
func emptyHome(t *testing.T) string {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("NB201_HOME", filepath.Join(home, "own"))
	t.Setenv("NB201_PROGRAMS", "")
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", filepath.Join(home, "go-xla"))
	t.Setenv("GOMLX_BACKEND", "")
	t.Setenv("XLA_FLAGS", "")
	return home
}

func TestDiagnose(t *testing.T) {
	home := emptyHome(t)
	file := filepath.Join(home, "my-plugin.so")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, backend, flags string
		err                  error // of loading
		ready                bool
		want                 string // in the table
	}{
		{"no plugin", "", "", nil, false, "run `nb201 setup`"},
		{"plugin", "xla:" + file, "", nil, true, "it loads"},
		{"missing plugin", "xla:/nowhere/plugin.so", "", nil, false, "/nowhere/plugin.so, which does not exist"},
		{"broken plugin", "xla:" + file, "", errors.New("no such symbol"), false, "no such symbol; correct or unset GOMLX_BACKEND"},
		{"flags", "xla:" + file, "--nonsense", errors.New("unknown flag"), false, "unknown flag; correct or unset XLA_FLAGS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("GOMLX_BACKEND", c.backend)
			t.Setenv("XLA_FLAGS", c.flags)
			d := diagnose(t.Context(), home, func(_ context.Context, path string) (backend.Loaded, error) {
				if path != file {
					t.Errorf("%s is loaded", path)
				}
				return backend.Loaded{Description: "a plugin"}, c.err
			})
			if d.Ready != c.ready {
				t.Errorf("ready is %v", d.Ready)
			}
			var out strings.Builder
			if err := d.print(&out); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{c.want, "plugin cuda13", "1347 training images",
				"cifar-10-batches-py not found in", "cifar-100-python not found in", "ImageNet16 not found in"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in\n%s", want, out.String())
				}
			}
		})
	}
}

// A GPU is enough to train on. A plugin that GOMLX_BACKEND names is shown once, with the version of
// its wheel, and must load.
func TestDiagnoseGPU(t *testing.T) {
	home := emptyHome(t)
	file := filepath.Join(home, "lib", "jax_plugins", "xla_cuda13", "xla_cuda_plugin.so")
	for name, text := range map[string]string{
		file: "",
		filepath.Join(home, "lib", "jax_cuda13_pjrt-0.11.2.dist-info", "RECORD"): "jax_plugins/xla_cuda13/xla_cuda_plugin.so,sha256=x,1\n",
		filepath.Join(home, "lib", "other_pjrt-9.dist-info", "RECORD"):           "other/jax_plugins/xla_cuda13/xla_cuda_plugin.so,,\n",
		filepath.Join(home, "toolkit", "bin", "ptxas"):                           "#!/bin/sh\necho V13.0.88\n",
		filepath.Join(home, "toolkit", "nvvm", "libdevice", "libdevice.10.bc"):   "",
		filepath.Join(home, "nvidia-smi"):                                        "#!/bin/sh\necho 580.159.04, NVIDIA H200\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", home+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("CUDA_HOME", filepath.Join(home, "toolkit"))
	t.Setenv("GOMLX_BACKEND", "xla:"+file)
	for _, failed := range []error{nil, errors.New("no such symbol")} {
		d := diagnose(t.Context(), home, func(context.Context, string) (backend.Loaded, error) {
			return backend.Loaded{Description: "a plugin"}, failed
		})
		if d.Ready != (failed == nil) || len(d.Plugins) != 2 {
			t.Errorf("ready is %v, plugins are %+v", d.Ready, d.Plugins)
		}
		var out strings.Builder
		if err := d.print(&out); err != nil {
			t.Fatal(err)
		}
		if want := file + " (version 0.11.2, from GOMLX_BACKEND)"; !strings.Contains(out.String(), "plugin cuda13        "+want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

func TestCountPrograms(t *testing.T) {
	home := emptyHome(t)
	file := filepath.Join(home, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ variable, want string }{
		{"", filepath.Join(home, ".cache", "nb201", "programs") + " has 0 compiled programs, 0 B (at most 4.0 GiB)"},
		{"off", "not kept, because NB201_PROGRAMS is off"},
		{file, file + ": not a directory; set NB201_PROGRAMS to another directory"},
	} {
		t.Setenv("NB201_PROGRAMS", c.variable)
		var out strings.Builder
		if err := (diagnosis{Programs: countPrograms()}).print(&out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%q is missing in\n%s", c.want, &out)
		}
	}
}

// A CUDA plugin matters only if there is a driver that it is the best one for.
func TestExamineCUDA(t *testing.T) {
	home := emptyHome(t)
	load := func(context.Context, string) (backend.Loaded, error) {
		return backend.Loaded{Description: "a plugin"}, nil
	}
	for _, c := range []struct {
		device, driver string
		missed         bool
	}{
		{plugin.CUDA12, "", false}, {plugin.CUDA13, "", false},
		{plugin.CUDA12, "535.183.01", true}, {plugin.CUDA13, "535.183.01", false},
		{plugin.CUDA12, "580.65.06", false}, {plugin.CUDA13, "580.65.06", true},
	} {
		s := examinePlugin(t.Context(), c.device, c.driver, load)
		if missed := strings.Contains(s.Problem, "nb201 setup --device "+c.device); missed != c.missed {
			t.Errorf("%s with driver %q: %+v", c.device, c.driver, s)
		}
	}
	file := filepath.Join(home, "my-cuda-plugin.so")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMLX_BACKEND", "xla:"+file)
	toolkit := filepath.Join(home, "toolkit")
	for name, text := range map[string]string{"bin/ptxas": "#!/bin/sh\necho V13.0.88\n", "nvvm/libdevice/libdevice.10.bc": ""} {
		name = filepath.Join(toolkit, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", home) // no nvcc
	t.Setenv("CUDA_HOME", toolkit)
	for driver, loaded := range map[string]string{"": "", "580.65.06": "a plugin"} {
		s := examinePlugin(t.Context(), plugin.CUDA13, driver, load)
		if s.Path != file || s.Loaded != loaded || s.Problem != "" {
			t.Errorf("with driver %q: %+v", driver, s)
		}
		var out strings.Builder
		if err := (diagnosis{Plugins: []pluginState{s}}).print(&out); err != nil {
			t.Fatal(err)
		}
		if want := "it compiles with ptxas 13.0.88 from " + toolkit + " (CUDA_HOME)"; !strings.Contains(out.String(), want) {
			t.Errorf("with driver %q %q is missing in\n%s", driver, want, &out)
		}
	}
	hidden := func(context.Context, string) (backend.Loaded, error) {
		return backend.Loaded{}, errors.New(backend.NoGPU)
	}
	if s := examinePlugin(t.Context(), plugin.CUDA13, "580.65.06", hidden); !strings.Contains(s.Problem, "check CUDA_VISIBLE_DEVICES") {
		t.Errorf("with no GPU to see: %q", s.Problem)
	}
}

// An installed plugin whose files were changed is not loaded.
func TestExamineDamaged(t *testing.T) {
	emptyHome(t)
	root, err := plugin.Root()
	if err != nil {
		t.Fatal(err)
	}
	pin := plugin.Pins()[plugin.CPU]
	if pin.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		needs.Plugin(t, fmt.Errorf("none is pinned for %s/%s", runtime.GOOS, runtime.GOARCH))
	}
	installed := filepath.Join(root, pin.Directory(plugin.CPU), pin.Plugin)
	if err := errors.Join(os.MkdirAll(filepath.Dir(installed), 0o777), os.WriteFile(installed, []byte("not elf"), 0o777)); err != nil {
		t.Fatal(err)
	}
	s := examinePlugin(t.Context(), plugin.CPU, "", func(context.Context, string) (backend.Loaded, error) {
		t.Error("the damaged plugin is loaded")
		return backend.Loaded{}, nil
	})
	if !strings.HasPrefix(s.Problem, "damaged: ") || !strings.HasSuffix(s.Problem, "; run `nb201 setup`") || s.Loaded != "" {
		t.Errorf("%+v", s)
	}
}

func TestLoader(t *testing.T) {
	for _, c := range []struct{ name, script, description, err string }{
		{"loads", `echo "$1 $2 $3"`, "doctor --load /plugin.so", ""},
		{"fails", `echo noise >&2; echo "nb201: cannot load it" >&2; exit 1`, "", "cannot load it"},
		{"aborts", `echo "unknown flag" >&2; echo "rax 0x0" >&2; kill -ABRT $$`, "", "loading it ends the process (signal: aborted): unknown flag"},
		{"crashes", `echo "nb201: the plugin crashed (SIGBUS): ask; GOTRACEBACK=all shows where" >&2; exit 1`, "", "the plugin crashed (SIGBUS)"},
		{"crashes with a reason", `echo "unknown flag" >&2; echo "nb201: the plugin crashed (SIGABRT): ask; GOTRACEBACK=all shows where" >&2; exit 1`,
			"", "the plugin crashed (SIGABRT): unknown flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			self := filepath.Join(t.TempDir(), "nb201")
			if err := os.WriteFile(self, []byte("#!/bin/sh\nulimit -c 0\n"+c.script+"\n"), 0o777); err != nil {
				t.Fatal(err)
			}
			loaded, err := newLoader(self)(t.Context(), "/plugin.so")
			if err == nil {
				err = errors.New("")
			}
			if loaded.Description != c.description || err.Error() != c.err {
				t.Errorf("%+v, %v", loaded, err)
			}
		})
	}
	if _, err := newLoader("/nowhere/nb201")(t.Context(), "/plugin.so"); err == nil {
		t.Error("a missing program runs")
	}
}

// doctor shows the kernels that the plugin accepted in the process that loaded it.
func TestDoctorKernels(t *testing.T) {
	for want, k := range map[string]*programs.Kernels{
		"unknown, because no CPU plugin loads":                                         nil,
		"version 1 for the CPU, using avx2":                                            {Version: 1, Instructions: "avx2"},
		"none, so training on the CPU is slower: the plugin has no interface for them": {Version: 1, Missing: "the plugin has no interface for them"},
	} {
		var printed strings.Builder
		if err := printLoaded(&printed, backend.Loaded{Description: "a plugin", Kernels: k}); err != nil {
			t.Fatal(err)
		}
		loaded, err := parseLoaded(strings.TrimSpace(printed.String()))
		if err != nil || loaded.Description != "a plugin" || (k == nil) != (loaded.Kernels == nil) || k != nil && *loaded.Kernels != *k {
			t.Errorf("%q is read as %+v, %v", printed.String(), loaded, err)
		}
		var out strings.Builder
		if err := (diagnosis{Kernels: loaded.Kernels}).print(&out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}
