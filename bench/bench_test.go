package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/needs"
	"nb201/internal/npy"
	"nb201/internal/schematest"
	"nb201/internal/usage"
	"nb201/train"
)

// TestMain makes the test binary a side, whose behaviour fakeSide determines.
func TestMain(m *testing.M) {
	checked := schematest.Watch()
	if behaviour := os.Getenv(fakeSide); behaviour != "" {
		do := func() error { return fake(behaviour, os.Stdin, os.Stdout) }
		if behaviour == "real" {
			do = func() error { return nb201Side(context.Background(), os.Stdin, os.Stdout) }
		}
		if err := do(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(checked(m.Run()))
}

const (
	fakeSide = "NB201_BENCH_FAKE_SIDE"
	// workFile names the file to which fakes append a line for everything they do.
	workFile = "NB201_BENCH_FAKE_WORK"
)

// fake is a side that reports made-up times: turn n takes n seconds, or twice that if slow, and its
// evaluation half of that.
func fake(behaviour string, in io.Reader, out io.Writer) error {
	words, reports := json.NewDecoder(in), json.NewEncoder(out)
	factor, loss := 1.0, 2.5
	switch behaviour {
	case "unable":
		return fmt.Errorf("no such device")
	case "slow":
		factor = 2
	case "other":
		loss = 2.6
	case "close":
		loss = 2.5 * (1 + 1e-4)
	}
	for {
		var task Task
		switch err := words.Decode(&task); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		for turn := range task.Turns {
			if behaviour == "hangs" || behaviour == "stalls" && turn == 3 {
				child := exec.Command("sleep", "60")
				child.Stdout = os.Stdout // keeps the pipe open after its parent has ended
				return child.Run()
			}
			if err := work("turn"); err != nil {
				return err
			}
			cost := Cost{factor * float64(turn), float64(turn)}
			report := Report{Train: cost, Eval: Cost{cost.Seconds / 2, cost.CPU / 2}}
			if turn == 0 {
				report = Report{Train: Cost{30, 60}, Loss: loss}
			}
			if err := reports.Encode(report); err != nil {
				return err
			}
			if behaviour == "dies" && turn == 1 {
				return fmt.Errorf("a warning\nRuntimeError: out of memory\na hint")
			}
			var word string
			if err := words.Decode(&word); err != nil {
				return err
			}
			if last := turn == task.Turns-1; last != (word == "finish") {
				return fmt.Errorf("%q after turn %d of %d", word, turn+1, task.Turns)
			}
		}
		if err := work("closing"); err != nil {
			return err
		}
		if err := reports.Encode(Closing{PeakRSS: 3 << 30, Versions: []string{"Fake 1", behaviour}}); err != nil {
			return err
		}
	}
}

// work takes 20 ms and appends a line to the file of workFile, if that is set.
func work(what string) error {
	path := os.Getenv(workFile)
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	began := time.Now()
	time.Sleep(20 * time.Millisecond)
	_, err = fmt.Fprintln(f, what, began.UnixNano(), time.Now().UnixNano())
	return err
}

// interval is a piece of work of a fake, with its times in nanoseconds.
type interval struct {
	what       string
	began, end int64
}

// workOf returns the work of the fakes, sorted by the time at which it began.
func workOf(t *testing.T, path string) []interval {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []interval
	for line := range strings.Lines(string(text)) {
		var i interval
		if _, err := fmt.Sscan(line, &i.what, &i.began, &i.end); err != nil {
			t.Fatal(err)
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b interval) int { return cmp.Compare(a.began, b.began) })
	return all
}

// fakes returns a side for each behaviour.
func fakes(t *testing.T, behaviours ...string) []side {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var sides []side
	for _, b := range behaviours {
		sides = append(sides, side{name: b, command: []string{"env", fakeSide + "=" + b, self}})
	}
	return sides
}

// compete lets fakes take turns on the first architecture and dataset of o.
func compete(t *testing.T, o *stepOptions, s *Setting, behaviours ...string) ([]stepRow, error) {
	t.Helper()
	programs := o.programsOf(fakes(t, behaviours...)...)
	defer stopAll(programs)
	return o.contest(t.Context(), programs, o.archs[0], o.datasets[0], Peaks{1, 1}, s, func([]stepRow) error { return nil })
}

// flags returns the options of step for a small network.
func flags(t *testing.T) *stepOptions {
	t.Helper()
	o := &stepOptions{common: common{channels: 4, cells: 1, batch: 8, device: "cpu", precision: "fp32", archs: []cell.Arch{medianArch()}}, steps: 2, rounds: 5}
	for _, key := range []string{"cifar10", "ImageNet16-120"} {
		d, err := data.Published(key)
		if err != nil {
			t.Fatal(err)
		}
		o.datasets = append(o.datasets, d)
	}
	return o
}

func TestContest(t *testing.T) {
	o := flags(t)
	table := newTable("step", &o.common, stepColumns)
	table.Machine = []string{"A Processor, 2 cores"}
	peaks := Peaks{Bandwidth: 1e9, FLOP: math.Inf(1)}
	programs := o.programsOf(fakes(t, "slow", "quick", "slow")...)
	defer stopAll(programs)
	for _, d := range o.datasets { // one after another in the same processes
		rows, err := o.contest(t.Context(), programs, o.archs[0], d, peaks, &table.Setting, func([]stepRow) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		table.Rows = append(table.Rows, rows...)
		table.Notes = append(table.Notes, verdict(rows)...)
	}
	for _, i := range []int{1, 4} {
		quick := table.Rows[i]
		if want := (Spread{1.5, 0.5, 2.5}); quick.Train.Seconds != want {
			t.Errorf("row %d: seconds a step %v, want %v", i, quick.Train.Seconds, want)
		}
		if want := (Spread{2, 2, 2}); quick.Train.Ratio != want || quick.Eval.Ratio != want {
			t.Errorf("row %d: ratios %v and %v, want %v", i, quick.Train.Ratio, quick.Eval.Ratio, want)
		}
		network := o.network(o.archs[0], o.datasets[i/3])
		limit := network.TrainingPasses(8, 4).Traffic().Total() / 1e9
		if got := quick.Train.Share; math.Abs(got-limit/1.5) > 1e-9 {
			t.Errorf("row %d: share %v of a limit of %v s in 1.5 s", i, got, limit)
		}
		if want := (Cost{30 - 4.5, 60 - 4.5}); quick.FirstTurn != want || quick.RSS != 3<<30 || quick.FirstLoss != 2.5 {
			t.Errorf("row %d: first turn %v, want %v; peak RSS %v, first loss %v", i, quick.FirstTurn, want, quick.RSS, quick.FirstLoss)
		}
	}
	if want := []string{"Fake 1", "slow", "quick"}; !slices.Equal(table.Versions, want) {
		t.Errorf("versions %v, want %v", table.Versions, want)
	}
	text := table.Markdown()
	for _, want := range []string{
		"Architecture 14452, images of ImageNet16-120: nb201's step takes 2.00 times as long as that of quick",
		"| 14452 | cifar10 | quick | 1.5 (0.5-2.5) |",
		"A Processor, 2 cores",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}

	o.save = filepath.Join(t.TempDir(), "results")
	if err := table.publish(&o.common); err != nil {
		t.Fatal(err)
	}
	saved, err := filepath.Glob(filepath.Join(o.save, "*-A-Processor-step-fp32.*"))
	if err != nil || len(saved) != 2 {
		t.Errorf("saved %v, %v", saved, err)
	}
}

// A side that fails is skipped from then on, and the table says why. Its completed turns count.
func TestContestFails(t *testing.T) {
	for behaviour, want := range map[string]struct {
		rows    int
		skipped string
	}{
		"unable": {2, "unable on architecture 14452, images of cifar10, after 0 of 5 turns: unable: no such device"},
		"other":  {2, "they do not train the same network"},
		"close":  {2, "they do not train the same network"},
		"dies":   {3, "after 1 of 5 turns: dies: RuntimeError: out of memory"},
		"hangs":  {2, "after 0 of 5 turns: hangs: no answer within 3s, the limit of a side (--side-limit)"},
		"stalls": {3, "after 2 of 5 turns: stalls: no answer within 3s"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			o := flags(t)
			o.sideLimit = 3 * time.Second
			if behaviour != "hangs" && behaviour != "stalls" {
				o.sideLimit = 0
			}
			var s Setting
			rows, err := compete(t, o, &s, "quick", behaviour, "slow")
			if err != nil || len(rows) != want.rows || len(s.Skipped) != 1 || !strings.Contains(s.Skipped[0], want.skipped) {
				t.Fatalf("%d rows, skipped %q, %v; want %+v", len(rows), s.Skipped, err, want)
			}
			if slow := rows[len(rows)-1]; slow.Side != "slow" || len(slow.Train.Ratios) != 5 || slow.Train.Ratio.Median != 0.5 {
				t.Errorf("the last row is %+v", slow)
			}
		})
	}
}

// When nb201's side fails, the others continue, and the command fails at the end.
func TestContestWithoutUs(t *testing.T) {
	var s Setting
	rows, err := compete(t, flags(t), &s, "dies", "slow")
	if err == nil || len(rows) != 2 || len(rows[0].Train.Turns) != 1 || len(rows[1].Train.Turns) != 5 || len(rows[1].Train.Ratios) != 1 {
		t.Errorf("%+v, %v", rows, err)
	}
	rows, err = compete(t, flags(t), &s, "unable", "slow")
	if err == nil || len(rows) != 1 || rows[0].Side != "slow" || rows[0].Train.Seconds.Median != 3 || len(verdict(rows)) != 0 {
		t.Errorf("%+v, %v", rows, err)
	}
}

// On a GPU, first losses may differ by more, and the table states the deviation.
func TestDeviations(t *testing.T) {
	o := flags(t)
	o.device = "cuda"
	rows, err := compete(t, o, &Setting{}, "quick", "close")
	want := "Architecture 14452, images of cifar10: the first losses deviate from quick's by close +1.0e-04 (relative)."
	if got := deviations(rows); err != nil || !slices.Equal(got, []string{want}) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	var s Setting
	if rows, err := compete(t, o, &s, "quick", "other"); err != nil || len(rows) != 1 || len(s.Skipped) != 1 {
		t.Errorf("a loss that differs too much: %d rows, skipped %q, %v", len(rows), s.Skipped, err)
	}
}

// While a side takes its turn, the others idle, even those that have finished their last turn.
func TestNobodyDisturbs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work")
	t.Setenv(workFile, path)
	if _, err := compete(t, flags(t), &Setting{}, "quick", "slow", "quick"); err != nil {
		t.Fatal(err)
	}
	all := workOf(t, path)
	if len(all) != 3*8 {
		t.Fatalf("%d pieces of work, want 7 turns and a closing of 3 sides", len(all))
	}
	for i, one := range all[1:] {
		if one.began < all[i].end {
			t.Errorf("a %s began %d ns before the end of a %s", one.what, all[i].end-one.began, all[i].what)
		}
	}
}

// Processes that take their turns at the same time close one after another, after all turns.
func TestNobodyDisturbsTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work")
	t.Setenv(workFile, path)
	o := &severalOptions{stepOptions: *flags(t)}
	if _, err := o.measureTogether(t.Context(), fakes(t, "quick")[0], 3, o.archs[0], o.datasets[0], t.TempDir(), &Setting{}); err != nil {
		t.Fatal(err)
	}
	all := workOf(t, path)
	closings := all[3*6:]
	end := int64(0)
	for _, turn := range all[:3*6] {
		end = max(end, turn.end)
	}
	for _, one := range closings {
		if one.what != "closing" || one.began < end {
			t.Errorf("a %s began %d ns before the end of the work before it", one.what, end-one.began)
		}
		end = one.end
	}
}

// After the report of a turn, nb201's side idles until it gets a word. So do the other sides, if the
// environment names a Python for them. With -short there are no others.
func TestIdle(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sides := []side{{name: "nb201", command: []string{"env", fakeSide + "=real", self}}}
	if python := needs.PythonIfSet(t); python != "" && needs.IsLong() {
		sides = append(sides, side{name: "PyTorch", command: []string{python, "-c", torchSide}, mode: "channels_last"})
	}
	if python := os.Getenv("NB201_JAX_PYTHON"); python != "" && needs.IsLong() {
		sides = append(sides, side{name: "JAX", command: []string{python, "-c", jaxSide}, mode: "jax"})
	}
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			o := flags(t)
			o.batch, o.channels, o.steps = train.LatencyBatch, 16, 1 // so that the trial measures the latency at the end
			task := o.newTask(o.archs[0], o.datasets[1], o.steps, 1)
			if err := task.writeFiles(t.TempDir()); err != nil {
				t.Fatal(err)
			}
			p := o.programsOf(s)[0]
			defer p.stop()
			if err := errors.Join(p.begin(t.Context(), task), p.turn()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // until the threads of the turn sleep
			before := cpuTicks(t, p.cmd.Process.Pid)
			time.Sleep(500 * time.Millisecond)
			if used := cpuTicks(t, p.cmd.Process.Pid) - before; used > 2 {
				t.Errorf("the idle side used %d CPU ticks of 10 ms in half a second", used)
			}
			if err := p.finish(); err != nil || len(p.closing.Versions) == 0 {
				t.Errorf("%+v, %v", p.closing, err)
			}
		})
	}
}

// The sides train the same network of an architecture of either space.
func TestSameNetwork(t *testing.T) {
	needs.Long(t, "trains in PyTorch")
	python := needs.Python(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ours := side{name: "nb201", command: []string{"env", fakeSide + "=real", self}}
	theirs := []side{{name: "PyTorch", command: []string{python, "-c", torchSide}, mode: "channels_last"}}
	if python := os.Getenv("NB201_JAX_PYTHON"); python != "" {
		theirs = append(theirs, side{name: "JAX", command: []string{python, "-c", jaxSide}, mode: "jax"})
	}
	o := flags(t)
	programs := o.programsOf(append([]side{ours}, theirs...)...)
	defer stopAll(programs)
	for _, arch := range []string{"median", "8:8:8:16:16", "24:16:8:8:16"} {
		a, err := resolveArch(arch)
		if err != nil {
			t.Fatal(err)
		}
		task := o.newTask(a, o.datasets[1], 1, 0)
		if err := task.writeFiles(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		for _, p := range programs {
			if err := errors.Join(p.begin(t.Context(), task), p.finish(), p.checkSameLoss(programs[0], "cpu", "fp32")); err != nil {
				t.Errorf("%s: %v", arch, err)
			}
		}
	}
}

// cpuTicks returns the CPU time of a process, user and system, in kernel ticks.
func cpuTicks(t *testing.T, pid int) (ticks int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	needs.System(t, err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')'):])) // the name before it may hold spaces
	for _, f := range fields[12:14] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return ticks
}

// A table is saved after each row, and the file is whole at any moment.
func TestRowsAsTheyCome(t *testing.T) {
	t.Setenv(fakeSide, "quick") // nb201's side
	o := flags(t)
	o.archs, o.datasets = append(o.archs, cell.Cell{}), o.datasets[:1]
	o.save, o.peaksFile = filepath.Join(t.TempDir(), "tables"), filepath.Join(t.TempDir(), "peaks.json")
	described := describeMachine(o.device)
	kept, err := json.Marshal([]keptPeaks{{o.device + ", " + described[len(described)-1], o.precision, Peaks{1, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.peaksFile, kept, 0o666); err != nil {
		t.Fatal(err)
	}
	o.sides = fakes(t, "hangs") // forever, as there is no limit
	o.sides[0].command = append([]string{filepath.Join(t.TempDir(), "python")}, o.sides[0].command...)
	// A fake Python that can import anything.
	if err := os.WriteFile(o.sides[0].command[0], []byte("#!/bin/sh\n[ \"$1\" = -c ] || exec \"$@\"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := o.measure(ctx)
		ended <- err
	}()
	var saved struct {
		Partial bool
		Rows    []stepRow
	}
	for deadline := time.Now().Add(20 * time.Second); len(saved.Rows) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no row was saved during the first turn of the second side")
		}
		files, _ := filepath.Glob(filepath.Join(o.save, "*-step-fp32.json"))
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err == nil {
				err = json.Unmarshal(text, &saved)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if !saved.Partial || saved.Rows[0].FirstLoss != 2.5 || saved.Rows[0].Cold <= 0 {
		t.Errorf("saved %+v", saved)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("a measurement that was stopped returned no error")
	}
}

// The stderr of a side is kept in a file that the table names.
func TestStderr(t *testing.T) {
	o := flags(t)
	o.command, o.save = "step", filepath.Join(t.TempDir(), "tables")
	var s Setting
	for n, want := range []string{"stderr-step-dies.txt", "stderr-step-dies-2.txt"} {
		if _, err := compete(t, o, &s, "quick", "dies"); err != nil {
			t.Fatal(err)
		}
		want = filepath.Join(o.save, want)
		if !strings.HasSuffix(s.Skipped[n], "dies: RuntimeError: out of memory (all of it in "+want+")") {
			t.Errorf("skipped %q, want %s named", s.Skipped[n], want)
		}
		if text, err := os.ReadFile(want); err != nil || string(text) != "a warning\nRuntimeError: out of memory\na hint\n" {
			t.Errorf("%s contains %q, %v", want, text, err)
		}
	}
	if files, err := os.ReadDir(o.save); err != nil || len(files) != 2 {
		t.Errorf("files %v, %v, want those of the side that wrote something", files, err)
	}
}

// The cases are real ends of the stderr of XLA, JAX, PyTorch and our programs.
func TestErrorLineOf(t *testing.T) {
	for _, c := range []struct{ stderr, want string }{
		{"", ""},
		{"only words\n\n", "only words"},
		{`E1128 03:33:56.727671    9916 cuda_platform.cc:57] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)
=== Source Location Trace: ===
external/xla+/xla/stream_executor/cuda/cuda_status.cc:50

nb201: cannot load the XLA plugin /p/xla_cuda_plugin.so: while creating plugin: PJRT error (code=9): No visible GPU devices.
`, "nb201: cannot load the XLA plugin /p/xla_cuda_plugin.so: while creating plugin: PJRT error (code=9): No visible GPU devices."},
		{`bench: PJRT error (code=13): Failed to get configs for: 3 out of 3 instructions. See logs for all failures. Example failure: 
No supported config found for HLO: %gemm_fusion_dot.3 = f32[256,10]{1,0} fusion(%get-tuple-element.695, %bitcast.926.0), kind=kCustom
 - INVALID_ARGUMENT: Cannot get default cuDNN config: not supported by cuDNN fusion.
 - UNIMPLEMENTED: TritonBackend does not support a default config.
=== Source Location Trace: ===
external/xla+/xla/backends/autotuner/config_assigner.cc:483

`, "PJRT error (code=13): Failed to get configs for: 3 out of 3 instructions. See logs for all failures. Example failure: No supported config found for HLO: %gemm_fusion_dot.3 = f32[256,10]{1,0} fusion(%get-tuple-element.695, %bitcast.926.0), kind=kCustom"},
		{`E1128 03:35:23.218849   12500 config_assigner.cc:536] Could not get config for HLO: %gemm_fusion_dot.5
 - UNIMPLEMENTED: FissionBackend does not support a default config.
=== Source Location Trace: ===
external/xla+/xla/backends/autotuner/config_assigner.cc:483
external/xla+/xla/backends/autotuner/autotuner.cc:120
`, " - UNIMPLEMENTED: FissionBackend does not support a default config."},
		{`  File "/p/jax/_src/compiler.py", line 379, in backend_compile_and_load
    return backend.compile(  # pyrefly: ignore[bad-return]
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
jax.errors.JaxRuntimeError: INTERNAL: libdevice not found at ./libdevice.10.bc
=== Source Location Trace: ===
external/xla+/xla/service/gpu/llvm_gpu_backend/nvptx_backend.cc:310
`, "jax.errors.JaxRuntimeError: INTERNAL: libdevice not found at ./libdevice.10.bc"},
		{`    out = lax.dot_general(
          ^^^^^^^^^^^^^^^^
TypeError: dot_general requires contracting dimensions to have the same shape, got (3,) and (2,).
--------------------
For simplicity, JAX has removed its internal frames from the traceback of the following exception. Set JAX_TRACEBACK_FILTERING=off to include these.
`, "TypeError: dot_general requires contracting dimensions to have the same shape, got (3,) and (2,)."},
		{`torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')

Set TORCHDYNAMO_VERBOSE=1 for the full Dynamo stack trace (please do this especially if you're reporting a bug to PyTorch). For even more developer context, set TORCH_LOGS="+dynamo"

`, "torch._inductor.exc.InductorError: InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')"},
		{`RuntimeError: jaxlib/cuda/versions_helpers.cc:135: operation cuInit(0) failed: Unknown CUDA error 303
Traceback (most recent call last):
    assert _default_backend is not None
AssertionError
`, "AssertionError"},
		{`F1128 03:35:23.218849   12500 parse_flags_from_env.cc:234] Unknown flag in XLA_FLAGS: --xla_gpu_nonsense
Perhaps you meant to specify these on the TF_XLA_FLAGS envvar?
`, "F1128 03:35:23.218849   12500 parse_flags_from_env.cc:234] Unknown flag in XLA_FLAGS: --xla_gpu_nonsense"},
		{"bench: " + strings.Repeat("x", 600), strings.Repeat("x", 500) + "..."},
	} {
		if got := errorLineOf(c.stderr); got != c.want {
			t.Errorf("of\n%s\nchose %q, want %q", c.stderr, got, c.want)
		}
	}
}

// Peaks are measured once per device and precision.
func TestPeaksFile(t *testing.T) {
	o := flags(t)
	o.peaksFile = filepath.Join(t.TempDir(), "peaks.json")
	t.Setenv(fakeSide, "unable") // so that a measurement fails
	if _, err := o.peaks(t.Context()); err == nil {
		t.Fatal("peaks without a measurement")
	}
	described := describeMachine(o.device)
	here := o.device + ", " + described[len(described)-1]
	kept, err := json.Marshal([]keptPeaks{{here, "bf16", Peaks{1, 2}}, {"cuda, another", "fp32", Peaks{3, 4}}, {here, "fp32", Peaks{5, 6}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.peaksFile, kept, 0o666); err != nil {
		t.Fatal(err)
	}
	if p, err := o.peaks(t.Context()); err != nil || p != (Peaks{5, 6}) {
		t.Errorf("kept peaks are read as %v, %v", p, err)
	}
	o.precision = "tf32"
	if p, err := o.peaks(t.Context()); err == nil {
		t.Errorf("peaks of another precision: %v", p)
	}
	if err := os.WriteFile(o.peaksFile, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := o.peaks(t.Context()); !usage.Is(err) {
		t.Errorf("a damaged file: %v", err)
	}
}

// The imports of a side are tried once per Python, however many sides use it, and so is torch.compile.
func TestOneImport(t *testing.T) {
	dir := t.TempDir()
	python, starts := filepath.Join(dir, "python"), filepath.Join(dir, "starts")
	if err := os.WriteFile(python, []byte("#!/bin/sh\necho \"$2\" >>"+starts+"\n[ \"$2\" != 'import jax, numpy' ]\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	o := flags(t)
	for _, mode := range []string{"channels_last", "contiguous", "jax", "compile"} {
		o.sides = append(o.sides, side{name: mode, mode: mode, command: []string{python}})
	}
	var s Setting
	able := o.usablePythonSides(t.Context(), &s)
	if text, err := os.ReadFile(starts); err != nil ||
		string(text) != "import torch, xautodl\nimport jax, numpy\nimport torch, xautodl; torch.compile(lambda x: x + 1)(torch.ones(8, device=\"cpu\"))\n" {
		t.Errorf("started for %q, %v", text, err)
	}
	if len(able) != 3 || len(s.Skipped) != 1 || s.Skipped[0] != "jax: "+python+": exit status 1" {
		t.Errorf("%d sides, skipped %q", len(able), s.Skipped)
	}
}

func TestTogether(t *testing.T) {
	o := &severalOptions{stepOptions: *flags(t)}
	row, err := o.measureTogether(context.Background(), fakes(t, "quick")[0], 3, o.archs[0], o.datasets[0], t.TempDir(), &Setting{})
	if err != nil || row.Processes != 3 || len(row.Turns) != 5 || row.RSS != 9<<30 || row.ImagesPerSecond.Min <= 0 {
		t.Errorf("%+v, %v", row, err)
	}
}

// several skips a side that fails; if it is nb201's, the command fails.
func TestSeveralFails(t *testing.T) {
	for ours, c := range map[string]struct {
		rows  int
		fails bool
	}{"quick": {2, false}, "dies": {0, true}} {
		t.Setenv(fakeSide, ours)
		o := &severalOptions{stepOptions: *flags(t), processes: []int{1, 2}}
		o.datasets = o.datasets[:1]
		o.sides = []side{{name: "PyTorch", command: []string{"true"}}} // reports nothing
		table, err := o.measure(t.Context())
		if (err != nil) != c.fails || len(table.Rows) != c.rows || !strings.Contains(strings.Join(table.Skipped, "\n"), "1 processes of PyTorch: PyTorch: it ended without an answer") {
			t.Errorf("%s: %d rows, skipped %q, %v", ours, len(table.Rows), table.Skipped, err)
		}
	}
}

func TestNoPyTorch(t *testing.T) {
	o := flags(t)
	o.sides = []side{{name: "PyTorch", command: []string{filepath.Join(t.TempDir(), "python3")}}}
	var s Setting
	if able := o.usablePythonSides(t.Context(), &s); len(able) != 0 || len(s.Skipped) != 1 {
		t.Errorf("a missing Python has PyTorch: %q", s.Skipped)
	}
}

// Invalid flags give exit code 2.
func TestWrongUsage(t *testing.T) {
	for _, wrong := range []string{
		"several --processes 1,0", "step --side-limit -1s", "step --archs 15625", "step --batch 0", "step --rounds 0", "step --steps -1", "step --modes fast", "step --precision fp64",
		"step --device tpu", "step --nonsense", "step more", "nonsense", "trial --modes jax", "trial --epochs 0", "trial --dataset nonsense", "trial --arch 8:8", "step --archs 8:8:8:8:9",
		"sample --archs 2", "sample --datasets cifar10", "several --processes none", "campaign --archs 0", "compile --datasets digits",
		"limits --bandwidth 3e12", "limits --flop 60e12", "limits --bandwidth 3e12 --flop -1", "limits --bandwidth 0 --flop 0", "limits --bandwidth NaN --flop 1",
		"kernels --gpus h100,b200", "kernels --flop 1", "kernels --datasets digits",
	} {
		if code := run(t.Context(), strings.Fields(wrong)); code != 2 {
			t.Errorf("%s: exit code %d", wrong, code)
		}
	}
}

// The limit is the sum of the least times of the passes, not the longer of two sums.
func TestLimit(t *testing.T) {
	got := Peaks{Bandwidth: 2, FLOP: 10}.limit(cell.Passes{{Maps: 4, FLOP: 10}, {Maps: 1, Parameters: 1, FLOP: 50}, {Maps: 2}, {FLOP: 20}})
	if want := (Limit{Bytes: 8, GFLOP: 80 / 1e9, Seconds: 2 + 5 + 1, Arithmetic: 5}); math.Abs(got.GFLOP-want.GFLOP) > 1e-18 || got.Bytes != want.Bytes || got.Seconds != want.Seconds || got.Arithmetic != want.Arithmetic {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// When the peaks are given, no device is opened.
func TestLimitsOfPeaksGiven(t *testing.T) {
	o := &limitsOptions{common: flags(t).common, given: Peaks{Bandwidth: 3e12, FLOP: 60e12}}
	o.device = "cuda"
	o.archs = append(o.archs, cell.Cell{}) // its evaluation computes nothing
	table, err := o.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := table.Markdown()
	for _, want := range []string{
		"fp32, for the given peaks.",
		"Given: memory 3000 GB/s, arithmetic 60 TFLOP/s.",
		"| 14452 | ImageNet16-120 | 0.0",
		"All 15625 architectures of the topology search space, training and evaluation at this limit",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") {
		t.Error(text)
	}
}

func TestMedian(t *testing.T) {
	if a := medianArch(); a.Index() != 14452 {
		t.Errorf("architecture %d, but help and README say 14452", a.Index())
	}
}

// Records that are written can be read back, and those of a split are in its order.
func TestRecords(t *testing.T) {
	const size = 4
	images := imagesOf(noise(3, size, 120), size)
	var written bytes.Buffer
	if err := writeRecords(&written, &data.Split{Images: images, Indices: []int32{2, 0}}); err != nil {
		t.Fatal(err)
	}
	got := imagesOf(written.Bytes(), size)
	if n := 3 * size * size; !slices.Equal(got.Labels, []int32{images.Labels[2], images.Labels[0]}) ||
		!slices.Equal(got.Pixels, slices.Concat(images.Pixels[2*n:], images.Pixels[:n])) {
		t.Errorf("%v are read back as %v", images, got)
	}
}

// The JAX side gets the initial weights by their names in the state dict.
func TestWeights(t *testing.T) {
	o := flags(t)
	task := o.newTask(o.archs[0], o.datasets[0], 1, 1)
	if err := task.writeFiles(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	set, err := npy.OpenSet(task.Weights)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	n := 0
	for _, w := range o.network(o.archs[0], o.datasets[0]).Tensors() {
		if w.Role == cell.BNCount {
			continue
		}
		n++
		a, err := set.Open(w.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Shape, w.Shape) {
			t.Errorf("%s has shape %v, want %v", w.Name, a.Shape, w.Shape)
		}
	}
	if len(set.Names()) != n {
		t.Errorf("%d arrays, want %d", len(set.Names()), n)
	}
}

// A quantity that is linear in FLOPs is estimated without error, and so is any quantity measured on
// all architectures.
func TestEstimate(t *testing.T) {
	o := flags(t)
	flops := func(a cell.Arch) float64 {
		return cell.Network{Arch: a, Channels: 4, Cells: 1, Classes: 10, Size: 32}.FLOPs()
	}
	want := 0.0
	var all []cell.Arch
	var squares []float64
	wantSquares := 0.0
	for _, a := range (cell.Topology{}).All() {
		want += 3 + 2*flops(a)
		all, squares = append(all, a), append(squares, flops(a)*flops(a))
		wantSquares += flops(a) * flops(a)
	}
	some := drawArchs(20)
	var y []float64
	for _, a := range some {
		y = append(y, 3+2*flops(a))
	}
	if e := estimateTotal(&o.common, some, y); e.By != "FLOPs" || math.Abs(e.Total/want-1) > 1e-9 || e.StdError > 1e-6*want {
		t.Errorf("%+v, want %v by FLOPs", e, want)
	}
	if e := estimateTotal(&o.common, all, squares); math.Abs(e.Total/wantSquares-1) > 1e-9 || e.StdError != 0 {
		t.Errorf("of all: %+v, want %v", e, wantSquares)
	}
	if e := regress(make([]float64, 3), []float64{1, 2, 3}, 0); e.Total != 2*cell.Topologies || math.Abs(e.StdError/cell.Topologies-math.Sqrt(1.0/3)) > 1e-3 {
		t.Errorf("of 1, 2, 3: %+v", e)
	}
}

// The whole benchmark, from rows of one second per step and no time for evaluation.
func TestExtrapolate(t *testing.T) {
	o := &sampleOptions{stepOptions: *flags(t)}
	var rows []sampleRow
	for _, a := range drawArchs(3) {
		for _, key := range []string{"cifar10", "ImageNet16-120"} {
			rows = append(rows, sampleRow{Arch: a.Index(), Dataset: key, Side: "nb201", Train: 1, Compile: 3600})
		}
	}
	e := o.extrapolate(rows)[0]
	images := 0
	for _, key := range configs.BenchmarkKeys() {
		d, _ := configs.FindDataset(key)
		images += d.Train
	}
	want := 200 * float64(images) / 8 / 3600 * cell.Topologies
	if math.Abs(e.Seed200.Total/want-1) > 1e-9 || e.Seed200.StdError > 1e-9*want || e.Compile.Total != 4*cell.Topologies || e.Archs != 3 {
		t.Errorf("%+v, want %v hours a seed", e, want)
	}
	published := want*3 + want/200*12 + 12*25000.0/8/3600*cell.Topologies
	if math.Abs(e.Published.Total/published-1) > 1e-9 {
		t.Errorf("published: %v, want %v", e.Published, published)
	}
	more := sampleRow{Arch: drawArchs(4)[3].Index(), Dataset: "cifar10", Side: "nb201", Train: 100}
	if with := o.extrapolate(append(rows, more))[0]; with != e {
		t.Errorf("with an architecture that failed at one size: %+v, want %+v", with, e)
	}
	if few := o.extrapolate(rows[:4]); len(few) != 0 {
		t.Errorf("from two architectures: %+v", few)
	}
}

// A sample resumes from the lines of its state file that have the same setting.
func TestState(t *testing.T) {
	o := &sampleOptions{stepOptions: *flags(t), state: filepath.Join(t.TempDir(), "a", "state.jsonl")}
	kept := sampleState{o.setting(), Peaks{1, 2}, []sampleRow{{Arch: 14452, Train: 3}}}
	for range 2 {
		if err := o.appendState(kept); err != nil {
			t.Fatal(err)
		}
	}
	states, err := o.readState()
	if err != nil || len(states) != 2 {
		t.Fatalf("%v, %v", states, err)
	}
	if rows, found := findRows(states, medianArch()); !found || rows[0] != kept.Rows[0] {
		t.Errorf("%v is read back as %v", kept.Rows, rows)
	}
	o.batch++
	if states, err := o.readState(); err != nil || len(states) != 0 {
		t.Errorf("another batch size: %v, %v", states, err)
	}
}

// TestSide carries out two tasks with the real side of nb201.
func TestSide(t *testing.T) {
	t.Setenv(keptPrograms, t.TempDir()) // for the second task
	const turns = 2
	o := flags(t)
	o.archs[0] = cell.Cell{} // quick to compile
	dir := t.TempDir()
	var in, out strings.Builder
	words := json.NewEncoder(&in)
	task := o.newTask(o.archs[0], o.datasets[1], o.steps, turns-1)
	if err := task.writeFiles(dir); err != nil {
		t.Fatal(err)
	}
	for _, word := range []any{task, "go", "finish", task, "go", "finish"} {
		if err := words.Encode(word); err != nil {
			t.Fatal(err)
		}
	}
	if err := nb201Side(context.Background(), strings.NewReader(in.String()), &out); err != nil {
		t.Fatal(err)
	}
	reports := json.NewDecoder(strings.NewReader(out.String()))
	for range 2 {
		var got [turns]Report
		var closing Closing
		for _, r := range []any{&got[0], &got[1], &closing} {
			if err := reports.Decode(r); err != nil {
				t.Fatal(err)
			}
		}
		first, second := got[0], got[1]
		if first.Loss < 1 || first.Loss > 8 || second.Loss != 0 {
			t.Errorf("losses %v and %v", first.Loss, second.Loss)
		}
		if second.Train.Seconds <= 0 || second.Eval.Seconds <= 0 || second.Train.Seconds >= first.Train.Seconds ||
			closing.Compile <= 0 || closing.Compile >= first.Train.Seconds+first.Eval.Seconds {
			t.Errorf("a cold turn %+v, then %+v, compiling took %v s", first, second, closing.Compile)
		}
		if closing.PeakRSS < 1<<20 || len(closing.Versions) < 3 {
			t.Errorf("peak RSS %d, versions %v", closing.PeakRSS, closing.Versions)
		}
	}
}

// TestCompileOne compiles the programs of a trial, which have different names.
func TestCompileOne(t *testing.T) {
	t.Setenv(keptPrograms, "off")
	o := flags(t)
	o.archs[0] = cell.Cell{} // quick to compile
	task := compileTask{o.newTask(o.archs[0], o.datasets[1], 1, 0), 2*o.batch + 3}
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := compileOne(context.Background(), bytes.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	var got compiled
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range got.Programs {
		names = append(names, p.Name)
		if p.Seconds <= 0 || p.CPU <= 0 {
			t.Errorf("%+v", p)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(got.Programs) || len(names) < 2 {
		t.Errorf("programs %v", names)
	}
}

// runToEnd enforces its limit, also on processes that the command has started.
func TestRunToEnd(t *testing.T) {
	o := flags(t)
	began := time.Now()
	_, _, _, err := o.runToEnd(t.Context(), job{
		name: "sleeper", device: "cpu", limit: time.Second,
		command: []string{"sh", "-c", "echo bench: at work >&2; sleep 60 & wait"},
	})
	want := "no answer within 1s, the limit of a side (--side-limit); it wrote last: at work"
	if err == nil || err.Error() != want || time.Since(began) > 20*time.Second {
		t.Errorf("%v after %v, want %s", err, time.Since(began), want)
	}
	_, _, _, err = o.runToEnd(t.Context(), job{name: "dead", device: "cpu", command: []string{"sh", "-c", "echo bench: at work >&2; kill -SEGV $$"}})
	if err == nil || !strings.HasPrefix(err.Error(), "signal: segmentation fault") || !strings.HasSuffix(err.Error(), "it wrote last: at work") {
		t.Errorf("a process that crashed: %v", err)
	}
}

// A side that fails in a trial is skipped, and the rows of the others stay.
func TestTrialFails(t *testing.T) {
	o := &trialOptions{common: flags(t).common, rounds: 2}
	run := func(err error) func(context.Context, int) (trialRun, error) {
		return func(_ context.Context, round int) (trialRun, error) {
			if round == 1 && err != nil {
				return trialRun{}, err
			}
			return trialRun{Cost: Cost{Seconds: 6}, Train: 3}, nil
		}
	}
	for _, c := range []struct {
		ours, theirs error
		runs         [2]int
		fails        bool
	}{
		{nil, errors.New("out of memory"), [2]int{2, 1}, false},
		{errors.New("out of memory"), nil, [2]int{1, 2}, true},
	} {
		table := newTable("trial", &o.common, trialColumns)
		sides := []*trialSide{{name: "nb201, cold", ours: true, run: run(c.ours)}, {name: "PyTorch", run: run(c.theirs)}}
		err := o.rotate(t.Context(), sides, table)
		if (err != nil) != c.fails || len(table.Rows) != 2 || len(table.Skipped) != 1 {
			t.Fatalf("%+v: %d rows, skipped %q, %v", c, len(table.Rows), table.Skipped, err)
		}
		for i, r := range table.Rows {
			if len(r.Runs) != c.runs[i] || r.Ratio.Median != 2 {
				t.Errorf("%+v: %+v", c, r)
			}
		}
	}
}

// Of a campaign in progress, only trials with a record have rows.
func TestReadCampaign(t *testing.T) {
	dir := t.TempDir()
	log := "w: architecture 6111 on digits, 2 epochs, seed 777: waited 3.6 s for its programs\n"
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "logs"), 0o777), os.WriteFile(filepath.Join(dir, "logs", "w"), []byte(log), 0o666)); err != nil {
		t.Fatal(err)
	}
	if rows, err := readCampaign(dir, &Setting{}); err != nil || len(rows) != 0 {
		t.Errorf("a trial without a record: %v, %v", rows, err)
	}
}
