// Package torchfile reads and writes the checkpoints of torch.save: zip archives of a pickle
// (data.pkl) and, each in a separate record, the elements of its tensors. It also reads the
// legacy format from before torch 1.6.
//
// [Write] writes a checkpoint; [ReadStateDict] reads one with a state dict and nothing else;
// [Open] gives access to any other. The format follows torch/serialization.py and
// caffe2/serialize/inline_container.cc.
package torchfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/x448/float16"

	"nb201/internal/pickle"
)

// DType is the element type of a tensor.
type DType uint8

// The element types that a Tensor can have.
const (
	Float32 DType = iota
	Float64
	Int64
	Float16
	BFloat16
	// firstUnread is the first type that a Tensor cannot have. Of these, only the names
	// are known.
	firstUnread
)

// dtypes lists, for each DType, its name in Python, its storage class in torch and the
// size of an element in bytes.
var dtypes = [...]struct {
	name, storage string
	width         int
}{
	Float32: {"float32", "FloatStorage", 4},
	Float64: {"float64", "DoubleStorage", 8},
	Int64:   {"int64", "LongStorage", 8},

	Float16:         {"float16", "HalfStorage", 2},
	BFloat16:        {"bfloat16", "BFloat16Storage", 2},
	firstUnread:     {"int32", "IntStorage", 4},
	firstUnread + 1: {"int16", "ShortStorage", 2},
	firstUnread + 2: {"int8", "CharStorage", 1},
	firstUnread + 3: {"uint8", "ByteStorage", 1},
	firstUnread + 4: {"bool", "BoolStorage", 1},
	firstUnread + 5: {"complex64", "ComplexFloatStorage", 8},
	firstUnread + 6: {"complex128", "ComplexDoubleStorage", 16},
}

func (d DType) String() string { return dtypes[d].name }

// Tensor is a dense tensor in C order. Exactly one of its slices contains its elements. In a
// float32 tensor without elements, all may be nil.
type Tensor struct {
	Shape    []int
	Float32  []float32
	Float64  []float64
	Int64    []int64
	Float16  []uint16 // bits
	BFloat16 []uint16 // bits
}

// DType returns the element type of t.
func (t *Tensor) DType() DType {
	switch {
	case t.Float64 != nil:
		return Float64
	case t.Int64 != nil:
		return Int64
	case t.Float16 != nil:
		return Float16
	case t.BFloat16 != nil:
		return BFloat16
	default:
		return Float32
	}
}

// Elements returns the number of elements by t's shape.
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
	for _, v := range slices.Concat(t.Float16, t.BFloat16) {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

// FromBytes returns a tensor of a shape whose elements are in b, in little endian and C
// order.
func FromBytes(d DType, shape []int, b []byte) (*Tensor, error) {
	t := &Tensor{Shape: shape}
	if d >= firstUnread {
		return nil, fmt.Errorf("its type %v is not supported", d)
	}
	if n := t.Elements() * dtypes[d].width; n != len(b) {
		return nil, fmt.Errorf("it has %d bytes instead of %d", len(b), n)
	}
	t.setBytes(d, b)
	return t, nil
}

// setBytes is the inverse of bytes. The shape must be set.
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
	case Float16:
		t.Float16 = uint16s(b)
	case BFloat16:
		t.BFloat16 = uint16s(b)
	}
}

func uint16s(b []byte) []uint16 {
	s := make([]uint16, len(b)/2)
	for i := range s {
		s[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return s
}

// ToFloat32 returns t with its elements rounded to float32, which represents every float16
// and bfloat16 exactly. If t is float32, it returns t.
func (t *Tensor) ToFloat32() *Tensor {
	if t.DType() == Float32 {
		return t
	}
	r := &Tensor{Shape: t.Shape, Float32: make([]float32, 0, t.Elements())}
	for _, v := range t.Float64 {
		r.Float32 = append(r.Float32, float32(v))
	}
	for _, v := range t.Int64 {
		r.Float32 = append(r.Float32, float32(v))
	}
	for _, v := range t.Float16 {
		r.Float32 = append(r.Float32, float16.Frombits(v).Float32())
	}
	for _, v := range t.BFloat16 {
		r.Float32 = append(r.Float32, math.Float32frombits(uint32(v)<<16))
	}
	return r
}

func (t *Tensor) check() error {
	filled := 0
	n := 0
	for _, elements := range []int{len(t.Float32), len(t.Float64), len(t.Int64), len(t.Float16), len(t.BFloat16)} {
		if n += elements; elements > 0 {
			filled++
		}
	}
	if filled > 1 || n != t.Elements() {
		return fmt.Errorf("a tensor of shape %v has %d elements in %d slices", t.Shape, n, filled)
	}
	return nil
}

// strides returns the strides of t in C order, in elements.
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

// StateDict is a module's state_dict: its parameters and buffers, in module order.
type StateDict []NamedTensor

// pickled returns the OrderedDict that Module.state_dict makes (torch/nn/modules/module.py).
// Its attribute _metadata has the version of each layer: 2 for a BatchNorm, which counts its
// batches since that version, else 1.
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
