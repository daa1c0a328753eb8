package published

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/infile"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published/internal/pickled"
)

// NASLib is a directory with a pickle of learning curves for each dataset key, which NASLib's get_dataset_api reads
// (naslib/utils/get_dataset_api.py). A pickle maps the string of an architecture and a dataset key to lists of
// one value an epoch, of one trial and one evaluation set. Which these are, NASLib's own files do not say: only
// those with [NASLibTrial], which package export writes, can be opened.
const NASLib benchmark.Format = "naslib"

// NASLibTrial is the key under which a trial in NASLib's files has its seed, evaluation set and network.
const NASLibTrial = "nb201_trial"

const (
	naslibSuffix = "_full_training.pickle"
	// maxNASLibItem limits the bytes of an architecture, whose curves of 200 epochs have 7 kB.
	maxNASLibItem = 64 << 20
)

var naslibName = regexp.MustCompile(`^nb201_[A-Za-z0-9._-]+` + regexp.QuoteMeta(naslibSuffix) + `$`)

// NASLibName returns the name of the file with the trials on a dataset key.
func NASLibName(key string) string {
	short := map[string]string{"cifar10-valid": "cifar10", "ImageNet16-120": "ImageNet16"}
	return "nb201_" + cmp.Or(short[key], key) + naslibSuffix
}

func naslibReader() reader {
	return reader{
		name: NASLib, noun: "NASLib's curves", example: NASLibName("cifar10-valid"),
		file: naslibName, inDir: listMatching(naslibName), open: openNASLib,
		recognise: func(c *content) (Kind, bool) {
			if !c.isPickle() || bytes.Contains(c.head, []byte(metaArchs)) || !bytes.Contains(c.head, []byte("~0|+|")) || !bytes.Contains(c.head, []byte("train_losses")) {
				return Kind{}, false
			}
			return Kind{
				Format: NASLib, what: "a file of learning curves for NASLib",
				todo: "rename it to its published name, such as " + NASLibName("cifar10-valid"),
			}, true
		},
	}
}

// naslibSource reads the items of the architectures in the files. They are located once, and read on demand.
type naslibSource struct {
	files []*os.File
	items map[int][]naslibItem // by index of the architecture
}

// naslibItem locates the item of an architecture in the dict of a file.
type naslibItem struct {
	file           *os.File
	offset, length int64
}

// naslibTrial is a trial in NASLib's files.
type naslibTrial struct {
	results.Trial
	set                                          string
	channels, cells, classes                     int
	recipe                                       *configs.Recipe
	flops, params                                float64
	latency, seconds                             []float64 // a value, or none
	trainLosses, trainTop1, evalLosses, evalTop1 []float64 // a value an epoch
}

func openNASLib(ctx context.Context, o *opening) (*benchmark.Benchmark, error) {
	s := &naslibSource{items: map[int][]naslibItem{}}
	for _, path := range o.files {
		if err := errors.Join(ctx.Err(), s.locate(path)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return benchmark.New(o.path, NASLib, cell.Topology{}, cell.Topologies, slices.Collect(maps.Keys(s.items)), s), nil
}

// errForeign reports a file of NASLib's own.
var errForeign = fmt.Errorf("its key %q is missing: the curves could be of any seed and evaluation set; "+
	"nb201 reads only the files that nb201 export --format naslib writes", NASLibTrial)

// locate adds the architectures in a file.
func (s *naslibSource) locate(path string) error {
	f, err := infile.Open(path)
	if err != nil {
		return usage.Errorf("cannot open benchmark: %w", err)
	}
	s.files = append(s.files, f)
	info, err := f.Stat()
	if err != nil {
		return usage.Errorf("cannot open benchmark: %w", err)
	}
	locate := func(item pickle.Pair, offset, length int64) error {
		index, _, err := readNASLibItem(item)
		if err == nil && length > maxNASLibItem {
			err = fmt.Errorf("architecture %d has %d bytes, more than %d", index, length, maxNASLibItem)
		}
		s.items[index] = append(s.items[index], naslibItem{f, offset, length})
		return err
	}
	err = pickle.Reader{Class: torchfile.Class}.Items(io.NewSectionReader(f, 0, info.Size()), locate)
	switch {
	case errors.Is(err, errForeign):
		return usage.Errorf("%s: %w", path, err)
	case err != nil:
		return results.AsDamaged(usage.Errorf("%s: %w", path, err))
	}
	return nil
}

// read reads the trials at a place.
func (i naslibItem) read() ([]naslibTrial, error) {
	text := make([]byte, i.length)
	if _, err := i.file.ReadAt(text, i.offset); err != nil {
		return nil, usage.Errorf("cannot read %s: %w", i.file.Name(), err)
	}
	item, err := pickle.Reader{Class: torchfile.Class}.DecodeItem(text)
	var trials []naslibTrial
	if err == nil {
		_, trials, err = readNASLibItem(item)
	}
	if err != nil {
		return nil, results.AsDamaged(usage.Errorf("%s: %w", i.file.Name(), err))
	}
	return trials, nil
}

// readNASLibItem reads the item of an architecture, and returns its index.
func readNASLibItem(item pickle.Pair) (index int, trials []naslibTrial, err error) {
	genotype, err := pickled.AsString(item.Key)
	if err != nil {
		return 0, nil, err
	}
	arch, err := cell.Parse(genotype)
	if err != nil {
		return 0, nil, err
	}
	if arch.Space() != (cell.Topology{}) || arch.String() != genotype {
		return 0, nil, fmt.Errorf("%.120q is not the string of an architecture of the %s", genotype, cell.Topology{}.Title())
	}
	datasets, err := pickled.AsDict(item.Value)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", genotype, err)
	}
	for _, item := range datasets {
		t, err := readNASLibTrial(item)
		if err != nil {
			return 0, nil, fmt.Errorf("%s, %v: %w", genotype, item.Key, err)
		}
		t.Space, t.Arch = arch.Space().Name(), arch.Index()
		trials = append(trials, t)
	}
	return arch.Index(), trials, nil
}

// readNASLibTrial reads the value of a dataset key.
func readNASLibTrial(item pickle.Pair) (t naslibTrial, err error) {
	if t.Dataset, err = pickled.AsString(item.Key); err != nil {
		return t, err
	}
	d, err := pickled.AsDict(item.Value)
	if err != nil {
		return t, err
	}
	if _, err := d.Get(NASLibTrial); err != nil {
		return t, errForeign
	}
	var trial, costs pickled.Dict
	var seed int
	oneFloat := func(v any) ([]float64, error) {
		value, err := pickled.AsFloat(v)
		return []float64{value}, err
	}
	err = cmp.Or(
		pickled.FieldInto(d, NASLibTrial, pickled.AsDict, &trial),
		pickled.FieldInto(trial, "seed", pickled.AsInt, &seed),
		pickled.FieldInto(trial, "set", pickled.AsString, &t.set),
		pickled.FieldInto(trial, "channels", pickled.AsInt, &t.channels),
		pickled.FieldInto(trial, "cells", pickled.AsInt, &t.cells),
		pickled.FieldInto(trial, "classes", pickled.AsInt, &t.classes),
		pickled.FieldInto(d, "train_losses", pickled.AsFloats, &t.trainLosses),
		pickled.FieldInto(d, "train_acc1es", pickled.AsFloats, &t.trainTop1),
		pickled.FieldInto(d, "eval_losses", pickled.AsFloats, &t.evalLosses),
		pickled.FieldInto(d, "eval_acc1es", pickled.AsFloats, &t.evalTop1),
		pickled.FieldInto(d, "cost_info", pickled.AsDict, &costs),
		pickled.FieldInto(costs, "flops", pickled.AsFloat, &t.flops),
		pickled.FieldInto(costs, "params", pickled.AsFloat, &t.params),
		pickled.FieldInto(costs, "latency", pickled.Optional(oneFloat), &t.latency),
		pickled.FieldInto(costs, "train_time", pickled.Optional(oneFloat), &t.seconds),
	)
	if err != nil {
		return t, err
	}
	if text, err := pickled.Field(trial, RecipeKey, pickled.AsString); err == nil {
		t.recipe = ownRecipe(text)
	}
	t.Epochs, t.Seed = len(t.trainLosses), uint32(seed)
	for _, list := range [][]float64{t.trainTop1, t.evalLosses, t.evalTop1} {
		if len(list) != t.Epochs || t.Epochs == 0 {
			return t, fmt.Errorf("its lists have %d and %d values; expected one an epoch in each", t.Epochs, len(list))
		}
	}
	if seed < 0 || seed > math.MaxUint32 {
		return t, fmt.Errorf("its seed is %d; expected 0 to %d", seed, uint32(math.MaxUint32))
	}
	return t, nil
}

func (s *naslibSource) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (*naslibSource) CheckFile(path string) (note string, faults []error) {
	if naslibName.MatchString(filepath.Base(path)) {
		return checkFile(path)
	}
	return noteLeftover(path), nil // NASLib's directory has other files
}

// OneEvaluationSet reports that trials have the measures of one evaluation set: see
// [benchmark.Benchmark.OneEvaluationSet].
func (*naslibSource) OneEvaluationSet() bool { return true }

func (s *naslibSource) Architecture(index int) (*benchmark.Architecture, error) {
	a, err := benchmark.NewArchitecture(cell.Topology{}, index)
	if err != nil {
		return nil, err
	}
	var trials []naslibTrial
	for _, item := range s.items[index] {
		more, err := item.read()
		if err != nil {
			return nil, err
		}
		trials = append(trials, more...)
	}
	for _, t := range trials {
		r := &benchmark.ResultsCount{
			Trial: t.Trial, Genotype: a.Genotype, Channels: t.channels, Cells: t.cells, Classes: t.classes,
			FLOPs: t.flops, Params: t.params, Latencies: t.latency, Recipe: t.recipe,
			Training:   benchmark.Measures{Loss: byEpoch(t.trainLosses), Top1: byEpoch(t.trainTop1)},
			Evaluation: []benchmark.SetMeasures{{Set: t.set, Measures: benchmark.Measures{Loss: byEpoch(t.evalLosses), Top1: byEpoch(t.evalTop1)}}},
		}
		if t.seconds != nil {
			r.Training.Seconds = byEpoch(slices.Repeat(t.seconds, t.Epochs)) // the file has the mean
		}
		hp := a.Space.Schedule(t.Epochs)
		if t.recipe != nil {
			hp = t.recipe.Name
		}
		a.Add(hp, r)
	}
	slices.SortFunc(a.Schedules, func(a, b *benchmark.ArchResults) int { return a.Results[0].CompareSchedule(b.Results[0].Trial) })
	for _, s := range a.Schedules {
		slices.SortFunc(s.Results, func(a, b *benchmark.ResultsCount) int { return a.Trial.Compare(b.Trial) })
	}
	return a, nil
}

// byEpoch returns the values of epochs 0, 1 and so on as a series.
func byEpoch(values []float64) benchmark.Series {
	s := make(benchmark.Series, len(values))
	for i, v := range values {
		s[i] = benchmark.Point{Epoch: i, Value: v}
	}
	return s
}
