package main

import (
	"encoding/binary"
	"math"

	"nb201/internal/pickle"
	"nb201/results/benchmark"
)

// readArchitecture returns the trials of the architecture Index: see encodeArchitecture.
func readArchitecture(b *opened, r *request) (any, error) {
	a, err := b.Architecture(r.Index)
	if err != nil {
		return nil, err
	}
	return encodeArchitecture(a), nil
}

// encodeArchitecture returns an architecture as a tuple of its index, its string and its trials. Each trial
// is a dict; its sets are tuples of the name, the number of images (0: unknown), and the series loss, top1,
// top5 and seconds.
func encodeArchitecture(a *benchmark.Architecture) pickle.Tuple {
	var trials pickle.List
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			var latencies any
			if r.Latencies != nil {
				list := make(pickle.List, len(r.Latencies))
				for i, seconds := range r.Latencies {
					list[i] = seconds
				}
				latencies = list
			}
			var sets pickle.List
			for i, m := range r.Sets() {
				sets = append(sets, pickle.Tuple{m.Set, r.Images(i), encodeSeries(m.Loss), encodeSeries(m.Top1), encodeSeries(m.Top5), encodeSeries(m.Seconds)})
			}
			trials = append(trials, pickle.Dict{
				{Key: "dataset", Value: r.Dataset},
				{Key: "schedule", Value: s.HP},
				{Key: "seed", Value: int64(r.Seed)},
				{Key: "epochs", Value: r.Epochs},
				{Key: "flops", Value: r.FLOPs},
				{Key: "params", Value: r.Params},
				{Key: "latencies", Value: latencies},
				{Key: "weights", Value: r.HasWeights()},
				{Key: "sets", Value: sets},
			})
		}
	}
	return pickle.Tuple{a.Index, a.Genotype, trials}
}

// encodeSeries returns a series as a pair of its epochs and its values, nil if it has none. The values are
// the bytes of float64 in little endian. The epochs are the first if they are consecutive, else the bytes
// of int32.
func encodeSeries(s benchmark.Series) any {
	if len(s) == 0 {
		return nil
	}
	values := make([]byte, 0, 8*len(s))
	for _, p := range s {
		values = binary.LittleEndian.AppendUint64(values, math.Float64bits(p.Value))
	}
	if s[len(s)-1].Epoch-s[0].Epoch == len(s)-1 {
		return pickle.Tuple{s[0].Epoch, pickle.Bytes(values)}
	}
	epochs := make([]byte, 0, 4*len(s))
	for _, p := range s {
		epochs = binary.LittleEndian.AppendUint32(epochs, uint32(p.Epoch))
	}
	return pickle.Tuple{pickle.Bytes(epochs), pickle.Bytes(values)}
}
