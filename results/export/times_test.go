package export

import (
	"math"
	"testing"

	"nb201/configs"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/resultstest"
)

// publishedTimes holds the times of architecture 0, in seconds, from NATS-tss-v1_0-3ffb9.
var publishedTimes = map[string]struct {
	train float64
	eval  map[string]float64
}{
	"cifar10-valid":  {7.221092998981476, map[string]float64{"ori-test": 1.0195916947864352, "x-valid": 2.5489792369660877}},
	"cifar10":        {14.442185997962952, map[string]float64{"ori-test": 1.0195916947864352}},
	"cifar100":       {14.442185997962952, map[string]float64{"ori-test": 1.0195916947864352, "x-valid": 0.5097958473932176, "x-test": 0.5097958473932176}},
	"ImageNet16-120": {43.817592317819596, map[string]float64{"ori-test": 0.6117550168718611, "x-valid": 0.30587750843593053, "x-test": 0.30587750843593053}},
}

// The rule computes the times of all trials from those of one, with the numbers of images
// of the benchmark and with those in the records.
func TestPublishedTimes(t *testing.T) {
	c := results.Campaign{Dir: t.TempDir()}
	for _, trial := range append(resultstest.Grid(0), trial(0, "cifar10-valid", 2, 777)) {
		r := resultstest.Record(t, trial)
		for i := range r.Eval {
			d, _ := configs.FindDataset(trial.Dataset)
			r.Eval[i].Images = d.Images(r.Eval[i].Set)
		}
		if trial.Seed == 777 && trial.Epochs == 2 { // others have other times
			for epoch, change := range []float64{-0.5, 0.5} {
				r.Train.Seconds[epoch] = publishedTimes["cifar10-valid"].train + change
				for i := range r.Eval {
					r.Eval[i].Seconds[epoch] = publishedTimes["cifar10-valid"].eval[r.Eval[i].Set] - change
				}
			}
		}
		publish(t, c, r)
	}
	a, err := open(t, c.Dir).Architecture(0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		newRule(a, "2").apply(a)
		for _, s := range a.Schedules {
			for _, r := range s.Results {
				want := publishedTimes[r.Dataset]
				check := func(what string, s benchmark.Series, want float64) {
					t.Helper()
					for _, p := range s {
						if math.Abs(p.Value-want) > 1e-12*want {
							t.Errorf("%v: %s takes %v s in epoch %d, not %v", r.Trial, what, p.Value, p.Epoch, want)
						}
					}
					if !s.Complete(r.Epochs) {
						t.Errorf("%v: %s has times of %d epochs", r.Trial, what, len(s))
					}
				}
				check("training", r.Training.Seconds, want.train)
				for _, e := range r.Evaluation {
					check(e.Set, e.Seconds, want.eval[e.Set])
				}
				r.Record, r.Recipe = nil, nil // next, as in a published file
			}
		}
	}
}

// Without that trial, or its times, the rule computes no times.
func TestNoPublishedTimes(t *testing.T) {
	for name, change := range map[string]func(r *benchmark.ResultsCount){
		"seed":       func(r *benchmark.ResultsCount) { r.Seed = 778 },
		"dataset":    func(r *benchmark.ResultsCount) { r.Dataset = "cifar10" },
		"times":      func(r *benchmark.ResultsCount) { r.Training.Seconds = nil },
		"evaluation": func(r *benchmark.ResultsCount) { r.Evaluation = r.Evaluation[:1] },
	} {
		a, err := open(t, resultstest.Fill(t, trial(0, "cifar10-valid", 2, 777), trial(0, "cifar100", 3, 888)).Dir).Architecture(0)
		if err != nil {
			t.Fatal(err)
		}
		change(a.Schedules[0].Results[0])
		newRule(a, "2").apply(a)
		r := a.Schedules[1].Results[0]
		if isTrainTimed(r) && isEvalTimed(r) {
			t.Errorf("%s: %+v", name, r.Training.Seconds)
		}
	}
}
