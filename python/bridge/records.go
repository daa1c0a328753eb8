package main

import (
	"bytes"
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
	var text bytes.Buffer
	e := newEncoder(&text)
	e.PlainScalars = !numpy
	return mapItems(v, func(_, slot any) (any, error) {
		trials := pickle.List{}
		fields, err := mapItems(slot, func(key, field any) (any, error) {
			if key != "all_results" {
				return field, nil
			}
			_, err := mapItems(field, func(key, trial any) (any, error) {
				state, err := mapItems(trial, func(key, field any) (any, error) {
					if key == "net_state_dict" && field != nil {
						return kept, nil
					}
					return field, nil
				})
				if err == nil {
					text.Reset()
					err = e.Encode(state)
				}
				trials = append(trials, pickle.Tuple{key, pickle.Bytes(bytes.Clone(text.Bytes()))})
				return nil, err
			})
			return nil, err
		})
		return pickle.Tuple{fields, trials}, err
	})
}

// mapItems returns a dict of the same kind as v, a dict or an OrderedDict, with the values of f.
func mapItems(v any, f func(key, value any) (any, error)) (mapped any, err error) {
	var items pickle.Dict
	ordered := false
	switch v := v.(type) {
	case *pickle.Dict:
		items = *v
	case pickle.Dict:
		items = v
	case *pickle.OrderedDict:
		items, ordered = v.Items, true
	case pickle.OrderedDict:
		items, ordered = v.Items, true
	default:
		return nil, errors.New("it lacks the dicts of the original's files")
	}
	d := make(pickle.Dict, len(items))
	for i, item := range items {
		d[i].Key = item.Key
		if d[i].Value, err = f(item.Key, item.Value); err != nil {
			return nil, err
		}
	}
	if ordered {
		return pickle.OrderedDict{Items: d}, nil
	}
	return d, nil
}
