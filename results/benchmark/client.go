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

// This file answers for a benchmark as the classes NASBench201API and NATStopology of
// the clients do (nas_201_api/api_201.py and api_utils.py, nats_bench/api_topology.py
// and api_utils.py), under the same names without get. hp names a schedule: there is
// no default, where the clients' is "12". An epoch counts from 0 and may be Last.
// What a benchmark does not hold is ErrNotHeld, a usage error that says what it holds,
// where the clients fail by an assertion, a KeyError or a ValueError, or answer -1 or None.
//
// An architecture is read anew for every question: for many of one architecture, keep
// its Architecture. Nothing else is kept, weights neither, so that there is nothing for
// clear_params to clear; nor is anything changed, as reset_latency and the like do.
// str2lists, str2matrix and get_unique_str are Lists, Matrix and UniqueString of
// cell.Arch; random is rand.IntN(b.Len()).

// Len is the number of architectures that the benchmark is of, Listed: len(api). It may
// hold fewer; see Evaluated.
func (b *Benchmark) Len() int { return b.Listed }

// Arch is the genotype string of an architecture: api[i] and api.arch(i).
func (b *Benchmark) Arch(index int) (string, error) {
	if err := b.check(index); err != nil {
		return "", err
	}
	arch, err := cell.ByIndex(index)
	return arch.String(), err
}

func (b *Benchmark) check(index int) error {
	if index < 0 || index >= b.Listed {
		return notHeld("%s has no architecture %d: use 0..%d", b.Path, index, b.Listed-1)
	}
	return nil
}

// All yields the indices and genotype strings of the architectures that the benchmark
// is of, held or not: enumerate(api).
func (b *Benchmark) All() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i, arch := range cell.All() {
			if i >= b.Listed || !yield(i, arch.String()) {
				return
			}
		}
	}
}

// String sums the benchmark up as the clients' __repr__ does.
func (b *Benchmark) String() string {
	return fmt.Sprintf("Benchmark(%d/%d architectures, file=%s)", len(b.evaluated), b.Listed, filepath.Base(b.Path))
}

// QueryIndexByArch finds the index of an architecture named by its index or by its
// genotype string: query_index_by_arch, which is -1 where there is none.
func (b *Benchmark) QueryIndexByArch(arch string) (int, error) {
	a, err := cell.Resolve(arch)
	if err != nil {
		return 0, err
	}
	return a.Index(), b.check(a.Index())
}

// ask puts a question to the trials of an architecture along a schedule.
func ask[T any](b *Benchmark, index int, hp string, question func(*ArchResults) (T, error)) (T, error) {
	return askAll(b, index, func(a *Architecture) (answer T, err error) {
		trials, err := a.Schedule(hp)
		if err != nil {
			return answer, err
		}
		return question(trials)
	})
}

// askAll puts a question to all trials of an architecture.
func askAll[T any](b *Benchmark, index int, question func(*Architecture) (T, error)) (answer T, err error) {
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

// QueryMetaInfoByIndex reads the trials of an architecture along a schedule:
// query_meta_info_by_index.
func (b *Benchmark) QueryMetaInfoByIndex(index int, hp string) (*ArchResults, error) {
	return ask(b, index, hp, func(a *ArchResults) (*ArchResults, error) { return a, nil })
}

// QueryByIndex reads the trials of an architecture on a dataset along a schedule, in
// order of their seeds: query_by_index. (Without a dataset that is
// QueryMetaInfoByIndex.)
func (b *Benchmark) QueryByIndex(index int, dataset, hp string) ([]*ResultsCount, error) {
	return ask(b, index, hp, func(a *ArchResults) ([]*ResultsCount, error) { return a.Query(dataset) })
}

// QueryByArch describes an architecture, named by its index or its genotype string, as
// ArchResults.Show does: query_by_arch and query_info_str_by_arch.
func (b *Benchmark) QueryByArch(arch, hp string) (string, error) {
	index, err := b.QueryIndexByArch(arch)
	if err != nil {
		return "", err
	}
	return ask(b, index, hp, func(a *ArchResults) (string, error) {
		return a.info(fmt.Sprintf("arch-index=%d", index))
	})
}

// Show prints what the benchmark holds of some architectures, or of all when none is
// named: show. (The clients fail on all of them, show(-1), with a KeyError.)
func (b *Benchmark) Show(w io.Writer, indices ...int) error {
	all := len(indices) == 0
	if all {
		indices = b.evaluated
		if _, err := fmt.Fprintln(w, b); err != nil {
			return err
		}
	}
	for i, index := range indices {
		text, err := askAll(b, index, (*Architecture).info)
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

// MoreInfo is that of ArchResults: get_more_info.
func (b *Benchmark) MoreInfo(index int, dataset string, epoch int, hp string, p Pick) (*MoreInfo, error) {
	return ask(b, index, hp, func(a *ArchResults) (*MoreInfo, error) { return a.MoreInfo(dataset, epoch, p) })
}

// CostInfo is ComputeCosts of ArchResults: get_cost_info.
func (b *Benchmark) CostInfo(index int, dataset, hp string) (Costs, error) {
	return ask(b, index, hp, func(a *ArchResults) (Costs, error) { return a.ComputeCosts(dataset) })
}

// Latency is the mean time of an evaluation step of 256 images, in seconds, over the
// seeds for which it was measured; nil when for none: get_latency.
func (b *Benchmark) Latency(index int, dataset, hp string) (*float64, error) {
	costs, err := b.CostInfo(index, dataset, hp)
	return costs.Latency, err
}

// NetConfig is what the network of an architecture on a dataset is made of:
// get_net_config. It is that of the first trial along the first schedule that has one.
func (b *Benchmark) NetConfig(index int, dataset string) (NetConfig, error) {
	return askAll(b, index, func(a *Architecture) (NetConfig, error) {
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

// NetParam reads trained state dicts, by seed: those of the given seeds, or all when
// none is given: get_net_param. A state dict that was not kept is nil, as all are in
// files without weights; see Reload.
func (b *Benchmark) NetParam(index int, dataset, hp string, seeds ...uint32) (map[uint32]torchfile.StateDict, error) {
	return ask(b, index, hp, func(a *ArchResults) (map[uint32]torchfile.StateDict, error) {
		return a.NetParam(dataset, seeds...)
	})
}

// Simulation is what a search would have learned by training an architecture, and what
// that would have cost.
type Simulation struct {
	Accuracy float64  `json:"valid_top1_percent"`                        // 0..100
	Latency  *float64 `json:"latency_seconds_per_batch_of_256,omitzero"` // nil: not measured
	Seconds  float64  `json:"seconds"`                                   // of the training and one validation
}

// SimulateTrainEval tells what training an architecture on a dataset up to an epoch,
// and validating it, gives and costs: simulate_train_eval, whose pick is Random. For
// cifar10 that is the training on cifar10-valid. Where x-valid was not evaluated after
// the epoch the accuracy is that of ori-test and the validation takes the mean time of
// x-valid over all epochs, as in nats_bench. The clients' used_time is the sum of
// Seconds, which is the caller's to keep.
//
// The latency is of the schedule hp, as in nats_bench, where nas_201_api takes that of
// "12". One pick answers for the whole, where nats_bench draws a second seed for the
// time of x-valid.
func (b *Benchmark) SimulateTrainEval(index int, dataset string, epoch int, hp string, p Pick) (*Simulation, error) {
	return ask(b, index, hp, func(a *ArchResults) (*Simulation, error) {
		trained, _ := remap(dataset, "valid")
		trials, err := a.pick(trained, p)
		if err != nil {
			return nil, err
		}
		info, err := moreInfo(trials, epoch)
		if err != nil {
			return nil, err
		}
		accuracyOf, timeOf := info.Valid, info.Valid
		if info.Valid == nil {
			last, err := metricsOf(trials, "x-valid", Last)
			if err != nil {
				return nil, err
			}
			accuracyOf, timeOf = info.ValTest, &last
		}
		if accuracyOf == nil || timeOf.SecondsPerEpoch == nil || info.Train.TotalSeconds == nil {
			return nil, notHeld("%v has no accuracy of x-valid or ori-test after epoch %d, counted from 0, or not the times of the training and of x-valid",
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

// remap gives the dataset key and the set that a search means by the dataset of images
// and the kind of set, valid or test: remap_dataset_set_names of the clients.
func remap(dataset, set string) (string, string) {
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

// Reload is the benchmark with what an archive (or any other benchmark) holds of the
// architectures in the place of what b holds, all that it holds when none is named:
// reload. With it NetParam finds weights that a merged file lacks. b and archive stay as
// they are; closing the new one closes both.
func (b *Benchmark) Reload(archive *Benchmark, indices ...int) (*Benchmark, error) {
	if len(indices) == 0 {
		indices = archive.evaluated
	}
	reloaded := map[int]bool{}
	for _, index := range indices {
		if err := cmp.Or(archive.checkHeld(index), b.check(index)); err != nil {
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

// overlay reads some architectures from another source.
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
