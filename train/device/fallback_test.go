package device

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend/devicetest"
	"nb201/internal/torchfile"
)

// failing is a graph that compiles but does not run.
type failing struct{ finalized *int }

func (failing) Run(...any) []*tensors.Tensor {
	panic(errors.New("operation not permitted when stream is capturing"))
}

func (f failing) Finalize() { *f.finalized++ }

// An executable whose first call fails is compiled in another way, and computes the same. If a
// later call fails, another way does not help and is not tried.
func TestFallBack(t *testing.T) {
	n := cell.Network{Arch: cell.Cell{}, Channels: 4, Cells: 1, Classes: 7, Size: 8}
	b := devicetest.Open(t).Backend
	for _, test := range []struct {
		name      string
		ways      int
		ran, runs bool
	}{
		{"another way", 2, false, true},
		{"no other way", 1, false, false},
		{"ran before", 2, true, false},
	} {
		p := NewEvaluation(b, Spec{Network: n, Precision: configs.FP32, Stored: 3}, 3)
		Compile(p)
		if p.err != nil {
			t.Fatal(p.err)
		}
		s, err := p.NewState(someWeights(n))
		if err != nil {
			t.Fatal(err)
		}
		images, err := Noise(b, n.Size, 3)
		if err != nil {
			t.Fatal(err)
		}
		measure := func() ([]float32, error) {
			table := tensors.FromFlatDataAndDimensions(make([]int32, p.batches*p.rows*rowLen), p.batches, p.rows, rowLen)
			defer table.MustFinalizeAll()
			out, err := p.run(append([]any{s.params, s.stats}, images.inputs(table, 1)...)...)
			if err != nil {
				return nil, err
			}
			return tensors.MustCopyFlatData[float32](out[0]), nil
		}
		want, err := measure()
		if err != nil {
			t.Fatal(err)
		}

		finalized, asked := 0, []int{}
		p.graph.Finalize()
		p.graph, p.ran, p.level = failing{&finalized}, test.ran, 0
		p.fallBack = func(from int, why error) bool {
			if !strings.Contains(why.Error(), "capturing") {
				t.Errorf("%s: asked because of %v", test.name, why)
			}
			asked = append(asked, from)
			return from+1 < test.ways
		}
		got, err := measure()
		switch {
		case !test.runs:
			if err == nil || !strings.Contains(err.Error(), "capturing") || test.ran != (len(asked) == 0) {
				t.Errorf("%s: error %v, asked %v", test.name, err, asked)
			}
		case err != nil || !slices.Equal(got, want) || finalized != 1 || !p.ran:
			t.Errorf("%s: %v, %v; finalized %d times", test.name, got, err, finalized)
		}
		p.Finalize()
		s.Finalize()
		images.Finalize()
	}
}

// someWeights returns weights of a network; no two values of a tensor are equal.
func someWeights(n cell.Network) torchfile.StateDict {
	var dict torchfile.StateDict
	for _, t := range n.Tensors() {
		tensor := &torchfile.Tensor{Shape: t.Shape}
		if t.Role == cell.BNCount {
			tensor.Int64 = make([]int64, 1)
		} else {
			tensor.Float32 = make([]float32, t.Len())
			for i := range tensor.Float32 {
				tensor.Float32[i] = 1 / float32(i+2)
			}
		}
		dict = append(dict, torchfile.NamedTensor{Name: t.Name, Tensor: tensor})
	}
	return dict
}
