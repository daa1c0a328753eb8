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
	// LatencyBatch is the batch size of the published latency, in images.
	LatencyBatch = 256
	// LatencyRuns is the number of timed evaluations in a record.
	LatencyRuns = 10
	// LatencyWarmUp is the number of evaluations before the timed ones.
	LatencyWarmUp = 3
)

// Latency compiles the evaluation of a network and measures it on images of noise, with initial
// weights. It returns the seconds of each of runs evaluations of one batch; see
// [device.Executable.Latency]. batch and runs must be at least 1. If ctx is cancelled, the error
// wraps ctx's.
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
		return nil, fmt.Errorf("cannot measure the latency of %s: %w", nameOf(n), err)
	}
	return seconds, nil
}
