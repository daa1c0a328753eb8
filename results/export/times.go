package export

import (
	"nb201/configs"
	"nb201/results/benchmark"
)

// rule computes times as the published files have them (exps/NATS-Bench/tss-collect.py,
// correct_time_related_info): the times of one trial of an architecture, on cifar10-valid
// with seed 777 and the 12-epoch schedule, scaled by the number of images for every
// dataset, seed and schedule, and the same in every epoch. Latencies, which that function
// took from an older file, are left unchanged.
type rule struct {
	train, eval float64 // seconds per image; 0 if unknown
}

// newRule makes the rule of an architecture; less names the 12-epoch schedule.
func newRule(a *benchmark.Architecture, less string) rule {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			if s.HP == less && r.Dataset == "cifar10-valid" && r.Seed == 777 {
				return ruleOf(r)
			}
		}
	}
	return rule{}
}

func ruleOf(r *benchmark.ResultsCount) (u rule) {
	if images := trainImages(r); images > 0 && len(r.Training.Seconds) > 0 {
		u.train = mean(r.Training.Seconds) / float64(images)
	}
	test, ok1 := r.Set("ori-test")
	valid, ok2 := r.Set("x-valid")
	if ok1 && ok2 && len(test.Seconds) > 0 && len(valid.Seconds) > 0 {
		images := evalImages(r, "ori-test") + evalImages(r, "x-valid")
		u.eval = (mean(test.Seconds) + mean(valid.Seconds)) / float64(images)
	}
	return u
}

func mean(s benchmark.Series) float64 {
	sum := 0.0
	for _, p := range s {
		sum += p.Value
	}
	return sum / float64(len(s))
}

// apply sets the times of an architecture's trials, to none where the rule or the number
// of images is unknown.
func (u rule) apply(a *benchmark.Architecture) {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			r.Training.Seconds = constant(r.Epochs, u.train*float64(trainImages(r)))
			for i := range r.Evaluation {
				e := &r.Evaluation[i]
				e.Seconds = constant(r.Epochs, u.eval*float64(r.Images(i+1)))
			}
		}
	}
}

// constant returns a series with the same value in every epoch, or nil for the value 0.
func constant(epochs int, value float64) benchmark.Series {
	if value == 0 {
		return nil
	}
	s := make(benchmark.Series, epochs)
	for i := range s {
		s[i] = benchmark.Point{Epoch: i, Value: value}
	}
	return s
}

// trainImages returns the number of images that a trial was trained on, from its record or
// else from the benchmark's datasets; 0 if it is unknown.
func trainImages(r *benchmark.ResultsCount) int {
	if r.Record != nil {
		return r.Record.Train.Images
	}
	d, _ := configs.FindDataset(r.Dataset)
	return d.Train
}

// evalImages returns the number of images in an evaluation set, as trainImages does.
func evalImages(r *benchmark.ResultsCount, set string) int {
	if r.Record != nil {
		for _, e := range r.Record.Eval {
			if e.Set == set {
				return e.Images
			}
		}
	}
	d, _ := configs.FindDataset(r.Dataset)
	return d.Images(set)
}
