package device

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/cell/network"
	"nb201/configs"
	"nb201/internal/torchfile"
)

// float is the type of parameters on the device.
type float interface{ float32 | float64 }

// State holds what a training step updates: three vectors on the device, float32 or with
// [configs.FP64] float64. [network.Layout] gives their lengths and order.
type State struct{ params, momenta, stats *tensors.Tensor }

// vectors lists the three vectors; there are none in a nil state.
func (s *State) vectors() []*tensors.Tensor {
	if s == nil {
		return nil
	}
	return []*tensors.Tensor{s.params, s.momenta, s.stats}
}

// Finalize frees the vectors. Calling it on nil does nothing.
func (s *State) Finalize() {
	for _, t := range s.vectors() {
		t.MustFinalizeAll()
	}
}

// NewState makes a state from a float32 state dict, in the device's order, with zero momenta. It
// returns an error if the weights are not the network's.
func (e *Executable) NewState(weights torchfile.StateDict) (*State, error) {
	if e.Precision == configs.FP64 {
		return packState[float64](e.model.Layout, weights)
	}
	return packState[float32](e.model.Layout, weights)
}

func packState[T float](layout *network.Layout, weights torchfile.StateDict) (*State, error) {
	if len(weights) != len(layout.Slots) {
		return nil, fmt.Errorf("the weights have %d tensors, but the network has %d", len(weights), len(layout.Slots))
	}
	params, stats := make([]T, layout.Parameters), make([]T, layout.Statistics)
	for i, slot := range layout.Slots {
		w := weights[i]
		if w.Name != slot.Name || !slices.Equal(w.Shape, slot.Shape) {
			return nil, fmt.Errorf("the weights have %s %v where the network has %s %v", w.Name, w.Shape, slot.Name, slot.Shape)
		}
		switch slot.Vector {
		case network.Parameters:
			network.ToDevice(slot, params, convert[T](w.Float32))
		case network.Statistics:
			network.ToDevice(slot, stats, convert[T](w.Float32))
		}
	}
	return &State{
		params:  tensors.FromFlatDataAndDimensions(params, len(params)),
		momenta: tensors.FromFlatDataAndDimensions(make([]T, len(params)), len(params)),
		stats:   tensors.FromFlatDataAndDimensions(stats, len(stats)),
	}, nil
}

// Write writes the vectors one after another in the host's byte order, which is little-endian on
// all hosts that XLA runs on.
func (s *State) Write(w io.Writer) error {
	for _, v := range s.vectors() {
		var written error
		err := v.ConstBytes(func(values []byte) { _, written = w.Write(values) })
		if err := cmp.Or(err, written); err != nil {
			return err
		}
	}
	return nil
}

// ReadState reads a state of this executable that [State.Write] wrote.
func (e *Executable) ReadState(r io.Reader) (*State, error) {
	var vectors [3]*tensors.Tensor
	for i, n := range []int{e.model.Parameters, e.model.Parameters, e.model.Statistics} {
		vectors[i] = tensors.FromShape(shapes.Make(e.dtype, n))
		var read error
		err := vectors[i].MutableBytes(func(values []byte) { _, read = io.ReadFull(r, values) })
		if err := cmp.Or(err, read); err != nil {
			return nil, fmt.Errorf("its state is cut short: %w", err)
		}
	}
	return &State{params: vectors[0], momenta: vectors[1], stats: vectors[2]}, nil
}

// Weights fetches a state from the device as a state dict, in float64 with [configs.FP64] and
// float32 otherwise. batches becomes num_batches_tracked.
func (e *Executable) Weights(s *State, batches int64) (torchfile.StateDict, error) {
	if e.Precision == configs.FP64 {
		return unpackState(e.model.Layout, s, batches, func(v []float64) *torchfile.Tensor { return &torchfile.Tensor{Float64: v} })
	}
	return unpackState(e.model.Layout, s, batches, func(v []float32) *torchfile.Tensor { return &torchfile.Tensor{Float32: v} })
}

func unpackState[T float](layout *network.Layout, s *State, batches int64, wrap func([]T) *torchfile.Tensor) (torchfile.StateDict, error) {
	params, err := tensors.CopyFlatData[T](s.params)
	if err != nil {
		return nil, err
	}
	stats, err := tensors.CopyFlatData[T](s.stats)
	if err != nil {
		return nil, err
	}
	var dict torchfile.StateDict
	for _, slot := range layout.Slots {
		t := &torchfile.Tensor{Int64: []int64{batches}}
		if slot.Role != cell.BNCount {
			vector := params
			if slot.Vector == network.Statistics {
				vector = stats
			}
			values := make([]T, slot.Len())
			network.FromDevice(slot, values, vector)
			t = wrap(values)
		}
		t.Shape = slot.Shape
		dict = append(dict, torchfile.NamedTensor{Name: slot.Name, Tensor: t})
	}
	return dict, nil
}

func convert[T, S float](values []S) []T {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = T(v)
	}
	return out
}
