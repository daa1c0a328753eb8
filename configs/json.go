package configs

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/bom"
	"nb201/internal/usage"
)

// Decode reads the JSON text of the named file into v, strictly: a key that v
// does not have, a key that stands twice, an array of another length and a value
// of another kind are usage errors that name the file and the key. A byte order mark
// before the text is passed over.
func Decode(name string, text []byte, v any) error {
	return decode(name, text, v, json.RejectUnknownMembers(true))
}

// DecodeKnown is Decode for a file that a newer version of the program may have written:
// it passes over keys that v does not have.
func DecodeKnown(name string, text []byte, v any) error { return decode(name, text, v) }

func decode(name string, text []byte, v any, options ...json.Options) error {
	plain, err := bom.Strip(text)
	if err != nil {
		return usage.Errorf("%s: %w", name, err)
	}
	err = json.Unmarshal(plain, v, options...)
	if err == nil {
		return nil
	}
	var meaning *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &meaning):
		return usage.Errorf("%s: unknown key %q", name, key(meaning.JSONPointer))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return usage.Errorf("%s: key %q stands there twice", name, key(syntax.JSONPointer))
	case errors.As(err, &meaning):
		where := "the file"
		if k := key(meaning.JSONPointer); k != "" {
			where = fmt.Sprintf("key %q", k)
		}
		return usage.Errorf("%s: %s must be %s", name, where, describe(meaning.GoType))
	case errors.As(err, &syntax):
		why := syntax.Err
		if errors.Is(why, io.ErrUnexpectedEOF) {
			why = errors.New("it ends too soon")
		}
		return usage.Errorf("%s: not JSON at byte %d: %w", name, int64(len(text)-len(plain))+syntax.ByteOffset, why)
	}
	return usage.Errorf("%s: %w", name, err)
}

// key writes a JSON pointer as a person names it: /eval/0/name is eval.0.name.
func key(p jsontext.Pointer) string {
	return strings.ReplaceAll(strings.TrimPrefix(string(p), "/"), "/", ".")
}

// describe says in words which JSON values a Go type takes.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of 0 to 2^%d-1", t.Bits())
	case reflect.Float64:
		return "a number"
	case reflect.Array:
		return fmt.Sprintf("a list of %d", t.Len())
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}
