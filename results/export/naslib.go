package export

import (
	"io"
	"maps"
	"path/filepath"
	"slices"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// naslibWriter describes the format of NASLib's pickles of learning curves.
func naslibWriter() writer {
	return writer{
		Traits: Traits{
			Format: published.NASLib, Slots: FullSlot, OneSpace: true, OneSeed: true,
			About: `a directory of nb201_cifar10_full_training.pickle (the trials on
cifar10-valid), nb201_cifar100_... and nb201_ImageNet16_..., which NASLib's
get_dataset_api reads in its directory data; other dataset keys have a file
too, but for cifar10. Each architecture has the curves of one schedule
(--full) and seed (--seed), on x-valid, or else on ori-test, whichever was
evaluated after every epoch`,
		},
		trueCosts: true,
		omits:     []string{"cifar10", "ImageNet16"}, // their files are those of cifar10-valid and ImageNet16-120
		layout: func(*Options, cell.Space) layout {
			return layout{
				begin: func(dir string) (partWriter, error) { return &curves{dir: dir, files: map[string]*file{}}, nil },
				fill:  fillNASLib,
			}
		},
	}
}

// curveSet returns the evaluation set whose curve NASLib's file contains: the first of x-valid, ori-test and the
// others that was evaluated after every epoch. Of cifar100 and ImageNet16-120, the published trials of 200
// epochs have that of ori-test alone. It returns nil if a curve lacks an epoch.
func curveSet(r *benchmark.ResultsCount) *benchmark.SetMeasures {
	complete := func(m *benchmark.Measures) bool { return m.Loss.Complete(r.Epochs) && m.Top1.Complete(r.Epochs) }
	if !complete(&r.Training) {
		return nil
	}
	var others []string
	for _, e := range r.Evaluation {
		others = append(others, e.Set)
	}
	for _, set := range append([]string{"x-valid", "ori-test"}, others...) {
		i := slices.IndexFunc(r.Evaluation, func(e benchmark.SetMeasures) bool { return e.Set == set })
		if i >= 0 && r.Evaluation[i].Further == 0 && complete(&r.Evaluation[i].Measures) {
			return &r.Evaluation[i]
		}
	}
	return nil
}

// curves writes a part: for each dataset key, the encoded items of the dict in its file.
type curves struct {
	dir   string
	files map[string]*file // by name
}

func (w *curves) add(a *benchmark.Architecture) error {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			name := published.NASLibName(r.Dataset)
			if w.files[name] == nil {
				f, err := createFile(filepath.Join(w.dir, name))
				if err != nil {
					return err
				}
				w.files[name] = f
			}
			if err := pickle.NewEncoder(w.files[name]).EncodeItem(a.Genotype, pickle.Dict{{Key: r.Dataset, Value: curvesOf(r)}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *curves) close() (err error) {
	for _, f := range w.files {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}
	return err
}

// curvesOf returns what NASLib reads of a trial (naslib/search_spaces/nasbench201/graph.py, query), and under
// [published.NASLibTrial], which NASLib ignores, what nb201 needs in order to read it again.
func curvesOf(r *benchmark.ResultsCount) pickle.Dict {
	e := curveSet(r)
	var seconds, latency any
	if isTrainTimed(r) {
		seconds = mean(r.Training.Seconds)
	}
	if of := r.Latency(); of != nil {
		latency = *of
	}
	trial := pickle.Dict{
		{Key: "seed", Value: int64(r.Seed)}, {Key: "set", Value: e.Set},
		{Key: "channels", Value: r.Channels}, {Key: "cells", Value: r.Cells}, {Key: "classes", Value: r.Classes},
	}
	if r.Recipe != nil && r.Recipe.Name != "" {
		trial = append(trial, pickle.Pair{Key: published.RecipeKey, Value: string(r.Recipe.JSON())})
	}
	return pickle.Dict{
		{Key: "train_losses", Value: valuesOf(r.Training.Loss)},
		{Key: "eval_losses", Value: valuesOf(e.Loss)},
		{Key: "train_acc1es", Value: valuesOf(r.Training.Top1)},
		{Key: "eval_acc1es", Value: valuesOf(e.Top1)},
		{Key: "cost_info", Value: pickle.Dict{
			{Key: "flops", Value: r.FLOPs}, {Key: "params", Value: r.Params}, {Key: "latency", Value: latency}, {Key: "train_time", Value: seconds},
		}},
		{Key: published.NASLibTrial, Value: trial},
	}
}

// valuesOf returns a complete series as a list.
func valuesOf(s benchmark.Series) pickle.List {
	list := make(pickle.List, len(s))
	for i, p := range s {
		list[i] = p.Value
	}
	return list
}

// fillNASLib makes a pickle of each dataset key.
func fillNASLib(dir string, x *whole) error {
	names := map[string]bool{}
	for _, p := range x.parts {
		for name := range p.Files {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		copyParts := func(w io.Writer) error {
			for _, p := range x.parts {
				if p.Files[name] == "" {
					continue
				}
				if err := copyFile(w, filepath.Join(p.dir, name)); err != nil {
					return err
				}
			}
			return nil
		}
		err := writeFile(filepath.Join(dir, name), func(w io.Writer) error { return pickle.NewEncoder(w).Encode(pickle.RawDict(copyParts)) })
		if err != nil {
			return err
		}
	}
	return nil
}
