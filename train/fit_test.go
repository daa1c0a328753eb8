package train

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/pickle"
	"nb201/internal/random"
	"nb201/internal/torchfile"
)

// roundable returns weights for onDigits50's network that are exact in float16 and bfloat16.
func roundable(t *testing.T) torchfile.StateDict {
	t.Helper()
	weights := InitialWeights(resolve(t, onDigits50(t, 1, 777)).Network, random.NewTorch(1), random.Profiles()[0])
	for _, w := range weights {
		for i, v := range w.Float32 {
			w.Float32[i] = float32(int(v*64)) / 64
		}
		if w.Int64 != nil {
			w.Int64[0] = 96
		}
	}
	return weights
}

// begins reads a file as weights to start from, and compares them with those wanted, and the
// types that they were converted from with converted.
func begins(t *testing.T, path string, want torchfile.StateDict, converted string) {
	t.Helper()
	o := onDigits50(t, 1, 777)
	o.Start.File = path
	c, err := o.Config()
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	got := slices.Clone(c.Initial.Weights)
	for i, w := range got {
		if len(w.Shape) == 0 {
			got[i].Tensor = &torchfile.Tensor{Int64: w.Int64} // as the network has it, without a list of no axes
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: other weights than were saved", path)
	}
	if got := c.Initial.File.ConvertedFrom; got != converted {
		t.Errorf("%s: converted from %q, not %q", path, got, converted)
	}
}

// uncounted returns weights as they are read from a file without batch counts.
func uncounted(weights torchfile.StateDict) torchfile.StateDict {
	weights = slices.Clone(weights)
	for i, w := range weights {
		if w.Int64 != nil {
			weights[i].Tensor = &torchfile.Tensor{Shape: w.Shape, Int64: []int64{0}}
		}
	}
	return weights
}

// TestForms starts from weights in the forms that torch files and safetensors have.
func TestForms(t *testing.T) {
	want := roundable(t)
	each := func(change func(name string, w *torchfile.Tensor) (string, *torchfile.Tensor)) torchfile.StateDict {
		var s torchfile.StateDict
		for _, w := range want {
			name, tensor := change(w.Name, w.Tensor)
			if tensor != nil {
				s = append(s, torchfile.NamedTensor{Name: name, Tensor: tensor})
			}
		}
		return s
	}
	double := func(w *torchfile.Tensor) *torchfile.Tensor {
		d := &torchfile.Tensor{Shape: w.Shape}
		for _, v := range w.ToFloat32().Float32 {
			d.Float64 = append(d.Float64, float64(v))
		}
		return d
	}
	reversed := slices.Clone(want)
	slices.Reverse(reversed)
	doubles := each(func(name string, w *torchfile.Tensor) (string, *torchfile.Tensor) { return name, double(w) })
	bare := each(func(name string, w *torchfile.Tensor) (string, *torchfile.Tensor) {
		if w.Int64 != nil {
			return "", nil
		}
		return name, w
	})
	mixed := each(func(name string, w *torchfile.Tensor) (string, *torchfile.Tensor) {
		if strings.HasPrefix(name, "classifier") {
			w = double(w)
		}
		return "_orig_mod.module." + name, w
	})
	for _, c := range []struct {
		name      string
		value     any
		want      torchfile.StateDict
		converted string
	}{
		{"reversed", reversed, want, ""},
		{"under model", pickle.Dict{{Key: "epoch", Value: 3}, {Key: "model", Value: reversed}}, want, ""},
		{"doubles with counts", doubles, want, "float64"},
		{"no counts", bare, uncounted(want), ""},
		{"mixed, with prefixes", pickle.Dict{{Key: "net", Value: mixed}}, want, "float64"},
	} {
		path := filepath.Join(t.TempDir(), c.name+".pth")
		if err := writeTo(path, func(w io.Writer) error { return torchfile.Write(w, c.value) }); err != nil {
			t.Fatal(err)
		}
		begins(t, path, c.want, c.converted)
	}
	for _, c := range []struct{ name, dtype, converted string }{{"all", "F32", ""}, {"short", "BF16", "bfloat16"}} {
		path := filepath.Join(t.TempDir(), c.name+".safetensors")
		if err := writeTo(path, func(w io.Writer) error { return writeSafetensors(w, reversed, c.dtype) }); err != nil {
			t.Fatal(err)
		}
		begins(t, path, want, c.converted)
	}
}

func writeTo(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return write(f)
}

// writeSafetensors writes weights with their floats as F32, or as BF16 that hold them.
func writeSafetensors(w io.Writer, weights torchfile.StateDict, dtype string) error {
	var header, data []byte
	for _, t := range weights {
		begin, d := len(data), dtype
		for _, v := range t.Float32 {
			b, err := binary.Append(nil, binary.LittleEndian, v)
			if err != nil {
				return err
			}
			if dtype == "BF16" {
				b = b[2:]
			}
			data = append(data, b...)
		}
		for _, v := range t.Int64 {
			d = "I64"
			data = binary.LittleEndian.AppendUint64(data, uint64(v))
		}
		shape, err := json.Marshal(append([]int{}, t.Shape...))
		if err != nil {
			return err
		}
		header = fmt.Appendf(header, `,"module.%s":{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, t.Name, d, shape, begin, len(data))
	}
	header = append([]byte(`{"__metadata__":{"format":"pt"}`), append(header, '}')...)
	_, err := w.Write(slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header, data))
	return err
}

// TestTorchForms starts from what torch itself writes.
func TestTorchForms(t *testing.T) {
	python := needs.Python(t)
	want, dir := roundable(t), t.TempDir()
	out, err := exec.Command(python, "testdata/weights.py", saved(t, want), dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var forms map[string]string
	if err := json.Unmarshal(out, &forms); err != nil || len(forms) < 10 {
		t.Fatal(forms, err)
	}
	for name, converted := range forms {
		expected := want
		if name == "uncounted" {
			expected = uncounted(want)
		}
		begins(t, filepath.Join(dir, name+".pth"), expected, converted)
	}
}
