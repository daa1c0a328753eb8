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

func TestDriver(t *testing.T) {
	for _, c := range []struct {
		text, version string
		cuda          []string
	}{
		{"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n", "535.183.01", []string{CUDA12}},
		{"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22-I3-AM11)  Sun Jul 27 06:54:38 UTC 2025\n",
			"580.65.06", []string{CUDA13, CUDA12}},
		{"libcuda.so.580.159.04", "580.159.04", []string{CUDA13, CUDA12}},
		{"libcuda.so.1.1", "", []string{CUDA13, CUDA12}}, // WSL
		{"", "", []string{CUDA13, CUDA12}},
	} {
		if got := parseDriverVersion(c.text); got != c.version {
			t.Errorf("%q has the version %q", c.text, got)
		}
		if got := CUDAByDriver(c.version); !slices.Equal(got, c.cuda) {
			t.Errorf("driver %q serves %q", c.version, got)
		}
	}
}

// The version comes from the driver's library if the kernel does not give it.
func TestDriverVersion(t *testing.T) {
	const child = "NB201_TEST_DRIVER"
	if os.Getenv(child) != "" {
		p, err := Find(CUDA)
		fmt.Printf("version %s, plugin %q, error %v\n", DriverVersion(), p.Device, err)
		return
	}
	alone(t)
	t.Setenv(child, "1")
	run := func(path string) string {
		t.Helper()
		test := exec.Command(os.Args[0], "-test.run=^TestDriverVersion$")
		test.Env = append(os.Environ(), "LD_LIBRARY_PATH="+path)
		output, err := test.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		return string(output)
	}
	for version, want := range map[string]string{
		"580.159.04": "version 580.159.04, plugin \"\", error no XLA plugin for device cuda; run `nb201 setup --device cuda13`\n",
		"535.183.01": "version 535.183.01, plugin \"\", error no XLA plugin for device cuda; run `nb201 setup --device cuda12`\n",
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "libcuda.so."+version)
		library(t, file, "int cuInit(unsigned flags) { return 0; }", "-Wl,-soname,libcuda.so.1")
		if err := os.Symlink(filepath.Base(file), filepath.Join(dir, "libcuda.so.1")); err != nil {
			t.Fatal(err)
		}
		if got := run(dir); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", version, got, want)
		}
	}
	needs.NoDriver(t, DriverVersion())
	if got := run(t.TempDir()); !strings.HasPrefix(got, "version , plugin \"\", error no NVIDIA driver found") {
		t.Errorf("without a driver: %q", got)
	}
	dir := t.TempDir()
	library(t, filepath.Join(dir, "libcuda.so.1"), "int cuInit(unsigned flags) { return 0; }") // as WSL's
	if got := run(dir); !strings.HasPrefix(got, "version unknown, plugin \"\", error no XLA plugin") {
		t.Errorf("without a version: %q", got)
	}
}
