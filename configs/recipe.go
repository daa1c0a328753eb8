package configs

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/bom"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Recipe says how a network is trained. Those of the published schedules are the original's
// configs/nas-benchmark/LESS.config (12 epochs), CIFAR.config and ImageNet-16.config (200 epochs), with
// the macro skeleton of its launch script. Users write their own in files: see [ReadRecipe].
type Recipe struct {
	// Name names the schedule of a user's own recipe. It is "" in a recipe that [RecipeFor] returns,
	// whose schedule is named by its number of epochs.
	Name         string    `json:"name,omitzero"`
	Epochs       int       `json:"epochs"`
	Batch        int       `json:"batch"`         // images per step
	Optimizer    string    `json:"optimizer"`     // SGD: torch.optim.SGD
	LearningRate float64   `json:"learning_rate"` // the highest: after the warm-up
	Momentum     float64   `json:"momentum"`
	Nesterov     bool      `json:"nesterov"`
	WeightDecay  float64   `json:"weight_decay"`
	Decayed      Decayed   `json:"decayed,omitzero"` // the parameters that weight decay applies to
	Scheduler    Scheduler `json:"scheduler"`
	EtaMin       float64   `json:"eta_min"` // learning rate that cosine and linear would reach after the last epoch
	// Milestones are the epochs, counted from 0, at whose beginning the steps multiply the learning rate by
	// Gamma. Both are absent for other schedulers.
	Milestones []int   `json:"milestones,omitzero"`
	Gamma      float64 `json:"gamma,omitzero"`
	Warmup     int     `json:"warmup"` // the first epochs, in which the learning rate rises from 0 with every batch
	// LabelSmoothing is the part of a label that is spread evenly over all classes, in the training loss.
	LabelSmoothing float64 `json:"label_smoothing,omitzero"`
	Augment        Augment `json:"augment,omitzero"`
	// EvaluateEvery is the number of epochs between two evaluations; the last epoch is always evaluated.
	// 0 means 1: every epoch.
	EvaluateEvery int `json:"evaluate_every,omitzero"`
	// Channels is C, the channels in the first stage, and Cells is N, the cells per stage. Both are 0 where an
	// architecture fixes the whole network, as in the size search space.
	Channels int `json:"channels,omitzero"`
	Cells    int `json:"cells,omitzero"`
}

// Decayed names the parameters that weight decay applies to.
type Decayed string

const (
	// DecayAll is all parameters, as in the original, including those of BatchNorm and biases.
	DecayAll Decayed = ""
	// DecayWeights is the weights of convolutions and of the classifier.
	DecayWeights Decayed = "weights"
)

// Scheduler names the rule by which the learning rate changes after the warm-up. With l the highest
// learning rate, m the least ([Recipe.EtaMin]), and epoch e of the E after the warm-up:
type Scheduler string

// The schedulers. Within an epoch the learning rate is constant.
const (
	Cosine   Scheduler = "cosine"   // m + (l-m)*(1+cos(pi*e/E))/2
	Steps    Scheduler = "steps"    // l, times Gamma for each of the Milestones that have begun
	Linear   Scheduler = "linear"   // l + (m-l)*e/E
	Constant Scheduler = "constant" // l
)

// Augment changes how training images are varied at random. What is nil is as the dataset defines it.
type Augment struct {
	Flip   *bool `json:"flip,omitzero"`   // mirror an image with probability 1/2
	Crop   *bool `json:"crop,omitzero"`   // with the dataset's padding
	Cutout int   `json:"cutout,omitzero"` // side in pixels of a square that is blanked; 0: none
}

// shortest and longest are the numbers of epochs of the published schedules.
const shortest, longest = 12, 200

// MaxEpochs is the number of epochs of the longest schedule. With a few evaluation sets, its record is
// about half as large as a text file may be (infile.MaxText).
const MaxEpochs = 100_000

// RecipeFor returns the recipe of the schedule with this number of epochs. A number that was not
// published has the recipe for 200 epochs, with the cosine stretched to its length. Fewer than one
// epoch, or more than [MaxEpochs], is a usage error.
func RecipeFor(epochs int) (Recipe, error) {
	if err := checkEpochs(epochs); err != nil {
		return Recipe{}, err
	}
	r := publishedRecipe(longest)
	if epochs == shortest {
		r = publishedRecipe(shortest)
	}
	r.Epochs = epochs
	return r, nil
}

func checkEpochs(epochs int) error {
	switch {
	case epochs < 1:
		return usage.Errorf("a schedule of %d epochs: use at least 1", epochs)
	case epochs > MaxEpochs:
		return usage.Errorf("a schedule of %d epochs: use at most %d", epochs, MaxEpochs)
	}
	return nil
}

// publishedRecipe returns the embedded recipe of a published schedule.
func publishedRecipe(epochs int) (r Recipe) {
	name := fmt.Sprintf("recipes/%d.json", epochs)
	if err := Decode(name, embedded(name), &r); err != nil {
		panic(fmt.Sprintf("configs: %v", err))
	}
	return r
}

// Recipes lists the names of the published recipes: those of the schedules 12 and 200.
func Recipes() []string { return []string{strconv.Itoa(shortest), strconv.Itoa(longest)} }

// FindRecipe returns the recipe that a command line names: by a number of epochs (see [RecipeFor]), or by
// the path of a recipe file, which must end in .json (see [ReadRecipe]).
func FindRecipe(nameOrFile string) (Recipe, error) {
	if filepath.Ext(nameOrFile) == ".json" {
		return ReadRecipe(nameOrFile)
	}
	epochs, err := strconv.Atoi(nameOrFile)
	if err != nil || strconv.Itoa(epochs) != nameOrFile && fmt.Sprintf("%02d", epochs) != nameOrFile { // "01" is a schedule of the size search space
		return Recipe{}, usage.Errorf("unknown recipe %q: use one of %s, another number of epochs, or a recipe file (*.json)", nameOrFile, strings.Join(Recipes(), ", "))
	}
	return RecipeFor(epochs)
}

// ReadRecipe reads and checks a user's recipe file. It must give a name and the number of epochs; what
// else it leaves out is as in the published recipe for 200 epochs, except C, N and the batch size, which
// are then 0: [Settings.Complete] sets them.
func ReadRecipe(file string) (Recipe, error) {
	text, err := infile.Read(file, infile.MaxText)
	if err != nil {
		return Recipe{}, usage.Errorf("cannot read the recipe: %w", err)
	}
	r := publishedRecipe(longest)
	r.Epochs, r.Batch, r.Channels, r.Cells = 0, 0, 0, 0
	if err := Decode(file, text, &r); err != nil {
		return Recipe{}, err
	}
	if key := findNull(text); key != "" {
		return Recipe{}, usage.Errorf("%s: key %q must not be null; leave it out for its default", file, key)
	}
	var given struct { // which of these are absent: a 0 in the file is refused
		Epochs        *int `json:"epochs"`
		Batch         *int `json:"batch"`
		Channels      *int `json:"channels"`
		Cells         *int `json:"cells"`
		EvaluateEvery *int `json:"evaluate_every"`
	}
	if err := DecodeKnown(file, text, &given); err != nil {
		return Recipe{}, err
	}
	whole := r
	for _, v := range []struct{ given, whole *int }{{given.Batch, &whole.Batch}, {given.Channels, &whole.Channels}, {given.Cells, &whole.Cells}} {
		if v.given == nil {
			*v.whole = 1
		}
	}
	switch {
	case r.Name == "":
		return Recipe{}, usage.Errorf("%s: key \"name\" is missing; the name stands for the recipe in a campaign", file)
	case given.Epochs == nil:
		return Recipe{}, usage.Errorf("%s: key \"epochs\" is missing; give the number of epochs, with those of the warm-up", file)
	case given.Channels != nil && *given.Channels == 0:
		return Recipe{}, usage.Errorf("%s: key \"channels\" must be at least 1, not 0", file)
	case given.Cells != nil && *given.Cells == 0:
		return Recipe{}, usage.Errorf("%s: key \"cells\" must be at least 1, not 0", file)
	case given.EvaluateEvery != nil && *given.EvaluateEvery == 0:
		return Recipe{}, usage.Errorf("%s: key \"evaluate_every\" must be from 1 to the number of epochs, %d, not 0", file, r.Epochs)
	}
	if key, problem := whole.check(); problem != "" {
		return Recipe{}, usage.Errorf("%s: key %q %s", file, key, problem)
	}
	// Equal recipes have equal hashes.
	if r.EvaluateEvery == 1 {
		r.EvaluateEvery = 0
	}
	for _, v := range []*float64{&r.Momentum, &r.WeightDecay, &r.EtaMin, &r.LabelSmoothing} {
		*v += 0 // -0 becomes 0
	}
	return r, nil
}

// findNull returns the first key of a valid JSON text whose value is null, "" if there is none.
func findNull(text []byte) string {
	plain, err := bom.Strip(text)
	d := jsontext.NewDecoder(bytes.NewReader(plain))
	for err == nil {
		var token jsontext.Token
		if token, err = d.ReadToken(); err == nil && token.Kind() == 'n' {
			return key(d.StackPointer())
		}
	}
	return ""
}

// maxRate bounds learning rates: with it, the published weight decay, 5e-4, would multiply every weight
// by -499 in each step.
const maxRate = 1e6

// Check returns an error if no trial can have the recipe. The error begins with the JSON key of what is
// wrong. It does not check whether the recipe fits an architecture and a dataset.
func (r *Recipe) Check() error {
	if key, problem := r.check(); problem != "" {
		return usage.Errorf("key %q %s", key, problem)
	}
	return nil
}

// check returns the first key whose value is wrong, and why. Both are empty if r is valid.
func (r *Recipe) check() (key, problem string) {
	isOwn := r.Name != ""
	switch steps := r.Scheduler == Steps; {
	case isOwn && CheckRecipeName(r.Name) != nil:
		return "name", fmt.Sprintf("is %v", CheckRecipeName(r.Name))
	case r.Epochs < 1 || r.Epochs > MaxEpochs:
		return "epochs", fmt.Sprintf("must be from 1 to %d, not %d", MaxEpochs, r.Epochs)
	case r.Batch < 1:
		return "batch", fmt.Sprintf("must be at least 1, not %d", r.Batch)
	case r.Optimizer != sgd:
		return "optimizer", fmt.Sprintf("must be %s, not %.40q", sgd, r.Optimizer)
	case !(r.LearningRate > 0 && r.LearningRate <= maxRate):
		return "learning_rate", fmt.Sprintf("must be above 0 and at most %g, not %v", maxRate, r.LearningRate)
	case !(r.Momentum >= 0 && r.Momentum < 1):
		return "momentum", fmt.Sprintf("must be from 0 to below 1, not %v", r.Momentum)
	case r.Nesterov && r.Momentum == 0:
		return "nesterov", "must be false without momentum, as in torch.optim.SGD"
	case !(r.WeightDecay >= 0 && r.WeightDecay < 1):
		return "weight_decay", fmt.Sprintf("must be from 0 to below 1, not %v", r.WeightDecay)
	case r.Decayed != DecayAll && r.Decayed != DecayWeights:
		return "decayed", fmt.Sprintf("must be %s, or absent for all parameters, not %.40q", DecayWeights, r.Decayed)
	case !slices.Contains([]Scheduler{Cosine, Steps, Linear, Constant}, r.Scheduler):
		return "scheduler", fmt.Sprintf("must be %s, %s, %s or %s, not %.40q", Cosine, Steps, Linear, Constant, r.Scheduler)
	case !(r.EtaMin >= 0 && r.EtaMin <= r.LearningRate):
		return "eta_min", fmt.Sprintf("must be from 0 to the learning rate, %v, not %v", r.LearningRate, r.EtaMin)
	case r.EtaMin != 0 && r.Scheduler != Cosine && r.Scheduler != Linear:
		return "eta_min", fmt.Sprintf("is for the schedulers %s and %s only; remove it", Cosine, Linear)
	case r.Warmup < 0 || r.Warmup > r.Epochs:
		return "warmup", fmt.Sprintf("must be from 0 to the number of epochs, %d, not %d", r.Epochs, r.Warmup)
	case steps != (len(r.Milestones) > 0) || r.Milestones != nil && len(r.Milestones) == 0:
		return "milestones", fmt.Sprintf("must list at least one epoch for the scheduler %s, and be absent for any other", Steps)
	case steps && !(r.Gamma > 0 && r.Gamma <= 1):
		return "gamma", fmt.Sprintf("must be above 0 and at most 1, not %v", r.Gamma)
	case !steps && r.Gamma != 0:
		return "gamma", fmt.Sprintf("is for the scheduler %s only; remove it", Steps)
	case !(r.LabelSmoothing >= 0 && r.LabelSmoothing < 1):
		return "label_smoothing", fmt.Sprintf("must be from 0 to below 1, not %v", r.LabelSmoothing)
	case r.Augment.Cutout < 0 || r.Augment.Cutout > maxCutout || r.Augment.Cutout%2 != 0:
		return "augment.cutout", fmt.Sprintf("must be an even number of pixels from 0 to %d, not %d", maxCutout, r.Augment.Cutout)
	case r.EvaluateEvery < 0 || r.EvaluateEvery > r.Epochs:
		return "evaluate_every", fmt.Sprintf("must be from 1 to the number of epochs, %d, not %d", r.Epochs, r.EvaluateEvery)
	case r.Channels < 0 || r.Channels == 0 && r.Cells != 0:
		return "channels", fmt.Sprintf("must be at least 1, not %d", r.Channels)
	case r.Channels > maxSkeleton:
		return "channels", fmt.Sprintf("must be at most %d, not %d", maxSkeleton, r.Channels)
	case r.Cells < 0 || r.Cells == 0 && r.Channels != 0:
		return "cells", fmt.Sprintf("must be at least 1, not %d", r.Cells)
	case r.Cells > maxSkeleton:
		return "cells", fmt.Sprintf("must be at most %d, not %d", maxSkeleton, r.Cells)
	}
	before := r.Warmup - 1
	for i, epoch := range r.Milestones {
		if epoch <= before || epoch < 1 || epoch >= r.Epochs {
			return fmt.Sprintf("milestones.%d", i), fmt.Sprintf("must be an epoch after the one before, after the warm-up, and from 1 to %d, not %d", r.Epochs-1, epoch)
		}
		before = epoch
	}
	return "", ""
}

const (
	sgd = "SGD"
	// maxSkeleton is more channels, and more cells in a stage, than any network can have.
	maxSkeleton = 4096
	// maxCutout is the side of the largest images that a dataset may have, doubled: such a square blanks
	// every image.
	maxCutout = 2048
)

// Schedule returns the name of the recipe's schedule: the recipe's, or its number of epochs.
func (r *Recipe) Schedule() string { return cmp.Or(r.Name, strconv.Itoa(r.Epochs)) }

// Evaluates reports whether the evaluation sets are evaluated after an epoch, counted from 0.
func (r *Recipe) Evaluates(epoch int) bool {
	return (epoch+1)%max(r.EvaluateEvery, 1) == 0 || epoch == r.Epochs-1
}

// Evaluations returns the number of epochs below end after which the evaluation sets are evaluated.
func (r *Recipe) Evaluations(end int) int {
	n := end / max(r.EvaluateEvery, 1)
	if end == r.Epochs && end%max(r.EvaluateEvery, 1) != 0 {
		n++
	}
	return n
}

// JSON returns the recipe as compact JSON.
func (r *Recipe) JSON() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("configs: %v", err)) // cannot happen: no source of recipes has NaN or infinities
	}
	return text
}

// Hash returns the SHA-256, in hex, of [Recipe.JSON].
func (r *Recipe) Hash() string {
	sum := sha256.Sum256(r.JSON())
	return hex.EncodeToString(sum[:])
}
