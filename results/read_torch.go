package results

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// This file reads the torch checkpoints of single architectures and of single runs.

var (
	archiveName = regexp.MustCompile(`^(\d{6})-(FULL|SIMPLE)\.pth$`)
	runName     = regexp.MustCompile(`^arch-(\d{6})-seed-(\d{4,10})\.pth$`)
	runsFolder  = regexp.MustCompile(`^\d{6}-\d{6}-C\d+-N\d+(-LESS)?$`)
)

// archiveSource reads NNNNNN-FULL.pth or, where there is none, NNNNNN-SIMPLE.pth.
type archiveSource struct {
	paths map[int]string // by architecture
}

// openArchive opens an archive directory, or one file of it.
func openArchive(path string, files []string) (*Benchmark, error) {
	s := archiveSource{paths: map[int]string{}}
	b := &Benchmark{Path: path, Format: Archive, Listed: cell.Count, source: s}
	for _, file := range files { // FULL comes before SIMPLE
		index, err := namedIndex(file, archiveName.FindStringSubmatch(filepath.Base(file))[1])
		if err != nil {
			return nil, err
		}
		if s.paths[index] == "" {
			s.paths[index] = file
			b.evaluated = append(b.evaluated, index)
		}
	}
	return b, nil
}

func (archiveSource) close() error { return nil }

func (s archiveSource) architecture(index int) (*Architecture, error) {
	path := s.paths[index]
	v, err := torchValue(path)
	if err != nil {
		return nil, refused(path, layout{format: Archive}, err)
	}
	a, err := readSlots(index, v, path)
	if err != nil {
		return nil, refused(path, layout{format: Archive}, usage.Errorf("%s: %w", path, err))
	}
	return a, nil
}

// torchValue reads what a checkpoint holds but for the elements of its tensors.
func torchValue(path string) (any, error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Value()
}

// loadState reads the tensors of the state dict that find finds in a checkpoint.
func loadState(path string, find func(dict) (any, error)) (torchfile.StateDict, error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := f.Value()
	if err != nil {
		return nil, err
	}
	root, err := dictOf(v)
	if err == nil {
		v, err = find(root)
	}
	if err != nil {
		return nil, usage.Errorf("%s: %w", path, err)
	}
	return f.StateDict(v)
}

// loadSlot reads the weights of a trial from an archive file.
func loadSlot(path, slot string, t Trial) (torchfile.StateDict, error) {
	return loadState(path, func(root dict) (any, error) {
		results, err := field(root, slot, dictOf)
		if err != nil {
			return nil, err
		}
		all, err := field(results, "all_results", dictOf)
		if err != nil {
			return nil, err
		}
		for _, item := range all {
			if key, err := keyOf(item.Key); err == nil && key.Dataset == t.Dataset && key.Seed == t.Seed {
				trial, err := dictOf(item.Value)
				if err != nil {
					return nil, err
				}
				return trial.get("net_state_dict")
			}
		}
		return nil, fmt.Errorf("it no longer holds %v", t)
	})
}

// runsSource reads arch-NNNNNN-seed-SSSS.pth.
type runsSource struct {
	runs map[int][]run // by architecture
}

// run is a file of one seed, with a trial on each dataset key.
type run struct {
	path string
	seed uint32
}

// openRuns opens a directory of folders of runs, such a folder, or one run.
func openRuns(path string, files []string) (*Benchmark, error) {
	s := runsSource{runs: map[int][]run{}}
	b := &Benchmark{Path: path, Format: Runs, Listed: cell.Count, source: s}
	for _, file := range files {
		match := runName.FindStringSubmatch(filepath.Base(file))
		index, err := namedIndex(file, match[1])
		if err != nil {
			return nil, err
		}
		seed, err := strconv.ParseUint(match[2], 10, 32)
		if err != nil {
			return nil, usage.Errorf("%s is named after a seed beyond 4294967295", file)
		}
		if s.runs[index] == nil {
			b.evaluated = append(b.evaluated, index)
		}
		s.runs[index] = append(s.runs[index], run{file, uint32(seed)})
	}
	slices.Sort(b.evaluated)
	return b, nil
}

func (runsSource) close() error { return nil }

func (s runsSource) architecture(index int) (*Architecture, error) {
	a, err := newArchitecture(index)
	if err != nil {
		return nil, err
	}
	for _, run := range s.runs[index] {
		v, err := torchValue(run.path)
		if err != nil {
			return nil, refused(run.path, layout{format: Runs}, err)
		}
		if err := a.addRun(run, v); err != nil {
			return nil, refused(run.path, layout{format: Runs}, usage.Errorf("%s: %w", run.path, err))
		}
	}
	for _, r := range a.Schedules {
		slices.SortFunc(r.Results, func(a, b *ResultsCount) int { return a.Trial.Compare(b.Trial) })
		for i := range r.Results[1:] {
			if r.Results[i].Trial == r.Results[i+1].Trial {
				return nil, usage.Errorf("two files hold %v", r.Results[i].Trial)
			}
		}
	}
	slices.SortFunc(a.Schedules, func(a, b *ArchResults) int { return a.Results[0].Epochs - b.Results[0].Epochs })
	return a, nil
}

// addRun reads what evaluate_all_datasets of exps/NAS-Bench-201/main.py returns, as it
// is saved. The file does not name its architecture.
func (a *Architecture) addRun(of run, v any) error {
	d, err := dictOf(v)
	if err != nil {
		return err
	}
	keys, err := field(d, "all_dataset_keys", listOf)
	if err != nil {
		return err
	}
	for _, v := range keys {
		key, err := stringOf(v)
		if err != nil {
			return fmt.Errorf("all_dataset_keys: %w", err)
		}
		values, err := field(d, key, dictOf)
		if err != nil {
			return err
		}
		r, err := readRun(values)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		r.Arch, r.Genotype, r.Dataset, r.Seed = a.Index, a.Genotype, key, of.seed
		r.load = func() (torchfile.StateDict, error) {
			return loadState(of.path, func(root dict) (any, error) {
				values, err := field(root, key, dictOf)
				if err != nil {
					return nil, err
				}
				return values.get("net_state_dict")
			})
		}
		a.put(strconv.Itoa(r.Epochs), r)
	}
	return nil
}

// readRun reads what evaluate_for_seed of the original (xautodl/procedures/eval_funcs.py
// and exps/NAS-Bench-201/functions.py) returns. Its evaluation sets are named by the
// keys of valid_acc1es.
func readRun(d dict) (*ResultsCount, error) {
	r := &ResultsCount{}
	var config dict
	var finished bool
	err := cmp.Or(
		take(d, "finish-train", boolOf, &finished),
		take(d, "total_epoch", intOf, &r.Epochs),
		take(d, "channel", intOf, &r.Channels),
		take(d, "num_cells", intOf, &r.Cells),
		take(d, "flop", floatOf, &r.FLOPs),
		take(d, "param", floatOf, &r.Params),
		take(d, "config", dictOf, &config),
		take(d, "train_losses", epochsOf, &r.Training.Loss),
		take(d, "train_acc1es", epochsOf, &r.Training.Top1),
		take(d, "train_acc5es", epochsOf, &r.Training.Top5),
		take(d, "train_times", epochsOf, &r.Training.Seconds),
	)
	if err != nil {
		return nil, err
	}
	if r.Classes, err = field(config, "class_num", intOf); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	r.Recipe = readRecipe(config, r)
	if !finished {
		return nil, errors.New("its training did not finish")
	}
	for _, m := range []struct {
		field  string
		series func(*Measures) *Series
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
func readRecipe(config dict, of *ResultsCount) *configs.Recipe {
	r := configs.Recipe{Channels: of.Channels, Cells: of.Cells}
	err := cmp.Or(
		take(config, "epochs", intOf, &r.Epochs),
		take(config, "batch_size", intOf, &r.Batch),
		take(config, "optim", stringOf, &r.Optimizer),
		take(config, "LR", floatOf, &r.LearningRate),
		take(config, "momentum", floatOf, &r.Momentum),
		take(config, "nesterov", boolOf, &r.Nesterov),
		take(config, "decay", floatOf, &r.WeightDecay),
		take(config, "scheduler", stringOf, &r.Scheduler),
		take(config, "eta_min", floatOf, &r.EtaMin),
		take(config, "warmup", intOf, &r.Warmup),
	)
	if err != nil {
		return nil
	}
	if r.Scheduler == "cos" { // xautodl/procedures/optimizers.py, get_optim_scheduler
		r.Scheduler = "cosine"
	}
	return &r
}

// namedIndex reads the six digits of an architecture in a file's name.
func namedIndex(file, digits string) (int, error) {
	index, err := strconv.Atoi(digits)
	if err != nil || index >= cell.Count {
		return 0, usage.Errorf("%s is named after an architecture that there is not: indices go from 0 to %d", file, cell.Count-1)
	}
	return index, nil
}

// list lists the files of a directory whose names match, in order of their names.
func list(dir string, name *regexp.Regexp) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	var files []string
	for _, e := range entries {
		if name.MatchString(e.Name()) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}
