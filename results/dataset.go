package results

import (
	"slices"

	"nb201/configs"
)

// Dataset is what the benchmark says of one of its dataset keys.
type Dataset = configs.Dataset

// EvaluationSet is the name of an evaluation set, and its number of images.
type EvaluationSet = configs.EvaluationSet

// PublishedDatasets lists the dataset keys of the benchmark, in the original's order.
func PublishedDatasets() []string {
	var keys []string
	for _, d := range configs.Benchmark() {
		keys = append(keys, d.Key)
	}
	return keys
}

// FindDataset finds a dataset key of the benchmark.
func FindDataset(key string) (Dataset, bool) {
	i := rank(key)
	if i == len(configs.Benchmark()) {
		return Dataset{}, false
	}
	return configs.Benchmark()[i], true
}

// rank is the place of a dataset key in the benchmark; those of users come behind.
func rank(key string) int {
	if i := slices.IndexFunc(configs.Benchmark(), func(d Dataset) bool { return d.Key == key }); i >= 0 {
		return i
	}
	return len(configs.Benchmark())
}
