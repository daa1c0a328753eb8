package plugin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
)

// library compiles a shared library from C.
func library(t *testing.T, path, code string, flags ...string) {
	t.Helper()
	touch(t, path)
	arguments := append([]string{"-shared", "-fPIC", "-x", "c", "-", "-o", path, "-Wl,-soname," + filepath.Base(path)}, flags...)
	cc := exec.Command("cc", arguments...)
	cc.Stdin = strings.NewReader(code)
	if output, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, output)
	}
}

// probe loads a library that runs code, and returns what that writes to a FILE *out.
func probe(t *testing.T, code string) string {
	t.Helper()
	dir := t.TempDir()
	answer := filepath.Join(dir, "answer")
	library(t, filepath.Join(dir, "libprobe.so"), fmt.Sprintf(`
#include <dlfcn.h>
#include <stdio.h>
__attribute__((constructor)) static void probe(void) {
	FILE *out = fopen("%s", "w");
	%s
	fclose(out);
}`, answer, code))
	if err := load(filepath.Join(dir, "libprobe.so")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Preload loads the libraries in the directories that the plugin searches, so that others find them by
// name.
func TestPreload(t *testing.T) {
	site := t.TempDir()
	path := filepath.Join(site, "jax_plugins", "xla_cuda13", "xla_cuda_plugin.so")
	library(t, path, "", "-Wl,--disable-new-dtags", "-Wl,-rpath,$ORIGIN/../../nvidia/cu13/lib:$ORIGIN/../nvidia/cu13/lib:$ORIGIN/../../nvidia/cudnn/lib")
	lib := filepath.Join(site, "nvidia", "cu13", "lib")
	library(t, filepath.Join(lib, "libnvrtc-builtins.so.99.1"), "")
	library(t, filepath.Join(lib, "libcublasLt.so.99"), "")
	library(t, filepath.Join(lib, "libother.so.99"), "")
	library(t, filepath.Join(site, "nvidia", "cudnn", "lib", "libcudnn.so.99"), "")
	library(t, filepath.Join(site, "nvidia", "cusparse", "lib", "libcusparse.so.99"), "") // of another CUDA release
	damaged := touch(t, lib, "libcufft.so.99")

	names := []string{"libnvrtc-builtins.so.99.1", "libcublasLt.so.99", "libcudnn.so.99", "libother.so.99", "libcusparse.so.99", "libcufft.so.99", "libnccl.so.99"}
	loaded := func() []string {
		var code strings.Builder
		for _, name := range names {
			fmt.Fprintf(&code, `if (dlopen("%s", RTLD_NOW) != NULL) fputs("%s\n", out);`, name, name)
		}
		return strings.Fields(probe(t, code.String()))
	}
	if got := loaded(); len(got) > 0 {
		t.Fatalf("%q are loaded before", got)
	}
	// The user may name a link to the plugin.
	link := filepath.Join(t.TempDir(), "cuda.so")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	failed := Preload(link)
	if got := loaded(); !slices.Equal(got, names[:3]) {
		t.Errorf("%q are loaded, want %q", got, names[:3])
	}
	if len(failed) != 1 || !strings.Contains(failed[0].Error(), damaged) {
		t.Errorf("the failures are %v", failed)
	}

	// CUDA 12's plugin does not name all directories.
	path = filepath.Join(site, "jax_plugins", "xla_cuda12", "xla_cuda_plugin.so")
	library(t, path, "", "-Wl,--disable-new-dtags", "-Wl,-rpath,$ORIGIN/../../nvidia/cublas/lib")
	library(t, filepath.Join(site, "nvidia", "cuda_nvrtc", "lib", "libnvrtc.so.98"), "")
	names = []string{"libnvrtc.so.98"}
	if failed := Preload(path); failed != nil || !slices.Equal(loaded(), names) {
		t.Errorf("%q are loaded, want %q: %v", loaded(), names, failed)
	}

	if failed := Preload(damaged); failed != nil {
		t.Errorf("a file that is no plugin: %v", failed)
	}
}

// NVRTC compiles if its builtins are loaded; that of CUDA 13.0 does not otherwise. NB201_CUDA_WHEELS
// names the site-packages directory with JAX's CUDA plugin and NVIDIA's wheels.
func TestPreloadWheels(t *testing.T) {
	site := needs.CUDAWheels(t)
	plugins, _ := filepath.Glob(filepath.Join(site, "jax_plugins", "xla_cuda1[23]", "xla_cuda_plugin.so"))
	compilers, _ := filepath.Glob(filepath.Join(site, "nvidia", "c*", "lib", "libnvrtc.so.1[23]"))
	if len(plugins) != 1 || len(compilers) != 1 {
		t.Fatalf("plugins %q, NVRTC %q", plugins, compilers)
	}
	if failed := Preload(plugins[0]); failed != nil {
		t.Errorf("Preload fails: %v", failed)
	}
	got := probe(t, fmt.Sprintf(`
	void *nvrtc = dlopen("%s", RTLD_LAZY);
	int (*create)(void **, const char *, const char *, int, const char **, const char **) = dlsym(nvrtc, "nvrtcCreateProgram");
	int (*compile)(void *, int, const char **) = dlsym(nvrtc, "nvrtcCompileProgram");
	void *program;
	const char *options[] = {"--gpu-architecture=sm_90"};
	int created = create(&program, "extern \"C\" __global__ void k(float *x) { *x = expf(*x); }", "k.cu", 0, 0, 0);
	fprintf(out, "create %%d, compile %%d", created, compile(program, 1, options));`, compilers[0]))
	if got != "create 0, compile 0" {
		t.Errorf("NVRTC's results are: %s", got)
	}
}
