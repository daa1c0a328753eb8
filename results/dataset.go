package results

import "slices"

// Dataset is what the benchmark says of one of its dataset keys.
type Dataset struct {
	Key     string
	Classes int
	Size    int // side of the square images in pixels
	Train   int // images trained on
	// Sets are the evaluation sets. The first is the one that the original evaluated
	// after every epoch of the schedule 200; the others it evaluated at its end.
	Sets []EvaluationSet
}

// EvaluationSet is the name of an evaluation set, and its number of images.
type EvaluationSet struct {
	Name   string
	Images int
}

// published are the dataset keys of the benchmark in the order of
// exps/NAS-Bench-201/main.py (main).
var published = []Dataset{
	{"cifar10-valid", 10, 32, 25000, []EvaluationSet{{"x-valid", 25000}, {"ori-test", 10000}}},
	{"cifar10", 10, 32, 50000, []EvaluationSet{{"ori-test", 10000}}},
	{"cifar100", 100, 32, 50000, []EvaluationSet{{"ori-test", 10000}, {"x-valid", 5000}, {"x-test", 5000}}},
	{"ImageNet16-120", 120, 16, 151700, []EvaluationSet{{"ori-test", 6000}, {"x-valid", 3000}, {"x-test", 3000}}},
}

// PublishedDatasets lists the dataset keys of the benchmark, in the original's order.
func PublishedDatasets() []string {
	var keys []string
	for _, d := range published {
		keys = append(keys, d.Key)
	}
	return keys
}

// FindDataset finds a dataset key of the benchmark.
func FindDataset(key string) (Dataset, bool) {
	i := rank(key)
	if i == len(published) {
		return Dataset{}, false
	}
	return published[i], true
}

// rank is the place of a dataset key in the benchmark; those of users come behind.
func rank(key string) int {
	if i := slices.IndexFunc(published, func(d Dataset) bool { return d.Key == key }); i >= 0 {
		return i
	}
	return len(published)
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
