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
	i := slices.Index(BenchmarkKeys(), key)
	if i < 0 {
		return d, false
	}
	return Benchmark()[i], true
}

// CompareKeys orders dataset keys: those of the benchmark first, in its order, then those of
// users by their names.
func CompareKeys(a, b string) int {
	keys := BenchmarkKeys()
	rank := func(key string) int { return (slices.Index(keys, key) + 1 + len(keys)) % (len(keys) + 1) }
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// part is a training or evaluation set of a definition.
type part struct {
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
		Train   part           `json:"train"`
		Eval    []part         `json:"eval"`
	}
	if err := json.Unmarshal(Definition(key), &d); err != nil {
		panic(fmt.Sprintf("configs: %s: %v", key, err))
	}
	set := Dataset{Key: key, Classes: d.Classes, Size: d.Size[0], Train: CountPart(d.Images[d.Train.From], d.Train.Split, d.Train.Half)}
	for _, p := range d.Eval {
		set.Sets = append(set.Sets, EvaluationSet{p.Name, CountPart(d.Images[p.From], p.Split, p.Half)})
	}
	heldOut := slices.IndexFunc(d.Eval, func(p part) bool { return p.From == d.Train.From })
	set.First = d.Eval[max(heldOut, 0)].Name
	return set
}

// CountPart counts the images that a part of a definition reads from a stored split of
// stored images: a published list of them (one of Splits), the first or second half of
// them, or all where both are "".
func CountPart(stored int, split, half string) int {
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
