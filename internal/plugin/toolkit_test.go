package plugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nb201/internal/usage"
)

// script writes an executable shell script.
func script(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o777)); err != nil {
		t.Fatal(err)
	}
}

// ptxas writes a ptxas with a version.
func ptxas(t *testing.T, path, version string) {
	t.Helper()
	script(t, path, fmt.Sprintf(`echo "Cuda compilation tools, release %.4s, V%s"`, version, version))
}

// makeToolkit makes a toolkit that XLA can use.
func makeToolkit(t *testing.T, dir, version string) {
	t.Helper()
	ptxas(t, filepath.Join(dir, "bin", "ptxas"), version)
	touch(t, dir, "nvvm", "libdevice", "libdevice.10.bc")
}

// site makes a site-packages directory with a CUDA plugin, on a machine without any toolkit.
func site(t *testing.T) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("HOME", filepath.Join(dir, "home"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("CUDA_HOME", "")
	t.Setenv("CUDA_PATH", "")
	t.Setenv("PATH", dir)
	return dir, touch(t, dir, "site", "jax_plugins", "xla_cuda13", "xla_cuda_plugin.so")
}

func TestFindToolkit(t *testing.T) {
	dir, path := site(t)
	system := []string{filepath.Join(dir, "usr", "cuda"), filepath.Join(dir, "usr", "cuda-13.1")}
	if _, err := findToolkit(path, system); !usage.Is(err) ||
		!strings.Contains(err.Error(), "no CUDA toolkit is installed); run `nb201 setup --device cuda13 --force` (with --compiler if") {
		t.Errorf("without any toolkit the error is %v", err)
	}
	check := func(want Toolkit) {
		t.Helper()
		if got, err := findToolkit(path, system); err != nil || got != want {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}

	// In order of increasing precedence. Triton's toolkit has another layout.
	triton := filepath.Join(dir, "site", "triton", "backends", "nvidia")
	ptxas(t, filepath.Join(triton, "bin", "ptxas"), "12.8.93")
	libdevice := touch(t, triton, "lib", "libdevice.10.bc")
	linked, err := findToolkit(path, system)
	if err != nil || linked.Version != "12.8.93" || linked.Source != "Triton" ||
		!strings.HasPrefix(linked.Directory, filepath.Join(dir, "cache", "nb201", "toolkits")) {
		t.Errorf("%+v, %v", linked, err)
	}
	for name, want := range map[string]string{ptxasPath: filepath.Join(triton, "bin", "ptxas"), libdevicePath: libdevice} {
		if got, err := os.Readlink(filepath.Join(linked.Directory, name)); err != nil || got != want {
			t.Errorf("%s is a link to %q, %v", name, got, err)
		}
	}
	check(linked) // again

	makeToolkit(t, system[1], "13.1.80")
	check(Toolkit{system[1], "13.1.80", "its usual place"})
	makeToolkit(t, system[0], "13.0.88")
	check(Toolkit{system[0], "13.0.88", "its usual place"})
	for i, variable := range []string{"CUDA_PATH", "CUDA_HOME"} {
		own := filepath.Join(dir, variable)
		makeToolkit(t, own, fmt.Sprintf("12.9.8%d", i))
		t.Setenv(variable, own)
		check(Toolkit{own, fmt.Sprintf("12.9.8%d", i), variable})
	}

	// nvcc on PATH is a link.
	cuda := filepath.Join(dir, "opt", "cuda-12.6")
	makeToolkit(t, cuda, "12.6.77")
	script(t, filepath.Join(cuda, "bin", "nvcc"), "exit 1")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o777), os.Symlink(filepath.Join(cuda, "bin", "nvcc"), filepath.Join(dir, "bin", "nvcc"))); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	check(Toolkit{cuda, "12.6.77", "nvcc on PATH"})

	beside := filepath.Join(dir, "site", "nvidia", "cuda_nvcc")
	makeToolkit(t, beside, "12.9.86")
	check(Toolkit{beside, "12.9.86", "beside the plugin"})
	beside = filepath.Join(dir, "site", "nvidia", "cu13")
	makeToolkit(t, beside, "13.5.37")
	check(Toolkit{beside, "13.5.37", "beside the plugin"})

	// The path of the plugin is a link in another directory.
	link := filepath.Join(dir, "cuda.so")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	path = link
	check(Toolkit{beside, "13.5.37", "beside the plugin"})
}

// A toolkit that XLA cannot use is skipped, and named if no other is found.
func TestFindToolkitRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, dir string) error
	}{
		{"no libdevice", "libdevice.10.bc does not exist", func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, libdevicePath)) }},
		{"no ptxas", "bin/ptxas does not exist", func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, ptxasPath)) }},
		{"not executable", "bin/ptxas does not run", func(_ *testing.T, dir string) error { return os.Chmod(filepath.Join(dir, ptxasPath), 0o644) }},
		{"fails", "bin/ptxas does not run", func(t *testing.T, dir string) error { script(t, filepath.Join(dir, ptxasPath), "exit 3"); return nil }},
		{"another program", "--version shows no version", func(t *testing.T, dir string) error {
			script(t, filepath.Join(dir, ptxasPath), "echo hello")
			return nil
		}},
		{"too old", "has the version 11.5.119, but XLA needs 11.8 or later",
			func(t *testing.T, dir string) error { ptxas(t, filepath.Join(dir, ptxasPath), "11.5.119"); return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, path := site(t)
			beside, other := filepath.Join(dir, "site", "nvidia", "cu13"), filepath.Join(dir, "cuda")
			makeToolkit(t, beside, "13.5.37")
			if err := c.spoil(t, beside); err != nil {
				t.Fatal(err)
			}
			if _, err := findToolkit(path, nil); !usage.Is(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v", err)
			}
			makeToolkit(t, other, "11.8.89")
			if got, err := findToolkit(path, []string{other}); err != nil || got.Directory != other {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestLinkToolkit(t *testing.T) {
	dir, _ := site(t)
	ptxas, libdevice := filepath.Join(dir, "ptxas"), filepath.Join(dir, "libdevice")

	// Several processes may make the links at the same time.
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := linkToolkit(ptxas, libdevice); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	made, err := linkToolkit(ptxas, libdevice)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := linkToolkit(ptxas, libdevice+"2"); err != nil || other == made {
		t.Errorf("%s is for other files too, %v", other, err)
	}

	// If the cache directory has a file in the way, or does not exist, the links are made in the
	// temporary directory.
	link := filepath.Join(made, ptxasPath)
	if err := errors.Join(os.Remove(link), os.Symlink("/bin/sh", link)); err != nil {
		t.Fatal(err)
	}
	inTemp := filepath.Join(os.TempDir(), fmt.Sprintf("nb201-%d", os.Getuid()))
	if got, err := linkToolkit(ptxas, libdevice); err != nil || !strings.HasPrefix(got, inTemp) {
		t.Errorf("with a link of another's: %s, %v", got, err)
	}
	t.Setenv("XDG_CACHE_HOME", ptxas+"/x")
	touch(t, ptxas)
	if got, err := linkToolkit(ptxas, libdevice); err != nil || !strings.HasPrefix(got, inTemp) {
		t.Errorf("without a cache directory: %s, %v", got, err)
	}
	if err := os.Chmod(inTemp, 0o777); err != nil {
		t.Fatal(err)
	}
	if got, err := linkToolkit(ptxas, libdevice); err == nil {
		t.Errorf("%s is used, which others can write to", got)
	}
}
