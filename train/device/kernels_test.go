package device

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/needs"
	"nb201/internal/plugin"
)

var update = flag.Bool("update", false, "rewrite testdata/kernels.json with what is found")

// kernels counts what a GPU runs for a program compiled by XLA's plugin 0.11.2. Bytes and
// temporary memory are in GB.
type kernels struct {
	Kernels      int     `json:"kernels"`
	Chain        int     `json:"chain"`
	Convolutions string  `json:"convolutions"` // by cuDNN: forward/filter/input/fused
	Own          string  `json:"own"`          // by nb201's kernels: the same
	Bytes        float64 `json:"bytes"`
	Temporary    float64 `json:"temporary"`
}

// own is the end of a task, and of its programs' names, in which programs call nb201's kernels.
const own = " own"

// TestKernels checks what an H100 and an A100 would run: the numbers and kinds of kernels, the bytes
// that they move, and that a whole program, including its loop, is one CUDA graph. It only compiles,
// so it needs no GPU, but the plugin for one, which is a download of 175 MB (nb201 setup --device
// cuda13 --compiler). All of it takes minutes; without NB201_NIGHTLY it compiles one architecture. `make
// gpu-kernels` runs it.
func TestKernels(t *testing.T) {
	if task := os.Getenv("NB201_TEST_KERNELS"); task != "" {
		printKernels(t, task)
		return
	}
	needs.Long(t, "compiles for GPUs")
	found, err := plugin.Compiler()
	needs.Compiler(t, err)
	if found.Source != plugin.FromSetup {
		needs.Compiler(t, fmt.Errorf("%s is not the pinned plugin", found.Path))
	}
	got := map[string]kernels{}
	var group errgroup.Group
	group.SetLimit(2)
	lines := make(chan []byte)
	gpus, archs, precisions := []string{"h100"}, []string{"14452"}, []configs.Precision{configs.FP32}
	all := needs.IsNightly() || *update
	if all {
		gpus, archs, precisions = backend.GPUs(), []string{"0", "14452", "1462", "24:40:56:8:64"}, []configs.Precision{configs.FP32, configs.TF32, configs.BF16}
	}
	var tasks []string
	for _, gpu := range gpus {
		for _, arch := range archs {
			for _, precision := range precisions {
				if precision == configs.TF32 && arch != "14452" || precision != configs.FP32 && gpu == "a100" {
					continue // tf32 has the kernels of fp32, and an A100 hardly other ones than an H100
				}
				tasks = append(tasks, fmt.Sprintf("%s %s %s", gpu, arch, precision))
			}
		}
	}
	tasks = append(tasks, "h100 14452 fp32"+own)
	go func() {
		for _, task := range tasks { // each in its own process, since XLA frees little of its memory
			group.Go(func() error {
				c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKernels$")
				c.Env = append(os.Environ(), "NB201_TEST_KERNELS="+task, backend.FlagsVariable+"=", backend.KernelsVariable+"=", "XLA_FLAGS=")
				if strings.HasSuffix(task, own) {
					c.Env = append(c.Env, backend.KernelsVariable+"="+backend.On)
				}
				var stderr bytes.Buffer
				c.Stderr = &stderr
				out, err := c.Output()
				if err != nil {
					return fmt.Errorf("%s: %w: %s%s", task, err, out, stderr.Bytes())
				}
				lines <- out
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		close(lines)
	}()
	for out := range lines {
		for line := range bytes.Lines(out) {
			if text, ok := bytes.CutPrefix(line, []byte("found ")); ok {
				if err := json.Unmarshal(text, &got); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if t.Failed() {
		return
	}
	path := filepath.Join("testdata", "kernels.json")
	if *update {
		writeKernels(t, path, got)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]kernels
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(want, func(name string, _ kernels) bool {
		return !all && !strings.HasPrefix(name, tasks[0]+" ")
	})
	near := func(a, b float64) bool { return math.Abs(a-b) <= 0.005*b }
	for name, w := range want {
		g := got[name]
		if g.Kernels != w.Kernels || g.Chain != w.Chain || g.Convolutions != w.Convolutions || g.Own != w.Own || !near(g.Bytes, w.Bytes) || !near(g.Temporary, w.Temporary) {
			t.Errorf("%s: %+v, want %+v", name, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d programs, want %d", len(got), len(want))
	}
}

// writeKernels writes one line per program.
func writeKernels(t *testing.T, path string, all map[string]kernels) {
	t.Helper()
	var b bytes.Buffer
	for i, name := range slices.Sorted(maps.Keys(all)) {
		line, err := json.Marshal(all[name])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%c\n%q: %s", "{,"[min(i, 1)], name, line)
	}
	b.WriteString("\n}\n")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// printKernels compiles the programs of "GPU ARCH PRECISION", with or without own behind it, checks what
// must hold for all programs, and prints the rest.
func printKernels(t *testing.T, task string) {
	words := strings.Fields(task)
	gpu, precision := words[0], configs.Precision(words[2])
	found, err := plugin.Compiler()
	if err != nil {
		t.Fatal(err)
	}
	d, err := backend.OpenDeviceless(found, gpu, precision)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	space, ok := cell.SpaceOf(words[1])
	if !ok { // an index
		space = cell.Topology{}
	}
	var n cell.Network
	if n.Arch, err = cell.Resolve(space, words[1]); err != nil {
		t.Fatal(err)
	}
	n.Channels, n.Cells = space.Skeleton()
	all := map[string]kernels{}
	for _, images := range []struct{ size, classes, stored int }{{32, 10, 60000}, {16, 120, 157700}} {
		n.Size, n.Classes = images.size, images.classes
		for _, training := range []bool{true, false} {
			name := fmt.Sprintf("%s %s %dx%d", task, map[bool]string{true: "step", false: "evaluation"}[training], n.Size, n.Size)
			e, err := Examine(t.Context(), d, n, precision, training, 256, images.stored)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, fault := range e.Faults(precision) {
				t.Errorf("%s: %s", name, fault)
			}
			if precision == configs.TF32 && e.Rounded == 0 {
				t.Errorf("%s: no convolution or product may round to TF32", name)
			}
			all[name] = kernels{
				len(e.Kernels), e.Chain, e.Convolutions.String(), e.Own.String(),
				math.Round(float64(e.Bytes())/1e6) / 1e3, math.Round(float64(e.Temporary)/1e6) / 1e3,
			}
		}
	}
	line, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("found %s\n", line)
}
