package configs

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
)

// Dataset describes a dataset key of the benchmark.
type Dataset struct {
	Key     string
	Classes int
	Size    int             // side of the square images in pixels
	Train   int             // number of training images
	Sets    []EvaluationSet // in the order in which an epoch evaluates them
	// First is the set that the original evaluated after every epoch of the schedule 200 (see
	// [Nov2019]). It evaluated the other sets only at the end.
	First string
}

// EvaluationSet has the name of an evaluation set, and its number of images.
type EvaluationSet struct {
	Name   string
	Images int
}

// Images returns the number of images in an evaluation set, or 0 if there is no such set.
func (d Dataset) Images(set string) int {
	for _, s := range d.Sets {
		if s.Name == set {
			return s.Images
		}
	}
	return 0
}

// Benchmark returns the benchmark's datasets as their definitions describe them, in the order of
// exps/NAS-Bench-201/main.py (main). Callers must not change the slice.
func Benchmark() []Dataset { return benchmark() }

var benchmark = sync.OnceValue(func() []Dataset {
	var all []Dataset
	for _, key := range Datasets() {
		if key != digits {
			all = append(all, readDataset(key))
		}
	}
	return all
})

// BenchmarkKeys returns the dataset keys of [Benchmark].
func BenchmarkKeys() []string {
	var keys []string
	for _, d := range Benchmark() {
		keys = append(keys, d.Key)
	}
	return keys
}

// FindDataset returns the dataset of the benchmark with this key; ok is false if there is none.
func FindDataset(key string) (d Dataset, ok bool) {
	i := rank(key)
	if i == len(Benchmark()) {
		return d, false
	}
	return Benchmark()[i], true
}

// CompareKeys compares dataset keys for sorting: keys of the benchmark come first, in its order, then
// all others by name.
func CompareKeys(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) }

// rank returns the index of a dataset key in the benchmark, or the number of its keys for any other.
func rank(key string) int {
	for i, d := range Benchmark() {
		if d.Key == key {
			return i
		}
	}
	return len(Benchmark())
}

// split is a training or evaluation set in a definition file.
type split struct {
	Name  string `json:"name"`
	From  string `json:"from"`
	Split string `json:"split"`
	Half  string `json:"half"`
}

// readDataset reads the embedded definition of a key of the benchmark.
func readDataset(key string) Dataset {
	var d struct {
		Classes int            `json:"classes"`
		Size    [2]int         `json:"size"`
		Images  map[string]int `json:"images"` // counts, by stored split
		Train   split          `json:"train"`
		Eval    []split        `json:"eval"`
	}
	if err := json.Unmarshal(Definition(key), &d); err != nil {
		panic(fmt.Sprintf("configs: %s: %v", key, err))
	}
	set := Dataset{Key: key, Classes: d.Classes, Size: d.Size[0], Train: CountSplit(d.Images[d.Train.From], d.Train.Split, d.Train.Half)}
	for _, p := range d.Eval {
		set.Sets = append(set.Sets, EvaluationSet{p.Name, CountSplit(d.Images[p.From], p.Split, p.Half)})
	}
	heldOut := slices.IndexFunc(d.Eval, func(s split) bool { return s.From == d.Train.From })
	set.First = d.Eval[max(heldOut, 0)].Name
	return set
}

// CountSplit returns how many images a split of a definition takes from a stored split with this
// many images: those in a published list (one of [Splits]), the "first" or "second" half, or all if
// both names are "".
func CountSplit(stored int, split, half string) int {
	switch {
	case split != "":
		indices, _, _ := Split(split)
		return len(indices)
	case half == "first":
		return stored / 2
	case half == "second":
		return stored - stored/2
	}
	return stored
}
