package programs

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/go-xla/pjrt"

	"nb201/internal/needs"
	xla "nb201/internal/plugin"
)

// client opens the CPU's plugin, which keeps its programs in dir.
func client(t *testing.T, dir string) *pjrt.Client {
	t.Helper()
	found, err := xla.Find(xla.CPU)
	needs.Plugin(t, err)
	if err := Intercept(found.Path, Options{Directory: dir}); err != nil {
		t.Fatal(err)
	}
	p, err := pjrt.GetPlugin(found.Path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.NewClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// source returns a program that maps x to tanh(x) + x + ... + x.
func source(n int) []byte {
	var b strings.Builder
	b.WriteString("func.func @main(%x: tensor<1000xf32>) -> tensor<1000xf32> {\n%0 = stablehlo.tanh %x : tensor<1000xf32>\n")
	for i := range n {
		fmt.Fprintf(&b, "%%%d = stablehlo.add %%%d, %%x : tensor<1000xf32>\n", i+1, i)
	}
	fmt.Fprintf(&b, "return %%%d : tensor<1000xf32>\n}\n", n)
	return []byte(b.String())
}

// run compiles and runs a program.
func run(c *pjrt.Client, source []byte) ([]byte, error) {
	e, err := c.Compile().WithStableHLO(source).Done()
	if err != nil {
		return nil, err
	}
	defer e.Destroy()
	x := make([]byte, 0, 4000)
	for i := range 1000 {
		x = binary.NativeEndian.AppendUint32(x, math.Float32bits(float32(i)/300-1.5))
	}
	in, err := c.BufferFromHost().FromRawData(x, dtypes.Float32, []int{1000}).Done()
	if err != nil {
		return nil, err
	}
	defer in.Destroy()
	out, err := e.Execute(in).Done()
	if err != nil {
		return nil, err
	}
	defer out[0].Destroy()
	y := make([]byte, len(x))
	return y, out[0].ToHost(y)
}

// counts runs a program and returns the numbers of programs that were loaded and compiled for it.
func counts(t *testing.T, c *pjrt.Client, source []byte) (result []byte, loaded, compiled int64) {
	t.Helper()
	l, n := current.loaded.Load(), current.compiled.Load()
	result, err := run(c, source)
	if err != nil {
		t.Fatal(err)
	}
	return result, current.loaded.Load() - l, current.compiled.Load() - n
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	c := client(t, dir)
	want, loaded, compiled := counts(t, c, source(1))
	if loaded != 0 || compiled != 1 {
		t.Fatalf("new: %d loaded, %d compiled", loaded, compiled)
	}
	expect := func(what string, wantLoaded, wantCompiled int64) {
		t.Helper()
		got, loaded, compiled := counts(t, c, source(1))
		if loaded != wantLoaded || compiled != wantCompiled {
			t.Errorf("%s: %d loaded, %d compiled", what, loaded, compiled)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: other numbers", what)
		}
	}
	expect("again", 1, 0)

	paths, err := filepath.Glob(filepath.Join(dir, "*.program"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("files %q, %v", paths, err)
	}
	sound, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(paths[0], int64(len(sound)/2)); err != nil {
		t.Fatal(err)
	}
	expect("damaged", 0, 1)
	expect("after damage", 1, 0)

	// Undamaged files whose content XLA does not accept.
	k := key(sound[len(magic):][:len(key{})])
	for _, text := range []string{"not a program", strings.Repeat("\x00", 1000), "\x0a\xff\xff\xff\xff\x0f"} {
		if err := (store{dir, Limit}).save(k, []byte(text)); err != nil {
			t.Fatal(err)
		}
		expect(fmt.Sprintf("%.20q", text), 0, 1)
		expect("after it", 1, 0)
	}
	if other, loaded, compiled := counts(t, c, source(2)); loaded != 0 || compiled != 1 || slices.Equal(other, want) {
		t.Errorf("another program: %d loaded, %d compiled", loaded, compiled)
	}

	// Another directory, no directory, and the first one again.
	client(t, t.TempDir())
	expect("elsewhere", 0, 1)
	client(t, "")
	expect("nowhere", 0, 0)
	t.Setenv("XLA_FLAGS", "--xla_dump_to=/nowhere")
	client(t, dir)
	expect("dumping", 0, 0)
	t.Setenv("XLA_FLAGS", "")
	client(t, dir)
	expect("back", 1, 0)
}

// A kept program that loads but does not run is compiled again, for this process and the next.
func TestKeptDoesNotRun(t *testing.T) {
	const sum = "func.func @main(%x: tensor<1000xf32>, %y: tensor<1000xf32>) -> tensor<1000xf32> {\n" +
		"%0 = stablehlo.add %x, %y : tensor<1000xf32>\nreturn %0 : tensor<1000xf32>\n}\n"
	dir := t.TempDir()
	c := client(t, dir)
	t.Cleanup(func() { client(t, "") })
	want, _, _ := counts(t, c, source(1))
	kept := func(dir string) string {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(dir, "*.program"))
		if err != nil || len(paths) != 1 {
			t.Fatalf("files %q, %v", paths, err)
		}
		return paths[0]
	}
	read := func(path string) []byte {
		t.Helper()
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	sound := read(kept(dir))
	k := key(sound[len(magic):][:len(key{})])
	// Another program, which takes two arguments.
	other := t.TempDir()
	client(t, other)
	if _, err := run(c, []byte(sum)); err == nil {
		t.Fatal("a program of two arguments runs with one")
	}
	file := read(kept(other))
	program, whole := unpack(key(file[len(magic):][:len(k)]), file)
	if !whole {
		t.Fatal("the other program is not whole")
	}
	client(t, dir)
	if err := (store{dir, Limit}).save(k, program); err != nil {
		t.Fatal(err)
	}

	said := captured(t, func() {
		level := FallbackLevel()
		_, why := run(c, source(1))
		if why == nil {
			t.Fatal("the wrong program runs")
		}
		if !FallBack(level, why) {
			t.Fatal("there is no other level")
		}
		for range 2 {
			if got, loaded, compiled := counts(t, c, source(1)); loaded != 0 || compiled != 1 || !slices.Equal(got, want) {
				t.Errorf("%d loaded, %d compiled", loaded, compiled)
			}
		}
		if !FallBack(level, why) { // for another program that was loaded
			t.Error("a second program has no other level")
		}
		if FallBack(FallbackLevel(), why) {
			t.Error("there is another level without other flags")
		}
	})
	if said != "" {
		t.Errorf("it says %q", said)
	}
	client(t, dir) // as the next process
	if got, loaded, _ := counts(t, c, source(1)); loaded != 1 || !slices.Equal(got, want) {
		t.Error("the next process does not load it")
	}
}

// On a GPU, the first program that is loaded from disk starts cuDNN with another program, which XLA
// compiles. The CPU's plugin takes the place of one for a GPU.
func TestStartCUDNN(t *testing.T) {
	dir := t.TempDir()
	c := client(t, dir)
	if kind := DeviceKind(); kind != "cpu" {
		t.Errorf("the device is a %q", kind)
	}
	want, _, _ := counts(t, c, source(1))
	k := current.kernels
	t.Cleanup(func() { current.kernels = k })
	current.kernels = nil
	if got, loaded, compiled := counts(t, c, source(1)); loaded != 1 || compiled != 0 || !slices.Equal(got, want) {
		t.Errorf("%d loaded, %d compiled", loaded, compiled)
	}
	if n, _, err := Kept(dir); n != 1 || err != nil {
		t.Errorf("%d programs are kept, %v", n, err)
	}
	e, err := c.Compile().WithStableHLO([]byte(oneConvolution)).Done()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Destroy(); err != nil {
		t.Error(err)
	}
}

// A program that XLA refuses returns XLA's error and is not kept.
func TestWrongProgram(t *testing.T) {
	dir := t.TempDir()
	c := client(t, dir)
	for range 2 {
		if _, err := run(c, []byte("func.func @main() -> tensor<1xf32> { nonsense }")); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("got %v", err)
		}
	}
	if n, _, err := Kept(dir); n != 0 || err != nil {
		t.Errorf("%d programs, %v", n, err)
	}
}

func TestSideBySide(t *testing.T) {
	c := client(t, t.TempDir())
	var results [30][]byte
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			var err error
			if results[i], err = run(c, source(i%5)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i, result := range results {
		if !slices.Equal(result, results[i%5]) {
			t.Errorf("turn %d of program %d has other numbers", i/5, i%5)
		}
	}
}

// If the directory is not writable, programs still work, with one warning.
func TestUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	c := client(t, filepath.Join(file, "programs"))
	current.warning = sync.Once{}
	text := captured(t, func() {
		for n := range 3 {
			_, loaded, compiled := counts(t, c, source(n))
			if loaded != 0 || compiled != 1 {
				t.Errorf("%d loaded, %d compiled", loaded, compiled)
			}
		}
	})
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, file) {
		t.Errorf("it says %q", text)
	}
}

// Processes share a directory: one loads the programs that another has compiled.
func TestProcesses(t *testing.T) {
	if dir := os.Getenv("NB201_TEST_PROCESS"); dir != "" {
		c := client(t, dir)
		for n := range 5 {
			result, _, _ := counts(t, c, source(n))
			fmt.Printf("result %x\n", result)
		}
		fmt.Printf("loaded %d of %d\n", current.loaded.Load(), current.loaded.Load()+current.compiled.Load())
		return
	}
	dir := t.TempDir()
	client(t, dir) // or skip
	process := func() string {
		c := exec.Command(os.Args[0], "-test.run=^TestProcesses$")
		c.Env = append(os.Environ(), "NB201_TEST_PROCESS="+dir)
		out, err := c.Output()
		if err != nil {
			t.Error(err)
		}
		return string(out)
	}
	var together [3]string
	var group sync.WaitGroup
	for i := range together {
		group.Go(func() { together[i] = process() })
	}
	group.Wait()
	after := process()
	results := func(out string) string {
		before, _, _ := strings.Cut(out, "loaded")
		return before
	}
	for _, out := range together {
		if results(out) != results(after) {
			t.Error("processes have other numbers")
		}
	}
	if strings.Count(results(after), "result") != 5 || !strings.Contains(after, "loaded 5 of 5\n") {
		t.Errorf("the last process says %.300s", after[strings.LastIndex(after, "loaded"):])
	}
}

// A file that is not a plugin is left to go-xla.
func TestNoPlugin(t *testing.T) {
	before := current
	current = nil
	defer func() { current = before }()
	path := filepath.Join(t.TempDir(), "plugin.so")
	if err := os.WriteFile(path, []byte("nothing"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Intercept(path, Options{Directory: t.TempDir()}); err != nil || current != nil {
		t.Errorf("%v, %v", current, err)
	}
}

// A process without environment variables starts without output from go-xla.
func TestSilentWithoutHome(t *testing.T) {
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = []string{}
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Run(); err != nil || strings.Contains(stderr.String(), "HOME") {
		t.Errorf("%v; it says %q", err, &stderr)
	}
}
