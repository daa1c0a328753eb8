package data

import (
	"errors"
	"fmt"

	"nb201/internal/pickle"
)

// unpickle reads a pickled dict of str or bytes keys whose values are plain or numpy
// arrays. It runs nothing.
func unpickle(text []byte) (map[string]any, error) {
	value, err := pickle.Reader{}.Decode(text)
	if err != nil {
		return nil, err
	}
	entries, ok := value.(*pickle.Dict)
	if !ok {
		return nil, errors.New("is a pickle, but not of a dict")
	}
	dict := make(map[string]any)
	for _, e := range *entries {
		switch key := e.Key.(type) {
		case string:
			dict[key] = e.Value
		case []byte:
			dict[string(key)] = e.Value
		}
	}
	return dict, nil
}

// rows is the contents of v, a uint8 matrix with rows of the given length, row by row.
func rows(v any, length int) ([]byte, error) {
	a, ok := v.(*pickle.Array)
	switch {
	case !ok:
		return nil, errors.New("is not a numpy array")
	case a.DType == nil:
		return nil, errors.New("is an array without contents")
	case a.DType.Name != "u1":
		return nil, fmt.Errorf("is of numpy type %.20q, not uint8", a.DType.Name)
	case a.Fortran:
		return nil, errors.New("is stored in Fortran order: save it with numpy.ascontiguousarray")
	case len(a.Shape) != 2 || a.Shape[1] != int64(length):
		return nil, fmt.Errorf("is not a matrix with rows of %d bytes: the images have another size", length)
	}
	data, ok := a.Bytes()
	if !ok {
		return nil, errors.New("is an array without bytes")
	}
	if len(data)%length != 0 || a.Shape[0] != int64(len(data)/length) {
		return nil, fmt.Errorf("has %d bytes, which is not what its shape says", len(data))
	}
	return data, nil
}

// integers is the contents of a list of whole numbers.
func integers(v any) ([]int, error) {
	list, ok := v.(*pickle.List)
	if !ok {
		return nil, errors.New("is not a list")
	}
	numbers := make([]int, len(*list))
	for i, item := range *list {
		n, ok := item.(int64)
		if !ok {
			return nil, fmt.Errorf("has something else than a whole number at place %d", i)
		}
		numbers[i] = int(n)
	}
	return numbers, nil
}
