package device

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/gomlx/compute"

	"nb201/data"
)

// Latency waits until the evaluation e is compiled and then times it. It returns the seconds of
// each of runs evaluations of one batch, after warmUp evaluations that are not timed. If ctx is
// cancelled it stops before the next evaluation, or while it waits.
//
// An evaluation of a batch that is on the device already consists of the forward pass in
// evaluation mode and the loss. It ends when the loss has arrived on the host, so the device has
// finished by then. pure_evaluate (xautodl/procedures/funcs_nasbench.py) times the same interval
// for every full batch of an evaluation except the first; but the original does not wait for the
// GPU, so it may measure the time to submit the work only, and it does not include the counts for
// the top-1 and top-5 accuracies.
func (e *Executable) Latency(ctx context.Context, s *State, images *Images, warmUp, runs int) ([]float64, error) {
	if err := e.Wait(ctx); err != nil {
		return nil, err
	}
	table, err := onDevice(e.backend, func(dst []int32) {
		for i := range e.rows {
			dst[i*e.rowLen()+rowIndex] = int32(i % e.Stored)
		}
	}, e.batches, e.rows, e.rowLen())
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

// Noise uploads random images of class 0, size x size pixels each. Latency is measured on noise
// because a GPU is faster on images of a single colour.
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
