package serve

import (
	"errors"
	"math"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/inert"
)

// encode returns v as JSON in which all text is safe to print, and numbers that JSON lacks are null.
func encode(v any) ([]byte, error) {
	finite := json.MarshalToFunc(func(e *jsontext.Encoder, v float64) error {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return e.WriteToken(jsontext.Null)
		}
		return errors.ErrUnsupported
	})
	return json.Marshal(v, json.Deterministic(true), json.WithMarshalers(json.JoinMarshalers(finite, inert.Marshalers())))
}

// numbers is a list of numbers, null where one is NaN. Lists of this kind are most of what the API
// sends.
type numbers []float64

// MarshalJSONTo implements [json.MarshalerTo].
func (n numbers) MarshalJSONTo(e *jsontext.Encoder) error {
	text := make([]byte, 0, 20*len(n)+2)
	text = append(text, '[')
	for i, v := range n {
		if i > 0 {
			text = append(text, ',')
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			text = append(text, "null"...)
		} else {
			text = strconv.AppendFloat(text, v, 'g', -1, 64)
		}
	}
	return e.WriteValue(append(text, ']'))
}
