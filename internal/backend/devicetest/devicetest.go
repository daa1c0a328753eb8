// Package devicetest opens the device that tests run on: the one that NB201_TEST_DEVICE names, by
// default the CPU.
package devicetest

import (
	"cmp"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/needs"
	"nb201/internal/plugin"
	"nb201/internal/programs"
	"nb201/internal/programs/kernelstest"
)

const (
	device = "NB201_TEST_DEVICE" // cpu (the default), cuda or cuda:N
	tf32   = "NB201_TEST_TF32"   // set in the processes that TF32 starts
)

// parseTestDevice parses NB201_TEST_DEVICE.
func parseTestDevice() (backend.Device, error) {
	return backend.ParseDevice(cmp.Or(os.Getenv(device), plugin.CPU))
}

// Device returns the device of the tests. It fails the test if NB201_TEST_DEVICE is not a device.
func Device(t testing.TB) backend.Device {
	t.Helper()
	d, err := parseTestDevice()
	if err != nil {
		t.Fatalf("%s: %v", device, err)
	}
	return d
}

// OnGPU reports whether the device of the tests is a GPU.
func OnGPU(t testing.TB) bool {
	t.Helper()
	return Device(t).String() != plugin.CPU
}

// opened opens the backend, once for all tests of a process, since a process can open only one.
var opened = sync.OnceValues(func() (*backend.Opened, error) {
	d, err := parseTestDevice()
	if err != nil {
		return nil, err
	}
	precision := configs.FP32
	if os.Getenv(tf32) != "" {
		precision = configs.TF32
	}
	return backend.OpenDevice(d, precision)
})

// Open opens the device of the tests. It fails the test if that is impossible.
func Open(t testing.TB) *backend.Opened {
	t.Helper()
	d := Device(t)
	b, err := opened()
	if err != nil {
		t.Fatalf("cannot open %s, the device of the tests: %v", d, err) // `make setup` installs the CPU's plugin
	}
	if backend.OnGPU(b.Backend) != OnGPU(t) {
		t.Fatalf("the device of the tests is %s, but the plugin %s opened %s", d, b.Plugin, b.Backend.DeviceDescription(0))
	}
	return b
}

// CPUOnly skips the test on a GPU, for the given reason.
func CPUOnly(t testing.TB, reason string) {
	t.Helper()
	needs.CPU(t, OnGPU(t), reason)
}

// Kernels requires the kernels for the CPU. If programs call none, it fails the test with the
// pinned plugin, and skips it with another. It returns a function that lists
// the programs compiled since the call of Kernels.
func Kernels(t testing.TB) (compiled func() []programs.Program) {
	t.Helper()
	CPUOnly(t, "kernels are for the CPU")
	Open(t)
	k, ok := programs.CPUKernels()
	if !ok {
		t.Fatal("the programs of the CPU's plugin do not pass through package programs")
	}
	kernelstest.Require(t, k.Missing)
	var mutex sync.Mutex
	var all []programs.Program
	t.Cleanup(programs.Observe(func(p programs.Program) {
		mutex.Lock()
		defer mutex.Unlock()
		all = append(all, p)
	}))
	return func() []programs.Program {
		mutex.Lock()
		defer mutex.Unlock()
		return slices.Clone(all)
	}
}

// TF32 reports whether the GPU may round the operands of float32 products to TF32 in this process,
// which NVIDIA's libraries decide once for each process. If it may not, TF32 runs the calling test,
// which must not be a subtest, in another process where it may, and fails the test if it fails
// there. On the CPU TF32 skips the test.
func TF32(t *testing.T) bool {
	t.Helper()
	needs.GPU(t, OnGPU(t), "the CPU does not have TF32")
	if os.Getenv(tf32) != "" {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), tf32+"=1")
	out, err := child.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+" ") {
		t.Errorf("with TF32: %v", err)
	}
	return false
}
