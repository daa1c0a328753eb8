package train

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/random"
	"nb201/train/device"
)

const (
	// LatencyBatch is the batch that the published latency is of, in images.
	LatencyBatch = 256
	// LatencyRuns is how many times a record holds.
	LatencyRuns = 10
	// LatencyWarmUp is how many evaluations come before those that count.
	LatencyWarmUp = 3
)

// Latency compiles the evaluation of a network's batches and measures it on noise, with
// initial weights: see device.Executable.Latency.
func Latency(ctx context.Context, b compute.Backend, n cell.Network, precision configs.Precision, batch, runs int) (seconds []float64, err error) {
	e := device.NewEvaluation(b, device.Spec{Network: n, Precision: precision, Stored: batch}, batch)
	initial := InitialWeights(n, random.NewTorch(0), random.Profiles()[0])
	err = backend.Catch(func() error {
		s, err := e.NewState(initial)
		if err != nil {
			return err
		}
		defer s.Finalize()
		images, err := device.Noise(b, n.Size, batch)
		if err != nil {
			return err
		}
		defer images.Finalize()
		device.Compile(e)
		defer e.Finalize()
		seconds, err = e.Latency(ctx, s, images, LatencyWarmUp, runs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("measure the latency of architecture %d: %w", n.Arch.Index(), err)
	}
	return seconds, nil
}
