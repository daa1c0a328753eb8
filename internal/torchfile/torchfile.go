// Package torchfile writes and reads the checkpoints of torch.save: a zip archive
// that holds one pickle (data.pkl) and, as records of their own, the elements of
// its tensors.
//
// What a record must hold and where it must lie follows torch/serialization.py and
// caffe2/serialize/inline_container.cc.
package torchfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"nb201/internal/pickle"
)

// DType is the element type of a tensor.
type DType uint8

const (
	Float32 DType = iota
	Float64
	Int64
)

// dtypes gives, for each DType, its name in Python, its storage class in torch and
// the bytes of one element.
var dtypes = [...]struct {
	name, storage string
	width         int
}{
	Float32: {"float32", "FloatStorage", 4},
	Float64: {"float64", "DoubleStorage", 8},
	Int64:   {"int64", "LongStorage", 8},
}

func (d DType) String() string { return dtypes[d].name }

// Tensor is a dense tensor in C order. Exactly one of its slices holds its
// elements, or none when it has no element and is of type float32.
type Tensor struct {
	Shape   []int
	Float32 []float32
	Float64 []float64
	Int64   []int64
}

// DType is the element type of t.
func (t *Tensor) DType() DType {
	switch {
	case t.Float64 != nil:
		return Float64
	case t.Int64 != nil:
		return Int64
	default:
		return Float32
	}
}

// Elements is the number of elements that t's shape gives.
func (t *Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// bytes returns t's elements in little endian.
func (t *Tensor) bytes() []byte {
	b := make([]byte, 0, t.Elements()*dtypes[t.DType()].width)
	for _, v := range t.Float32 {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	for _, v := range t.Float64 {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	for _, v := range t.Int64 {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// setBytes is the inverse of bytes, for a shape set already.
func (t *Tensor) setBytes(d DType, b []byte) {
	n := t.Elements()
	switch d {
	case Float32:
		t.Float32 = make([]float32, n)
		for i := range t.Float32 {
			t.Float32[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case Float64:
		t.Float64 = make([]float64, n)
		for i := range t.Float64 {
			t.Float64[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	case Int64:
		t.Int64 = make([]int64, n)
		for i := range t.Int64 {
			t.Int64[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
}

func (t *Tensor) check() error {
	held := 0
	for _, n := range []int{len(t.Float32), len(t.Float64), len(t.Int64)} {
		if n > 0 {
			held++
		}
	}
	if n := len(t.Float32) + len(t.Float64) + len(t.Int64); held > 1 || n != t.Elements() {
		return fmt.Errorf("a tensor of shape %v holds %d elements in %d slices", t.Shape, n, held)
	}
	return nil
}

// strides are those of a C-ordered tensor, in elements.
func (t *Tensor) strides() []int {
	strides := make([]int, len(t.Shape))
	n := 1
	for i := len(t.Shape) - 1; i >= 0; i-- {
		strides[i] = n
		n *= t.Shape[i]
	}
	return strides
}

// NamedTensor is an entry of a state dict.
type NamedTensor struct {
	Name string
	*Tensor
}

// StateDict is a module's state_dict: its parameters and buffers in module order.
type StateDict []NamedTensor

// pickled is the OrderedDict that Module.state_dict makes (torch/nn/modules/module.py),
// with the version of each layer in its attribute _metadata: 2 for a BatchNorm,
// since which version it counts its batches, else 1.
func (s StateDict) pickled() pickle.OrderedDict {
	tensors := make(pickle.Dict, len(s))
	versions := pickle.Dict{{Key: "", Value: version(1)}}
	last := ""
	for i, t := range s {
		tensors[i] = pickle.Pair{Key: t.Name, Value: t.Tensor}
		layer, field := "", t.Name
		if dot := strings.LastIndexByte(t.Name, '.'); dot >= 0 {
			layer, field = t.Name[:dot], t.Name[dot+1:]
		}
		if layer != last {
			versions = append(versions, pickle.Pair{Key: layer, Value: version(1)})
			last = layer
		}
		if field == "num_batches_tracked" {
			versions[len(versions)-1].Value = version(2)
		}
	}
	return pickle.OrderedDict{
		Items:      tensors,
		Attributes: pickle.Dict{{Key: "_metadata", Value: pickle.OrderedDict{Items: versions}}},
	}
}

func version(v int) pickle.Dict { return pickle.Dict{{Key: "version", Value: v}} }
