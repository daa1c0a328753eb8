package train

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/internal/random"
)

// failing is a program that compiles and does not run.
type failing struct{ finalized *int }

func (failing) Run(...any) []*tensors.Tensor {
	panic(errors.New("operation not permitted when stream is capturing"))
}

func (f failing) Finalize() { *f.finalized++ }

// A program whose first call fails is compiled in another way, and computes the same; what
// fails later is not for want of another way.
func TestFallBack(t *testing.T) {
	n := cell.Network{Channels: 4, Cells: 1, Classes: 7, Size: 8}
	b := openBackend(t)
	for _, test := range []struct {
		name      string
		ways      int
		ran, runs bool
	}{
		{"another way", 2, false, true},
		{"no other way", 1, false, false},
		{"ran before", 2, true, false},
	} {
		p := newProgram(b, plan{Network: n, Precision: FP32, Stored: 3}, false, 3)
		compileAll(p)
		if p.err != nil {
			t.Fatal(p.err)
		}
		s, err := newState(p.model.Layout, InitialWeights(n, random.NewTorch(0), random.Profiles()[0]), FP32)
		if err != nil {
			t.Fatal(err)
		}
		images, err := noise(b, n.Size, 3)
		if err != nil {
			t.Fatal(err)
		}
		measure := func() ([]float32, error) {
			places := tensors.FromFlatDataAndDimensions(make([]int32, p.batches*p.rows*placeLen), p.batches, p.rows, placeLen)
			defer places.MustFinalizeAll()
			out, err := p.run(append([]any{s.params, s.stats}, images.inputs(places, 1)...)...)
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
		p.graph, p.ran, p.way = failing{&finalized}, test.ran, 0
		p.fallBack = func(from int) bool {
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
		p.finalize()
		s.finalize()
		images.finalize()
	}
}

// A checkpoint of a device that orders weights in another way is not taken up.
func TestCheckpointOfAnotherOrder(t *testing.T) {
	c := interruptible(t, random.Profiles()[0], 0, FP32)
	c.Checkpoints = &Checkpoints{Dir: t.TempDir()}
	var warnings []string
	c.Checkpoints.Warn = func(text string) { warnings = append(warnings, text) }
	session := openSession(t)
	images := uploaded(t, c.Data)
	write := func(order string, do func(*trial) error) {
		t.Helper()
		p := session.programsOf(c)
		layout := *p.whole.model.Layout
		layout.Weights = order
		model := *p.whole.model
		model.Layout = &layout
		whole := program{plan: p.whole.plan, model: &model, dtype: p.whole.dtype, backend: p.whole.backend}
		if err := c.with(&programs{whole: &whole, ragged: p.ragged, evaluate: p.evaluate}, images, func(Progress) {}, func(t *trial) error {
			if err := t.begin(); err != nil {
				return err
			}
			return do(t)
		}); err != nil {
			t.Fatal(err)
		}
	}
	write("ohwi", func(t *trial) error {
		if err := t.resume(); err != nil {
			return err
		}
		_, err := t.writeCheckpoint()
		return err
	})
	for order, want := range map[string]string{"ohwi": "", "hwio": `its weights are in the order "ohwi", not "hwio"`} {
		warnings = nil
		write(order, func(trial *trial) error { return trial.resume() })
		if all := strings.Join(warnings, "\n"); (want == "") != (all == "") || !strings.Contains(all, want) {
			t.Errorf("%s: it warns %q", order, slices.Clone(warnings))
		}
	}
}
