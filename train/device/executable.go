package device

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/cell/network"
	"nb201/configs"
	"nb201/internal/backend"
)

// Spec is what the executables of a trial depend on, but for the size of batches.
type Spec struct {
	Network   cell.Network
	Precision configs.Precision
	Stored    int // images on the device

	// Of the training step.
	Momentum    float64
	Nesterov    bool
	WeightDecay float64
}

// Executable is a training step or an evaluation, compiled or being compiled.
type Executable struct {
	Spec
	training bool
	rows     int // of a batch
	batches  int // of one call, at most
	backend  compute.Backend
	model    *network.Model
	dtype    dtypes.DType

	abandoned atomic.Bool   // it need not be compiled
	done      chan struct{} // closed when there is a graph or an error
	graph     runnable
	err       error

	way      int                 // that it was made in, by backend.Way
	fallBack func(from int) bool // backend.FallBack
	ran      bool                // a call has succeeded
}

// runnable is a compiled *Graph.
type runnable interface {
	Run(inputs ...any) []*tensors.Tensor
	Finalize()
}

// NewStep returns the training step over batches of rows images, to be compiled.
func NewStep(b compute.Backend, s Spec, rows int) *Executable { return newExecutable(b, s, true, rows) }

// NewEvaluation returns the evaluation of batches of rows images, to be compiled.
func NewEvaluation(b compute.Backend, s Spec, rows int) *Executable {
	return newExecutable(b, s, false, rows)
}

func newExecutable(b compute.Backend, s Spec, training bool, rows int) *Executable {
	return &Executable{
		Spec: s, training: training, rows: rows, batches: max(1, maxRows/rows),
		backend: b, model: network.New(s.Network, featureType(s.Precision), backend.OnGPU(b)), dtype: stateType(s.Precision),
		done: make(chan struct{}), fallBack: backend.FallBack,
	}
}

// maxRows is how many images one call of an executable goes through at most; their rows
// are half a megabyte.
const maxRows = 1 << 15

// Set is the executables of a trial.
type Set struct {
	// Whole is the training step of whole batches, Ragged that of an epoch's last, shorter
	// one; nil where there is none. Evaluate is the evaluation of batches.
	Whole, Ragged, Evaluate *Executable
}

// NewSet returns the executables of a trial, to be compiled. rows are those of a whole
// batch, ragged those of an epoch's last one, 0 where it is whole.
func NewSet(b compute.Backend, s Spec, rows, ragged int) *Set {
	set := &Set{Whole: NewStep(b, s, rows), Evaluate: NewEvaluation(b, s, rows)}
	if ragged > 0 {
		set.Ragged = NewStep(b, s, ragged)
		set.Ragged.batches = 1
	}
	return set
}

// All lists the executables in the order in which a trial needs them; a nil set has none.
func (s *Set) All() []*Executable {
	if s == nil {
		return nil
	}
	return slices.DeleteFunc([]*Executable{s.Whole, s.Ragged, s.Evaluate}, func(e *Executable) bool { return e == nil })
}

// Same reports whether two executables compute the same.
func (e *Executable) Same(other *Executable) bool {
	return e.Spec == other.Spec && e.training == other.training && e.rows == other.rows && e.batches == other.batches
}

// WeightOrder names the order in which the device keeps convolutions' weights, see
// network.Layout.
func (e *Executable) WeightOrder() string { return e.model.Weights }

// Compile compiles executables, the first ones first, and returns when all are compiled:
// XLA takes two cores for one. Their errors are those of Wait.
func Compile(executables ...*Executable) {
	var group errgroup.Group
	group.SetLimit(max(1, runtime.NumCPU()/2))
	for _, e := range executables {
		group.Go(func() error {
			defer close(e.done)
			if !e.abandoned.Load() {
				e.graph, e.err = e.compile()
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are the executables'
}

// Wait waits until an executable is compiled, or ctx cancelled.
func (e *Executable) Wait(ctx context.Context) error {
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Failed reports whether an executable could not be compiled.
func (e *Executable) Failed() bool {
	select {
	case <-e.done:
		return e.err != nil
	default:
		return false
	}
}

// Finalize frees an executable, after it was compiled if that is under way.
func (e *Executable) Finalize() {
	e.abandoned.Store(true)
	<-e.done
	if e.graph != nil {
		e.graph.Finalize()
	}
}

func (e *Executable) compile() (runnable, error) {
	name, build := "evaluation", e.evaluation
	if e.training {
		name, build = "step", e.step
	}
	e.way = backend.Way()
	g := NewGraph(e.backend, name)
	if err := backend.Catch(func() error { return g.Compile(build(g)...) }); err != nil {
		return nil, fmt.Errorf("cannot compile the %s of %s: %w", name, e.Network.Arch, err)
	}
	return g, nil
}

// run runs an executable that is compiled. What compiles as a CUDA graph may not run as
// one, and a kept program may be damaged: where the first call fails and the backend can
// make the executable in another way, it is made and run again. No executable writes to its
// inputs.
func (e *Executable) run(inputs ...any) (out []*tensors.Tensor, err error) {
	for {
		err = backend.Catch(func() error {
			out = e.graph.Run(inputs...)
			return nil
		})
		if err == nil || e.ran || !e.fallBack(e.way) {
			e.ran = e.ran || err == nil
			return out, err
		}
		again, failed := e.compile()
		if failed != nil {
			return nil, errors.Join(err, failed)
		}
		e.graph.Finalize()
		e.graph = again
	}
}
