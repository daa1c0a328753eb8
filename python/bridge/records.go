package main

import (
	"errors"
	"fmt"

	"nb201/internal/pickle"
	"nb201/results/export"
)

// kept takes the place of weights in a record, which Python asks for when it needs them.
var kept = pickle.Global{Module: "nb201._library", Name: "KEPT"}

// readRecords returns what the original's file has for the architecture Index, as a dict of schedules or
// slots. Each is a pair of its ArchResults.state_dict, without all_results, and the list of its trials: a
// pair of the trial's key and the pickle of its ResultsCount.state_dict. For a benchmark of another format,
// it is what an export as nats would write.
func readRecords(b *opened, r *request) (any, error) {
	v, ok, err := b.Record(r.Index)
	if err == nil && !ok {
		a, err2 := b.Architecture(r.Index)
		if err2 != nil {
			return nil, err2
		}
		v, err = export.Record(b.Path, a, kept)
	}
	if err != nil {
		return nil, err
	}
	record, err := encodeRecord(v, b.numpy)
	if err != nil {
		return nil, fmt.Errorf("%s, architecture %d: %w", b.Path, r.Index, err)
	}
	return record, nil
}

// encodeRecord returns the reply of readRecords for a record.
func encodeRecord(v any, numpy bool) (any, error) {
	c := converter{numpy: numpy}
	return c.mapItems(v, func(slot pickle.Pair) (any, error) {
		var trials pickle.List
		fields, err := c.mapItems(slot.Value, func(field pickle.Pair) (any, error) {
			if field.Key != "all_results" {
				return c.convert(field.Value, 0)
			}
			var err error
			trials, err = c.trials(field.Value)
			return nil, err
		})
		return pickle.Tuple{fields, trials}, err
	})
}

// converter converts values that were read to values that can be written.
type converter struct{ numpy bool }

var errShape = errors.New("it has not the shape of the original's files")

// mapItems returns a dict, of the kind that v is, whose values are those of f.
func (c converter) mapItems(v any, f func(pickle.Pair) (any, error)) (any, error) {
	mapped := func(items pickle.Dict) (pickle.Dict, error) {
		d := make(pickle.Dict, len(items))
		for i, item := range items {
			key, err := c.convert(item.Key, 0)
			if err != nil {
				return nil, err
			}
			value, err := f(item)
			if err != nil {
				return nil, err
			}
			d[i] = pickle.Pair{Key: key, Value: value}
		}
		return d, nil
	}
	switch v := v.(type) {
	case *pickle.Dict:
		return mapped(*v)
	case pickle.Dict:
		return mapped(v)
	case *pickle.OrderedDict:
		items, err := mapped(v.Items)
		return pickle.OrderedDict{Items: items}, err
	case pickle.OrderedDict:
		items, err := mapped(v.Items)
		return pickle.OrderedDict{Items: items}, err
	}
	return nil, errShape
}

// trials returns the list of trials in the value of all_results.
func (c converter) trials(v any) (list pickle.List, err error) {
	_, err = c.mapItems(v, func(trial pickle.Pair) (any, error) {
		key, err := c.convert(trial.Key, 0)
		if err != nil {
			return nil, err
		}
		state, err := c.mapItems(trial.Value, func(field pickle.Pair) (any, error) {
			if field.Key == "net_state_dict" && field.Value != nil {
				return kept, nil
			}
			return c.convert(field.Value, 0)
		})
		if err != nil {
			return nil, err
		}
		text, err := encode(state)
		list = append(list, pickle.Tuple{key, pickle.Bytes(text)})
		return nil, err
	})
	return list, err
}

// maxDepth bounds how deeply values are nested.
const maxDepth = 16

// convert converts a value.
func (c converter) convert(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errShape
	}
	each := func(items []any) ([]any, error) {
		converted := make([]any, len(items))
		for i, item := range items {
			var err error
			if converted[i], err = c.convert(item, depth+1); err != nil {
				return nil, err
			}
		}
		return converted, nil
	}
	switch v := v.(type) {
	case nil, bool, int, int64, float64, string, pickle.Repeated, pickle.Global:
		return v, nil
	case *pickle.Scalar:
		if c.numpy {
			return v, nil
		}
		return v.Value, nil
	case []byte:
		return pickle.Bytes(v), nil
	case *pickle.List:
		items, err := each(*v)
		return pickle.List(items), err
	case pickle.List:
		items, err := each(v)
		return pickle.List(items), err
	case *pickle.Set:
		items, err := each(*v)
		return pickle.Set(items), err
	case pickle.Tuple:
		items, err := each(v)
		return pickle.Tuple(items), err
	case *pickle.Dict, pickle.Dict, *pickle.OrderedDict, pickle.OrderedDict:
		return c.mapItems(v, func(item pickle.Pair) (any, error) { return c.convert(item.Value, depth+1) })
	}
	return nil, fmt.Errorf("it contains %s, which results do not have", pickle.Describe(v))
}
