package pickle

import (
	"errors"
	"fmt"
	"slices"
)

// builtin is a function of Python that may copy what it is given, within bounds.
type builtin func(m *machine, args Tuple) (any, error)

// Plain resolves the classes and functions that pickles of plain values and of numpy
// scalars and arrays name. It is safe for any pickle.
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
	return nil, fmt.Errorf("it names %.80q, which plain values do not need", module+"."+name)
}

// newOrderedDict is OrderedDict(items); Python 2 gives it a list of its items.
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
		return nil, errors.New("it makes an OrderedDict of something else than pairs")
	}
	return d, m.charge(len(items))
}

func newSet(m *machine, args Tuple) (any, error) {
	if len(args) == 0 {
		return new(Set), nil
	}
	items, ok := sequence(args)
	if !ok {
		return nil, errors.New("it makes a set of something else than a list")
	}
	s := Set(slices.Clone(items))
	return &s, m.charge(len(items))
}

// sequence is the contents of the list or tuple that is the only argument.
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

// newBytes is _codecs.encode(text, "latin1"), as which Python 3 writes bytes with protocol
// 2, as well as bytes() and bytearray(text, "latin-1") or bytearray(bytes).
func newBytes(m *machine, args Tuple) (any, error) {
	switch len(args) {
	case 0:
		return []byte{}, nil
	case 1:
		if b, ok := args[0].([]byte); ok {
			return slices.Clone(b), m.charge(len(b))
		}
	case 2:
		text, ok := args[0].(string)
		if ok && (args[1] == "latin1" || args[1] == "latin-1") {
			if err := m.charge(len(text)); err != nil {
				return nil, err
			}
			b := make([]byte, 0, len(text))
			for _, r := range text {
				if r > 0xff {
					return nil, fmt.Errorf("it has the character %q in place of a byte", r)
				}
				b = append(b, byte(r))
			}
			return b, nil
		}
	}
	return nil, errors.New("it has bytes that are not written as latin1")
}
