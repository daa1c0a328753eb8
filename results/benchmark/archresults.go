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

// This file is the counterpart of the clients' class ArchResults (nas_201_api/api_utils.py,
// nats_bench/api_utils.py).

// ArchResults holds the trials of one architecture with one schedule. It corresponds to the
// class of this name in nas_201_api.
type ArchResults struct {
	Index    int             // index of the architecture
	Genotype string          // genotype string of the architecture
	HP       string          // name of the schedule in the file: "12" (less), "200" (full), ...
	Results  []*ResultsCount // at least one, in the order of results.Trial.Compare
}

// Pick selects the trials that answer a query if there are several seeds (the clients'
// is_random). The zero value is [Mean].
type Pick struct {
	seed   *uint32
	random *rand.Rand
}

// Mean averages over all seeds (is_random=False).
func Mean() Pick { return Pick{} }

// Seed picks the trial with this seed (is_random=seed).
func Seed(seed uint32) Pick { return Pick{seed: &seed} }

// Random picks one trial uniformly at random, drawn from r (is_random=True).
func Random(r *rand.Rand) Pick { return Pick{random: r} }

// Costs holds the costs of a network. Latency and times are means over the seeds.
type Costs struct {
	FLOPs   float64  `json:"flops_millions"`                            // multiply-adds for one image, in millions
	Params  float64  `json:"params_millions"`                           // parameters, in millions
	Latency *float64 `json:"latency_seconds_per_batch_of_256,omitzero"` // nil: not measured
	Times   []Times  `json:"times,omitempty"`                           // without the sets whose times are not known
}

// MoreInfo holds the metrics of an architecture on a dataset after an epoch. Sets that were not
// evaluated are nil.
type MoreInfo struct {
	Seed    *uint32  `json:"seed,omitzero"` // of the trial that answered; nil: mean over several
	Train   Metrics  `json:"train"`
	Valid   *Metrics `json:"valid,omitzero"`   // x-valid
	Test    *Metrics `json:"test,omitzero"`    // x-test; ori-test for cifar10-valid and cifar10
	ValTest *Metrics `json:"valtest,omitzero"` // ori-test, the union of x-valid and x-test
}

// DatasetNames returns the dataset keys that have trials, the published ones first
// (get_dataset_names).
func (a *ArchResults) DatasetNames() []string {
	var names []string
	for _, r := range a.Results { // trials on the same dataset are adjacent
		if len(names) == 0 || names[len(names)-1] != r.Dataset {
			names = append(names, r.Dataset)
		}
	}
	return names
}

// DatasetSeeds returns the seeds of the trials on a dataset, in ascending order
// (get_dataset_seeds). If there are no trials on it, the error is [ErrNoTrial].
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

// Query returns the trials on a dataset with the given seeds, or all if no seeds are given, in
// order of their seeds (query). If one does not exist, the error is [ErrNoTrial].
func (a *ArchResults) Query(dataset string, seeds ...uint32) ([]*ResultsCount, error) {
	var trials []*ResultsCount
	for _, r := range a.Results {
		if r.Dataset == dataset {
			trials = append(trials, r)
		}
	}
	if len(trials) == 0 {
		return nil, noTrial("architecture %d has no trial on %q with schedule %s; it has trials on %s",
			a.Index, dataset, a.HP, joinItems(a.DatasetNames()))
	}
	if len(seeds) == 0 {
		return trials, nil
	}
	held := seedsOf(trials)
	for _, seed := range seeds {
		if !slices.Contains(held, seed) {
			return nil, noTrial("architecture %d has no trial on %s with schedule %s and seed %d; it has seeds %s",
				a.Index, dataset, a.HP, seed, joinItems(held))
		}
	}
	return slices.DeleteFunc(trials, func(r *ResultsCount) bool { return !slices.Contains(seeds, r.Seed) }), nil
}

// pickTrials returns the trials on a dataset that p selects.
func (a *ArchResults) pickTrials(dataset string, p Pick) ([]*ResultsCount, error) {
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

// Metrics returns the metrics on a set, [TrainingSet] or an evaluation set, after an epoch,
// counted from 0 or [Last] (get_metrics). If something is missing, the error is [ErrNotHeld].
//
// The clients read every seed before they pick one, so they fail if any seed lacks the set or
// the epoch; Metrics reads only the trials picked.
func (a *ArchResults) Metrics(dataset, set string, epoch int, p Pick) (Metrics, error) {
	trials, err := a.pickTrials(dataset, p)
	if err != nil {
		return Metrics{}, err
	}
	return meanMetrics(trials, set, epoch)
}

// meanMetrics returns the mean metrics of one or more trials. The trials must have the same
// last epoch if that is asked for.
func meanMetrics(trials []*ResultsCount, set string, epoch int) (Metrics, error) {
	metrics := make([]Metrics, len(trials))
	for i, r := range trials {
		var err error
		if metrics[i], err = r.Metrics(set, epoch); err != nil {
			return Metrics{}, err
		}
		if metrics[i].Epoch != metrics[0].Epoch {
			return Metrics{}, notHeld("%v and %v do not have the same last epoch", r.Trial, trials[0].Trial)
		}
	}
	return averageMetrics(metrics), nil
}

// ComputeCosts returns the costs of the network on a dataset (get_compute_costs). If there are
// no trials on it, the error is [ErrNoTrial].
//
// Some published trials contain the costs of another network. ComputeCosts ignores them if
// another seed has costs that match the genotype. nas_201_api averages over all seeds;
// nats_bench uses seed 888 if the seeds disagree, and fails if it is missing. Times of a set
// are included if every trial evaluated on it has them.
func (a *ArchResults) ComputeCosts(dataset string) (Costs, error) {
	trials, err := a.Query(dataset)
	if err != nil {
		return Costs{}, err
	}
	matching := slices.DeleteFunc(slices.Clone(trials), func(r *ResultsCount) bool { return !r.paramsMatch() })
	if len(matching) == 0 {
		matching = trials
	}
	costs := Costs{
		FLOPs:   *meanOf(matching, func(r *ResultsCount) *float64 { return &r.FLOPs }),
		Params:  *meanOf(matching, func(r *ResultsCount) *float64 { return &r.Params }),
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

// meanLatency returns the mean over the trials whose latency was measured, nil if there are
// none.
func meanLatency(trials []*ResultsCount) *float64 {
	var values []float64
	for _, r := range trials {
		if latency := r.Latency(); latency != nil && *latency > 0 {
			values = append(values, *latency)
		}
	}
	return mean(values)
}

// meanTimes returns the mean over the trials evaluated on a set; ok is false if one of them
// lacks its times.
func meanTimes(trials []*ResultsCount, set string) (times Times, ok bool) {
	var perEpoch, total []float64
	for _, r := range trials {
		if _, evaluated := r.Set(set); !evaluated && set != TrainingSet {
			continue
		}
		all := r.Times()
		i := slices.IndexFunc(all, func(t Times) bool { return t.Set == set })
		if i < 0 {
			return Times{}, false
		}
		perEpoch, total = append(perEpoch, all[i].PerEpoch), append(total, all[i].Total)
	}
	return Times{Set: set, PerEpoch: *mean(perEpoch), Total: *mean(total)}, true
}

// Latency returns the mean seconds of an evaluation step of 256 images over all seeds
// (get_latency). If it was not measured for one of them, the error is [ErrNotHeld].
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

// TotalEpoch returns the number of epochs of the trials on a dataset, or on all datasets for ""
// (get_total_epoch). If the trials differ in it, the error is [ErrNotHeld].
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
			return 0, notHeld("%v and %v differ in their number of epochs", r.Trial, trials[0].Trial)
		}
	}
	return trials[0].Epochs, nil
}

// NetParam reads the trained state dicts on a dataset of the given seeds, or of all seeds if
// none are given, and returns them by seed (get_net_param). A state dict that was not kept is
// nil. If a trial does not exist, the error is [ErrNoTrial]; errors in the file are usage
// errors.
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

// MoreInfo returns the metrics on all sets of a dataset after an epoch, counted from 0 or
// [Last], from one pick of trials (get_more_info). Evaluations that the file lacks are nil,
// except for x-valid of cifar10-valid, where the clients fail too: then, and if the dataset, the
// seed or the epoch of training is missing, the error is [ErrNotHeld]. The comment that
// nats_bench returns with the metrics is the documentation of the fields of [MoreInfo].
func (a *ArchResults) MoreInfo(dataset string, epoch int, p Pick) (*MoreInfo, error) {
	trials, err := a.pickTrials(dataset, p)
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
	if info.Train, err = meanMetrics(trials, TrainingSet, epoch); err != nil {
		return nil, err
	}
	metricsIfHeld := func(set string) *Metrics {
		m, missing := meanMetrics(trials, set, epoch)
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
		valid, err := meanMetrics(trials, "x-valid", epoch)
		if err != nil {
			return nil, err
		}
		info.Valid, info.Test = &valid, metricsIfHeld("ori-test")
	case "cifar10":
		info.Test = metricsIfHeld("ori-test")
	default:
		info.Valid, info.Test, info.ValTest = metricsIfHeld("x-valid"), metricsIfHeld("x-test"), metricsIfHeld("ori-test")
	}
	if err != nil {
		return nil, err
	}
	return info, nil
}

// ArchIdxStr returns the index with six digits, as in file names (arch_idx_str).
func (a *ArchResults) ArchIdxStr() string { return fmt.Sprintf("%06d", a.Index) }

// Show prints the text of print_information in nas_201_api/api_201.py: costs, losses and
// accuracies after the last epoch on every dataset, as means over the seeds. What it labels MB
// are millions of parameters. Show leaves out evaluation sets that the file lacks, where the
// client fails, and shows all sets of a dataset that is not part of the benchmark. (The client's
// ArchResults.show itself fails with a NameError.)
func (a *ArchResults) Show(w io.Writer) error {
	text, err := a.info("None")
	if err == nil {
		_, err = fmt.Fprintln(w, text)
	}
	return err
}

// info returns the text of print_information, with extra as its extra_info.
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
		for _, set := range shownSets(trials[0]) {
			m, err := meanMetrics(trials, set[1], Last)
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

// shownSets lists the sets of a trial's dataset that Show prints, as pairs of label and set.
func shownSets(r *ResultsCount) [][2]string {
	sets := [][2]string{{"train", TrainingSet}}
	switch r.Dataset {
	case "cifar10-valid":
		return append(sets, OriginalOf(r.Space.Space()).shown...)
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

// String summarises the trials as the clients' __repr__ does, without its note on whether
// weights were cleared.
func (a *ArchResults) String() string {
	return fmt.Sprintf("ArchResults(arch-index=%d, arch=%s, %d runs)", a.Index, a.Genotype, len(a.Results))
}

// Unequal lists the settings in which trials differ from the first of them, with both values;
// nil if they agree.
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
		texts = append(texts, fmt.Sprintf("%s is %s for seed %s, and %s for seed %d", d.Setting, d.Value, joinItems(seeds[d]), d.Other, first.Seed))
	}
	return texts
}

// joinItems joins the items with commas, for errors. Items must not contain spaces.
func joinItems[T any](items []T) string {
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(items), "[]")), ", ")
}
