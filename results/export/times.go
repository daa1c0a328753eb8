package export

import (
	"slices"
	"strings"

	"nb201/configs"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// timesRule sets the times of the chosen trials of an architecture, and perhaps their latencies, to those
// that the published files of a search space would have. It takes them from the trials in the source; less
// names the schedule for the slot of short trials. If they lack what the rule needs, the error is a usage
// error.
type timesRule func(source, chosen *benchmark.Architecture, less string) error

// timesOfTopology is the rule of the topology search space. What is unknown gets no times.
func timesOfTopology(source, chosen *benchmark.Architecture, less string) error {
	newRule(source, less).apply(chosen)
	return nil
}

// publishedSeed is the seed of the trials whose times count for all.
const publishedSeed = 777

// timesOfSize is the rule of the size search space (exps/NATS-Bench/sss-collect.py,
// correct_time_related_info): for each dataset key, the mean times of the trial with seed 777 and the
// schedule of one epoch count in every schedule, seed and epoch, and the times of that schedule's
// evaluations give the latencies. All four dataset keys need such a trial, as in the original.
func timesOfSize(source, chosen *benchmark.Architecture, _ string) error {
	hp := source.Space.Schedule(1)
	schedule, err := source.Schedule(hp)
	timed := map[string]*benchmark.ResultsCount{}
	var missing []string
	for _, key := range keysOf(chosen) {
		if err == nil {
			if trials, err := schedule.Query(key, publishedSeed); err == nil && isTrainTimed(trials[0]) && isEvalTimed(trials[0]) {
				timed[key] = trials[0]
				continue
			}
		}
		missing = append(missing, key)
	}
	if missing != nil {
		return usage.Errorf("the published times come from trials of schedule '%s' with seed %d, and architecture %d has none with times on %s; train them, or export the measured times",
			hp, publishedSeed, source.Index, strings.Join(missing, ", "))
	}
	latencies, err := latenciesOfSize(schedule)
	if err != nil {
		return err
	}
	for _, s := range chosen.Schedules {
		for _, r := range s.Results {
			from := timed[r.Dataset]
			r.Training.Seconds = constant(r.Epochs, mean(from.Training.Seconds))
			for i := range r.Evaluation {
				e := &r.Evaluation[i]
				if m, ok := from.Set(e.Set); ok && e.Further == 0 {
					e.Seconds = constant(r.Epochs, mean(m.Seconds))
				}
			}
			if latency, ok := latencies[r.Dataset]; ok {
				r.Latencies = []float64{latency}
			}
		}
	}
	return nil
}

// keysOf lists the dataset keys of the benchmark, and then any others of an architecture.
func keysOf(a *benchmark.Architecture) []string {
	keys := configs.BenchmarkKeys()
	for _, s := range a.Schedules {
		for _, key := range s.DatasetNames() {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// latenciesOfSize returns the latencies by dataset key: the mean time of an evaluation, over the seeds and
// then over the sets, for each batch of 256 images. cifar10 has that of cifar10-valid.
func latenciesOfSize(schedule *benchmark.ArchResults) (map[string]float64, error) {
	type batches struct {
		set    string
		number float64
	}
	latencies := map[string]float64{}
	for _, from := range []struct {
		dataset string
		sets    []batches // in the original's order of the sum
	}{
		{"cifar10-valid", []batches{{"x-valid", 98}, {"ori-test", 40}}},
		{"cifar100", []batches{{"ori-test", 40}, {"x-test", 20}, {"x-valid", 20}}},
		{"ImageNet16-120", []batches{{"ori-test", 24}, {"x-test", 12}, {"x-valid", 12}}},
	} {
		sum := 0.0
		for _, b := range from.sets {
			m, err := schedule.Metrics(from.dataset, b.set, benchmark.Last, benchmark.Mean())
			if err != nil {
				return nil, err
			}
			if m.TotalSeconds == nil {
				return nil, usage.Errorf("architecture %d lacks times of %s in a trial on %s of schedule '%s', which give the published latency; export the measured times",
					schedule.Index, b.set, from.dataset, schedule.HP)
			}
			sum += *m.TotalSeconds / b.number
		}
		latencies[from.dataset] = sum / float64(len(from.sets))
	}
	latencies["cifar10"] = latencies["cifar10-valid"]
	return latencies, nil
}

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
			if s.HP == less && r.Dataset == "cifar10-valid" && r.Seed == publishedSeed {
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
