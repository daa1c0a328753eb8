package torchfile

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/pickle"
	"nb201/internal/usage"
)

// readWeights reads everything that Weights finds in a checkpoint.
func readWeights(t testing.TB, path string) (StateDict, error) {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stored, err := f.Weights()
	if err != nil {
		return nil, err
	}
	var s StateDict
	for _, w := range stored {
		tensor, err := w.Load()
		if err != nil {
			return nil, err
		}
		s = append(s, NamedTensor{w.Name, tensor})
	}
	return s, nil
}

// round rounds a float32 to the bits of a shorter type.
func round(v float32, bits uint) float32 {
	return float32(math.Float64frombits(roundBits(math.Float64bits(float64(v)), 52-bits)))
}

// roundBits rounds away the last bits of a number, to nearest, ties to even.
func roundBits(b uint64, drop uint) uint64 {
	return (b + 1<<(drop-1) - 1 + b>>drop&1) >> drop << drop
}

// refusals lists the errors of the variants that cannot be read.
var refusals = map[string]string{
	"refused-whole": "it contains a whole Python object (torch.nn.modules.container.Sequential), which only its own program can read; " +
		"save the weights with that program, by torch.save(net.state_dict(), FILE)",
	"refused-whole-legacy": "a whole Python object (torch.nn.modules.linear.Identity)",
	"refused-under-model":  "a whole Python object (torch.nn.modules.container.Sequential)",
	"refused-optimizer":    "it is not a state dict, and has none under state_dict, model_state_dict, model, net; its keys are \"optimizer\", \"epoch\"",
	"refused-several":      "it contains several state dicts, under model and net; save only one of them",
	"refused-quantized":    `"classifier.weight" is not a dense tensor of a supported type (_rebuild_qtensor)`,
	"refused-sparse":       `"classifier.weight" is not a dense tensor of a supported type (_rebuild_sparse_tensor)`,
	"refused-negated":      "save its clone()",
	"refused-int32":        `"stem.1.num_batches_tracked": its type int32 is not supported`,
	"refused-float8":       `"stem.0.weight" is not a dense tensor of a supported type (_rebuild_tensor_v3)`,
}

// TestVariants reads one state dict in all forms of testdata/variants.py: the committed files
// and, if a Python with torch is available, those that it writes.
func TestVariants(t *testing.T) {
	dirs := []string{"testdata/variants"}
	if python := needs.PythonIfSet(t); python != "" {
		dirs = append(dirs, t.TempDir())
		if out, err := exec.Command(python, "-W", "ignore", "testdata/variants.py", dirs[1]).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(dir + "/*.pth")
		if err != nil || len(files) < 30 {
			t.Fatal(files, err)
		}
		plain, err := ReadStateDict(dir + "/plain.pth")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			name := strings.TrimSuffix(filepath.Base(path), ".pth")
			got, err := readWeights(t, path)
			if want, ok := refusals[name]; ok {
				if err == nil || !usage.Is(err) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) {
					t.Errorf("%s: error %v, want one with %q", path, err, want)
				}
				continue
			}
			if err != nil {
				t.Error(err)
				continue
			}
			if name == "reversed" {
				slices.Reverse(got)
			}
			for i, w := range got {
				got[i].Name = strings.TrimPrefix(strings.TrimPrefix(w.Name, "module."), "_orig_mod.")
				if w.Int64 == nil {
					got[i].Tensor = w.ToFloat32()
				}
			}
			if want := rounded(plain, name); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: read %v, not %v", path, got, want)
			}
		}
	}
}

// rounded returns a state dict as a variant contains it.
func rounded(s StateDict, variant string) StateDict {
	bits := map[string]uint{"half-floats": 10, "half-all": 10, "bfloat16-floats": 7}[variant]
	r := slices.Clone(s)
	for i, w := range s {
		if variant == "half-all" {
			w.Tensor = w.ToFloat32()
		}
		if bits > 0 && w.Int64 == nil {
			short := &Tensor{Shape: w.Shape}
			for _, v := range w.Float32 {
				short.Float32 = append(short.Float32, round(v, bits))
			}
			w.Tensor = short
		}
		r[i].Tensor = w.Tensor
	}
	return r
}

// TestToFloat32 converts extreme values of the short types.
func TestToFloat32(t *testing.T) {
	inf := float32(math.Inf(1))
	for bits, want := range map[uint16]float32{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0400: 1.0 / (1 << 14), 0x0001: 1.0 / (1 << 24), 0x03ff: 1023.0 / (1 << 24), 0x7c00: inf, 0xfc00: -inf,
	} {
		if got := (&Tensor{Float16: []uint16{bits}}).ToFloat32().Float32[0]; got != want {
			t.Errorf("float16 %#x: %v, not %v", bits, got, want)
		}
	}
	for bits, want := range map[uint16]float32{0x0000: 0, 0x3f80: 1, 0xc000: -2, 0x7f80: inf, 0x0001: math.Float32frombits(1 << 16)} {
		if got := (&Tensor{BFloat16: []uint16{bits}}).ToFloat32().Float32[0]; got != want {
			t.Errorf("bfloat16 %#x: %v, not %v", bits, got, want)
		}
	}
	for _, nan := range []*Tensor{{Float16: []uint16{0x7e00}}, {BFloat16: []uint16{0x7fc0}}, {Float64: []float64{math.NaN()}}} {
		if got := nan.ToFloat32().Float32[0]; got == got {
			t.Errorf("%v gives %v", nan, got)
		}
	}
	if got := (&Tensor{Float64: []float64{math.Pi}}).ToFloat32().Float32[0]; got != float32(math.Pi) {
		t.Errorf("pi gives %v", got)
	}
}

// TestViews reads unusual views, and refuses those beyond their storage.
func TestViews(t *testing.T) {
	storage := &Tensor{Shape: []int{6}, Float32: []float32{0, 1, 2, 3, 4, 5}}
	for _, c := range []struct {
		shape, stride []int
		offset        int
		want          []float32 // nil: refused
	}{
		{[]int{2, 3}, []int{3, 1}, 0, []float32{0, 1, 2, 3, 4, 5}},
		{[]int{3, 2}, []int{1, 3}, 0, []float32{0, 3, 1, 4, 2, 5}},
		{[]int{2, 2}, []int{1, 1}, 3, []float32{3, 4, 4, 5}},       // overlapping
		{[]int{2, 3}, []int{0, 2}, 1, []float32{1, 3, 5, 1, 3, 5}}, // expanded
		{[]int{4}, []int{0}, 5, []float32{5, 5, 5, 5}},
		{[]int{}, []int{}, 5, []float32{5}},
		{[]int{1, 2}, []int{100, 1}, 4, []float32{4, 5}}, // a stride that does not matter
		{[]int{0, 3}, []int{100, 1}, 6, []float32{}},
		{[]int{math.MaxInt / 32, 0, 2}, []int{3, 5, 7}, 0, []float32{}},
		{[]int{0}, []int{1}, 7, nil},
		{[]int{}, []int{}, 6, nil},
		{[]int{2, 3}, []int{3, 1}, 1, nil},
		{[]int{3}, []int{3}, 0, nil},
		{[]int{3}, []int{-1}, 5, nil},
		{[]int{3}, []int{1}, -1, nil},
		{[]int{3, 3}, []int{math.MaxInt, math.MaxInt}, 0, nil},
	} {
		got, err := (&Ref{Shape: c.shape, stride: c.stride, offset: c.offset}).viewOf(storage)
		if err != nil {
			if c.want != nil {
				t.Errorf("%v: %v", c, err)
			}
		} else if c.want == nil || !reflect.DeepEqual(got.Float32, c.want) {
			t.Errorf("%v: read %v", c, got.Float32)
		}
	}
}

// FuzzWeights looks for weights in arbitrary files, and loads those that are not large.
func FuzzWeights(f *testing.F) {
	for _, name := range []string{"plain", "strided", "half-all", "mixed", "under-model", "legacy", "refused-whole", "refused-sparse"} {
		data, err := os.ReadFile("testdata/variants/" + name + ".pth")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := NewFile(strings.NewReader(string(data)), int64(len(data)))
		if err != nil {
			return
		}
		stored, err := file.Weights()
		if err != nil {
			if !usage.Is(err) {
				t.Fatalf("no usage error: %v", err)
			}
			return
		}
		for _, w := range stored {
			if n := (&Tensor{Shape: w.Shape}).Elements(); n > 1<<20 {
				continue
			}
			tensor, err := w.Load()
			if err != nil {
				if !usage.Is(err) {
					t.Fatalf("no usage error: %v", err)
				}
			} else if err := tensor.check(); err != nil {
				t.Errorf("%s: %v", w.Name, err)
			}
		}
	})
}

// A key may contain an object twice, and that one another twice, and so on: its text would be
// far too long.
func TestKeysOfAnySize(t *testing.T) {
	key := any(pickle.Tuple{})
	for range 64 {
		key = pickle.Tuple{key, key}
	}
	_, err := Weights(&pickle.Dict{{Key: key, Value: nil}, {Key: int64(3), Value: nil}, {Key: "\x1b[2J", Value: nil}})
	if want := `its keys are an object, "3", "\x1b[2J"`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want one with %s", err, want)
	}
}
