package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nb201/internal/needs"
	"nb201/internal/plugin"
)

// convolutions returns the total number of convolutions.
func convolutions(p programKernels) (sum int) {
	for kind := range strings.SplitSeq(p.Convolutions+"/"+p.Own, "/") {
		n, _ := strconv.Atoi(kind)
		sum += n
	}
	return sum
}

// inDirectory lists the files that nb201 has put into a directory.
func inDirectory(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "nb201-dump-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestKernels compiles for a GPU, each time in a separate process, because a process can open only one
// plugin.
func TestKernels(t *testing.T) {
	const child = "NB201_TEST_KERNELS"
	if args := os.Getenv(child); args != "" {
		os.Exit(run(strings.Fields(args), os.Stdout, os.Stderr))
	}
	needs.Long(t, "compiles for GPUs")
	kernels := func(args string, variables ...string) (stdout, stderr string, code int) {
		t.Helper()
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKernels$")
		c.Env = append(append(os.Environ(), "XLA_FLAGS=", "NB201_CUDA_FLAGS=", child+"=kernels 1835 --cells 1 --batch 32 "+args), variables...)
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil && c.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), errs.String(), c.ProcessState.ExitCode()
	}
	if _, stderr, code := kernels("", "NB201_HOME="+t.TempDir(), "GOMLX_BACKEND="); code != 2 || !strings.Contains(stderr, "run `nb201 setup --device cuda13 --compiler`") {
		t.Errorf("without a compiler: code %d, %s", code, stderr)
	}
	if _, stderr, code := kernels("", "NB201_CUDA_FLAGS=xla_gpu_graph_min_graph_size"); code != 2 || !strings.Contains(stderr, "NAME=VALUE") {
		t.Errorf("wrong flags: code %d, %s", code, stderr)
	}
	_, err := plugin.Compiler()
	needs.Compiler(t, err)
	stdout, stderr, code := kernels("")
	lines := strings.Split(stdout, "\n")
	if code != 0 || len(lines) != 7 || !strings.HasPrefix(lines[1], "compiled for h100 by xla_cuda_plugin.so") ||
		!strings.HasSuffix(lines[1], "32x32 images, 10 classes, C=16, N=1, batch 32, fp32") ||
		!strings.HasPrefix(lines[4], "  training step  ") || !strings.HasPrefix(lines[5], "     evaluation ") {
		t.Errorf("code %d, stderr %s, stdout\n%s", code, stderr, stdout)
	}
	// When it is stopped, it ends at once and leaves no files.
	temporary := t.TempDir()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKernels$")
	c.Env = append(os.Environ(), "TMPDIR="+temporary, child+"=kernels 1462")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for len(inDirectory(t, temporary)) == 0 { // until it compiles
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_ = c.Wait() // see the exit code
	if code, left := c.ProcessState.ExitCode(), inDirectory(t, temporary); code != 130 || len(left) > 0 || time.Since(began) > 15*time.Second {
		t.Errorf("stopped: code %d after %v, left %q", code, time.Since(began), left)
	}
	for _, test := range []struct {
		args, flags string
		code        int
		fault       string
	}{
		{"--gpu a100 --precision bf16 --dataset ImageNet16-120", "", 0, ""},
		{"--precision tf32 --bandwidth 3e12 --flop 60e12", "", 0, ""},
		{"", "off", 1, "not a single CUDA graph: "},
		{"", "xla_gpu_enable_command_buffer=", 1, "not a single CUDA graph: 0 graphs"},
		{"", "xla_gpu_no_such_flag=1", 1, "xla_gpu_no_such_flag"},
	} {
		stdout, stderr, code := kernels("--json "+test.args, "NB201_CUDA_FLAGS="+test.flags)
		if code != test.code || !strings.Contains(stderr, test.fault) {
			t.Errorf("%+v: code %d, %s", test, code, stderr)
			continue
		}
		if strings.Contains(test.flags, "no_such_flag") {
			continue
		}
		var r kernelsReport
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%+v: %v", test, err)
		}
		if test.args == "" && len(r.Programs) == 2 && r.Programs[0].Least != 0 ||
			strings.Contains(test.args, "--flop") && !(r.Programs[1].Least > 0 && r.Programs[0].Least > 2*r.Programs[1].Least) {
			t.Errorf("%+v: least times %v and %v", test, r.Programs[0].Least, r.Programs[1].Least)
		}
		if len(r.Programs) != 2 || (len(r.Faults) > 0) != (code != 0) {
			t.Errorf("%+v: %+v", test, r)
			continue
		}
		step, evaluation := r.Programs[0], r.Programs[1]
		if convolutions(step) != 3*7-1 || convolutions(evaluation) != 7 || step.Kernels <= step.Chain || step.Bytes <= 2*evaluation.Bytes ||
			step.Memory <= evaluation.Memory || evaluation.FLOP <= 0 || step.FLOP < 2*evaluation.FLOP || step.Launches > 0 != (code != 0) {
			t.Errorf("%+v: %+v", test, r)
		}
	}
}
