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

// Runs is the format written by the original's exps/NAS-Bench-201/main.py and, for the size search space,
// exps/NATS-Bench/main-sss.py: a directory with a folder for each schedule, which holds a torch checkpoint
// for each architecture and seed, arch-NNNNNN-seed-SSSS.pth, with weights.
const Runs benchmark.Format = "runs"

var (
	runName    = regexp.MustCompile(`^arch-(\d{6})-seed-(\d{4,10})\.pth$`)
	runsFolder = regexp.MustCompile(`^(\d{6}-\d{6}-C\d+-N\d+(-LESS)?|raw-data-.+)$`)
)

func runsReader() reader {
	return reader{
		name: Runs, noun: "runs",
		file: runName, inDir: findRuns, open: openRuns,
		recognise: func(c *content) (Kind, bool) {
			if !c.torchHas("all_dataset_keys") {
				return Kind{}, false
			}
			return Kind{
				Format: Runs, what: "the results of one run of the original program",
				todo: "rename it to its published name, such as arch-000123-seed-0777.pth",
			}, true
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
			found, _ := listMatching(runName)(path, below)
			files = append(files, found...)
		}
	}
	return files, nil
}

// runsSource reads the files arch-NNNNNN-seed-SSSS.pth.
type runsSource struct {
	space cell.Space
	runs  map[int][]run // by index of the architecture
	*opening
}

// run is the file of one architecture and seed, with a trial on each dataset key.
type run struct {
	path string
	seed uint32
}

// openRuns opens a directory with folders of runs, one such folder, or one run. The search space is that
// of the first run.
func openRuns(_ context.Context, o *opening) (*benchmark.Benchmark, error) {
	space := spaceOfFirst(o.files, spaceOfRuns)
	runs := map[int][]run{}
	for _, file := range o.files {
		match := runName.FindStringSubmatch(filepath.Base(file))
		index, err := parseIndex(file, space, match[1])
		if err != nil {
			return nil, err
		}
		seed, err := strconv.ParseUint(match[2], 10, 32)
		if err != nil {
			return nil, usage.Errorf("%s: the seed in the name exceeds 4294967295", file)
		}
		runs[index] = append(runs[index], run{file, uint32(seed)})
	}
	return benchmark.New(o.path, Runs, space, space.Count(), slices.Collect(maps.Keys(runs)), runsSource{space, runs, o}), nil
}

// spaceOfRuns returns the search space of a file of runs; ok is false if that cannot be read.
func spaceOfRuns(path string) (space cell.Space, ok bool) {
	v, err := torchValue(path)
	if err != nil {
		return nil, false
	}
	d, err := pickled.AsDict(v)
	if err != nil {
		return nil, false
	}
	for _, item := range d {
		if run, err := pickled.AsDict(item.Value); err == nil {
			return spaceOfRun(run), true
		}
	}
	return nil, false
}

func (runsSource) Close() error { return nil }

// TimesOfEvaluated reports that the times are those of the evaluated epochs: see
// [benchmark.Benchmark.TimesOfEvaluated].
func (runsSource) TimesOfEvaluated() bool { return true }

func (runsSource) CheckFile(path string) (note string, faults []error) { return checkFile(path) }

func (s runsSource) Architecture(index int) (*benchmark.Architecture, error) {
	a, err := benchmark.NewArchitecture(s.space, index)
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
				return nil, results.AsDamaged(usage.Errorf("%v is in two files; remove one of them", r.Results[i].Trial))
			}
		}
	}
	slices.SortFunc(a.Schedules, func(a, b *benchmark.ArchResults) int { return a.Results[0].CompareSchedule(b.Results[0].Trial) })
	return a, nil
}

// addRun reads the saved value of evaluate_all_datasets in exps/NAS-Bench-201/main.py and adds
// its trials to a. The value does not name the architecture.
func addRun(a *benchmark.Architecture, file run, v any) error {
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
		if of := spaceOfRun(values); of != a.Space {
			return fmt.Errorf("%s: it is a run of the %s, but the benchmark is of the %s; keep them in separate directories", key, of.Title(), a.Space.Title())
		}
		r := &benchmark.ResultsCount{Trial: results.Trial{Space: a.Space.Name(), Arch: a.Index, Dataset: key, Seed: file.seed}, Genotype: a.Genotype}
		if err := readRun(values, r); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		r.SetWeights(func() (torchfile.StateDict, error) {
			return loadState(file.path, func(root pickled.Dict) (any, error) {
				values, err := pickled.Field(root, key, pickled.AsDict)
				if err != nil {
					return nil, err
				}
				return values.Get("net_state_dict")
			})
		})
		hp := a.Space.Schedule(r.Epochs)
		if r.Recipe != nil && r.Recipe.Name != "" {
			hp = r.Recipe.Name
		}
		a.Add(hp, r)
	}
	return nil
}

// readRun reads the result of the original's evaluate_for_seed
// (xautodl/procedures/eval_funcs.py and exps/NAS-Bench-201/functions.py). The keys of
// valid_acc1es name the evaluation sets. r identifies the trial.
func readRun(d pickled.Dict, r *benchmark.ResultsCount) error {
	of := readerOf(r.Space.Space())
	var config pickled.Dict
	var finished bool
	err := cmp.Or(
		pickled.FieldInto(d, "finish-train", pickled.AsBool, &finished),
		pickled.FieldInto(d, "total_epoch", pickled.AsInt, &r.Epochs),
		pickled.FieldInto(d, "flop", pickled.AsFloat, &r.FLOPs),
		pickled.FieldInto(d, "param", pickled.AsFloat, &r.Params),
		pickled.FieldInto(d, of.config, pickled.AsDict, &config),
		pickled.FieldInto(d, "train_losses", parseEpochs, &r.Training.Loss),
		pickled.FieldInto(d, "train_acc1es", parseEpochs, &r.Training.Top1),
		pickled.FieldInto(d, "train_acc5es", parseEpochs, &r.Training.Top5),
		pickled.FieldInto(d, "train_times", parseEpochs, &r.Training.Seconds),
	)
	if err != nil {
		return err
	}
	if r.Classes, err = pickled.Field(config, "class_num", pickled.AsInt); err != nil {
		return fmt.Errorf("%s: %w", of.config, err)
	}
	if err := of.network(d, r); err != nil {
		return err
	}
	r.Recipe = readRecipe(config, r)
	if !finished {
		return errors.New("the training did not finish")
	}
	for _, m := range []struct {
		field  string
		series func(*benchmark.Measures) *benchmark.Series
	}{{"valid_acc1es", top1Of}, {"valid_losses", lossOf}, {"valid_acc5es", top5Of}, {"valid_times", secondsOf}} {
		if err := readEvaluation(d, m.field, r, m.series, m.field == "valid_acc1es"); err != nil {
			return err
		}
	}
	return nil
}

// RecipeKey is the key under which the config of a run, and a trial in the other formats of the clients, has
// a user's own recipe, as JSON.
const RecipeKey = "nb201_recipe"

// ownRecipe reads the value of [RecipeKey]. It returns nil if that is not a valid recipe with a name.
func ownRecipe(text string) *configs.Recipe {
	var r configs.Recipe
	if configs.Decode(RecipeKey, []byte(text), &r) != nil || r.Check() != nil || r.Name == "" {
		return nil
	}
	return &r
}

// readRecipe reads the recipe of a run from its config: the JSON in configs/nas-benchmark with
// the values that the original's program adds. It returns nil if a value is missing.
func readRecipe(config pickled.Dict, trial *benchmark.ResultsCount) *configs.Recipe {
	r := configs.Recipe{Channels: trial.Channels, Cells: trial.Cells}
	if text, err := pickled.Field(config, RecipeKey, pickled.AsString); err == nil {
		return ownRecipe(text)
	}
	var scheduler string
	err := cmp.Or(
		pickled.FieldInto(config, "epochs", pickled.AsInt, &r.Epochs),
		pickled.FieldInto(config, "batch_size", pickled.AsInt, &r.Batch),
		pickled.FieldInto(config, "optim", pickled.AsString, &r.Optimizer),
		pickled.FieldInto(config, "LR", pickled.AsFloat, &r.LearningRate),
		pickled.FieldInto(config, "momentum", pickled.AsFloat, &r.Momentum),
		pickled.FieldInto(config, "nesterov", pickled.AsBool, &r.Nesterov),
		pickled.FieldInto(config, "decay", pickled.AsFloat, &r.WeightDecay),
		pickled.FieldInto(config, "scheduler", pickled.AsString, &scheduler),
		pickled.FieldInto(config, "eta_min", pickled.AsFloat, &r.EtaMin),
		pickled.FieldInto(config, "warmup", pickled.AsInt, &r.Warmup),
	)
	if err != nil {
		return nil
	}
	r.Scheduler = configs.Scheduler(scheduler)
	if scheduler == "cos" { // xautodl/procedures/optimizers.py, get_optim_scheduler
		r.Scheduler = configs.Cosine
	}
	return &r
}
