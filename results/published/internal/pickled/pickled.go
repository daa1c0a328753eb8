// Package pickled converts values read by package pickle into Go types. If a value has the
// wrong type, the error says which type it has and which was expected.
package pickled

import (
	"fmt"

	"nb201/internal/pickle"
)

// Dict holds the items of a dict or an OrderedDict in order.
type Dict pickle.Dict

// Get returns the value of a key. A missing key is an error.
func (d Dict) Get(name string) (any, error) {
	for _, item := range d {
		if item.Key == name {
			return item.Value, nil
		}
	}
	return nil, fmt.Errorf("the key %q is missing", name)
}

// Field returns the value of a key, converted by one of the As functions. Errors name the key.
func Field[T any](d Dict, name string, convert func(any) (T, error)) (T, error) {
	v, err := d.Get(name)
	if err != nil {
		var none T
		return none, err
	}
	value, err := convert(v)
	if err != nil {
		return value, fmt.Errorf("%s: %w", name, err)
	}
	return value, nil
}

// FieldInto stores the result of [Field] in a variable.
func FieldInto[T any](d Dict, name string, convert func(any) (T, error), into *T) (err error) {
	*into, err = Field(d, name, convert)
	return err
}

// Optional returns a conversion that maps None to the zero value, and otherwise calls convert.
func Optional[T any](convert func(any) (T, error)) func(any) (T, error) {
	return func(v any) (none T, err error) {
		if v == nil {
			return none, nil
		}
		return convert(v)
	}
}

// AsDict converts a dict or an OrderedDict.
func AsDict(v any) (Dict, error) {
	switch v := v.(type) {
	case *pickle.Dict:
		return Dict(*v), nil
	case *pickle.OrderedDict:
		return Dict(v.Items), nil
	}
	return nil, unexpected(v, "a dict")
}

// AsList converts a list, a tuple or a set.
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

// AsString converts a str.
func AsString(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return "", unexpected(v, "a string")
}

// AsInt converts an int.
func AsInt(v any) (int, error) {
	if n, ok := pickle.Unwrap(v).(int64); ok {
		return int(n), nil
	}
	return 0, unexpected(v, "a whole number")
}

// AsBool converts a bool.
func AsBool(v any) (bool, error) {
	if b, ok := pickle.Unwrap(v).(bool); ok {
		return b, nil
	}
	return false, unexpected(v, "True or False")
}

// AsFloat converts a float or an int.
func AsFloat(v any) (float64, error) {
	switch v := pickle.Unwrap(v).(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	}
	return 0, unexpected(v, "a number")
}

// AsFloats converts a list of numbers.
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
	return fmt.Errorf("found %s, expected %s", pickle.Describe(v), want)
}
