package published

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published/internal/pickled"
)

// Runs is a directory of folders of a schedule each, with a torch checkpoint for
// each architecture and seed, arch-NNNNNN-seed-SSSS.pth, weights included: what
// the original's exps/NAS-Bench-201/main.py leaves.
const Runs benchmark.Format = "runs"

var (
	runName    = regexp.MustCompile(`^arch-(\d{6})-seed-(\d{4,10})\.pth$`)
	runsFolder = regexp.MustCompile(`^\d{6}-\d{6}-C\d+-N\d+(-LESS)?$`)
)

func runsReader() reader {
	return reader{
		name: Runs, noun: "runs",
		file: runName, inDir: findRuns, open: openRuns,
		recognise: func(c *content) (Kind, bool) {
			if !c.torchHas("all_dataset_keys") {
				return Kind{}, false
			}
			return Kind{Format: Runs, what: "the results of one run of the original program", todo: "give it its published name, such as arch-000123-seed-0777.pth"}, true
		},
	}
}

// findRuns lists the runs in a directory and in its folders.
func findRuns(dir string, entries []os.DirEntry) (files []string, err error) {
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case runName.MatchString(e.Name()):
			files = append(files, path)
		case runsFolder.MatchString(e.Name()):
			below, err := os.ReadDir(path)
			if err != nil {
				return nil, usage.Errorf("cannot open benchmark: %w", err)
			}
			found, _ := filesNamed(runName)(path, below)
			files = append(files, found...)
		}
	}
	return files, nil
}

// runsSource reads arch-NNNNNN-seed-SSSS.pth.
type runsSource struct {
	runs map[int][]run // by architecture
	*opening
}

// run is a file of one seed, with a trial on each dataset key.
type run struct {
	path string
	seed uint32
}

// openRuns opens a directory of folders of runs, such a folder, or one run.
func openRuns(_ context.Context, o *opening) (*benchmark.Benchmark, error) {
	runs := map[int][]run{}
	for _, file := range o.files {
		match := runName.FindStringSubmatch(filepath.Base(file))
		index, err := namedIndex(file, match[1])
		if err != nil {
			return nil, err
		}
		seed, err := strconv.ParseUint(match[2], 10, 32)
		if err != nil {
			return nil, usage.Errorf("%s is named after a seed beyond 4294967295", file)
		}
		runs[index] = append(runs[index], run{file, uint32(seed)})
	}
	return benchmark.New(o.path, Runs, cell.Count, slices.Collect(maps.Keys(runs)), runsSource{runs, o}), nil
}

func (runsSource) Close() error { return nil }

func (runsSource) CheckFile(path string) (note string, faults []error) { return checkFile(path) }

func (s runsSource) Architecture(index int) (*benchmark.Architecture, error) {
	a, err := benchmark.NewArchitecture(index)
	if err != nil {
		return nil, err
	}
	for _, run := range s.runs[index] {
		v, err := torchValue(run.path)
		if err != nil {
			return nil, s.refuse(run.path, err)
		}
		if err := addRun(a, run, v); err != nil {
			return nil, s.refuse(run.path, usage.Errorf("%s: %w", run.path, err))
		}
	}
	for _, r := range a.Schedules {
		slices.SortFunc(r.Results, func(a, b *benchmark.ResultsCount) int { return a.Trial.Compare(b.Trial) })
		for i := range r.Results[1:] {
			if r.Results[i].Trial == r.Results[i+1].Trial {
				return nil, results.AsDamaged(usage.Errorf("two files hold %v", r.Results[i].Trial))
			}
		}
	}
	slices.SortFunc(a.Schedules, func(a, b *benchmark.ArchResults) int { return a.Results[0].Epochs - b.Results[0].Epochs })
	return a, nil
}

// addRun reads what evaluate_all_datasets of exps/NAS-Bench-201/main.py returns, as it
// is saved. The file does not name its architecture.
func addRun(a *benchmark.Architecture, of run, v any) error {
	d, err := pickled.AsDict(v)
	if err != nil {
		return err
	}
	keys, err := pickled.Field(d, "all_dataset_keys", pickled.AsList)
	if err != nil {
		return err
	}
	for _, v := range keys {
		key, err := pickled.AsString(v)
		if err != nil {
			return fmt.Errorf("all_dataset_keys: %w", err)
		}
		values, err := pickled.Field(d, key, pickled.AsDict)
		if err != nil {
			return err
		}
		r, err := readRun(values)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		r.Arch, r.Genotype, r.Dataset, r.Seed = a.Index, a.Genotype, key, of.seed
		r.SetWeights(func() (torchfile.StateDict, error) {
			return loadState(of.path, func(root pickled.Dict) (any, error) {
				values, err := pickled.Field(root, key, pickled.AsDict)
				if err != nil {
					return nil, err
				}
				return values.Get("net_state_dict")
			})
		})
		a.Add(strconv.Itoa(r.Epochs), r)
	}
	return nil
}

// readRun reads what evaluate_for_seed of the original (xautodl/procedures/eval_funcs.py
// and exps/NAS-Bench-201/functions.py) returns. Its evaluation sets are named by the
// keys of valid_acc1es.
func readRun(d pickled.Dict) (*benchmark.ResultsCount, error) {
	r := &benchmark.ResultsCount{}
	var config pickled.Dict
	var finished bool
	err := cmp.Or(
		pickled.Take(d, "finish-train", pickled.AsBool, &finished),
		pickled.Take(d, "total_epoch", pickled.AsInt, &r.Epochs),
		pickled.Take(d, "channel", pickled.AsInt, &r.Channels),
		pickled.Take(d, "num_cells", pickled.AsInt, &r.Cells),
		pickled.Take(d, "flop", pickled.AsFloat, &r.FLOPs),
		pickled.Take(d, "param", pickled.AsFloat, &r.Params),
		pickled.Take(d, "config", pickled.AsDict, &config),
		pickled.Take(d, "train_losses", epochsOf, &r.Training.Loss),
		pickled.Take(d, "train_acc1es", epochsOf, &r.Training.Top1),
		pickled.Take(d, "train_acc5es", epochsOf, &r.Training.Top5),
		pickled.Take(d, "train_times", epochsOf, &r.Training.Seconds),
	)
	if err != nil {
		return nil, err
	}
	if r.Classes, err = pickled.Field(config, "class_num", pickled.AsInt); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	r.Recipe = readRecipe(config, r)
	if !finished {
		return nil, errors.New("its training did not finish")
	}
	for _, m := range []struct {
		field  string
		series func(*benchmark.Measures) *benchmark.Series
	}{{"valid_acc1es", top1Of}, {"valid_losses", lossOf}, {"valid_acc5es", top5Of}, {"valid_times", secondsOf}} {
		if err := readEvaluation(d, m.field, r, m.series, m.field == "valid_acc1es"); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readRecipe reads the recipe of a run from the config that it was given: the JSON of
// configs/nas-benchmark with what exps/NAS-Bench-201/main.py adds. It is nil where a value
// is missing.
func readRecipe(config pickled.Dict, of *benchmark.ResultsCount) *configs.Recipe {
	r := configs.Recipe{Channels: of.Channels, Cells: of.Cells}
	err := cmp.Or(
		pickled.Take(config, "epochs", pickled.AsInt, &r.Epochs),
		pickled.Take(config, "batch_size", pickled.AsInt, &r.Batch),
		pickled.Take(config, "optim", pickled.AsString, &r.Optimizer),
		pickled.Take(config, "LR", pickled.AsFloat, &r.LearningRate),
		pickled.Take(config, "momentum", pickled.AsFloat, &r.Momentum),
		pickled.Take(config, "nesterov", pickled.AsBool, &r.Nesterov),
		pickled.Take(config, "decay", pickled.AsFloat, &r.WeightDecay),
		pickled.Take(config, "scheduler", pickled.AsString, &r.Scheduler),
		pickled.Take(config, "eta_min", pickled.AsFloat, &r.EtaMin),
		pickled.Take(config, "warmup", pickled.AsInt, &r.Warmup),
	)
	if err != nil {
		return nil
	}
	if r.Scheduler == "cos" { // xautodl/procedures/optimizers.py, get_optim_scheduler
		r.Scheduler = "cosine"
	}
	return &r
}
