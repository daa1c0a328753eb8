package main

import "nb201/configs"

// epochHours maps dataset keys to the hours of one epoch of all architectures.
type epochHours map[string]float64

// publishedKeys returns the four dataset keys of the benchmark.
func publishedKeys() []string { return configs.BenchmarkKeys() }

// perSeed returns the hours of a schedule with one seed on the four dataset keys.
func (h epochHours) perSeed(epochs int) float64 {
	sum := 0.0
	for _, key := range publishedKeys() {
		sum += h[key]
	}
	return sum * float64(epochs)
}

// published returns the hours of the published trials. For all architectures: schedule 12 with seed
// 111 on the four keys and with seed 777 on cifar10-valid, and schedule 200 with seeds 777, 888 and
// 999 on the four. (A few of them are missing in the published file.)
func (h epochHours) published() float64 {
	return h.perSeed(12) + 12*h["cifar10-valid"] + 3*h.perSeed(200)
}

// epochSeconds returns the seconds of an epoch of a trial: a training step for each batch, and the
// evaluation of every evaluation set. A smaller last batch counts in proportion to its images.
func (o *common) epochSeconds(key string, step, evaluation float64) float64 {
	d, ok := configs.FindDataset(key)
	if !ok {
		panic("unknown dataset key " + key)
	}
	images := 0
	for _, s := range d.Sets {
		images += s.Images
	}
	return (float64(d.Train)*step + float64(images)*evaluation) / float64(o.batch)
}
