package backend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/internal/needs"
	"nb201/internal/plugin"
	"nb201/internal/usage"
)

func TestVisible(t *testing.T) {
	for devices, want := range map[string]string{
		"0":     "[cuda:0]",
		"3":     "[cuda:0]",
		"2,5,7": "[cuda:0 cuda:1 cuda:2]",
		"GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,1": "[cuda:0 cuda:1]",
		"MIG-1f1f8a3d-5c1c-5a7a-9b1e-2c9f1a3d5c1c":   "[cuda:0]",
		"1, 0":        "[cuda:0 cuda:1]",
		"1,-1,0":      "[cuda:0]",
		"":            "gives this process no GPU",
		"NoDevFiles":  "gives this process no GPU",
		"-1":          "gives this process no GPU",
		"MIG-a,MIG-b": "a process can use only one MIG instance",
	} {
		got, err := Visible(devices)
		if text := fmt.Sprint(got); err == nil && text != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", devices, got, err, want)
		}
	}
}

// A file that is not a plugin is refused, and the error says what to do.
func TestOpenNoPlugin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pjrt_c_api_cpu_plugin.so")
	if err := os.WriteFile(path, []byte("not a library"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMLX_BACKEND", "xla:"+path)
	d, err := ParseDevice("cpu")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDevice(d, configs.FP32); !usage.Is(err) || !strings.Contains(err.Error(), path) ||
		!strings.HasSuffix(err.Error(), "; correct or unset GOMLX_BACKEND") {
		t.Errorf("error %v", err)
	}
}

// An installed plugin that has changed is refused before it is loaded.
func TestOpenDamaged(t *testing.T) {
	pin := plugin.Pins()[plugin.CPU]
	if pin.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		needs.Plugin(t, fmt.Errorf("none is pinned for %s/%s", runtime.GOOS, runtime.GOARCH))
	}
	t.Setenv("GOMLX_BACKEND", "")
	t.Setenv("NB201_HOME", t.TempDir())
	root, err := plugin.Root()
	if err != nil {
		t.Fatal(err)
	}
	installed := filepath.Join(root, pin.Directory(plugin.CPU), pin.Plugin)
	if err := errors.Join(os.MkdirAll(filepath.Dir(installed), 0o777), os.WriteFile(installed, []byte("not elf"), 0o777)); err != nil {
		t.Fatal(err)
	}
	d, err := ParseDevice("cpu")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDevice(d, configs.FP32); !usage.Is(err) || !errors.Is(err, plugin.ErrDamaged) || !strings.HasSuffix(err.Error(), "; run `nb201 setup`") {
		t.Errorf("error %v", err)
	}
}
