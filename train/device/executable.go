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

// Spec holds everything that the executables of a trial depend on, except the batch size.
type Spec struct {
	Network   cell.Network
	Precision configs.Precision
	Stored    int // images on the device

	// For the training step.
	Momentum       float64
	Nesterov       bool
	WeightDecay    float64
	Decayed        configs.Decayed
	LabelSmoothing float64
	Cutout         int // side in pixels of the square that is cut out of an image; 0: none
}

// Executable is a training step or an evaluation of one network and batch size. [Compile]
// compiles it; the other methods may be called earlier.
type Executable struct {
	Spec
	training bool
	rows     int // of a batch
	batches  int // of one call, at most
	backend  compute.Backend
	model    *network.Model
	dtype    dtypes.DType

	abandoned atomic.Bool   // no longer needed: do not compile
	done      chan struct{} // closed when graph or err is set
	graph     runnable
	err       error

	level    int                            // at which it was compiled: see backend.FallbackLevel
	fallBack func(from int, why error) bool // backend.FallBack; tests replace it
	ran      bool                           // a call has succeeded
}

// runnable is a compiled *Graph.
type runnable interface {
	Run(inputs ...any) []*tensors.Tensor
	Finalize()
}

// NewStep returns the training step over batches of rows images, not compiled yet.
func NewStep(b compute.Backend, s Spec, rows int) *Executable { return newExecutable(b, s, true, rows) }

// NewEvaluation returns the evaluation of batches of rows images, not compiled yet.
func NewEvaluation(b compute.Backend, s Spec, rows int) *Executable {
	return newExecutable(b, Spec{Network: s.Network, Precision: s.Precision, Stored: s.Stored}, false, rows)
}

func newExecutable(b compute.Backend, s Spec, training bool, rows int) *Executable {
	return &Executable{
		Spec: s, training: training, rows: rows, batches: max(1, maxRows/rows),
		backend: b, model: network.New(s.Network, featureType(s.Precision), network.Device{GPU: backend.OnGPU(b), Kernels: backend.HasKernels(b)}), dtype: stateType(s.Precision),
		done: make(chan struct{}), fallBack: backend.FallBack,
	}
}

// maxRows is the largest number of images in one call of an executable; their rows take half a
// megabyte.
const maxRows = 1 << 15

// Set holds the executables of a trial.
type Set struct {
	// Whole is the training step over whole batches. Ragged is the training step over the last,
	// shorter batch of an epoch, or nil if there is none. Evaluate is the evaluation.
	Whole, Ragged, Evaluate *Executable
}

// NewSet returns the executables of a trial, not compiled yet. rows is the size of a whole batch
// and ragged that of the last batch of an epoch, or 0 if that one is whole.
func NewSet(b compute.Backend, s Spec, rows, ragged int) *Set {
	set := &Set{Whole: NewStep(b, s, rows), Evaluate: NewEvaluation(b, s, rows)}
	if ragged > 0 {
		set.Ragged = NewStep(b, s, ragged)
		set.Ragged.batches = 1
	}
	return set
}

// All lists the executables in the order in which a trial needs them. A nil set has none.
func (s *Set) All() []*Executable {
	if s == nil {
		return nil
	}
	return slices.DeleteFunc([]*Executable{s.Whole, s.Ragged, s.Evaluate}, func(e *Executable) bool { return e == nil })
}

// Same reports whether two executables compute the same thing, so that one can replace the other.
func (e *Executable) Same(other *Executable) bool {
	return e.Spec == other.Spec && e.training == other.training && e.rows == other.rows && e.batches == other.batches
}

// WeightOrder names the order in which the device stores the weights of convolutions; see
// [network.Layout].
func (e *Executable) WeightOrder() string { return e.model.Weights }

// Compile compiles executables in order, several at a time (half as many as there are CPU cores,
// since XLA uses about two for one program), and returns when all are compiled. Errors are
// returned by each executable's Wait.
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
	_ = group.Wait() // each executable keeps its error
}

// Wait waits until the executable is compiled, and returns the error of compiling it, or ctx's
// error if that is cancelled first.
func (e *Executable) Wait(ctx context.Context) error {
	select {
	case <-e.done:
		return e.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Failed reports whether compiling the executable has failed. It does not wait.
func (e *Executable) Failed() bool {
	select {
	case <-e.done:
		return e.err != nil
	default:
		return false
	}
}

// Finalize frees the executable. If it is being compiled, Finalize waits for the end of that.
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
	e.level = backend.FallbackLevel()
	g := NewGraph(e.backend, name)
	if err := backend.Catch(func() error { return g.Compile(build(g)...) }); err != nil {
		return nil, fmt.Errorf("cannot compile the %s of %s: %w", name, e.Network.Arch, err)
	}
	return g, nil
}

// run runs the compiled executable. If the first call fails, run compiles the executable at the
// next fallback level, as long as the backend has one, and tries again: a program may compile as a CUDA
// graph but fail to run as one or need more memory than the GPU has, and a program kept on disk may be
// damaged. Inputs can be used again because no executable writes to them.
func (e *Executable) run(inputs ...any) (out []*tensors.Tensor, err error) {
	for {
		err = backend.Catch(func() error {
			out = e.graph.Run(inputs...)
			return nil
		})
		if err == nil || e.ran || !e.fallBack(e.level, err) {
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
