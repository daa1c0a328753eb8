package device

import (
	"context"
	"fmt"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/hlo"
)

// Examined describes what a GPU would run for an executable, as far as compiling shows it.
type Examined struct {
	*hlo.Profile               // of one training step, or of the evaluation of one batch
	Launches     hlo.Launches  // by the host
	Temporary    int64         // bytes of GPU memory besides images and state, without cuDNN's workspace
	Duration     time.Duration // of compiling
}

// Faults lists what keeps the GPU from running the executable as it should: as one CUDA graph,
// with cuDNN's convolutions, without copies of feature maps, and in full precision unless
// precision is [configs.TF32].
func (e *Examined) Faults(precision configs.Precision) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if e.Launches != (hlo.Launches{Graphs: 1, Turn: 0, Whole: 1}) {
		fault("not a single CUDA graph: %d graphs, and %d launches by the host per step", e.Launches.Graphs, max(0, e.Launches.Turn))
	}
	if e.Other > 0 {
		fault("%d convolutions do not go to cuDNN", e.Other)
	}
	if len(e.Moved) > 0 {
		fault("%d kernels transpose or copy feature maps", len(e.Moved))
	}
	if e.Rounded > 0 && precision != configs.TF32 {
		fault("%d float32 convolutions and products may round to TF32", e.Rounded)
	}
	return faults
}

// smallestMap returns the number of elements of the smallest feature map of an image.
func smallestMap(n cell.Network) int {
	side := n.Size
	smallest := n.Modules()[0].In * side * side
	for _, m := range n.Modules() {
		if m.Reduction {
			side /= 2
		}
		smallest = min(smallest, m.Out*side*side)
	}
	return smallest
}

// Examine compiles an executable of a network with the published recipe for a GPU model, without
// such a GPU: the training step over batches of rows images, or their evaluation, with stored
// images on the device. If ctx is cancelled it returns at once, but compiling continues, since it
// cannot be interrupted; the process should then exit.
func Examine(ctx context.Context, d *backend.Deviceless, n cell.Network, precision configs.Precision, training bool, rows, stored int) (*Examined, error) {
	recipe, err := configs.RecipeFor(200)
	if err != nil {
		return nil, err
	}
	x := newExecutable(d.Backend, Spec{Network: n, Precision: precision, Stored: stored, Momentum: recipe.Momentum, Nesterov: recipe.Nesterov, WeightDecay: recipe.WeightDecay}, training, rows)
	go Compile(x) // Wait and Finalize wait for it, unless ctx is cancelled and the process exits
	if err := x.Wait(ctx); err != nil {
		return nil, err
	}
	x.Finalize()
	c := d.Last()
	e := &Examined{Temporary: c.Temporary, Duration: c.Duration}
	if err = c.Err; err == nil {
		e.Profile, err = hlo.Describe(c.Module, hlo.Maps{
			Batch: [4]int{rows, n.Size, n.Size, 3}, Smallest: rows * smallestMap(n),
		})
	}
	if err == nil {
		e.Launches, err = hlo.CountLaunches(c.Thunks)
	}
	if err != nil {
		return nil, fmt.Errorf("%s was compiled for a GPU, but the result cannot be examined: %w", cell.Describe(n.Arch.Space(), n.Arch.Index()), err)
	}
	return e, nil
}
