package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
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
	p := newPrograms(b, plan{Network: n, Precision: precision, Batch: batch})
	initial := InitialWeights(n, random.NewTorch(0), random.Profiles()[0])
	err = backend.Catch(func() error {
		s, err := newState(p.model.Layout, initial, precision)
		if err != nil {
			return err
		}
		defer s.finalize()
		evaluate, err := p.evaluation(batch)
		if err != nil {
			return err
		}
		defer evaluate.Finalize()
		seconds, err = p.latency(ctx, evaluate, s, batch, runs)
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
	return t.programs.latency(context.Background(), t.evaluate, t.state, LatencyBatch, LatencyRuns)
}

// latency measures the program that evaluates a batch: see Latency.
func (p *programs) latency(ctx context.Context, evaluate *Graph, s *state, batch, runs int) ([]float64, error) {
	// Not one colour: a GPU is faster on zeros.
	noise, size := rand.New(rand.NewPCG(0, 0)), p.Network.Size
	pixels := make([]float32, batch*size*size*3)
	for i := range pixels {
		pixels[i] = float32(noise.NormFloat64())
	}
	images := tensors.FromFlatDataAndDimensions(pixels, batch, size, size, 3)
	labels := tensors.FromFlatDataAndDimensions(make([]int32, batch), batch)
	defer images.MustFinalizeAll()
	defer labels.MustFinalizeAll()

	var seconds []float64
	for i := range LatencyWarmUp + runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		measures := evaluate.Run(s.params, s.stats, images, labels)[0]
		_, err := readMeasures(measures, batch) // waits for the device
		elapsed := time.Since(began)
		measures.MustFinalizeAll()
		if err != nil {
			return nil, err
		}
		if i >= LatencyWarmUp {
			seconds = append(seconds, elapsed.Seconds())
		}
	}
	return seconds, nil
}
