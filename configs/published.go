package configs

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
)

// Dataset is what the benchmark says of one of its dataset keys.
type Dataset struct {
	Key     string
	Classes int
	Size    int             // side of the square images in pixels
	Train   int             // images trained on
	Sets    []EvaluationSet // in the order in which an epoch evaluates them
	// First is the set that the original evaluated after every epoch of the schedule 200
	// (see Nov2019); the others it evaluated at its end.
	First string
}

// EvaluationSet is the name of an evaluation set, and its number of images.
type EvaluationSet struct {
	Name   string
	Images int
}

// Images counts the images of an evaluation set, 0 when there is no such set.
func (d Dataset) Images(set string) int {
	for _, s := range d.Sets {
		if s.Name == set {
			return s.Images
		}
	}
	return 0
}

// Benchmark lists the dataset keys of the benchmark in the order of
// exps/NAS-Bench-201/main.py (main): those of Datasets but digits, as their definitions
// have them. Do not change it.
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

// BenchmarkKeys lists the dataset keys of Benchmark.
func BenchmarkKeys() []string {
	var keys []string
	for _, d := range Benchmark() {
		keys = append(keys, d.Key)
	}
	return keys
}

// FindDataset finds a dataset key of the benchmark.
func FindDataset(key string) (d Dataset, ok bool) {
	i := rank(key)
	if i == len(Benchmark()) {
		return d, false
	}
	return Benchmark()[i], true
}

// CompareKeys orders dataset keys: those of the benchmark first, in its order, then those of
// users by their names.
func CompareKeys(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) }

// rank is the index of a dataset key in the benchmark; those of users come behind.
func rank(key string) int {
	for i, d := range Benchmark() {
		if d.Key == key {
			return i
		}
	}
	return len(Benchmark())
}

// split is a training or evaluation set of a definition.
type split struct {
	Name  string `json:"name"`
	From  string `json:"from"`
	Split string `json:"split"`
	Half  string `json:"half"`
}

// readDataset reads what the definition of a published key says of it.
func readDataset(key string) Dataset {
	var d struct {
		Classes int            `json:"classes"`
		Size    [2]int         `json:"size"`
		Images  map[string]int `json:"images"` // in the stored splits
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

// CountSplit counts the images that a split of a definition reads from a stored split of
// stored images: a published list of them (one of Splits), the first or second half of
// them, or all where both are "".
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
