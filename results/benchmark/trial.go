package benchmark

import (
	"fmt"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/torchfile"
	"nb201/results"
)

// This file answers for one trial as the class ResultsCount of the clients does
// (nas_201_api/api_utils.py, nats_bench/api_utils.py). Weights is its get_net_param.

// ResultsCount is what a benchmark holds of one trial, whatever file it comes from:
// nas_201_api's class of this name. A published file may lack evaluations, times,
// latency, top-5 accuracies and the recipe; what it lacks is absent, never zero.
type ResultsCount struct {
	results.Trial
	Genotype                 string
	Channels, Cells, Classes int
	FLOPs, Params            float64   // millions, as the file says
	Latencies                []float64 // seconds per batch of 256; nil: not measured
	Training                 Measures
	Evaluation               []SetMeasures // in the file's order
	Recipe                   *configs.Recipe
	Record                   *results.Record // of a campaign's trial; nil in any other file

	// load reads the trained state dict; nil where none was kept.
	load func() (torchfile.StateDict, error)
}

// Metrics are what was measured on a set of images after an epoch. What the file does
// not tell is nil.
type Metrics struct {
	Epoch           int      `json:"epoch"`                       // counted from 0: iepoch
	Loss            float64  `json:"loss"`                        // mean cross entropy
	Accuracy        float64  `json:"top1_percent"`                // 0..100
	Top5            *float64 `json:"top5_percent,omitzero"`       // no client tells it
	Seconds         *float64 `json:"seconds,omitzero"`            // of the epoch's pass: cur_time
	SecondsPerEpoch *float64 `json:"seconds_per_epoch,omitzero"`  // mean of the epochs so far: per-time
	TotalSeconds    *float64 `json:"seconds_all_epochs,omitzero"` // sum of the epochs so far: all_time
}

// Times tells how long the passes over a set of images took.
type Times struct {
	Set      string  `json:"set"`                // TrainingSet or an evaluation set
	PerEpoch float64 `json:"seconds_per_epoch"`  // mean: T-SET@epoch
	Total    float64 `json:"seconds_all_epochs"` // T-SET@total
}

// NetConfig is what the network of a trial is made of. CellStructure.str2structure of
// the original is cell.Parse of the Genotype.
type NetConfig struct {
	Name     string `json:"name"` // of the macro skeleton: infer.tiny
	Channels int    `json:"channels"`
	Cells    int    `json:"cells"`
	Genotype string `json:"genotype"`
	Classes  int    `json:"classes"`
}

// FromRecord makes the ResultsCount of a record, without the weights.
func FromRecord(r *results.Record) *ResultsCount {
	measures := func(first int, v results.Curve) Measures {
		return Measures{
			Loss: Consecutive(first, v.Loss), Top1: Consecutive(first, v.Top1),
			Top5: Consecutive(first, v.Top5), Seconds: Consecutive(first, v.Seconds),
		}
	}
	result := &ResultsCount{
		Trial: r.Trial, Genotype: r.Genotype, Channels: r.Recipe.Channels, Cells: r.Recipe.Cells, Classes: r.Classes,
		FLOPs: r.FLOPs, Params: r.Params, Latencies: r.Latency,
		Training: measures(0, r.Train.Curve), Recipe: &r.Recipe, Record: r,
	}
	for _, e := range r.Eval {
		result.Evaluation = append(result.Evaluation, SetMeasures{e.Set, measures(e.FirstEpoch, e.Curve)})
	}
	return result
}

// Set finds the measures of an evaluation set.
func (r *ResultsCount) Set(name string) (*Measures, bool) {
	for i := range r.Evaluation {
		if r.Evaluation[i].Set == name {
			return &r.Evaluation[i].Measures, true
		}
	}
	return nil, false
}

// KeepWeights says how the trained state dict is read, which was kept.
func (r *ResultsCount) KeepWeights(load func() (torchfile.StateDict, error)) { r.load = load }

// HasWeights reports whether the trained weights were kept.
func (r *ResultsCount) HasWeights() bool { return r.load != nil }

// Weights reads the trained state dict, nil where none was kept: get_net_param. What is wrong with
// the file is a usage error.
func (r *ResultsCount) Weights() (torchfile.StateDict, error) {
	if r.load == nil {
		return nil, nil
	}
	return r.load()
}

// Train tells what the training measured in an epoch, counted from 0, or in the Last:
// get_train. An epoch that the file lacks is ErrNotHeld.
func (r *ResultsCount) Train(epoch int) (Metrics, error) {
	return r.metrics(TrainingSet, &r.Training, epoch)
}

// Eval tells what the evaluation on a set gave after an epoch, counted from 0, or
// after the Last: get_eval. "valid" stands for x-valid, as in the clients. A set or an
// epoch that the file lacks is ErrNotHeld.
//
// Where a file has times of other sets but none of this one the clients fail; here
// the times are nil.
func (r *ResultsCount) Eval(set string, epoch int) (Metrics, error) {
	if set == "valid" {
		set = "x-valid"
	}
	m, ok := r.Set(set)
	if !ok {
		return Metrics{}, notHeld("%v has no evaluation set %q: it has %s", r.Trial, set, strings.Join(r.EvalSet(), ", "))
	}
	return r.metrics(set, m, epoch)
}

// Metrics is Train for TrainingSet, else Eval.
func (r *ResultsCount) Metrics(set string, epoch int) (Metrics, error) {
	if set == TrainingSet {
		return r.Train(epoch)
	}
	return r.Eval(set, epoch)
}

func (r *ResultsCount) metrics(set string, m *Measures, epoch int) (Metrics, error) {
	if epoch == Last {
		epoch = r.Epochs - 1
	}
	at := Metrics{Epoch: epoch}
	var told bool
	for _, measure := range []struct {
		name  string
		value *float64
		Series
	}{{"accuracy", &at.Accuracy, m.Top1}, {"loss", &at.Loss, m.Loss}} {
		if *measure.value, told = measure.At(epoch); !told {
			return Metrics{}, notHeld("%v has no %s of %s after epoch %d, counted from 0: it has %s",
				r.Trial, measure.name, set, epoch, measure.describe())
		}
	}
	if v, ok := m.Top5.At(epoch); ok {
		at.Top5 = &v
	}
	if v, ok := m.Seconds.At(epoch); ok {
		at.Seconds = &v
	}
	if epoch < len(m.Seconds) && m.Seconds[:epoch+1].Complete(epoch+1) {
		total := m.Seconds[:epoch+1].sum()
		perEpoch := total / float64(epoch+1)
		at.TotalSeconds, at.SecondsPerEpoch = &total, &perEpoch
	}
	return at, nil
}

// Times tells how long training and evaluations took, the training first: get_times.
// Sets of which an epoch's time is missing are left out.
func (r *ResultsCount) Times() []Times {
	var times []Times
	for _, m := range r.Sets() {
		if m.Seconds.Complete(r.Epochs) && r.Epochs > 0 {
			total := m.Seconds.sum()
			times = append(times, Times{Set: m.Set, PerEpoch: total / float64(r.Epochs), Total: total})
		}
	}
	return times
}

// Sets lists the measures of all sets of images, the training's first.
func (r *ResultsCount) Sets() []SetMeasures {
	return append([]SetMeasures{{TrainingSet, r.Training}}, r.Evaluation...)
}

// Latency is the mean time of an evaluation step of 256 images in seconds, nil when
// it was not measured: get_latency, which is -1 then.
func (r *ResultsCount) Latency() *float64 { return mean(r.Latencies) }

// Config is what the network is made of: get_config.
func (r *ResultsCount) Config() NetConfig {
	return NetConfig{Name: "infer.tiny", Channels: r.Channels, Cells: r.Cells, Genotype: r.Genotype, Classes: r.Classes}
}

// EvalSet lists the names of the evaluation sets, in the file's order: get_eval_set.
func (r *ResultsCount) EvalSet() []string {
	names := make([]string, len(r.Evaluation))
	for i, e := range r.Evaluation {
		names[i] = e.Set
	}
	return names
}

// TotalEpoch is the number of epochs: get_total_epoch.
func (r *ResultsCount) TotalEpoch() int { return r.Epochs }

// String sums the trial up as the clients' __repr__ does.
func (r *ResultsCount) String() string {
	return fmt.Sprintf("ResultsCount(%s, arch=%s, FLOP=%.2fM, Param=%.3fMB, seed=%04d, %d eval-sets: [%s])",
		r.Dataset, r.Genotype, r.FLOPs, r.Params, r.Seed, len(r.Evaluation), strings.Join(r.EvalSet(), ", "))
}

// paramsFit reports whether the parameters are those of the genotype; they do not depend
// on the size of the images, which published files do not give.
func (r *ResultsCount) paramsFit() bool {
	arch, err := cell.Parse(r.Genotype)
	network := cell.Network{Arch: arch, Channels: r.Channels, Cells: r.Cells, Classes: r.Classes, Size: 32}
	return err == nil && network.Validate() == nil && results.SameCost(r.Params, network.Params())
}

// Settings are those that the file gives of the trial: all of a campaign's, the network
// of other formats', and the recipe of runs.
func (r *ResultsCount) Settings() results.Settings {
	if r.Record != nil {
		return r.Record.Settings()
	}
	return results.PublishedSettings(r.Trial, r.Recipe, r.Classes, r.Channels, r.Cells)
}

// mean is nil when there is no value.
func mean(values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	var sum float64
	for _, v := range values {
		sum += v
	}
	sum /= float64(len(values))
	return &sum
}

// meanOf is the mean of what of gives for each item, nil when it gives nil for one.
func meanOf[T any](items []T, of func(T) *float64) *float64 {
	values := make([]float64, 0, len(items))
	for _, item := range items {
		v := of(item)
		if v == nil {
			return nil
		}
		values = append(values, *v)
	}
	return mean(values)
}

// averaged is the mean over trials of their metrics after the same epoch.
func averaged(m []Metrics) Metrics {
	return Metrics{
		Epoch:           m[0].Epoch,
		Loss:            *meanOf(m, func(m Metrics) *float64 { return &m.Loss }),
		Accuracy:        *meanOf(m, func(m Metrics) *float64 { return &m.Accuracy }),
		Top5:            meanOf(m, func(m Metrics) *float64 { return m.Top5 }),
		Seconds:         meanOf(m, func(m Metrics) *float64 { return m.Seconds }),
		SecondsPerEpoch: meanOf(m, func(m Metrics) *float64 { return m.SecondsPerEpoch }),
		TotalSeconds:    meanOf(m, func(m Metrics) *float64 { return m.TotalSeconds }),
	}
}
