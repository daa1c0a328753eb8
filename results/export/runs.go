package export

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/pickle"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// runsWriter describes the format of one torch checkpoint per architecture and seed.
func runsWriter() writer {
	return writer{
		Traits: Traits{
			Format: published.Runs, Slots: FixedSlots, Weights: ChoiceAlways, NoLatencies: true, FromCampaign: true, clients: true,
			About: `a directory of arch-NNNNNN-seed-SSSS.pth, with weights, as the original
program writes it; only from a campaign`,
		},
		layout: func(o *Options, space cell.Space) layout {
			return layout{
				begin: func(dir string) (partWriter, error) {
					return runs{dir, encoding{of: originalOf(space), weights: torchWeights, constant: o.Times == Published}}, nil
				},
				fill: fillRuns,
			}
		},
	}
}

// runs writes a part of the files that exps/NAS-Bench-201/main.py or exps/NATS-Bench/main-sss.py
// writes: one for each schedule and seed of an architecture.
type runs struct {
	dir string
	encoding
}

func (w runs) add(a *benchmark.Architecture) error {
	for _, s := range a.Schedules {
		var files []run
		for _, r := range s.Results {
			if !slices.Contains(files, runOf(r)) {
				files = append(files, runOf(r))
			}
		}
		for _, file := range files {
			others := func(r *benchmark.ResultsCount) bool { return runOf(r) != file }
			if err := w.write(s.HP, slices.DeleteFunc(slices.Clone(s.Results), others)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (runs) close() error { return nil }

// run identifies a file of an architecture and a schedule.
type run struct {
	channels, cells int
	seed            uint32
}

func runOf(r *benchmark.ResultsCount) run { return run{r.Channels, r.Cells, r.Seed} }

// write writes the file of the trials of one seed.
func (w runs) write(slot string, trials []*benchmark.ResultsCount) error {
	first := trials[0]
	folder := w.of.folder(first, slot)
	if err := os.MkdirAll(filepath.Join(w.dir, folder), 0o777); err != nil {
		return err
	}
	checkpoint := pickle.Dict{{Key: "info", Value: machine(first.Record)}}
	var keys pickle.List
	for _, r := range trials {
		value, err := w.value(r)
		if err != nil {
			return err
		}
		checkpoint = append(checkpoint, pickle.Pair{Key: r.Dataset, Value: value})
		keys = append(keys, r.Dataset)
	}
	checkpoint = append(checkpoint, pickle.Pair{Key: "all_dataset_keys", Value: keys})
	path := filepath.Join(w.dir, folder, fmt.Sprintf("arch-%06d-seed-%04d.pth", first.Arch, first.Seed))
	return writeFile(path, func(w io.Writer) error { return torchfile.Write(w, checkpoint) })
}

// machine describes what computed a run (log_utils, get_machine_info).
func machine(r *results.Record) string {
	return fmt.Sprintf("nb201 : [%s]\ngomlx : [%s]\nXLA plugin : [%s]\ndevice : [%s]\nprecision : [%s]\nparity : [%s, %s, %d workers]",
		r.Versions.Program, r.Versions.GoMLX, r.Versions.Plugin, r.Device, r.Precision, r.Parity.Profile, r.Parity.Timeline, r.Parity.Workers)
}

// value returns the dict that evaluate_for_seed (exps/NAS-Bench-201/functions.py) returns.
func (w runs) value(r *benchmark.ResultsCount) (pickle.Dict, error) {
	weights, err := w.encodeWeights(r)
	if err != nil {
		return nil, err
	}
	recipe := &r.Record.Recipe
	size := r.Record.ImageSize
	config := pickle.Dict{
		{Key: "scheduler", Value: schedulerName(recipe.Scheduler)},
		{Key: "eta_min", Value: recipe.EtaMin},
		{Key: "epochs", Value: recipe.Epochs},
		{Key: "warmup", Value: recipe.Warmup},
		{Key: "optim", Value: recipe.Optimizer},
		{Key: "LR", Value: recipe.LearningRate},
		{Key: "decay", Value: recipe.WeightDecay},
		{Key: "momentum", Value: recipe.Momentum},
		{Key: "nesterov", Value: recipe.Nesterov},
		{Key: "criterion", Value: "Softmax"},
		{Key: "batch_size", Value: recipe.Batch},
		{Key: "class_num", Value: r.Classes},
		{Key: "xshape", Value: pickle.Tuple{1, 3, size, size}},
	}
	if recipe.Name != "" {
		config = append(config, pickle.Pair{Key: published.RecipeKey, Value: string(recipe.JSON())})
	}
	var losses, top1, top5, seconds pickle.Dict
	for _, e := range r.Evaluation {
		losses = append(losses, perEpoch(e.Loss, setAtEpoch(e.Set), asFloat)...)
		top1 = append(top1, perEpoch(e.Top1, setAtEpoch(e.Set), asFloat)...)
		top5 = append(top5, perEpoch(e.Top5, setAtEpoch(e.Set), asFloat)...)
		seconds = append(seconds, perEpoch(secondsOfAll(r, &e.Measures), setAtEpoch(e.Set), w.asSeconds)...)
	}
	run := append(pickle.Dict{
		{Key: "flop", Value: r.FLOPs},
		{Key: "param", Value: r.Params},
	}, w.of.network(r)...)
	run = append(run, pickle.Dict{
		{Key: w.of.config, Value: config},
		{Key: "total_epoch", Value: recipe.Epochs},
		{Key: "train_losses", Value: perEpoch(r.Training.Loss, byEpoch, asFloat)},
		{Key: "train_acc1es", Value: perEpoch(r.Training.Top1, byEpoch, asFloat)},
		{Key: "train_acc5es", Value: perEpoch(r.Training.Top5, byEpoch, asFloat)},
		{Key: "train_times", Value: perEpoch(r.Training.Seconds, byEpoch, w.asSeconds)},
		{Key: "valid_losses", Value: losses},
		{Key: "valid_acc1es", Value: top1},
		{Key: "valid_acc5es", Value: top5},
		{Key: "valid_times", Value: seconds},
	}...)
	if w.of.rates {
		var rates pickle.Dict
		for epoch := range recipe.Epochs {
			rates = append(rates, pickle.Pair{Key: epoch, Value: recipe.LearningRates(epoch, 1)(0)})
		}
		run = append(run, pickle.Pair{Key: "learning_rates", Value: rates})
	}
	return append(run, pickle.Dict{
		{Key: "net_state_dict", Value: weights},
		// The original keeps the module's repr, which nothing reads.
		{Key: "net_string", Value: w.of.netString(r)},
		{Key: "finish-train", Value: true},
	}...), nil
}

// schedulerName returns the original's name of a scheduler (lib/procedures/optimizers.py,
// get_optim_scheduler), or ours if it has none.
func schedulerName(s configs.Scheduler) string {
	switch s {
	case configs.Cosine:
		return "cos"
	case configs.Steps:
		return "multistep"
	}
	return string(s)
}

// fillRuns fills the directory with the runs, and with what the original's programs read first.
func fillRuns(dir string, x *whole) error {
	if of := originalOf(x.space); of.meta != nil {
		if err := of.meta(dir); err != nil {
			return err
		}
	}
	return moveParts(dir, x)
}

// writeMetaNode writes meta-node-4.pth, which the original's programs for the topology search space read.
func writeMetaNode(path string) error {
	return writeFile(path, func(w io.Writer) error {
		return torchfile.Write(w, pickle.Dict{
			{Key: "archs", Value: metaArchs(cell.Topology{}, cell.Topologies)},
			{Key: "total", Value: cell.Topologies},
			{Key: "max_node", Value: 4},
			{Key: "splits", Value: pickle.Dict{{Key: cifarTrain, Value: cifarSplit()}}},
		})
	})
}

// cifarTrain is the number of training images in CIFAR-10.
const cifarTrain = 50000

// cifarSplit divides the training images of CIFAR-10 into the two sets of cifar10-valid
// (exps/NAS-Bench-201/main.py, generate_meta_info).
func cifarSplit() pickle.Dict {
	indices := make([]int, cifarTrain)
	for i := range indices {
		indices[i] = i
	}
	random.NewPython(1021).Shuffle(len(indices), func(i, j int) { indices[i], indices[j] = indices[j], indices[i] })
	half := func(indices []int) pickle.List {
		slices.Sort(indices)
		list := make(pickle.List, len(indices))
		for i, index := range indices {
			list[i] = index
		}
		return list
	}
	return pickle.Dict{
		{Key: "train", Value: half(indices[:cifarTrain/2])},
		{Key: "valid", Value: half(indices[cifarTrain/2:])},
	}
}
