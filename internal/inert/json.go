package inert

import (
	"errors"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Marshalers makes JSON in which every string, keys of maps included, is escaped as [Text] does it.
func Marshalers() *json.Marshalers {
	return json.MarshalToFunc(func(e *jsontext.Encoder, v any) error {
		if text := reflect.ValueOf(v).Elem(); text.Kind() == reflect.String {
			return e.WriteToken(jsontext.String(Text(text.String())))
		}
		return errors.ErrUnsupported
	})
}
