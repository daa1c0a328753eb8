package device

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/gomlx/compute"

	"nb201/data"
)

// Latency waits until an evaluation is compiled and measures it: the seconds of each of
// runs evaluations of one batch, after warmUp that do not count. When ctx is cancelled it
// stops at the next run, or while it waits.
//
// A run evaluates one batch that is on the device already: the forward pass in evaluation
// mode, and its loss. Its time ends when the loss has come to the host, so that the device
// is done. That is the interval of pure_evaluate (xautodl/procedures/funcs_nasbench.py),
// which times the full batches of an evaluation in turn, less the first; but the original
// does not wait for the GPU, and so may measure how long it takes to submit the work, and
// counts no top-1 and top-5 in it.
func (e *Executable) Latency(ctx context.Context, s *State, images *Images, warmUp, runs int) ([]float64, error) {
	if err := e.Wait(ctx); err != nil {
		return nil, err
	}
	table, err := onDevice(e.backend, func(dst []int32) {
		for i := range e.rows {
			dst[i*rowLen+rowIndex] = int32(i % e.Stored)
		}
	}, e.batches, e.rows, rowLen)
	if err != nil {
		return nil, err
	}
	defer table.MustFinalizeAll()

	var seconds []float64
	for i := range warmUp + runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		out, err := e.run(append([]any{s.params, s.stats}, images.inputs(table, 1)...)...)
		if err != nil {
			return nil, err
		}
		_, err = readMeasures(out[0], e.rows, e.rows) // waits for the device
		elapsed := time.Since(began)
		out[0].MustFinalizeAll()
		if err != nil {
			return nil, err
		}
		if i >= warmUp {
			seconds = append(seconds, elapsed.Seconds())
		}
	}
	return seconds, nil
}

// Noise returns random images of class 0 on the device, of size pixels a side. A GPU is
// faster on images of one colour.
func Noise(b compute.Backend, size, images int) (*Images, error) {
	stored := &data.Images{Size: size, Pixels: make([]byte, images*size*size*3), Labels: make([]int32, images)}
	source := rand.NewChaCha8([32]byte{})
	source.Read(stored.Pixels)
	set, err := data.New(data.Definition{
		Size: [2]int{size, size}, Mean: [3]float64{127, 127, 127}, Std: [3]float64{64, 64, 64}, Train: data.SplitDefinition{From: "train"},
	}, map[string]*data.Images{"train": stored})
	if err != nil {
		return nil, err
	}
	return Upload(b, set)
}
