package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"nb201/internal/pickle"
)

// unpickle reads a pickled dict whose keys are str or bytes and whose values are plain or
// numpy arrays. It does not run any code of the pickle.
func unpickle(text []byte) (map[string]any, error) {
	value, err := pickle.Reader{}.Decode(text)
	if err != nil {
		return nil, err
	}
	entries, ok := value.(*pickle.Dict)
	if !ok {
		return nil, errors.New("it is a pickle, but not of a dict")
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

// unpickleBatch reads a pickled dict with the images under "data", a uint8 matrix with the
// planes of an image in each row, and their labels, whole numbers, under the given key.
func unpickleBatch(text []byte, key string, size int) (images [][]byte, labels []int, err error) {
	dict, err := unpickle(text)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range []string{"data", key} {
		if _, ok := dict[name]; !ok {
			return nil, nil, fmt.Errorf("it has no key %q", name)
		}
	}
	if images, err = rows(dict["data"], 3*size*size); err != nil {
		return nil, nil, fmt.Errorf(`its "data" %w`, err)
	}
	if labels, err = integers(dict[key]); err != nil {
		return nil, nil, fmt.Errorf("its %q %w", key, err)
	}
	if len(labels) != len(images) {
		return nil, nil, fmt.Errorf("it has %d images but %d labels", len(images), len(labels))
	}
	return images, labels, nil
}

// rows returns the rows of v, which must be a uint8 matrix with rows of the given length.
func rows(v any, length int) ([][]byte, error) {
	a, ok := v.(*pickle.Array)
	switch {
	case !ok:
		return nil, errors.New("is not a numpy array")
	case a.DType == nil:
		return nil, errors.New("is an array without data")
	case a.DType.Name != "u1":
		return nil, fmt.Errorf("is of numpy type %.20q, not uint8", a.DType.Name)
	case a.Fortran:
		return nil, errors.New("is stored in Fortran order: save it after numpy.ascontiguousarray")
	case len(a.Shape) != 2 || a.Shape[1] != int64(length):
		return nil, fmt.Errorf("has the shape %v, not [N, %d]: the images have another size", a.Shape, length)
	}
	data, ok := a.Bytes()
	if !ok {
		return nil, errors.New("is an array without data")
	}
	if len(data)%length != 0 || a.Shape[0] != int64(len(data)/length) {
		return nil, fmt.Errorf("has %d bytes, which does not match its shape", len(data))
	}
	return slices.Collect(slices.Chunk(data, length)), nil
}

// integers returns the contents of a list of whole numbers, or of the array of int64 that
// numpy makes of such a list.
func integers(v any) ([]int, error) {
	if a, ok := v.(*pickle.Array); ok {
		return integerArray(a)
	}
	list, ok := v.(*pickle.List)
	if !ok {
		return nil, fmt.Errorf("is %s, not a list", pickle.Describe(v))
	}
	numbers := make([]int, len(*list))
	for i, item := range *list {
		n, ok := pickle.Unwrap(item).(int64)
		if !ok {
			return nil, fmt.Errorf("is not a whole number at index %d", i)
		}
		numbers[i] = int(n)
	}
	return numbers, nil
}

func integerArray(a *pickle.Array) ([]int, error) {
	data, ok := a.Bytes()
	if !ok || a.DType == nil || a.DType.Name != "i8" || a.DType.BigEndian || len(a.Shape) != 1 || len(data)%8 != 0 || a.Shape[0] != int64(len(data)/8) {
		return nil, errors.New("is neither a list nor an array of int64")
	}
	numbers := make([]int, len(data)/8)
	for i := range numbers {
		numbers[i] = int(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return numbers, nil
}
