// Package pickled gives values that package pickle has read their Go types. The error of a
// value of another type says what it is and what is due.
package pickled

import (
	"fmt"

	"nb201/internal/pickle"
)

// Dict is a dict or an OrderedDict as it was read.
type Dict pickle.Dict

// Get is the item of a name.
func (d Dict) Get(name string) (any, error) {
	for _, item := range d {
		if item.Key == name {
			return item.Value, nil
		}
	}
	return nil, fmt.Errorf("it has no %q", name)
}

// Field reads an item of d.
func Field[T any](d Dict, name string, as func(any) (T, error)) (T, error) {
	v, err := d.Get(name)
	if err != nil {
		var none T
		return none, err
	}
	value, err := as(v)
	if err != nil {
		return value, fmt.Errorf("%s: %w", name, err)
	}
	return value, nil
}

// Take is Field into a variable.
func Take[T any](d Dict, name string, as func(any) (T, error), into *T) (err error) {
	*into, err = Field(d, name, as)
	return err
}

// Optional takes None for nothing.
func Optional[T any](as func(any) (T, error)) func(any) (T, error) {
	return func(v any) (none T, err error) {
		if v == nil {
			return none, nil
		}
		return as(v)
	}
}

// AsDict takes a dict of either kind.
func AsDict(v any) (Dict, error) {
	switch v := v.(type) {
	case *pickle.Dict:
		return Dict(*v), nil
	case *pickle.OrderedDict:
		return Dict(v.Items), nil
	}
	return nil, unexpected(v, "a dict")
}

// AsList takes a list, a tuple or a set.
func AsList(v any) ([]any, error) {
	switch v := v.(type) {
	case *pickle.List:
		return *v, nil
	case pickle.Tuple:
		return v, nil
	case *pickle.Set:
		return *v, nil
	}
	return nil, unexpected(v, "a list")
}

// AsString takes a string.
func AsString(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return "", unexpected(v, "a string")
}

// AsInt takes a whole number.
func AsInt(v any) (int, error) {
	if n, ok := v.(int64); ok {
		return int(n), nil
	}
	return 0, unexpected(v, "a whole number")
}

// AsBool takes a truth value.
func AsBool(v any) (bool, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, unexpected(v, "a truth value")
}

// AsFloat takes a number.
func AsFloat(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	}
	return 0, unexpected(v, "a number")
}

// AsFloats takes a list of numbers.
func AsFloats(v any) ([]float64, error) {
	list, err := AsList(v)
	if err != nil {
		return nil, err
	}
	values := make([]float64, len(list))
	for i, v := range list {
		if values[i], err = AsFloat(v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func unexpected(v any, want string) error {
	return fmt.Errorf("%s where %s is due", pickle.Describe(v), want)
}
