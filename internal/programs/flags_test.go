package programs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAppendFlags(t *testing.T) {
	given := []byte("\x1a\x02\x20\x01")
	for _, c := range []struct {
		flags Flags
		want  string
	}{
		{nil, ""},
		{Flags{"b": "true", "a": "7", "c": "x"}, "\x3a\x08\x0a\x01a\x12\x03\x0a\x017" + "\x3a\x07\x0a\x01b\x12\x02\x10\x01" + "\x3a\x08\x0a\x01c\x12\x03\x0a\x01x"},
		{Flags{"b": "false"}, "\x3a\x07\x0a\x01b\x12\x02\x10\x00"},
	} {
		room := append(make([]byte, 0, 100), given...)
		if got := c.flags.appendTo(room); string(got) != string(given)+c.want {
			t.Errorf("%v: %q, want %q", c.flags, got[len(given):], c.want)
		}
		if extra := room[:cap(room)][len(room)]; extra != 0 {
			t.Errorf("%v: the given options' memory was written to", c.flags)
		}
	}
}

// captured returns what do writes to stderr.
func captured(t *testing.T, do func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	defer func() { os.Stderr = stderr }()
	do()
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// If XLA refuses a set of flags, the process warns once and uses the next set from then on.
func TestRefusedFlags(t *testing.T) {
	c := client(t, "")
	path := current.path
	t.Cleanup(func() { client(t, "") })
	sound := Flags{"xla_cpu_enable_fast_math": "false"}
	want, err := run(c, source(3))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		flags []Flags
		set   int
		warns string
		fails string
	}{
		{[]Flags{sound}, 0, "", ""},
		{[]Flags{{"xla_no_such_flag": "1"}, sound}, 1, "xla_no_such_flag", ""},
		{[]Flags{{"xla_no_such_flag": "1"}, {"xla_cpu_enable_fast_math": "perhaps"}, {}}, 2, "xla_no_such_flag", ""},
		{[]Flags{{"xla_no_such_flag": "1"}, {"xla_nor_this": "1"}}, 0, "", "xla_no_such_flag"},
	} {
		for _, dir := range []string{"", t.TempDir()} {
			if err := Intercept(path, Options{Directory: dir, Flags: test.flags}); err != nil {
				t.Fatal(err)
			}
			for turn := range 2 {
				var got []byte
				said := captured(t, func() { got, err = run(c, source(3)) })
				switch {
				case test.fails != "":
					if err == nil || !strings.Contains(err.Error(), test.fails) {
						t.Errorf("%v: error %v", test.flags, err)
					}
				case err != nil:
					t.Errorf("%v: %v", test.flags, err)
				case !bytes.Equal(got, want):
					t.Errorf("%v: other numbers", test.flags)
				}
				if warns := turn == 0 && test.warns != ""; strings.Count(said, "\n") != map[bool]int{true: 1}[warns] || warns && !strings.Contains(said, test.warns) {
					t.Errorf("%v, turn %d: it says %q", test.flags, turn, said)
				}
				if set := int(current.flags.Load()); set != test.set {
					t.Errorf("%v: set %d is used, not %d", test.flags, set, test.set)
				}
			}
		}
	}
}

// Sets of flags for kernels for GPUs apply only to programs with such kernels. If XLA refuses the
// calls, as that for the CPU does, the process warns once and uses the next set from then on.
func TestRefusedKernels(t *testing.T) {
	c := client(t, "")
	t.Cleanup(func() { client(t, "") })
	if err := Intercept(current.path, Options{Flags: []Flags{{}, {}}, Kernels: 1}); err != nil {
		t.Fatal(err)
	}
	convolution := []byte(`func.func @main(%x: tensor<2x8x8x32xf32>, %w: tensor<32x1x1x32xf32>) -> tensor<2x8x8x32xf32> {
%0 = "stablehlo.convolution"(%x, %w) {
` + convolutionAttributes("[b, 0, 1, f]x[o, 0, 1, i]->[b, 0, 1, f]", 0, 0, 1, 1, 1) + `
} : (tensor<2x8x8x32xf32>, tensor<32x1x1x32xf32>) -> tensor<2x8x8x32xf32>
return %0 : tensor<2x8x8x32xf32>
}
`)
	for _, step := range []struct {
		program []byte
		set     int32
		warns   string
	}{{source(4), 0, ""}, {convolution, 1, "nb201.cuda.conv_tf32"}, {convolution, 1, ""}} {
		said := captured(t, func() {
			e, err := c.Compile().WithStableHLO(step.program).Done()
			if err != nil {
				t.Error(err)
				return
			}
			if err := e.Destroy(); err != nil {
				t.Error(err)
			}
		})
		if !strings.Contains(said, step.warns) || (said == "") != (step.warns == "") || current.flags.Load() != step.set {
			t.Errorf("%.40s: set %d is used, not %d; it says %q", step.program, current.flags.Load(), step.set, said)
		}
	}
}

// FallBack changes the flags once for all programs that were compiled with the same ones. If the device has
// run out of memory, it does so even if programs were loaded.
func TestFallBack(t *testing.T) {
	c := client(t, "")
	t.Cleanup(func() { client(t, "") })
	if err := Intercept(current.path, Options{Flags: []Flags{{}, {}, {}}}); err != nil {
		t.Fatal(err)
	}
	var got []any
	said := captured(t, func() {
		current.loaded.Store(0)
		for _, from := range []int{0, 0} {
			got = append(got, FallBack(from, errors.New("capturing\nthe stack")), FallbackLevel())
		}
		current.loaded.Store(1)
		for _, from := range []int{2, 2, 4, 5} {
			why := errors.New("RESOURCE_EXHAUSTED: no memory")
			if from == 4 {
				why = errors.New("damaged")
			}
			got = append(got, FallBack(from, why), FallbackLevel())
		}
	})
	want := []any{true, 2, true, 2, true, 4, true, 4, true, 5, false, 5}
	if !slices.Equal(got, want) || strings.Count(said, "\n") != 2 || !strings.Contains(said, "(capturing)") {
		t.Errorf("got %v, want %v; it says %q", got, want, said)
	}
	if _, err := run(c, source(1)); err != nil {
		t.Error(err)
	}
}

func TestInFull(t *testing.T) {
	conv := func(element, precision string) string {
		return `%9 = "stablehlo.convolution"(%7, %8) {
  precision_config = [#stablehlo<precision ` + precision + `>, #stablehlo<precision ` + precision + `>],
  window_strides = array<i64: 1, 1>
} : (tensor<2x4x4x3x` + element + `>, tensor<3x3x3x16x` + element + `>) -> tensor<2x4x4x16x` + element + ">\n"
	}
	other := `%1 = "stablehlo.dot_general"(%0, %0) {
  precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]
} : (tensor<2x2xf32>, tensor<2x2xf32>) -> tensor<2x2xf32>
`
	given := conv("f32", "DEFAULT") + other + conv("bf16", "DEFAULT") + conv("f32", "HIGH") + conv("f32", "DEFAULT")
	want := conv("f32", "HIGHEST") + other + conv("bf16", "DEFAULT") + conv("f32", "HIGH") + conv("f32", "HIGHEST")
	if got := string(requestFullPrecision([]byte(given))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The autotuning cache is kept beside the programs, whose keys do not depend on its directory.
func TestAutotuneCache(t *testing.T) {
	c := client(t, "")
	t.Cleanup(func() { client(t, "") })
	dir := t.TempDir()
	compile := func(dir, name string) (loaded, compiled int64) {
		t.Helper()
		if err := Intercept(current.path, Options{Directory: dir, Flags: []Flags{{AutotuneCache: name}}}); err != nil {
			t.Fatal(err)
		}
		_, loaded, compiled = counts(t, c, source(4))
		return loaded, compiled
	}
	if _, compiled := compile(dir, "fp32"); compiled != 1 {
		t.Fatal("the program is not compiled")
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if loaded, _ := compile(moved, "fp32"); loaded != 1 {
		t.Error("the program is not found again in a directory that was moved")
	}
	if loaded, _ := compile(moved, "tf32"); loaded != 0 {
		t.Error("the program of another name is loaded")
	}
	compile("", "fp32")      // programs are not kept, so nor is the cache
	compile("", t.TempDir()) // of the user's
	for _, name := range []string{"fp32", "tf32"} {
		if found, err := filepath.Glob(filepath.Join(moved, "autotune", name+"-*")); len(found) != 1 || err != nil {
			t.Errorf("directories %q, %v", found, err)
		}
	}
	if n, _, err := Kept(moved); n != 2 || err != nil {
		t.Errorf("%d programs are kept, %v", n, err)
	}
}
