package benchmark

import (
	"fmt"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/torchfile"
	"nb201/results"
)

// This file is the counterpart of the clients' class ResultsCount (nas_201_api/api_utils.py,
// nats_bench/api_utils.py). Comments name the clients' method or key where it differs.

// ResultsCount holds the results of one trial, from whatever format. It corresponds to the
// class of this name in nas_201_api. A published file may lack evaluations, times, latency,
// top-5 accuracies and the recipe; missing values are absent (nil), never zero.
type ResultsCount struct {
	results.Trial
	Genotype                 string          // string of the architecture, as in the file
	Channels, Cells, Classes int             // C of the first stage and N per stage, 0 in the size search space; classes of the dataset
	FLOPs, Params            float64         // millions, as in the file
	Latencies                []float64       // seconds per batch of 256 images; nil: not measured
	Training                 Measures        // of the training passes, each batch measured before its update
	Evaluation               []SetMeasures   // in the file's order
	Recipe                   *configs.Recipe // nil: the file does not give it
	Record                   *results.Record // record of the trial in a campaign; nil in any other format

	// load reads the trained state dict; nil if the weights were not kept.
	load func() (torchfile.StateDict, error)
}

// Metrics holds the values measured on a set of images after an epoch, of one trial or as
// means over several. Values that the file does not give are nil.
type Metrics struct {
	Epoch           int      `json:"epoch"`                       // counted from 0; the clients' iepoch
	Loss            float64  `json:"loss"`                        // mean cross entropy
	Accuracy        float64  `json:"top1_percent"`                // top-1 accuracy, 0 to 100
	Top5            *float64 `json:"top5_percent,omitzero"`       // top-5 accuracy, 0 to 100; the clients do not return it
	Seconds         *float64 `json:"seconds,omitzero"`            // time of this epoch's pass; cur_time
	SecondsPerEpoch *float64 `json:"seconds_per_epoch,omitzero"`  // mean over the epochs so far; per-time
	TotalSeconds    *float64 `json:"seconds_all_epochs,omitzero"` // sum over the epochs so far; all_time
}

// Times holds how long the passes over a set of images took.
type Times struct {
	Set      string  `json:"set"`                // TrainingSet or an evaluation set
	PerEpoch float64 `json:"seconds_per_epoch"`  // mean; the clients' T-SET@epoch
	Total    float64 `json:"seconds_all_epochs"` // sum; T-SET@total
}

// NetConfig describes the network of a trial. [cell.Parse] of the Genotype corresponds to the
// original's CellStructure.str2structure.
type NetConfig struct {
	Name     string `json:"name"`              // macro skeleton: see [cell.Space.NetworkName]
	Channels int    `json:"channels,omitzero"` // C, of the first stage
	Cells    int    `json:"cells,omitzero"`    // N, per stage
	Widths   string `json:"widths,omitzero"`   // the client's channels in the size search space
	Genotype string `json:"genotype"`          // of the cells
	Classes  int    `json:"classes"`
}

// FromRecord returns the results in a record, without weights; see [ResultsCount.SetWeights].
func FromRecord(r *results.Record) *ResultsCount {
	result := &ResultsCount{
		Trial: r.Trial, Genotype: r.Genotype, Channels: r.Recipe.Channels, Cells: r.Recipe.Cells, Classes: r.Classes,
		FLOPs: r.FLOPs, Params: r.Params, Latencies: r.Latency,
		Training: newMeasures(&results.Evaluation{Pass: r.Train}), Recipe: &r.Recipe, Record: r,
	}
	for i := range r.Eval {
		e := &r.Eval[i]
		result.Evaluation = append(result.Evaluation, SetMeasures{Set: e.Set, Measures: newMeasures(e)})
	}
	return result
}

// AddEvaluation adds the measures of the trained weights on the sets of another dataset, after the last
// epoch. The name of a set becomes that of its dataset and its own, as in cifar10-c.noise. It comes after
// the trial's own sets.
func (r *ResultsCount) AddEvaluation(e *results.EvaluationRecord, dataset string) {
	for _, s := range e.Sets {
		last := results.Evaluation{FirstEpoch: r.Epochs - 1}
		s.AddTo(&last.Curve)
		r.Evaluation = append(r.Evaluation, SetMeasures{Set: FurtherSet(dataset, s.Set), Measures: newMeasures(&last), Further: s.Images})
	}
}

// FurtherSet returns the name of an evaluation set of another dataset among those of a trial.
func FurtherSet(dataset, set string) string { return dataset + "." + set }

// FurtherSets lists the names of the sets that a plan evaluates among those of a trial.
func FurtherSets(p *results.EvaluationPlan) []string {
	names := p.SetNames()
	for i, set := range names {
		names[i] = FurtherSet(p.Dataset, set)
	}
	return names
}

// Set returns the measures of an evaluation set; ok is false if r has no set of this name.
func (r *ResultsCount) Set(name string) (m *Measures, ok bool) {
	for i := range r.Evaluation {
		if r.Evaluation[i].Set == name {
			return &r.Evaluation[i].Measures, true
		}
	}
	return nil, false
}

// SetWeights sets the function that reads the trained state dict.
func (r *ResultsCount) SetWeights(load func() (torchfile.StateDict, error)) { r.load = load }

// HasWeights reports whether the trained weights were kept.
func (r *ResultsCount) HasWeights() bool { return r.load != nil }

// Weights reads the trained state dict, nil if it was not kept (get_net_param). Errors in the
// file are usage errors.
func (r *ResultsCount) Weights() (torchfile.StateDict, error) {
	if r.load == nil {
		return nil, nil
	}
	return r.load()
}

// Train returns the metrics of training in an epoch, counted from 0 or [Last] (get_train). If
// the file lacks the epoch, the error is [ErrNotHeld].
func (r *ResultsCount) Train(epoch int) (Metrics, error) {
	return r.metrics(TrainingSet, &r.Training, epoch)
}

// Eval returns the metrics on an evaluation set after an epoch, counted from 0 or [Last]
// (get_eval). "valid" stands for x-valid, as in the clients. If the file lacks the set or the
// epoch, the error is [ErrNotHeld].
//
// If a file has times for other sets but not for this one, the clients fail; here the times
// are nil.
func (r *ResultsCount) Eval(set string, epoch int) (Metrics, error) {
	if set == "valid" {
		set = "x-valid"
	}
	m, ok := r.Set(set)
	if !ok {
		return Metrics{}, notHeld("%v has no evaluation set %q; it has %s", r.Trial, set, joinItems(r.EvalSet()))
	}
	return r.metrics(set, m, epoch)
}

// Metrics returns [ResultsCount.Train] for [TrainingSet], and [ResultsCount.Eval] for any other
// set.
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
	var held bool
	for _, measure := range []struct {
		name  string
		value *float64
		Series
	}{{"accuracy", &at.Accuracy, m.Top1}, {"loss", &at.Loss, m.Loss}} {
		if *measure.value, held = measure.At(epoch); !held {
			return Metrics{}, notHeld("%v has no %s of %s after epoch %d (counted from 0); it has epochs: %s",
				r.Trial, measure.name, set, epoch, measure.describe())
		}
	}
	if v, ok := m.Top5.At(epoch); ok {
		at.Top5 = &v
	}
	if v, ok := m.Seconds.At(epoch); ok {
		at.Seconds = &v
	}
	if total, ok := r.secondsThrough(m.Seconds, epoch); ok {
		perEpoch := total / float64(epoch+1)
		at.TotalSeconds, at.SecondsPerEpoch = &total, &perEpoch
	}
	return at, nil
}

// Times returns how long the passes over each set of images took, the training set first
// (get_times). It leaves out sets for which the time of an epoch is missing.
func (r *ResultsCount) Times() []Times {
	var times []Times
	for _, m := range r.Sets() {
		if total, ok := r.secondsThrough(m.Seconds, r.Epochs-1); ok && r.Epochs > 0 {
			times = append(times, Times{Set: m.Set, PerEpoch: total / float64(r.Epochs), Total: total})
		}
	}
	return times
}

// secondsThrough returns the sum of the times of the epochs up to one; ok is false if one is missing. The
// epochs that a recipe does not evaluate take none.
func (r *ResultsCount) secondsThrough(s Series, epoch int) (total float64, ok bool) {
	at := 0
	for e := range epoch + 1 {
		switch {
		case at < len(s) && s[at].Epoch == e:
			total += s[at].Value
			at++
		case at == 0 && len(s) == 0, r.Recipe == nil || r.Recipe.Evaluates(e):
			return 0, false
		}
	}
	return total, true
}

// Sets returns the measures of all sets of images, the training set first.
func (r *ResultsCount) Sets() []SetMeasures {
	return append([]SetMeasures{{Set: TrainingSet, Measures: r.Training}}, r.Evaluation...)
}

// Images returns the number of images in set i of [ResultsCount.Sets], 0 if it is unknown.
func (r *ResultsCount) Images(i int) int {
	d, _ := configs.FindDataset(r.Dataset)
	switch {
	case i == 0 && r.Record != nil:
		return r.Record.Train.Images
	case i == 0:
		return d.Train
	case r.Evaluation[i-1].Further > 0:
		return r.Evaluation[i-1].Further
	case r.Record != nil:
		return r.Record.Eval[i-1].Images
	default:
		return d.Images(r.Evaluation[i-1].Set)
	}
}

// Latency returns the mean seconds of an evaluation step of 256 images, nil if it was not
// measured (get_latency, which then returns -1).
func (r *ResultsCount) Latency() *float64 { return mean(r.Latencies) }

// Config describes the network (get_config).
func (r *ResultsCount) Config() NetConfig {
	c := NetConfig{Name: r.Space.Space().NetworkName(), Channels: r.Channels, Cells: r.Cells, Genotype: r.Genotype, Classes: r.Classes}
	if arch, err := cell.Parse(r.Genotype); err == nil && arch.Genotype() != r.Genotype {
		c.Widths, c.Genotype = r.Genotype, arch.Genotype()
	}
	return c
}

// EvalSet returns the names of the evaluation sets, in the file's order (get_eval_set).
func (r *ResultsCount) EvalSet() []string {
	names := make([]string, len(r.Evaluation))
	for i, e := range r.Evaluation {
		names[i] = e.Set
	}
	return names
}

// TotalEpoch returns the number of epochs of the schedule (get_total_epoch).
func (r *ResultsCount) TotalEpoch() int { return r.Epochs }

// String summarises the trial as the clients' __repr__ does.
func (r *ResultsCount) String() string {
	return fmt.Sprintf("ResultsCount(%s, arch=%s, FLOP=%.2fM, Param=%.3fMB, seed=%04d, %d eval-sets: [%s])",
		r.Dataset, r.Genotype, r.FLOPs, r.Params, r.Seed, len(r.Evaluation), strings.Join(r.EvalSet(), ", "))
}

// paramsMatch reports whether the number of parameters matches the genotype. The number does
// not depend on the image size, which published files do not give.
func (r *ResultsCount) paramsMatch() bool {
	arch, err := cell.Parse(r.Genotype)
	network := cell.Network{Arch: arch, Channels: r.Channels, Cells: r.Cells, Classes: r.Classes, Size: 32}
	return err == nil && network.Validate() == nil && results.SameCost(r.Params, network.Params())
}

// Settings returns the settings that the file gives for the trial: all of them in a campaign,
// the recipe in the format runs, the network in any other format.
func (r *ResultsCount) Settings() results.Settings {
	if r.Record != nil {
		return r.Record.Settings()
	}
	return results.PublishedSettings(r.Trial, r.Recipe, r.Classes, r.Channels, r.Cells)
}

// mean returns the mean of values, nil if there are none.
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

// meanOf returns the mean of value over the items, nil if it is nil for one of them.
func meanOf[T any](items []T, value func(T) *float64) *float64 {
	values := make([]float64, 0, len(items))
	for _, item := range items {
		v := value(item)
		if v == nil {
			return nil
		}
		values = append(values, *v)
	}
	return mean(values)
}

// averageMetrics returns the mean of the metrics of several trials after the same epoch.
func averageMetrics(m []Metrics) Metrics {
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
