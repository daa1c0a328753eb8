package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gomlx/compute"

	"nb201/cell"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/random"
)

const (
	// LatencyBatch is the batch that the published latency is of, in images.
	LatencyBatch = 256
	// LatencyRuns is how many times a record holds.
	LatencyRuns = 10
	// LatencyWarmUp is how many evaluations come before those that count.
	LatencyWarmUp = 3
)

// Latency compiles the evaluation of a network's batches and measures it: the seconds
// of each of so many runs, after LatencyWarmUp that do not count. The weights are
// initial ones. When ctx is cancelled it stops at the next run, or after compiling.
//
// A run evaluates one batch of noise that lies on the device already: the forward pass
// in evaluation mode, and its loss. Its time ends when the loss has come to the host,
// so that the device is done. That is the interval of pure_evaluate
// (xautodl/procedures/funcs_nasbench.py), which times the full batches of an evaluation
// in turn, less the first; but the original does not wait for the GPU, and so may
// measure how long it takes to submit the work, and counts no top-1 and top-5 in it.
func Latency(ctx context.Context, b compute.Backend, n cell.Network, precision Precision, batch, runs int) (seconds []float64, err error) {
	p := newProgram(b, plan{Network: n, Precision: precision, Stored: batch}, false, batch)
	initial := InitialWeights(n, random.NewTorch(0), random.Profiles()[0])
	err = backend.Catch(func() error {
		s, err := newState(p.model.Layout, initial, precision)
		if err != nil {
			return err
		}
		defer s.finalize()
		images, err := noise(b, n.Size, batch)
		if err != nil {
			return err
		}
		defer images.finalize()
		compileAll(p)
		defer p.finalize()
		seconds, err = p.latency(ctx, s, images, runs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("measure the latency of architecture %d: %w", n.Arch.Index(), err)
	}
	return seconds, nil
}

// latency is the latency of a trained network as its record has it. A trial of another
// batch has no program for it and gives none. It takes seconds, and no checkpoint is
// left behind the last epoch: a trial that is to stop now finishes.
func (t *trial) latency() ([]float64, error) {
	if t.Recipe.Batch != LatencyBatch {
		return nil, nil
	}
	return t.evaluate.latency(context.Background(), t.state, t.images, LatencyRuns)
}

// noise are random images of class 0 on the device. A GPU is faster on images of one
// colour.
func noise(b compute.Backend, size, images int) (*deviceImages, error) {
	stored := &data.Images{Size: size, Pixels: make([]byte, images*size*size*3), Labels: make([]int32, images)}
	source := rand.NewChaCha8([32]byte{})
	source.Read(stored.Pixels)
	set, err := data.New(data.Definition{
		Size: [2]int{size, size}, Mean: [3]float64{127, 127, 127}, Std: [3]float64{64, 64, 64}, Train: data.Part{From: "train"},
	}, map[string]*data.Images{"train": stored})
	if err != nil {
		return nil, err
	}
	return upload(b, set)
}

// latency measures the program that evaluates batches, on the first images: see Latency.
func (p *program) latency(ctx context.Context, s *state, images *deviceImages, runs int) ([]float64, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	places, err := onDevice(p.backend, func(dst []int32) {
		for i := range p.rows {
			dst[i*placeLen+placeImage] = int32(i % p.Stored)
		}
	}, p.batches, p.rows, placeLen)
	if err != nil {
		return nil, err
	}
	defer places.MustFinalizeAll()

	var seconds []float64
	for i := range LatencyWarmUp + runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		out, err := p.run(append([]any{s.params, s.stats}, images.inputs(places, 1)...)...)
		if err != nil {
			return nil, err
		}
		_, err = readMeasures(out[0], p.rows, p.rows) // waits for the device
		elapsed := time.Since(began)
		out[0].MustFinalizeAll()
		if err != nil {
			return nil, err
		}
		if i >= LatencyWarmUp {
			seconds = append(seconds, elapsed.Seconds())
		}
	}
	return seconds, nil
}
