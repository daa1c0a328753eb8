package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// DType is a numpy element type.
type DType struct {
	Name      string // kind and size in bytes, such as u1 or f8
	BigEndian bool
}

// newDType is numpy.dtype(name, align, copy).
func newDType(_ *machine, args Tuple) (any, error) {
	if len(args) > 0 {
		if name, ok := args[0].(string); ok && len(name) <= maxName {
			return &DType{Name: name}, nil
		}
		if name, ok := args[0].([]byte); ok && len(name) <= maxName {
			return &DType{Name: string(name)}, nil
		}
	}
	return nil, errors.New("a numpy type has no name")
}

// SetState is dtype.__setstate__. Only the byte order matters, as types of numbers have no
// fields.
func (d *DType) SetState(state any) error {
	if t, ok := state.(Tuple); ok && len(t) >= 2 {
		switch order := t[1].(type) {
		case string:
			d.BigEndian = order == ">"
			return nil
		case []byte:
			d.BigEndian = string(order) == ">"
			return nil
		}
	}
	return errors.New("a numpy type has a malformed state")
}

// Scalar is a numpy scalar. Python's clients print and compare it like the plain value, but its type
// differs, so it is kept.
type Scalar struct {
	DType string // kind and size in bytes, such as f8
	Value any    // float64, int64 or bool
}

// Unwrap returns the plain value of a *Scalar, and any other value unchanged.
func Unwrap(v any) any {
	if s, ok := v.(*Scalar); ok {
		return s.Value
	}
	return v
}

// newScalar is numpy.core.multiarray.scalar(dtype, bytes).
func newScalar(_ *machine, args Tuple) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("a numpy scalar has no value")
	}
	d, ok := args[0].(*DType)
	if !ok {
		return nil, errors.New("a numpy scalar has no type")
	}
	b, ok := args[1].([]byte)
	if s, isString := args[1].(string); isString && len(s) <= 8 {
		b, ok = []byte(s), true
	}
	if !ok || d.BigEndian && len(b) > 1 {
		return nil, errors.New("a numpy scalar is not stored in little-endian bytes")
	}
	scalar := &Scalar{DType: d.Name}
	switch {
	case d.Name == "f8" && len(b) == 8:
		scalar.Value = math.Float64frombits(littleEndian(b))
	case d.Name == "f4" && len(b) == 4:
		scalar.Value = float64(math.Float32frombits(uint32(littleEndian(b))))
	case d.Name == "i8" && len(b) == 8, d.Name == "i4" && len(b) == 4, d.Name == "i2" && len(b) == 2, d.Name == "i1" && len(b) == 1:
		scalar.Value = parseLong(b)
	case d.Name == "u4" && len(b) == 4, d.Name == "u2" && len(b) == 2, d.Name == "u1" && len(b) == 1:
		scalar.Value = int64(littleEndian(b))
	case d.Name == "b1" && len(b) == 1:
		scalar.Value = b[0] != 0
	default:
		return nil, fmt.Errorf("a numpy scalar of type %.20q has %d bytes, which is not a known number", d.Name, len(b))
	}
	return scalar, nil
}

// scalar writes a numpy scalar. Like [Bytes], it is for plain pickles only.
func (e *Encoder) scalar(s *Scalar) error {
	var wide [8]byte
	switch v := s.Value.(type) {
	case float64:
		if s.DType == "f4" {
			binary.LittleEndian.PutUint32(wide[:], math.Float32bits(float32(v)))
		} else {
			binary.LittleEndian.PutUint64(wide[:], math.Float64bits(v))
		}
	case int64:
		binary.LittleEndian.PutUint64(wide[:], uint64(v))
	case bool:
		if v {
			wide[0] = 1
		}
	}
	size := int(s.DType[len(s.DType)-1] - '0')
	return e.value(Reduce{Global{"numpy.core.multiarray", "scalar"}, Tuple{newBuiltDType(s.DType, false), Bytes(wide[:size])}})
}

// newBuiltDType returns what dtype.__reduce__ returns for a type of numbers.
func newBuiltDType(name string, bigEndian bool) built {
	order := "<"
	switch {
	case bigEndian:
		order = ">"
	case strings.HasSuffix(name, "1"): // a single byte
		order = "|"
	}
	return built{
		Reduce{Global{"numpy", "dtype"}, Tuple{name, false, true}},
		Tuple{3, order, nil, nil, nil, -1, -1, 0},
	}
}

// Array is a numpy array.
type Array struct {
	DType   *DType // nil if the array has no contents
	Shape   Tuple
	Fortran bool // the first index varies fastest

	data any // string or []byte
}

// NewArray returns an array of little-endian elements of a type such as u1, in C order. Like
// [Bytes], it is for plain pickles only.
func NewArray(dtype string, elements []byte, shape ...int) *Array {
	a := &Array{DType: &DType{Name: dtype}, data: elements}
	for _, n := range shape {
		a.Shape = append(a.Shape, n)
	}
	return a
}

// built is an object made by calling its __setstate__ with a state.
type built struct{ object, state any }

// array writes the values that ndarray.__reduce__ and dtype.__reduce__ return.
func (e *Encoder) array(a *Array) error {
	data, ok := a.Bytes()
	if !ok {
		return errors.New("pickle: cannot write an array without contents")
	}
	return e.value(built{
		Reduce{Global{"numpy.core.multiarray", "_reconstruct"}, Tuple{Global{"numpy", "ndarray"}, Tuple{0}, Bytes("b")}},
		Tuple{1, a.Shape, newBuiltDType(a.DType.Name, a.DType.BigEndian), a.Fortran, Bytes(data)},
	})
}

// Bytes returns the bytes of the elements, which must not be changed, or false if the array
// has no contents.
func (a *Array) Bytes() ([]byte, bool) {
	switch v := a.data.(type) {
	case string:
		return []byte(v), true
	case []byte:
		return v, true
	}
	return nil, false
}

// SetState is ndarray.__setstate__((version, shape, dtype, Fortran order, data)).
func (a *Array) SetState(state any) error {
	if t, ok := state.(Tuple); ok && len(t) == 5 {
		return a.set(t[2], t[1], t[3] == true || t[3] == int64(1), t[4])
	}
	return errors.New("a numpy array has no state")
}

// fromBuffer is numpy.core.numeric._frombuffer(buffer, dtype, shape, order).
func fromBuffer(_ *machine, args Tuple) (any, error) {
	a := new(Array)
	if len(args) != 4 {
		return nil, errors.New("a numpy array has no state")
	}
	return a, a.set(args[1], args[2], args[3] == "F", args[0])
}

func (a *Array) set(element, shape any, fortran bool, data any) error {
	dims, ok := shape.(Tuple)
	d, typed := element.(*DType)
	if !ok || !typed {
		return errors.New("a numpy array has no shape or type")
	}
	*a = Array{DType: d, Shape: dims, Fortran: fortran, data: data}
	return nil
}
