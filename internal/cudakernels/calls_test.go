package cudakernels

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/needs"
)

// TestCalls calls the functions that XLA calls, in the place of XLA and with another driver:
// testdata/launch.c, testdata/libcuda.c.
func TestCalls(t *testing.T) {
	compiler := needs.CC(t)
	dir := t.TempDir()
	compile := func(args ...string) {
		t.Helper()
		args = append([]string{"-std=gnu11", "-pthread", "-I../ffi", "-I."}, args...)
		if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	program := filepath.Join(dir, "launch")
	compile("-shared", "-fPIC", "-o", filepath.Join(dir, "libcuda.so.1"), filepath.Join("testdata", "libcuda.c"))
	compile("-o", program, filepath.Join("testdata", "launch.c"), "calls.c", "driver.c", "-ldl")
	run := func(fail string) string {
		t.Helper()
		c := exec.Command(program)
		c.Env = append(os.Environ(), "LD_LIBRARY_PATH="+dir, "FAIL="+fail)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	sections := strings.Split(run(""), "wrong:\n")
	if want := `capability 56, 11
registered 0, 1
nb201.cuda.conv_fp32 for CUDA
nb201.cuda.conv_tf32 for CUDA
nb201.cuda.input_gradient_fp32 for CUDA
nb201.cuda.input_gradient_tf32 for CUDA
nb201.cuda.weight_gradient_fp32 for CUDA
nb201.cuda.weight_gradient_tf32 for CUDA
push one
load kernels in mode 2
launch conv_fp32_3_16_16 of 48 on one in mode 0, 10x1x1 blocks of 128x1x1 threads, 0 bytes: x w y 5 0
pop
nb201.cuda.conv_fp32: done
push one
launch conv_tf32_3_16_16 of 48 on one in mode 0, 10x1x1 blocks of 128x1x1 threads, 0 bytes: x w y 5 1
pop
nb201.cuda.input_gradient_tf32: done
push two
load kernels in mode 2
launch conv_tf32_1_64_4 of 96 on two in mode 0, 3x1x1 blocks of 128x1x1 threads, 0 bytes: x w y 5 0
pop
nb201.cuda.conv_tf32: done
push two
launch wgrad_fp32_3_16_16 of 96 on two in mode 0, 3x1x1 blocks of 256x1x1 threads, 0 bytes: x w y 5
pop
nb201.cuda.weight_gradient_fp32: done
push two
launch wgrad_tf32_1_64_4 of 96 on two in mode 0, 1x4x1 blocks of 512x1x1 threads, 0 bytes: x w y 5
pop
nb201.cuda.weight_gradient_tf32: done
`; sections[0] != want {
		t.Errorf("got\n%s\nwant\n%s", sections[0], want)
	}
	if got := strings.Count(sections[1], "error 3: nb201's kernels: there is none for these arguments\n"); got != 8 {
		t.Errorf("%d of 8 calls with wrong arguments are refused:\n%s", got, sections[1])
	}
	if !strings.HasSuffix(sections[1], "error 2: no stream\nnb201.cuda.conv_fp32: failed\n") {
		t.Errorf("without a stream:\n%s", sections[1])
	}
	for fail, want := range map[string]string{
		"cuStreamGetCtx":                    "use the context of XLA's stream",
		"cuCtxPushCurrent":                  "use the context of XLA's stream",
		"cuThreadExchangeStreamCaptureMode": "change the mode of recording",
		"cuModuleLoadData":                  "load the kernels",
		"cuModuleGetFunction":               "load conv_fp32_1_16_32",
		"cuFuncGetAttribute":                "load conv_fp32_1_16_32",
		"cuLaunchKernel":                    "launch conv_fp32_3_16_16",
	} {
		want = fmt.Sprintf("error 13: nb201's kernels: cannot %s: something is wrong (CUDA error 719)\n", want)
		got := run(fail)
		if !strings.Contains(got, want) || !strings.Contains(got, "nb201.cuda.conv_fp32: failed\n") {
			t.Errorf("%s fails: got\n%s\nwant\n%s", fail, got, want)
		}
		if strings.Count(got, "push") != strings.Count(got, "pop") && fail != "cuCtxPushCurrent" {
			t.Errorf("%s fails, and a context stays current:\n%s", fail, got)
		}
	}
	for _, fail := range []string{"cuInit", "cuDeviceGet", "cuDeviceGetAttribute"} {
		if got := run(fail); !strings.HasPrefix(got, "capability 0, 0\n") {
			t.Errorf("%s fails: got\n%s", fail, got)
		}
	}
	if err := os.Remove(filepath.Join(dir, "libcuda.so.1")); err != nil {
		t.Fatal(err)
	}
	if got := run(""); !strings.HasPrefix(got, "capability 0, 0\n") || !strings.Contains(got, "error 13: nb201's kernels: cannot load the CUDA driver, libcuda.so.1\n") {
		t.Errorf("without a driver: got\n%s", got)
	}
}
