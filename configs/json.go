package configs

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/bom"
	"nb201/internal/usage"
)

// ErrNotJSON reports a text that is not JSON, or is cut short.
var ErrNotJSON = errors.New("not JSON")

// Decode decodes the JSON text of the named file into v, strictly. Unknown and duplicate keys, arrays
// of another length and values of another type are usage errors that name the file and the key. A
// byte order mark before the text is ignored. The errors of other texts wrap [ErrNotJSON].
func Decode(name string, text []byte, v any) error {
	return decode(name, text, v, json.RejectUnknownMembers(true))
}

// DecodeKnown is like [Decode] but ignores unknown keys, for files that a newer version of the program
// may have written.
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
		return usage.Errorf("%s: unknown key %q; remove it, or use the version of nb201 that wrote the file", name, key(meaning.JSONPointer))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return usage.Errorf("%s: duplicate key %q; give it once", name, key(syntax.JSONPointer))
	case errors.As(err, &meaning):
		where := "the file"
		if k := key(meaning.JSONPointer); k != "" {
			where = fmt.Sprintf("key %q", k)
		}
		return usage.Errorf("%s: %s must be %s", name, where, describe(meaning.GoType))
	case errors.As(err, &syntax):
		why := syntax.Err
		if errors.Is(why, io.ErrUnexpectedEOF) {
			why = errors.New("unexpected end of the file")
		}
		return usage.Errorf("%s: %w at byte %d: %w", name, ErrNotJSON, int64(len(text)-len(plain))+syntax.ByteOffset, why)
	}
	return usage.Errorf("%s: %w", name, err)
}

// key returns a JSON pointer as people write it: eval.0.name for /eval/0/name.
func key(p jsontext.Pointer) string {
	return strings.ReplaceAll(strings.TrimPrefix(string(p), "/"), "/", ".")
}

// describe names the JSON values that a Go type can have.
func describe(t reflect.Type) string {
	if t == reflect.TypeFor[time.Time]() {
		return "a time of day such as 2026-01-02T03:04:05Z"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to 2^%d-1", t.Bits())
	case reflect.Float64:
		return "a number"
	case reflect.Array:
		return fmt.Sprintf("a list of %d", t.Len())
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}
