package data

import (
	"errors"
	"fmt"

	"github.com/nlpodyssey/gopickle/types"

	"nb201/internal/pickle"
)

// unpickle reads a pickled dict of str or bytes keys whose values are plain or numpy
// arrays. It runs nothing: the only names it resolves are those with which numpy
// writes an array.
func unpickle(text []byte) (map[string]any, error) {
	value, err := pickle.Reader{Class: findClass}.Decode(text)
	if err != nil {
		return nil, err
	}
	entries, ok := value.(*types.Dict)
	if !ok {
		return nil, errors.New("is a pickle, but not of a dict")
	}
	dict := make(map[string]any)
	for _, e := range *entries {
		if key, err := bytesOf(e.Key); err == nil {
			dict[string(key)] = e.Value
		}
	}
	return dict, nil
}

// ndarray is a numpy array as pickled.
type ndarray struct {
	dtype   *dtype
	shape   []any
	fortran any
	data    any
}

// dtype is a numpy element type by its short name, e.g. u1.
type dtype struct{ name string }

// latin1 is a byte string that Python 3 wrote with protocol 2, as text.
type latin1 struct{ text string }

// callable is what a pickle may call.
type callable func(args ...any) (any, error)

func (c callable) Call(args ...any) (any, error) { return c(args...) }

// findClass resolves the names with which the versions of numpy write an array
// (gopickle itself adds OrderedDict and object, which do no harm).
func findClass(module, class string) (any, error) {
	switch module + "." + class {
	case "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct":
		return callable(func(...any) (any, error) { return new(ndarray), nil }), nil
	case "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer":
		return callable(fromBuffer), nil
	case "numpy.dtype":
		return callable(newDType), nil
	case "_codecs.encode":
		return callable(encode), nil
	case "numpy.ndarray":
		return nil, nil // an argument of _reconstruct, not looked at
	}
	return nil, fmt.Errorf("it names %.80q, which a CIFAR file does not need", module+"."+class)
}

func newDType(args ...any) (any, error) {
	if len(args) > 0 {
		if name, err := bytesOf(args[0]); err == nil {
			return &dtype{string(name)}, nil
		}
	}
	return nil, errors.New("a numpy type has no name")
}

// PySetState takes byte order and the like, which bytes do not have.
func (*dtype) PySetState(any) error { return nil }

// PySetState is ndarray.__setstate__.
func (a *ndarray) PySetState(state any) error {
	if t, ok := state.(*types.Tuple); ok && len(*t) == 5 { // version first
		return a.set((*t)[2], (*t)[1], (*t)[3], (*t)[4])
	}
	return errors.New("a numpy array has no state")
}

// fromBuffer is numpy.core.numeric._frombuffer(buffer, dtype, shape, order).
func fromBuffer(args ...any) (any, error) {
	a := new(ndarray)
	if len(args) != 4 {
		return nil, errors.New("a numpy array has no state")
	}
	return a, a.set(args[1], args[2], args[3] == "F", args[0])
}

func (a *ndarray) set(element, shape, fortran, data any) error {
	dims, ok := shape.(*types.Tuple)
	d, typed := element.(*dtype)
	if !ok || !typed {
		return errors.New("a numpy array has no shape or type")
	}
	*a = ndarray{dtype: d, shape: *dims, fortran: fortran, data: data}
	return nil
}

// encode is _codecs.encode(text, "latin1").
func encode(args ...any) (any, error) {
	if len(args) == 2 && args[1] == "latin1" {
		if text, ok := args[0].(string); ok {
			return &latin1{text}, nil
		}
	}
	return nil, errors.New("a byte string is not written as latin1")
}

// bytesOf is the contents of a string or byte string of any Python.
func bytesOf(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case []byte:
		return v, nil
	case *types.ByteArray:
		return *v, nil
	case *latin1:
		b := make([]byte, 0, len(v.text))
		for _, r := range v.text {
			if r > 255 {
				return nil, fmt.Errorf("holds the character %q in place of a byte", r)
			}
			b = append(b, byte(r))
		}
		return b, nil
	}
	return nil, errors.New("is not a string of bytes")
}

// rows is the contents of a uint8 matrix with rows of the given length, row by row.
func (a *ndarray) rows(length int) ([]byte, error) {
	switch {
	case a.dtype == nil:
		return nil, errors.New("is an array without contents")
	case a.dtype.name != "u1":
		return nil, fmt.Errorf("is of numpy type %q, not uint8", a.dtype.name)
	case a.fortran != false:
		return nil, errors.New("is stored in Fortran order: save it with numpy.ascontiguousarray")
	case len(a.shape) != 2 || a.shape[1] != length:
		return nil, fmt.Errorf("is not a matrix with rows of %d bytes: the images have another size", length)
	}
	data, err := bytesOf(a.data)
	if err != nil {
		return nil, err
	}
	if len(data)%length != 0 || a.shape[0] != len(data)/length {
		return nil, fmt.Errorf("has %d bytes, which is not what its shape says", len(data))
	}
	return data, nil
}

// integers is the contents of a list of whole numbers.
func integers(v any) ([]int, error) {
	list, ok := v.(*types.List)
	if !ok {
		return nil, errors.New("is not a list")
	}
	numbers := make([]int, len(*list))
	for i, item := range *list {
		if numbers[i], ok = item.(int); !ok {
			return nil, fmt.Errorf("has something else than a whole number at place %d", i)
		}
	}
	return numbers, nil
}
