package main

import "nb201/configs"

// epochHours are the hours, by dataset key, of an epoch of every architecture.
type epochHours map[string]float64

func publishedKeys() []string { return configs.BenchmarkKeys() }

// perSeed is the hours of a schedule from one seed on the four dataset keys.
func (h epochHours) perSeed(epochs int) float64 {
	sum := 0.0
	for _, key := range publishedKeys() {
		sum += h[key]
	}
	return sum * float64(epochs)
}

// published is the hours of the trials that were published: of every architecture, 12
// epochs from seed 111 on the four keys and from 777 on cifar10-valid, and 200 epochs from
// 777, 888 and 999 on the four. (Some were lost on the way to the file.)
func (h epochHours) published() float64 {
	return h.perSeed(12) + 12*h["cifar10-valid"] + 3*h.perSeed(200)
}

// epochSeconds is an epoch of a trial: a training step for each batch, and the evaluation
// of every evaluation set. The last batch, which may be smaller, counts for its images.
func (o *common) epochSeconds(key string, step, evaluation float64) float64 {
	d, ok := configs.FindDataset(key)
	if !ok {
		panic("no dataset key " + key)
	}
	images := 0
	for _, s := range d.Sets {
		images += s.Images
	}
	return (float64(d.Train)*step + float64(images)*evaluation) / float64(o.batch)
}
