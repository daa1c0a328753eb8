package plugin

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/usage"
)

func TestPins(t *testing.T) {
	pins := Pins()
	devices := append(Devices(), CUDA13Compiler)
	if len(pins) != len(devices) {
		t.Errorf("there are pins for %d devices, want %d", len(pins), len(devices))
	}
	// The libraries that a CUDA plugin needs, whatever else is in its wheels.
	libraries := []string{"cublas", "cuda-cupti", "cuda-nvcc", "cuda-nvrtc", "cuda-runtime", "cudnn", "cufft", "cusolver", "cusparse", "nccl", "nvjitlink"}
	wheelName := regexp.MustCompile(`^([a-z0-9_]+)-([0-9.]+)-py3-none-(?:[a-z0-9_]+\.)*manylinux[0-9_]+_x86_64(?:\.[a-z0-9_]+)*\.whl$`)
	ids := map[string]bool{}
	for _, device := range devices {
		pin := pins[device]
		if pin.Platform != "linux/amd64" {
			t.Errorf("%s: the platform is %s", device, pin.Platform)
		}
		if !path.IsAbs("/"+pin.Plugin) || path.Clean(pin.Plugin) != pin.Plugin || path.Ext(pin.Plugin) != ".so" {
			t.Errorf("%s: the plugin's path is %q", device, pin.Plugin)
		}
		if err := checkPath(pin.plugin("/home/u/pjrt", device)); err != nil {
			t.Error(err)
		}
		ids[pin.Directory(device)] = true
		var projects []string
		for i, w := range pin.Wheels {
			parts := wheelName.FindStringSubmatch(w.File)
			if parts == nil || parts[1] != strings.ReplaceAll(w.Project, "-", "_") {
				t.Errorf("%s: %s is not a wheel of %s for this platform", device, w.File, w.Project)
			} else if i == 0 && parts[2] != pin.Version {
				t.Errorf("%s: the plugin's wheel is %s, the version %s", device, w.File, pin.Version)
			}
			if sum, err := hex.DecodeString(w.SHA256); err != nil || len(sum) != 32 || w.SHA256 != strings.ToLower(w.SHA256) {
				t.Errorf("%s: %s has the SHA-256 %q", device, w.File, w.SHA256)
			}
			if w.Size <= 0 || w.Unpacked <= w.Size {
				t.Errorf("%s: %s has %d bytes, unpacked %d", device, w.File, w.Size, w.Unpacked)
			}
			projects = append(projects, strings.TrimSuffix(strings.TrimPrefix(w.Project, "nvidia-"), "-cu"+strings.TrimPrefix(device, "cuda")))
		}
		if slices.Sort(projects); len(slices.Compact(slices.Clone(projects))) != len(projects) {
			t.Errorf("%s: a project is listed twice: %q", device, projects)
		}
		if device == CUDA13 && !slices.Contains(projects, "nvvm") { // CUDA 12 has libdevice in cuda-nvcc
			t.Errorf("%s: libdevice is missing", device)
		}
		if device == CUDA13Compiler && !slices.Contains(projects, "cuda-nvcc-cu12") {
			t.Errorf("%s: ptxas and libdevice are missing: %q", device, projects)
		}
		for _, library := range libraries {
			if (device == CUDA12 || device == CUDA13) && !slices.Contains(projects, library) {
				t.Errorf("%s: %s is missing", device, library)
			}
		}
	}
	if len(ids) != len(pins) {
		t.Errorf("devices share a directory: %v", ids)
	}
	pin := pins[CPU]
	pin.Wheels = slices.Clone(pin.Wheels)
	pin.Wheels[0].SHA256 = strings.Repeat("0", 64)
	if ids[pin.Directory(CPU)] {
		t.Error("another wheel goes to the same directory")
	}
}

// alone hides this machine's plugins and returns an empty home directory.
func alone(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "XDG_DATA_HOME": "", "NB201_HOME": filepath.Join(home, "own"),
		"GOMLX_BACKEND": "", "PJRT_PLUGIN_LIBRARY_PATH": filepath.Join(home, "go-xla"),
	} {
		t.Setenv(name, value)
	}
	return home
}

func touch(t *testing.T, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	return path
}

func find(t *testing.T, device string, want Plugin) {
	t.Helper()
	got, err := Find(device)
	if err != nil || got != want {
		t.Errorf("Find(%s) is %+v, %v\nwant %+v", device, got, err, want)
	}
}

func TestFind(t *testing.T) {
	if !Pins()[CPU].fitsPlatform() {
		needs.Plugin(t, fmt.Errorf("none is pinned for %s/%s", runtime.GOOS, runtime.GOARCH))
	}
	home := alone(t)
	for device, want := range map[string]string{CPU: "run `nb201 setup`", CUDA12: "run `nb201 setup --device cuda12`"} {
		if _, err := Find(device); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("Find(%s) has the error %v, want one with %q", device, err, want)
		}
	}
	if _, err := findFirst(CUDA, CUDAByDriver(UnknownDriver)); !usage.Is(err) || !strings.Contains(err.Error(), "device cuda; run `nb201 setup --device cuda13`") {
		t.Errorf("without a plugin for CUDA the error is %v", err)
	}
	if _, err := Compiler(); !usage.Is(err) || !strings.Contains(err.Error(), "run `nb201 setup --device cuda13 --compiler`") {
		t.Errorf("without a compiler the error is %v", err)
	}

	// In order of increasing precedence: first, a plugin that go-xla would find.
	old := touch(t, home, "go-xla", "pjrt_c_api_cpu_v0.83.1_plugin.so")
	find(t, CPU, Plugin{Device: CPU, Path: old, Version: "0.83.1", Source: FromGoXLA})
	plain := filepath.Join(home, "go-xla", "pjrt_c_api_cpu_plugin.so")
	if err := os.Symlink(filepath.Base(old), plain); err != nil {
		t.Fatal(err)
	}
	find(t, CPU, Plugin{Device: CPU, Path: plain, Version: "0.83.1", Source: FromGoXLA})
	if err := os.Remove(plain); err != nil {
		t.Fatal(err)
	}
	touch(t, plain)
	find(t, CPU, Plugin{Device: CPU, Path: plain, Source: FromGoXLA})
	touch(t, home, "go-xla", "pjrt_c_api_cpu_plugin.so.old")

	cuda := touch(t, home, "go-xla", "pjrt_c_api_cuda_plugin.so")
	find(t, CUDA12, Plugin{Device: CUDA12, Path: cuda, Source: FromGoXLA})
	if err := os.Mkdir(filepath.Join(home, "go-xla", "cu13"), 0o777); err != nil {
		t.Fatal(err)
	}
	find(t, CUDA13, Plugin{Device: CUDA13, Path: cuda, Source: FromGoXLA})
	if p, err := Find(CUDA12); err == nil {
		t.Errorf("CUDA 13's plugin is found for CUDA 12: %+v", p)
	}

	// Then one that setup installed.
	compiles := func(want Plugin) {
		t.Helper()
		if got, err := Compiler(); err != nil || got != want {
			t.Errorf("Compiler() is %+v, %v\nwant %+v", got, err, want)
		}
	}
	pin := Pins()[CUDA13Compiler]
	compiler := touch(t, home, "own", "pjrt", pin.Directory(CUDA13Compiler), pin.Plugin)
	compiles(Plugin{Device: CUDA13Compiler, Path: compiler, Version: pin.Version, Source: FromSetup})
	find(t, CUDA13, Plugin{Device: CUDA13, Path: cuda, Source: FromGoXLA}) // nothing trains with the compiler
	for _, device := range Devices() {
		pin := Pins()[device]
		installed := touch(t, home, "own", "pjrt", pin.Directory(device), pin.Plugin)
		find(t, device, Plugin{Device: device, Path: installed, Version: pin.Version, Source: FromSetup})
	}
	for _, want := range []string{CUDA12, CUDA13} {
		driver := map[string]string{CUDA12: "535.183.01", CUDA13: "580.65.06"}[want]
		if p, err := findFirst(CUDA, CUDAByDriver(driver)); err != nil || p.Source != FromSetup || p.Device != want {
			t.Errorf("for driver %s: %+v, %v", driver, p, err)
		}
	}
	pin = Pins()[CUDA13]
	compiles(Plugin{Device: CUDA13, Path: filepath.Join(home, "own", "pjrt", pin.Directory(CUDA13), pin.Plugin), Version: pin.Version, Source: FromSetup})

	// Then one that the environment names.
	own := touch(t, home, "my-plugin.so")
	t.Setenv("GOMLX_BACKEND", "xla:"+own+",tf32=false,preallocate=true")
	find(t, CPU, Plugin{Device: CPU, Path: own, Source: FromEnvironment, Options: "tf32=false,preallocate=true"})
	if p, err := Find(CUDA12); err != nil || p.Source != FromSetup {
		t.Errorf("GOMLX_BACKEND's plugin for the CPU is found for CUDA: %+v, %v", p, err)
	}
	own = touch(t, home, "my-cuda-plugin.so")
	t.Setenv("GOMLX_BACKEND", "xla:"+own)
	find(t, CUDA13, Plugin{Device: CUDA13, Path: own, Source: FromEnvironment})
	compiles(Plugin{Device: CUDA13, Path: own, Source: FromEnvironment})
	for _, other := range []string{"xla:cpu", "xla", "go", "go:" + own} {
		t.Setenv("GOMLX_BACKEND", other)
		if p, err := Find(CPU); err != nil || p.Source != FromSetup {
			t.Errorf("GOMLX_BACKEND=%s: %+v, %v", other, p, err)
		}
	}

	t.Setenv("GOMLX_BACKEND", "xla:/nowhere/plugin.so")
	if _, err := Find(CPU); !usage.Is(err) || !strings.Contains(err.Error(), "/nowhere/plugin.so") {
		t.Errorf("the error is %v", err)
	}
	for value, want := range map[string]string{
		"xla:./plugin.so": "by the relative path ./plugin.so", "xla:plugin.so": "by the relative path plugin.so",
		own: `GOMLX_BACKEND is "` + own + `"; use xla:PATH`, "foo": `GOMLX_BACKEND is "foo"; use xla:PATH`, "=foo": `GOMLX_BACKEND is "=foo"; use xla:PATH`,
	} {
		t.Setenv("GOMLX_BACKEND", value)
		if _, err := Find(CPU); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("GOMLX_BACKEND=%s: %v, want %q", value, err, want)
		}
	}
	if _, err := Find("tpu"); !usage.Is(err) || !strings.Contains(err.Error(), "cpu, cuda12, cuda13") {
		t.Errorf("the error is %v", err)
	}

	// go-xla would take this for a GPU's plugin.
	t.Setenv("GOMLX_BACKEND", "")
	t.Setenv("NB201_HOME", filepath.Join(home, "nvidia"))
	touch(t, home, "nvidia", "pjrt", Pins()[CPU].Directory(CPU), Pins()[CPU].Plugin)
	if _, err := Find(CPU); !usage.Is(err) || !strings.Contains(err.Error(), "set NB201_HOME") {
		t.Errorf("the error is %v", err)
	}
}

func TestFindInGoXLAHome(t *testing.T) {
	home := alone(t)
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "") // restores it
	if err := os.Unsetenv("PJRT_PLUGIN_LIBRARY_PATH"); err != nil {
		t.Fatal(err)
	}
	older := touch(t, home, ".local", "lib", "gomlx", "pjrt", "nvidia", "pjrt_c_api_cuda_plugin.so")
	find(t, CUDA12, Plugin{Device: CUDA12, Path: older, Source: FromGoXLA})
	library, err := goXLAHome()
	if err != nil {
		t.Fatal(err)
	}
	newer := touch(t, library, "nvidia", "pjrt_c_api_cuda_plugin.so")
	find(t, CUDA12, Plugin{Device: CUDA12, Path: newer, Source: FromGoXLA})
}

func TestRoot(t *testing.T) {
	home := alone(t)
	for _, c := range []struct{ own, data, want string }{
		{filepath.Join(home, "x"), "", filepath.Join(home, "x", "pjrt")},
		{"", "/data", "/data/nb201/pjrt"},
		{"", "relative", filepath.Join(home, ".local", "share", "nb201", "pjrt")},
		{"", "", filepath.Join(home, ".local", "share", "nb201", "pjrt")},
	} {
		t.Setenv("NB201_HOME", c.own)
		t.Setenv("XDG_DATA_HOME", c.data)
		if got, err := Root(); err != nil || got != c.want {
			t.Errorf("NB201_HOME=%s XDG_DATA_HOME=%s: %s, %v, want %s", c.own, c.data, got, err, c.want)
		}
	}
	// If the environment does not name a home directory, the user database may.
	t.Setenv("HOME", "")
	if got, err := Root(); !usage.Is(err) && !strings.HasSuffix(got, filepath.Join(".local", "share", "nb201", "pjrt")) {
		t.Errorf("without a home: %s, %v", got, err)
	}
}

func TestInstallRefusesDevice(t *testing.T) {
	for _, device := range []string{"", "tpu", CUDA} {
		if _, err := Install(t.Context(), device, Options{}); !usage.Is(err) {
			t.Errorf("Install(%q) has the error %v", device, err)
		}
	}
}
