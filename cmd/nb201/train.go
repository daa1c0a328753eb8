package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/outlet"
	"nb201/internal/progress"
	"nb201/internal/shell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/trainer"
	"nb201/train"
)

func newTrainCommand() *cobra.Command {
	var flags struct {
		spaceFlag
		settings             configs.Settings
		from                 train.Start
		dataset, data        string
		schedule             schedule
		seed                 seedFlag
		out, device, weights string
		evalOnly, json       bool
	}
	c := &cobra.Command{
		Use:   "train ARCH --dataset KEY|FILE.json --epochs 12|200|N|--recipe FILE.json --seed S --out DIR",
		Short: "Train one architecture, or evaluate stored weights",
		Long: `train trains one trial: an architecture on a dataset, with a schedule: the published recipe
for a number of epochs (--epochs), or a recipe of your own (--recipe). The seed sets the
initial weights, the order of the images, their flips and their crops. With --eval-only,
train only evaluates stored weights.

Output (--out DIR):
  When the trial is finished, and not before, the campaign directory DIR contains
    DIR/trials/000123/cifar10-valid/0012-0777.json    the record
    DIR/weights/000123/cifar10-valid/0012-0777.pth    the weights
  If the trial is already finished there, train refuses (exit code 2). While it trains, train
  writes a checkpoint into DIR/running every ten minutes, and when it is stopped; the same
  command resumes from it. Failed attempts are noted in DIR/failed and counted in the record;
  stopped ones are not. A damaged record is kept under another name, and its trial trained
  again.

  All trials in DIR on one dataset and schedule must have the same settings: train refuses a
  trial whose images, recipe, parity, timeline, workers, precision or source of initial
  weights differ from those of the finished trials, or from DIR's plan. Use another DIR for it.

Starting from weights (--from FILE):
  FILE is a torch checkpoint with a state dict (alone, or under the key state_dict,
  model_state_dict, model or net), a safetensors file, or a published file with weights
  (NNNNNN-FULL.pth, arch-NNNNNN-seed-SSSS.pth). If it contains several trials, --dataset,
  --seed and --epochs select one, or --from-trial names it. Tensors are matched by name,
  without a prefix module. or _orig_mod. that all of them share. float16, bfloat16 and
  float64 become float32. BatchNorm's statistics come from FILE, momenta start at zero, and
  the seed still sets order and crops. The record names FILE and any conversion.
  --new-classifier draws the classifier from the seed, for a dataset with other classes.

Evaluating weights (--from FILE --eval-only):
  train evaluates the weights on the dataset's evaluation sets, and writes no files. It needs
  no --out, and --seed and --epochs only to select a trial in FILE. They also set the order of
  the images, which changes the results only by rounding. The dataset may have evaluation sets
  alone (see nb201 data import --eval-only).`,
		Example: `  nb201 train 0 --dataset digits --epochs 12 --seed 777 --out demo
  nb201 train 0 --dataset digits --recipe warm.json --seed 1 --out demo
  nb201 train 1462 --dataset cifar10-valid --epochs 12 --seed 777 --out campaign --device cuda
  nb201 train 0 --dataset digits --from demo/weights/000000/digits/0012-0777.pth --eval-only
  nb201 train 11 --dataset cifar10 --from 000011-FULL.pth --seed 777 --eval-only
  nb201 train 11 --dataset mine.json --epochs 12 --seed 1 --out tuned \
        --from 000011-FULL.pth --from-trial cifar10:200:777 --new-classifier`,
		Args: oneArgument("ARCH", anArchitecture),
		PreRunE: func(c *cobra.Command, _ []string) error {
			return checkFrom(c, flags.from.File, flags.evalOnly)
		},
		RunE: func(c *cobra.Command, args []string) error {
			keep, err := parseKeep(flags.weights)
			if err != nil {
				return err
			}
			device, err := backend.ParseDevice(flags.device)
			if err != nil {
				return err
			}
			arch, err := flags.resolve(c, args[0], &flags.settings.Channels, &flags.settings.Cells)
			if err != nil {
				return err
			}
			options, err := train.NewOptions(arch, flags.dataset, flags.schedule.name(c), flags.settings)
			if err != nil {
				return err
			}
			if err := checkSkeleton(c, options.Recipe); err != nil {
				return err
			}
			if !flags.evalOnly {
				if err := options.Definition.CheckTraining(); err != nil {
					return err
				}
			}
			options.Seed, options.DataRoot, options.Start = uint32(flags.seed), flags.data, flags.from
			config, err := options.Config()
			if err != nil {
				return err
			}
			warn(c, config.Definition.Warning())
			outlivePipes()
			if flags.evalOnly {
				result, err := evaluateInitial(c.Context(), config, device, c.ErrOrStderr())
				switch {
				case err != nil:
					return err
				case flags.json:
					return printJSON(c, result)
				}
				return printEvaluation(human(c), result)
			}
			campaign := results.Campaign{Dir: flags.out}
			record, err := trainOne(c.Context(), config, device, campaign, keep, c.ErrOrStderr())
			if errors.Is(err, results.ErrDone) {
				t := config.Trial
				return usage.Errorf("%w; show it with `nb201 query %s %d --dataset %s --schedule %s --seed %d`", err, shell.Quote(flags.out), t.Arch, t.Dataset, t.Schedule(), t.Seed)
			}
			if err != nil {
				return err
			}
			if flags.json {
				text, err := record.Encode()
				if err != nil {
					return err
				}
				_, err = c.OutOrStdout().Write(text)
				return err
			}
			return printTrial(human(c), campaign, record)
		},
	}
	f := c.Flags()
	f.StringVar(&flags.dataset, "dataset", "", "dataset `KEY` or definition file (*.json)")
	flags.schedule.addFlags(f)
	flags.spaceFlag.addFlags(f)
	f.Var(&flags.seed, "seed", "random `SEED`, 0 to 4294967295; published: 777, 888, 999 and 111")
	f.StringVar(&flags.out, "out", "", "write the record and the weights into the campaign `DIR`")
	addData(f, &flags.data, dataUsage)
	f.StringVar(&flags.device, "device", "cpu", "`DEVICE` to train on: cpu, cuda or cuda:N")
	addSettings(f, &flags.settings)
	f.StringVar(&flags.weights, "weights", "keep", keepUsage)
	f.StringVar(&flags.from.File, "from", "", "start from the weights in `FILE`")
	f.StringVar(&flags.from.Trial, "from-trial", "", "select the trial `KEY:SCHEDULE:SEED` in --from: dataset key, schedule as the file names it, and seed")
	f.BoolVar(&flags.from.NewClassifier, "new-classifier", false, "draw the classifier from the seed instead of taking that of --from")
	f.BoolVar(&flags.evalOnly, "eval-only", false, "evaluate the weights of --from, without training")
	f.BoolVar(&flags.json, "json", false, "print the record, or the results of --eval-only, as JSON")
	markRequired(c, "dataset")
	markExclusive(c, "epochs", "recipe")
	return c
}

// checkFrom refuses flags that contradict --from or --eval-only, and without --eval-only a command
// line that lacks a flag that only training needs.
func checkFrom(c *cobra.Command, from string, evalOnly bool) error {
	given := c.Flags().Changed
	if from == "" {
		for _, name := range []string{"eval-only", "from-trial", "new-classifier"} {
			if given(name) {
				return fmt.Errorf("--%s needs weights; name their file with --from", name)
			}
		}
	}
	if !evalOnly {
		if !given("recipe") {
			markRequired(c, "epochs")
		}
		markRequired(c, "seed", "out")
		return checkFlags(c, nil)
	}
	for _, name := range []string{"out", "weights", "new-classifier"} {
		if given(name) {
			return fmt.Errorf("--eval-only trains nothing; leave out --%s", name)
		}
	}
	return nil
}

// checkpointInterval is the default minimum time between the checkpoints of a trial.
const checkpointInterval = 10 * time.Minute

// parseKeep parses --weights.
func parseKeep(weights string) (bool, error) {
	switch weights {
	case "keep", "drop":
		return weights == "keep", nil
	}
	return false, usage.Errorf("--weights %q: use keep or drop", weights)
}

// trainOne trains the trial of config on device, from its checkpoint if it was stopped before, and
// publishes its record and, with keep, its weights in c. It shows progress and warnings on w.
func trainOne(ctx context.Context, config train.Config, device backend.Device, c results.Campaign, keep bool, w io.Writer) (*results.Record, error) {
	if err := trainer.CheckTrial(c, config); err != nil {
		return nil, err
	}
	if err := attempt.Check(c, config.Trial); err != nil { // before a device is opened
		return nil, err
	}
	if err := checkXLAFlagsFor(ctx, device); err != nil {
		return nil, err
	}
	warnings := outlet.New(w) // training continues while w accepts no output
	defer warnings.Close(outlet.LastWords)
	v := &trainingView{config: config, w: w, warnings: warnings}
	t, err := trainer.Open(trainer.Options{
		Campaign: c, Device: device, Precision: config.Settings.Precision, Configure: trainer.Only(config), Weights: keep,
		CheckpointEvery: checkpointInterval, Program: version, GoMLX: moduleVersion("github.com/gomlx/gomlx"),
		Warn: func(_ results.Trial, text string) { v.Warn(text) }, Log: log.New(io.Discard, "", 0),
	})
	if err != nil {
		return nil, err
	}
	r, err := trainWith(ctx, t, device, c, v)
	if err != nil {
		return nil, err // the process ends now, and with it any compilation in the background
	}
	t.Close()
	return r, nil
}

// trainWith trains the trial with a trainer on an open device. It notes a failed attempt in the
// campaign, as a run does.
func trainWith(ctx context.Context, t attempt.Trainer, device backend.Device, c results.Campaign, v *trainingView) (*results.Record, error) {
	trial := v.config.Trial
	failure, doubt, err := attempt.EarlierFailures(c.Dir, trial)
	if err != nil {
		return nil, err
	}
	if doubt != nil {
		v.Warn(doubt.Error())
	}
	defer v.endBar()
	err = attempt.TrainInto(ctx, c, trial, attempt.Options{Number: failure.Next(), Trainer: t, Observer: v})
	switch ending, kind := attempt.Classify(ctx, c.Dir, err); {
	case ending == attempt.Claimed:
		return nil, usage.Errorf("%w for campaign %s; wait for it, or use another --out", err, c.Dir)
	case ending == attempt.Failed && v.bar != nil && !usage.Is(err):
		host, _ := os.Hostname() // a note without it is still useful
		failure.Add(attempt.FailedAttempt{
			When: time.Now().UTC().Truncate(time.Second), Host: host, Device: device.String(), Kind: kind, Reason: attempt.OneLine(err),
		}, math.MaxInt)
		if unnoted := failure.Write(c.Dir); unnoted != nil {
			v.Warn(fmt.Sprintf("cannot note the failed attempt at %v: %v", trial, unnoted))
		}
	}
	if err != nil {
		return nil, err
	}
	return c.Record(trial)
}

// evaluation holds the results of evaluating stored weights, as --eval-only --json prints them.
type evaluation struct {
	Arch      int                  `json:"architecture"`
	Genotype  string               `json:"genotype"`
	Dataset   string               `json:"dataset"`
	Weights   results.StartWeights `json:"weights"`
	Precision configs.Precision    `json:"precision"`
	Device    string               `json:"device"`
	Sets      []results.SetResult  `json:"evaluation"`
}

// evaluateInitial evaluates the weights that config starts from, and shows progress on progressTo.
func evaluateInitial(ctx context.Context, config train.Config, device backend.Device, progressTo io.Writer) (*evaluation, error) {
	b, err := openDevice(ctx, device, config.Settings.Precision)
	if err != nil {
		return nil, err
	}
	defer b.Backend.Finalize()
	bar := progress.New(progressTo, int64(evaluationImages(config)), "images", "compiling")
	defer bar.Done()
	session := train.NewSession(b.Backend)
	defer session.Close()
	sets, err := session.Evaluate(ctx, config, config.Initial.Weights, describeOn(bar, func(p train.Progress) string { return p.Stage }))
	return &evaluation{
		config.Trial.Arch, config.Network.Arch.String(), config.Trial.Dataset,
		config.Initial.File, config.Settings.Precision, b.Device, sets,
	}, err
}

// printEvaluation prints the results as a table.
func printEvaluation(w io.Writer, e *evaluation) error {
	inert.Fprintf(w, "architecture %d  %s\n%s%s on %s, %s on %s\n\n", e.Arch, e.Genotype, e.Weights.Name, conversion(e.Weights), e.Dataset, e.Precision, e.Device)
	t := layout.NewNumbers(w, 1)
	fmt.Fprintln(t, "set\timages\tloss\ttop-1 %\ttop-5 %\ts\t")
	for _, s := range e.Sets {
		inert.Fprintf(t, "%s\t%d\t%.4f\t%.2f\t%.2f\t%.1f\t\n", s.Set, s.Images, s.Loss, s.Top1, s.Top5, s.Seconds)
	}
	return t.Flush()
}

// conversion describes the conversion of weights to float32, or returns "" if there was none.
func conversion(weights results.StartWeights) string {
	if weights.ConvertedFrom == "" {
		return ""
	}
	return fmt.Sprintf(" (converted from %s to float32)", weights.ConvertedFrom)
}

// trainingView is an [attempt.Observer] that shows a trial to the user: a progress bar while it
// trains, and lines for warnings.
type trainingView struct {
	config   train.Config
	w        io.Writer
	warnings io.Writer
	bar      *progress.Bar // nil until training begins
	describe func(train.Progress)
	stepped  bool // a batch is finished
	waits    bool // Wait has printed its line
}

// Warn implements [attempt.Observer].
func (v *trainingView) Warn(text string) { inert.Fprintf(v.warnings, "warning: %s\n", text) }

// imagesBefore returns the number of images that the epochs before one train on and evaluate.
func (v *trainingView) imagesBefore(epoch int) int64 {
	return int64(epoch)*int64(v.config.Data.Train.Len()) + int64(v.config.Recipe.Evaluations(epoch))*int64(evaluationImages(v.config))
}

// Begin implements [attempt.Observer].
func (v *trainingView) Begin() {
	v.bar = progress.New(v.w, v.imagesBefore(v.config.Recipe.Epochs), "images", "compiling")
	v.describe = describeOn(v.bar, func(p train.Progress) string {
		return fmt.Sprintf("epoch %d/%d %s", p.Epoch+1, v.config.Recipe.Epochs, p.Stage)
	})
}

// Step implements [attempt.Observer].
func (v *trainingView) Step(s attempt.Step) {
	if !v.stepped { // a trial that resumes from a checkpoint begins in the middle
		v.bar.Add(v.imagesBefore(s.Epoch) + int64(imagesBefore(v.config, s.Stage)+s.Batch*v.config.Recipe.Batch))
		v.stepped = true
	}
	v.describe(train.Progress{Stage: s.Stage, Epoch: s.Epoch, Batch: s.Batch, Images: s.Images, Loss: s.Loss, Top1: s.Top1})
}

// Publish implements [attempt.Observer].
func (v *trainingView) Publish() { v.endBar() }

// Wait implements [attempt.Observer].
func (v *trainingView) Wait(reason error) {
	if !v.waits {
		fmt.Fprintf(v.w, "the trial is trained, but cannot be published yet; trying again until it can: %v\n", reason)
		v.waits = true
	}
}

// endBar ends the progress bar, if training began.
func (v *trainingView) endBar() {
	if v.bar != nil {
		v.bar.Done()
	}
}

// imagesBefore returns the number of images that an epoch processes before a stage.
func imagesBefore(config train.Config, stage string) int {
	if stage == config.Data.Train.Name {
		return 0
	}
	n := config.Data.Train.Len()
	for i := range config.Data.Eval {
		if config.Data.Eval[i].Name == stage {
			break
		}
		n += config.Data.Eval[i].Len()
	}
	return n
}

// evaluationImages returns the number of images in all evaluation sets together.
func evaluationImages(config train.Config) int {
	n := 0
	for i := range config.Data.Eval {
		n += config.Data.Eval[i].Len()
	}
	return n
}

// describeOn returns a function that shows a batch on bar: its position, as position words it, and the
// mean loss and accuracy of its pass so far.
func describeOn(bar *progress.Bar, position func(train.Progress) string) func(train.Progress) {
	var last train.Progress
	var loss, top1, images float64 // sums of the pass
	return func(p train.Progress) {
		if p.Epoch != last.Epoch || p.Stage != last.Stage {
			loss, top1, images = 0, 0, 0
		}
		last = p
		n := float64(p.Images)
		loss, top1, images = loss+p.Loss*n, top1+p.Top1*n, images+n
		bar.Describe(fmt.Sprintf("%s loss %.4f top-1 %.2f %%", position(p), loss/images, top1/images))
		bar.Add(int64(p.Images))
	}
}
