package pickle

import (
	"errors"
	"fmt"
	"slices"
)

// builtin is a Python function that may copy its arguments. It charges m for what it copies.
type builtin func(m *machine, args Tuple) (any, error)

// Plain is a [Reader.Class] that knows the classes and functions in pickles of plain values
// and of numpy scalars and arrays. It is safe for any pickle.
func Plain(module, name string) (any, error) {
	switch module {
	case "collections":
		if name == "OrderedDict" {
			return builtin(newOrderedDict), nil
		}
	case "builtins", "__builtin__":
		switch name {
		case "set", "frozenset":
			return builtin(newSet), nil
		case "bytes", "bytearray":
			return builtin(newBytes), nil
		}
	case "_codecs":
		if name == "encode" {
			return builtin(newBytes), nil
		}
	case "numpy":
		switch name {
		case "dtype":
			return builtin(newDType), nil
		case "ndarray":
			return Global{module, name}, nil // an argument of _reconstruct
		}
	case "numpy.core.multiarray", "numpy._core.multiarray":
		switch name {
		case "scalar":
			return builtin(newScalar), nil
		case "_reconstruct":
			return builtin(func(*machine, Tuple) (any, error) { return new(Array), nil }), nil
		}
	case "numpy.core.numeric", "numpy._core.numeric":
		if name == "_frombuffer" {
			return builtin(fromBuffer), nil
		}
	}
	return nil, fmt.Errorf("it refers to %.80q, which a pickle of plain values does not need", module+"."+name)
}

// newOrderedDict is OrderedDict(items). Python 2 pickles it with a list of its items.
func newOrderedDict(m *machine, args Tuple) (any, error) {
	d := new(OrderedDict)
	if len(args) == 0 {
		return d, nil
	}
	items, ok := sequence(args)
	for _, item := range items {
		pair, isPair := sequence(Tuple{item})
		if ok = ok && isPair && len(pair) == 2; !ok {
			break
		}
		d.Items = append(d.Items, Pair{pair[0], pair[1]})
	}
	if !ok {
		return nil, errors.New("it makes an OrderedDict from values that are not pairs")
	}
	return d, m.chargeCopy(len(items))
}

func newSet(m *machine, args Tuple) (any, error) {
	if len(args) == 0 {
		return new(Set), nil
	}
	items, ok := sequence(args)
	if !ok {
		return nil, errors.New("it makes a set from a value that is not a list")
	}
	s := Set(slices.Clone(items))
	return &s, m.chargeCopy(len(items))
}

// sequence returns the elements of the list or tuple that is the only argument.
func sequence(args Tuple) ([]any, bool) {
	if len(args) == 1 {
		switch v := args[0].(type) {
		case *List:
			return *v, true
		case Tuple:
			return v, true
		}
	}
	return nil, false
}

// newBytes is _codecs.encode(text, "latin1"), the form of bytes that Python 3 writes in
// protocol 2. It is also bytes(), bytearray(text, "latin-1") and bytearray(bytes).
func newBytes(m *machine, args Tuple) (any, error) {
	switch len(args) {
	case 0:
		return []byte{}, nil
	case 1:
		if b, ok := args[0].([]byte); ok {
			return slices.Clone(b), m.chargeCopy(len(b))
		}
	case 2:
		text, ok := args[0].(string)
		if ok && (args[1] == "latin1" || args[1] == "latin-1") {
			if err := m.chargeCopy(len(text)); err != nil {
				return nil, err
			}
			b := make([]byte, 0, len(text))
			for _, r := range text {
				if r > 0xff {
					return nil, fmt.Errorf("it has the character %q instead of a byte", r)
				}
				b = append(b, byte(r))
			}
			return b, nil
		}
	}
	return nil, errors.New("it has bytes that are not encoded as latin1")
}
