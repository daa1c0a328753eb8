package benchmark

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// This file is the counterpart of the clients' classes NASBench201API, NATStopology and NATSsize
// (nas_201_api/api_201.py and api_utils.py, nats_bench/api_topology.py, api_size.py and api_utils.py).
// Methods have the clients' names without get. The schedule hp has no default; in the clients
// it is "12". Epochs count from 0 and may be Last. Asking for something that the benchmark does
// not hold returns ErrNotHeld, a usage error that lists what it holds; the clients fail with an
// AssertionError, a KeyError or a ValueError, or return -1 or None.
//
// Every query reads the architecture from the files: to ask several questions about one, keep
// its Architecture. Nothing is cached, not even weights, so clear_params has no counterpart;
// nor do reset_latency and other calls that modify results. str2lists, str2matrix and
// get_unique_str are Lists, Matrix and UniqueString of cell.Cell; random is
// rand.IntN(b.Len()).

// Len returns Listed, the number of architectures that the benchmark covers (len(api)). It may
// hold results for fewer; see [Benchmark.Evaluated].
func (b *Benchmark) Len() int { return b.Listed }

// Arch returns the string of an architecture (api[i] and api.arch(i)). If the benchmark
// does not cover the index, the error is [ErrNotHeld].
func (b *Benchmark) Arch(index int) (string, error) {
	if err := b.checkListed(index); err != nil {
		return "", err
	}
	arch, err := b.Space.ByIndex(index)
	if err != nil {
		return "", err
	}
	return arch.String(), nil
}

// checkListed refuses an architecture that the benchmark does not cover.
func (b *Benchmark) checkListed(index int) error {
	if b.Listed == 0 {
		return notHeld("%s lists no architecture", b.Path)
	}
	if index < 0 || index >= b.Listed {
		return notHeld("%s has no architecture %d; use 0 to %d", b.Path, index, b.Listed-1)
	}
	return nil
}

// All yields the index and string of every architecture that the benchmark covers,
// whether or not it holds results for it (enumerate(api)).
func (b *Benchmark) All() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i, arch := range b.Space.All() {
			if i >= b.Listed || !yield(i, arch.String()) {
				return
			}
		}
	}
}

// String summarises the benchmark as the clients' __repr__ does.
func (b *Benchmark) String() string {
	return fmt.Sprintf("Benchmark(%d/%d architectures, file=%s)", len(b.evaluated), b.Listed, filepath.Base(b.Path))
}

// QueryIndexByArch returns the index of an architecture given as an index or as its string
// (query_index_by_arch, which returns -1 if it does not exist). Any other text is a usage error;
// if the benchmark does not cover the architecture, the error is [ErrNotHeld].
func (b *Benchmark) QueryIndexByArch(arch string) (int, error) {
	a, err := cell.Resolve(b.Space, arch)
	if err != nil {
		return 0, err
	}
	return a.Index(), b.checkListed(a.Index())
}

// querySchedule reads an architecture and asks question of its trials of one schedule.
func querySchedule[T any](b *Benchmark, index int, hp string, question func(*ArchResults) (T, error)) (T, error) {
	return queryArchitecture(b, index, func(a *Architecture) (answer T, err error) {
		trials, err := a.Schedule(hp)
		if err != nil {
			return answer, err
		}
		return question(trials)
	})
}

// queryArchitecture reads an architecture and asks question of it. Errors name the benchmark.
func queryArchitecture[T any](b *Benchmark, index int, question func(*Architecture) (T, error)) (answer T, err error) {
	a, err := b.Architecture(index)
	if err != nil {
		return answer, err
	}
	answer, err = question(a)
	if err != nil {
		return answer, usage.Errorf("%s: %w", b.Path, err)
	}
	return answer, nil
}

// QueryMetaInfoByIndex reads the trials of an architecture with a schedule
// (query_meta_info_by_index).
func (b *Benchmark) QueryMetaInfoByIndex(index int, hp string) (*ArchResults, error) {
	return querySchedule(b, index, hp, func(a *ArchResults) (*ArchResults, error) { return a, nil })
}

// QueryByIndex reads the trials of an architecture on a dataset with a schedule, in order of
// their seeds (query_by_index; for its form without a dataset use
// [Benchmark.QueryMetaInfoByIndex]).
func (b *Benchmark) QueryByIndex(index int, dataset, hp string) ([]*ResultsCount, error) {
	return querySchedule(b, index, hp, func(a *ArchResults) ([]*ResultsCount, error) { return a.Query(dataset) })
}

// QueryByArch describes an architecture, given as an index or as its string, as
// [ArchResults.Show] does (query_by_arch and query_info_str_by_arch).
func (b *Benchmark) QueryByArch(arch, hp string) (string, error) {
	index, err := b.QueryIndexByArch(arch)
	if err != nil {
		return "", err
	}
	return querySchedule(b, index, hp, func(a *ArchResults) (string, error) {
		return a.info(fmt.Sprintf("arch-index=%d", index))
	})
}

// Show prints the results of the given architectures, or of all that the benchmark holds if
// none are given (show; for all of them, the clients' show(-1) fails with a KeyError).
func (b *Benchmark) Show(w io.Writer, indices ...int) error {
	all := len(indices) == 0
	if all {
		indices = b.evaluated
		if _, err := fmt.Fprintln(w, b); err != nil {
			return err
		}
	}
	for i, index := range indices {
		text, err := queryArchitecture(b, index, (*Architecture).info)
		if err != nil {
			return err
		}
		if all {
			rule := strings.Repeat("-", 10)
			text = fmt.Sprintf("\n%s The (%5d/%5d) %06d-th architecture! %s\n%s", rule, i, len(indices), index, rule, text)
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}

// MoreInfo returns [ArchResults.MoreInfo] of an architecture and a schedule (get_more_info).
func (b *Benchmark) MoreInfo(index int, dataset string, epoch int, hp string, p Pick) (*MoreInfo, error) {
	return querySchedule(b, index, hp, func(a *ArchResults) (*MoreInfo, error) { return a.MoreInfo(dataset, epoch, p) })
}

// CostInfo returns [ArchResults.ComputeCosts] of an architecture and a schedule
// (get_cost_info).
func (b *Benchmark) CostInfo(index int, dataset, hp string) (Costs, error) {
	return querySchedule(b, index, hp, func(a *ArchResults) (Costs, error) { return a.ComputeCosts(dataset) })
}

// Latency returns the mean seconds of an evaluation step of 256 images, over the seeds for which
// it was measured; nil if there are none (get_latency).
func (b *Benchmark) Latency(index int, dataset, hp string) (*float64, error) {
	costs, err := b.CostInfo(index, dataset, hp)
	return costs.Latency, err
}

// NetConfig describes the network of an architecture on a dataset, from the first trial of the
// first schedule that has one (get_net_config).
func (b *Benchmark) NetConfig(index int, dataset string) (NetConfig, error) {
	return queryArchitecture(b, index, func(a *Architecture) (NetConfig, error) {
		err := noTrial("architecture %d has no trial", index)
		for _, schedule := range a.Schedules {
			var trials []*ResultsCount
			if trials, err = schedule.Query(dataset); err == nil {
				return trials[0].Config(), nil
			}
		}
		return NetConfig{}, err
	})
}

// NetParam reads the trained state dicts of the given seeds, or of all seeds if none are given,
// and returns them by seed (get_net_param). A state dict that was not kept is nil. Merged files
// keep none; see [Benchmark.Reload].
func (b *Benchmark) NetParam(index int, dataset, hp string, seeds ...uint32) (map[uint32]torchfile.StateDict, error) {
	return querySchedule(b, index, hp, func(a *ArchResults) (map[uint32]torchfile.StateDict, error) {
		return a.NetParam(dataset, seeds...)
	})
}

// Simulation is the outcome and the cost of training an architecture, as a search would have
// seen them.
type Simulation struct {
	Accuracy float64  `json:"valid_top1_percent"`                        // top-1 accuracy, 0 to 100
	Latency  *float64 `json:"latency_seconds_per_batch_of_256,omitzero"` // nil: not measured
	Seconds  float64  `json:"seconds"`                                   // training up to the epoch and one validation
}

// SimulateTrainEval returns the accuracy and the cost of training an architecture on a dataset
// up to an epoch and validating it once (simulate_train_eval, whose pick is [Random]). For
// cifar10 it uses the training on cifar10-valid. If x-valid was not evaluated after the epoch,
// the accuracy is that of ori-test, and the validation costs the mean time of x-valid over all
// epochs, as in nats_bench. The caller sums Seconds to get the clients' used_time.
//
// The latency is that of the schedule hp, as in nats_bench; nas_201_api uses that of "12". One
// pick of trials answers everything; nats_bench draws a second seed for the time of x-valid.
// If an accuracy or a time is missing, the error is [ErrNotHeld].
func (b *Benchmark) SimulateTrainEval(index int, dataset string, epoch int, hp string, p Pick) (*Simulation, error) {
	return querySchedule(b, index, hp, func(a *ArchResults) (*Simulation, error) {
		trained, _ := remapNames(dataset, "valid")
		trials, err := a.pickTrials(trained, p)
		if err != nil {
			return nil, err
		}
		info, err := moreInfo(trials, epoch)
		if err != nil {
			return nil, err
		}
		accuracyOf, timeOf := info.Valid, info.Valid
		if info.Valid == nil {
			last, err := meanMetrics(trials, "x-valid", Last)
			if err != nil {
				return nil, err
			}
			accuracyOf, timeOf = info.ValTest, &last
		}
		if accuracyOf == nil || timeOf.SecondsPerEpoch == nil || info.Train.TotalSeconds == nil {
			return nil, notHeld("%v lacks the accuracy of x-valid and ori-test after epoch %d (counted from 0), or the times of training or of x-valid",
				trials[0].Trial, info.Train.Epoch)
		}
		simulation := &Simulation{Accuracy: accuracyOf.Accuracy, Seconds: *info.Train.TotalSeconds + *timeOf.SecondsPerEpoch}
		costs, err := a.ComputeCosts(dataset)
		if err != nil && !errors.Is(err, ErrNotHeld) {
			return nil, err
		}
		simulation.Latency = costs.Latency
		return simulation, nil
	})
}

// remapNames translates a dataset of images and a kind of set, "valid" or "test", into the
// dataset key and the evaluation set that a search means by them (remap_dataset_set_names of
// the clients).
func remapNames(dataset, set string) (key, evaluationSet string) {
	switch {
	case dataset == "cifar10" && set == "valid":
		return "cifar10-valid", "x-valid"
	case dataset == "cifar10" && set == "test":
		return dataset, "ori-test"
	case dataset == "cifar100" || dataset == "ImageNet16-120":
		if set == "valid" || set == "test" {
			return dataset, "x-" + set
		}
	}
	return dataset, set
}

// Reload returns a benchmark that reads the given architectures from archive, which may be any
// benchmark, and the others from b (reload). If none are given, it reads all that archive holds
// from there. Use it to find weights that a merged file lacks. b and archive do not change, but
// closing the new benchmark closes both.
func (b *Benchmark) Reload(archive *Benchmark, indices ...int) (*Benchmark, error) {
	if archive.Space != b.Space {
		return nil, usage.Errorf("%s holds architectures of the %s, and %s those of the %s; reload from a benchmark of the same space",
			archive.Path, archive.Space.Title(), b.Path, b.Space.Title())
	}
	if len(indices) == 0 {
		indices = archive.evaluated
	}
	reloaded := map[int]bool{}
	for _, index := range indices {
		if err := cmp.Or(archive.checkHeld(index), b.checkListed(index)); err != nil {
			return nil, err
		}
		reloaded[index] = true
	}
	c := *b
	c.source = overlay{b.source, archive.source, reloaded}
	c.evaluated = slices.Concat(b.evaluated, indices)
	slices.Sort(c.evaluated)
	c.evaluated = slices.Compact(c.evaluated)
	return &c, nil
}

// overlay is a Source that reads some architectures from another one.
type overlay struct {
	below, above Source
	reloaded     map[int]bool // read from above
}

func (o overlay) Architecture(index int) (*Architecture, error) {
	if o.reloaded[index] {
		return o.above.Architecture(index)
	}
	return o.below.Architecture(index)
}

func (o overlay) Close() error { return errors.Join(o.above.Close(), o.below.Close()) }

func (o overlay) CheckFile(path string) (note string, faults []error) { return o.below.CheckFile(path) }
