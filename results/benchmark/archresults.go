package benchmark

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"nb201/internal/torchfile"
	"nb201/results"
)

// This file answers for the trials of one architecture along one schedule as the class
// ArchResults of the clients does (nas_201_api/api_utils.py, nats_bench/api_utils.py).

// ArchResults are the trials of one architecture along one schedule: nas_201_api's
// class of this name.
type ArchResults struct {
	Index    int // of the architecture
	Genotype string
	HP       string          // the schedule's name in the file: "12" (less), "200" (full), ...
	Results  []*ResultsCount // in the order of Trial.Compare
}

// Pick says which trials of an architecture on a dataset answer, when there are
// several seeds: the clients' is_random. The zero value is Mean.
type Pick struct {
	seed   *uint32
	random *rand.Rand
}

// Mean averages over all seeds: is_random=False.
func Mean() Pick { return Pick{} }

// Seed picks the trial with a seed: is_random=seed.
func Seed(seed uint32) Pick { return Pick{seed: &seed} }

// Random picks a trial that r draws, each with the same probability: is_random=True.
func Random(r *rand.Rand) Pick { return Pick{random: r} }

// Costs are what a network costs; times are means over the seeds.
type Costs struct {
	FLOPs   float64  `json:"flops_millions"`
	Params  float64  `json:"params_millions"`
	Latency *float64 `json:"latency_seconds_per_batch_of_256,omitzero"` // nil: not measured
	Times   []Times  `json:"times,omitempty"`                           // sets without times are left out
}

// MoreInfo is all that is told of an architecture on a dataset after an epoch. What
// was not measured is nil.
type MoreInfo struct {
	Seed    *uint32  `json:"seed,omitzero"` // of the trial that answered; nil: mean over several
	Train   Metrics  `json:"train"`
	Valid   *Metrics `json:"valid,omitzero"`   // x-valid
	Test    *Metrics `json:"test,omitzero"`    // x-test; ori-test after training on cifar10-valid and cifar10
	ValTest *Metrics `json:"valtest,omitzero"` // ori-test, of which x-valid and x-test are the halves
}

// DatasetNames lists the dataset keys that there are trials of, the published ones
// first: get_dataset_names.
func (a *ArchResults) DatasetNames() []string {
	var names []string
	for _, r := range a.Results { // those of a dataset lie together
		if len(names) == 0 || names[len(names)-1] != r.Dataset {
			names = append(names, r.Dataset)
		}
	}
	return names
}

// DatasetSeeds lists the seeds of the trials on a dataset, in ascending order:
// get_dataset_seeds. A dataset without trials is ErrNoTrial.
func (a *ArchResults) DatasetSeeds(dataset string) ([]uint32, error) {
	trials, err := a.Query(dataset)
	return seedsOf(trials), err
}

func seedsOf(trials []*ResultsCount) []uint32 {
	var seeds []uint32
	for _, r := range trials {
		seeds = append(seeds, r.Seed)
	}
	return seeds
}

// Query lists the trials on a dataset in order of their seeds; those with the given
// seeds, or all when none is given: query. What is not there is ErrNoTrial.
func (a *ArchResults) Query(dataset string, seeds ...uint32) ([]*ResultsCount, error) {
	var trials []*ResultsCount
	for _, r := range a.Results {
		if r.Dataset == dataset {
			trials = append(trials, r)
		}
	}
	if len(trials) == 0 {
		return nil, noTrial("architecture %d has no trial on %q along schedule %s: it has trials on %s",
			a.Index, dataset, a.HP, listed(a.DatasetNames()))
	}
	if len(seeds) == 0 {
		return trials, nil
	}
	held := seedsOf(trials)
	for _, seed := range seeds {
		if !slices.Contains(held, seed) {
			return nil, noTrial("architecture %d has no trial on %s along schedule %s with seed %d: it has seeds %s",
				a.Index, dataset, a.HP, seed, listed(held))
		}
	}
	return slices.DeleteFunc(trials, func(r *ResultsCount) bool { return !slices.Contains(seeds, r.Seed) }), nil
}

// pick lists the trials on a dataset that answer.
func (a *ArchResults) pick(dataset string, p Pick) ([]*ResultsCount, error) {
	if p.seed != nil {
		return a.Query(dataset, *p.seed)
	}
	trials, err := a.Query(dataset)
	if err == nil && p.random != nil {
		i := p.random.IntN(len(trials))
		trials = trials[i : i+1]
	}
	return trials, err
}

// Metrics tells what was measured on a set, TrainingSet or an evaluation set, after an
// epoch, counted from 0, or the Last: get_metrics. What is not there is ErrNotHeld.
//
// The clients ask every seed before they pick one, and so fail when another seed
// lacks the set or the epoch; here only the trials picked are asked.
func (a *ArchResults) Metrics(dataset, set string, epoch int, p Pick) (Metrics, error) {
	trials, err := a.pick(dataset, p)
	if err != nil {
		return Metrics{}, err
	}
	return metricsOf(trials, set, epoch)
}

// metricsOf is the mean over trials, of which there is at least one.
func metricsOf(trials []*ResultsCount, set string, epoch int) (Metrics, error) {
	metrics := make([]Metrics, len(trials))
	for i, r := range trials {
		var err error
		if metrics[i], err = r.Metrics(set, epoch); err != nil {
			return Metrics{}, err
		}
		if metrics[i].Epoch != metrics[0].Epoch {
			return Metrics{}, notHeld("%v has another last epoch than %v", r.Trial, trials[0].Trial)
		}
	}
	return averaged(metrics), nil
}

// ComputeCosts tells what the network costs on a dataset: get_compute_costs. A dataset
// without trials is ErrNoTrial.
//
// Some published trials hold the costs of another network. They do not count where
// another seed has those of the genotype: nas_201_api averages over all of them, and
// nats_bench takes seed 888 when the seeds disagree, and fails where there is none.
// Times are told when every seed that was evaluated on a set has them.
func (a *ArchResults) ComputeCosts(dataset string) (Costs, error) {
	trials, err := a.Query(dataset)
	if err != nil {
		return Costs{}, err
	}
	right := slices.DeleteFunc(slices.Clone(trials), func(r *ResultsCount) bool { return !r.paramsFit() })
	if len(right) == 0 {
		right = trials
	}
	costs := Costs{
		FLOPs:   *meanOf(right, func(r *ResultsCount) *float64 { return &r.FLOPs }),
		Params:  *meanOf(right, func(r *ResultsCount) *float64 { return &r.Params }),
		Latency: meanLatency(trials),
	}
	var sets []string
	for _, r := range trials {
		for _, m := range r.Sets() {
			if !slices.Contains(sets, m.Set) {
				sets = append(sets, m.Set)
			}
		}
	}
	for _, set := range sets {
		if times, ok := meanTimes(trials, set); ok {
			costs.Times = append(costs.Times, times)
		}
	}
	return costs, nil
}

// meanLatency is the mean over the trials whose latency was measured; nil if none was.
func meanLatency(trials []*ResultsCount) *float64 {
	var values []float64
	for _, r := range trials {
		if latency := r.Latency(); latency != nil && *latency > 0 {
			values = append(values, *latency)
		}
	}
	return mean(values)
}

// meanTimes is the mean over the trials evaluated on a set, if each has its times.
func meanTimes(trials []*ResultsCount, set string) (Times, bool) {
	var perEpoch, total []float64
	for _, r := range trials {
		if _, evaluated := r.Set(set); !evaluated && set != TrainingSet {
			continue
		}
		times := r.Times()
		i := slices.IndexFunc(times, func(t Times) bool { return t.Set == set })
		if i < 0 {
			return Times{}, false
		}
		perEpoch, total = append(perEpoch, times[i].PerEpoch), append(total, times[i].Total)
	}
	return Times{Set: set, PerEpoch: *mean(perEpoch), Total: *mean(total)}, true
}

// Latency is the mean time of an evaluation step of 256 images over the seeds, in
// seconds: get_latency. When a trial's was not measured it is ErrNotHeld.
func (a *ArchResults) Latency(dataset string) (float64, error) {
	trials, err := a.Query(dataset)
	if err != nil {
		return 0, err
	}
	for _, r := range trials {
		if latency := r.Latency(); latency == nil || *latency <= 0 {
			return 0, notHeld("%v: the latency was not measured", r.Trial)
		}
	}
	return *meanLatency(trials), nil
}

// TotalEpoch is the number of epochs of the trials on a dataset, or on all for "":
// get_total_epoch. Of trials that differ in it there is none: ErrNotHeld.
func (a *ArchResults) TotalEpoch(dataset string) (int, error) {
	trials := a.Results
	if dataset != "" {
		var err error
		if trials, err = a.Query(dataset); err != nil {
			return 0, err
		}
	}
	for _, r := range trials {
		if r.Epochs != trials[0].Epochs {
			return 0, notHeld("%v differs in its epochs from %v", r.Trial, trials[0].Trial)
		}
	}
	return trials[0].Epochs, nil
}

// NetParam reads the trained state dicts on a dataset, by seed; of the given seeds, or
// of all when none is given: get_net_param. A state dict that was not kept is nil. What
// is not there, and what is wrong with the file, is a usage error.
func (a *ArchResults) NetParam(dataset string, seeds ...uint32) (map[uint32]torchfile.StateDict, error) {
	trials, err := a.Query(dataset, seeds...)
	if err != nil {
		return nil, err
	}
	weights := make(map[uint32]torchfile.StateDict, len(trials))
	for _, r := range trials {
		if weights[r.Seed], err = r.Weights(); err != nil {
			return nil, err
		}
	}
	return weights, nil
}

// MoreInfo tells all that was measured on a dataset after an epoch, counted from 0, or
// the Last, by one choice of trials: get_more_info. Evaluations that the file lacks are
// nil but for x-valid of cifar10-valid, which is a usage error as it is one to the
// clients, as are a dataset, a seed or an epoch of the training that is not there. The
// comment that nats_bench adds is the documentation of the fields.
func (a *ArchResults) MoreInfo(dataset string, epoch int, p Pick) (*MoreInfo, error) {
	trials, err := a.pick(dataset, p)
	if err != nil {
		return nil, err
	}
	return moreInfo(trials, epoch)
}

func moreInfo(trials []*ResultsCount, epoch int) (*MoreInfo, error) {
	info := &MoreInfo{}
	if len(trials) == 1 {
		info.Seed = &trials[0].Seed
	}
	var err error
	if info.Train, err = metricsOf(trials, TrainingSet, epoch); err != nil {
		return nil, err
	}
	held := func(set string) *Metrics {
		m, missing := metricsOf(trials, set, epoch)
		if missing != nil {
			if !errors.Is(missing, ErrNotHeld) {
				err = cmp.Or(err, missing)
			}
			return nil
		}
		return &m
	}
	switch trials[0].Dataset {
	case "cifar10-valid":
		valid, err := metricsOf(trials, "x-valid", epoch)
		if err != nil {
			return nil, err
		}
		info.Valid, info.Test = &valid, held("ori-test")
	case "cifar10":
		info.Test = held("ori-test")
	default:
		info.Valid, info.Test, info.ValTest = held("x-valid"), held("x-test"), held("ori-test")
	}
	if err != nil {
		return nil, err
	}
	return info, nil
}

// ArchIdxStr is the index in six digits, as in the names of files: arch_idx_str.
func (a *ArchResults) ArchIdxStr() string { return fmt.Sprintf("%06d", a.Index) }

// Show prints what nas_201_api/api_201.py (print_information) prints: costs, losses
// and accuracies after the last epoch on every dataset, means over the seeds; what it
// calls MB are millions of parameters. (ArchResults.show of that client fails with a
// NameError.) Evaluation sets that the file lacks, for which the client fails, are left
// out; of a dataset that is not the benchmark's all sets are shown.
func (a *ArchResults) Show(w io.Writer) error {
	text, err := a.info("None")
	if err == nil {
		_, err = fmt.Fprintln(w, text)
	}
	return err
}

// info is print_information with the text of extra_info.
func (a *ArchResults) info(extra string) (string, error) {
	datasets := a.DatasetNames()
	lines := []string{a.Genotype, fmt.Sprintf("datasets : ['%s'], extra-info : %s", strings.Join(datasets, "', '"), extra)}
	for _, dataset := range datasets {
		costs, err := a.ComputeCosts(dataset)
		if err != nil {
			return "", err
		}
		latency := "None"
		if costs.Latency != nil {
			latency = fmt.Sprintf("%.2f", *costs.Latency*1000)
		}
		lines = append(lines, fmt.Sprintf("%-14s FLOP=%6.2f M, Params=%.3f MB, latency=%s ms.", dataset, costs.FLOPs, costs.Params, latency))
		trials, err := a.Query(dataset)
		if err != nil {
			return "", err
		}
		var measured []string
		for _, set := range shown(trials[0]) {
			m, err := metricsOf(trials, set[1], Last)
			if err != nil && (set[1] == TrainingSet || !errors.Is(err, ErrNotHeld)) {
				return "", err
			}
			if err == nil {
				measured = append(measured, fmt.Sprintf("%s : [loss = %.3f, top1 = %.2f%%]", set[0], m.Loss, m.Accuracy))
			}
		}
		lines = append(lines, fmt.Sprintf("%-14s %s", dataset, strings.Join(measured, ", ")))
	}
	return strings.Join(lines, "\n"), nil
}

// shown lists the sets of a trial's dataset that Show tells of: the label and the set.
func shown(r *ResultsCount) [][2]string {
	sets := [][2]string{{"train", TrainingSet}}
	switch r.Dataset {
	case "cifar10-valid":
		return append(sets, [2]string{"valid", "x-valid"})
	case "cifar10":
		return append(sets, [2]string{"test ", "ori-test"})
	case "cifar100", "ImageNet16-120":
		return append(sets, [2]string{"valid", "x-valid"}, [2]string{"test", "x-test"})
	}
	for _, set := range r.EvalSet() {
		sets = append(sets, [2]string{set, set})
	}
	return sets
}

// String sums the trials up as the clients' __repr__ does, but for whether their
// weights were cleared.
func (a *ArchResults) String() string {
	return fmt.Sprintf("ArchResults(arch-index=%d, arch=%s, %d runs)", a.Index, a.Genotype, len(a.Results))
}

// Unequal lists in which settings trials differ from the first of them, and both values.
func Unequal(trials []*ResultsCount) []string {
	if len(trials) < 2 {
		return nil
	}
	var differences results.Differences
	seeds := map[results.Difference][]uint32{}
	first := trials[0].Settings()
	for _, r := range trials[1:] {
		for _, d := range r.Settings().Differ(first) {
			if seeds[d] == nil {
				differences = append(differences, d)
			}
			seeds[d] = append(seeds[d], r.Seed)
		}
	}
	var texts []string
	for _, d := range differences {
		texts = append(texts, fmt.Sprintf("%s is %s for seed %s, and %s for seed %d", d.Setting, d.Value, listed(seeds[d]), d.Other, first.Seed))
	}
	return texts
}

// listed names what there is.
func listed[T any](items []T) string {
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(items), "[]")), ", ")
}
