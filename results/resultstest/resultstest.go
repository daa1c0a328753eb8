// Package resultstest makes synthetic trials, records, weights and campaigns for tests.
package resultstest

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/torchfile"
	"nb201/results"
)

// Own is the dataset key of a user's own dataset, with 3 classes and images of 20x20 pixels,
// evaluated on ori-test and x-valid. With so few classes the top-5 accuracy is always 100 %.
const Own = "own.set_3-v1"

// own is the definition of Own.
const own = `{"name":"` + Own + `","format":"image-folder","path":"images","classes":3,"size":[20,20],` +
	`"mean":[125.3,123,113.9],"std":[63,62.1,66.7],"augment":{"flip":true,"crop_padding":0},` +
	`"train":{"from":"train","order":"shuffle"},` +
	`"eval":[{"name":"ori-test","from":"test","order":"sequential"},{"name":"x-valid","from":"test","order":"sequential"}]}`

// dataset returns the sizes of a dataset: classes, image size, training and evaluation sets.
func dataset(t testing.TB, key string) configs.Dataset {
	t.Helper()
	set := func(name string, images int) configs.EvaluationSet {
		return configs.EvaluationSet{Name: name, Images: images}
	}
	switch key {
	case "digits":
		return configs.Dataset{Key: key, Classes: 10, Size: 16, Train: 1347, Sets: []configs.EvaluationSet{set("ori-test", 450)}}
	case Own:
		return configs.Dataset{Key: key, Classes: 3, Size: 20, Train: 601, Sets: []configs.EvaluationSet{set("ori-test", 200), set("x-valid", 200)}}
	}
	d, ok := configs.FindDataset(key)
	if !ok {
		t.Fatalf("unknown dataset key %s", key)
	}
	return d
}

// definition returns the definition of a dataset as JSON.
func definition(t testing.TB, key string) jsontext.Value {
	v := jsontext.Value(own)
	if key != Own {
		v = configs.Definition(key)
	}
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	return v
}

// Record makes a plausible record of a trial, the same for each call: accuracies rise and losses
// fall, with noise, in the same way for every architecture. If the dataset has both x-valid and
// x-test, ori-test is their mean, as in the benchmark. The network has C=8 and N=1, unless its
// search space has neither.
func Record(t testing.TB, trial results.Trial) *results.Record {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(trial.Seed), uint64(trial.Arch*1000+trial.Epochs)))
	r := record(t, trial, func(_ string, _, epoch int) (m measures) {
		m.top1 = 90 - 70/float64(epoch+1) + random.Float64()
		m.top5 = min(m.top1+5, 100)
		m.loss = max(2.3/float64(epoch+1)+random.Float64()/10, (100-m.top1)/100)
		m.seconds = 10 + random.Float64()
		return m
	})
	channels, cells := trial.Space.Space().Skeleton()
	if channels != 0 {
		channels, cells = 8, 1
	}
	Resize(t, r, channels, cells)
	return r
}

// Evaluation returns the record of an evaluation of a trial's weights, which have this SHA-256, on two
// sets of a dataset own.
func Evaluation(t testing.TB, trial results.Trial, weights string) *results.EvaluationRecord {
	t.Helper()
	r := Record(t, trial)
	const definition = `{"name": "own", "format": "npz", "path": "own.npz", "classes": 10, "size": [32, 32], "mean": [125, 123, 114],
		"std": [63, 62, 67], "augment": {"flip": true, "crop_padding": 4}, "train": {"from": "train", "order": "shuffle"},
		"eval": [{"name": "noise", "from": "test", "order": "sequential"}, {"name": "blur", "from": "test", "order": "sequential"}]}`
	top1 := float64(trial.Seed%50) + 25
	return &results.EvaluationRecord{
		FormatVersion: results.EvaluationVersion, Trial: trial, WeightsSHA256: weights, Definition: jsontext.Value(definition),
		DataFiles: r.DataFiles, Batch: 256, Precision: r.Precision, Device: r.Device, Versions: r.Versions, Attempts: 1, Finished: r.Finished,
		Sets: []results.SetResult{
			{Set: "noise", Images: 100, Averages: results.Averages{Loss: 1.25, Top1: top1, Top5: 90, Seconds: 0.5}},
			{Set: "blur", Images: 200, Averages: results.Averages{Loss: 1.5, Top1: top1 - 1, Top5: 89, Seconds: 0.25}},
		},
	}
}

// measures holds what a pass over a set of images measures: accuracies in percent, the mean cross
// entropy, and wall time.
type measures struct{ top1, top5, loss, seconds float64 }

// record makes a record of a trial from the measures of each pass; set is "" for training. The
// record has no channels, cells or costs yet; see [Resize].
func record(t testing.TB, trial results.Trial, measure func(set string, images, epoch int) measures) *results.Record {
	t.Helper()
	d := dataset(t, trial.Dataset)
	arch, err := trial.Architecture()
	if err != nil {
		t.Fatal(err)
	}
	var took float64
	pass := func(set string, images int) results.Pass {
		n := float64(images)
		share := func(percent float64) float64 { return math.Round(percent/100*n) * 100 / n }
		p := results.Pass{Images: images}
		for epoch := range trial.Epochs {
			m := measure(set, images, epoch)
			if d.Classes <= 5 {
				m.top5 = 100
			}
			p.Top1 = append(p.Top1, share(m.top1))
			p.Top5 = append(p.Top5, share(m.top5))
			p.Loss = append(p.Loss, m.loss)
			p.Seconds = append(p.Seconds, m.seconds)
			took += m.seconds
		}
		return p
	}
	train := pass("", d.Train)
	var eval []results.Evaluation
	for _, set := range d.Sets {
		eval = append(eval, results.Evaluation{Set: set.Name, Pass: pass(set.Name, set.Images)})
	}
	started := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	r := &results.Record{
		FormatVersion: results.FormatVersion,
		Trial:         trial,
		Genotype:      arch.String(),
		Classes:       d.Classes,
		ImageSize:     d.Size,
		Recipe: configs.Recipe{
			Name: trial.Recipe, Epochs: trial.Epochs, Batch: 256, Optimizer: "SGD", LearningRate: 0.1, Momentum: 0.9, Nesterov: true,
			WeightDecay: 5e-4, Scheduler: "cosine",
		},
		Definition: definition(t, trial.Dataset),
		Parity:     results.Parity{Profile: "2019", Timeline: "dec2019", Workers: 4},
		Precision:  "fp32",
		Device:     "cpu",
		Versions:   results.Versions{Program: "v1", GoMLX: "v0.28.2", Plugin: "0.115"},
		DataFiles:  []results.File{{Name: "cifar-10-batches-py/data_batch_1", SHA256: strings.Repeat("0a", 32)}},
		Attempts:   1,
		Started:    started,
		Finished:   started.Add(max(time.Hour, time.Duration(took+1)*time.Second)),
		Train:      train,
		Eval:       eval,
		Latency:    []float64{0.0125, 0.013},
	}
	if len(r.Eval) == 3 {
		whole, valid, test := r.Eval[0].Curve, r.Eval[1].Curve, r.Eval[2].Curve
		for i := range whole.Loss {
			whole.Loss[i] = (valid.Loss[i] + test.Loss[i]) / 2
			whole.Top1[i] = (valid.Top1[i] + test.Top1[i]) / 2
			whole.Top5[i] = (valid.Top5[i] + test.Top5[i]) / 2
		}
	}
	return r
}

// Resize changes the channels (C) and cells (N) in a record, and its costs with them.
func Resize(t testing.TB, r *results.Record, channels, cells int) {
	t.Helper()
	r.Recipe.Channels, r.Recipe.Cells = channels, cells
	network, err := r.Network()
	if err != nil {
		t.Fatal(err)
	}
	r.FLOPs, r.Params = network.FLOPs(), network.Params()
	hashRecipe(r)
}

// hashRecipe sets the hash of a user's own recipe.
func hashRecipe(r *results.Record) {
	if r.Recipe.Name != "" {
		r.RecipeSHA256 = r.Recipe.Hash()
	}
}

// WithRecipe makes the record of a trial as [Record] does, with a recipe that change changes. If the recipe
// does not evaluate every epoch, the other epochs are left out.
func WithRecipe(t testing.TB, trial results.Trial, change func(*configs.Recipe)) *results.Record {
	t.Helper()
	r := Record(t, trial)
	change(&r.Recipe)
	hashRecipe(r)
	for i := range r.Eval {
		e := &r.Eval[i]
		whole := e.Curve
		e.Curve, e.Epochs = results.Curve{}, nil
		for epoch := range trial.Epochs {
			if r.Recipe.Evaluates(epoch) {
				e.Epochs = append(e.Epochs, epoch)
				e.Loss, e.Top1 = append(e.Loss, whole.Loss[epoch]), append(e.Top1, whole.Top1[epoch])
				e.Top5, e.Seconds = append(e.Top5, whole.Top5[epoch]), append(e.Seconds, whole.Seconds[epoch])
			}
		}
		if e.FirstEpoch = e.Epochs[0]; len(e.Epochs) == trial.Epochs {
			e.Epochs = nil
		}
	}
	return r
}

// Weights makes a random state dict of the record's network, the same for each call.
func Weights(t testing.TB, r *results.Record) torchfile.StateDict {
	t.Helper()
	network, err := r.Network()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(uint64(r.Seed), 1))
	var weights torchfile.StateDict
	for _, tensor := range network.Tensors() {
		v := &torchfile.Tensor{Shape: append([]int{}, tensor.Shape...)}
		if tensor.Role == cell.BNCount {
			v.Int64 = []int64{98}
		} else {
			v.Float32 = make([]float32, tensor.Len())
			for i := range v.Float32 {
				v.Float32[i] = random.Float32() // a variance must not be negative
			}
		}
		weights = append(weights, torchfile.NamedTensor{Name: tensor.Name, Tensor: v})
	}
	return weights
}

// Fill publishes synthetic trials, with weights, into a new campaign.
func Fill(t testing.TB, trials ...results.Trial) results.Campaign {
	t.Helper()
	c := results.Campaign{Dir: t.TempDir()}
	for _, trial := range trials {
		r := Record(t, trial)
		if err := c.Publish(r, Weights(t, r)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Evaluate adds evaluations of the trials of a campaign on a dataset key to the directory to, which may be
// the campaign. They are those of [Evaluation].
func Evaluate(t testing.TB, c results.Campaign, to, key string, trials ...results.Trial) {
	t.Helper()
	for _, trial := range trials {
		r, err := c.Record(trial)
		if err != nil {
			t.Fatal(err)
		}
		EvaluateWeights(t, c.Dir, to, key, trial, r.Weights.SHA256)
	}
}

// EvaluateWeights is Evaluate for a trial of any benchmark, whose weights have this SHA-256.
func EvaluateWeights(t testing.TB, source, to, key string, trial results.Trial, weights string) {
	t.Helper()
	e := Evaluation(t, trial, weights)
	p := &results.EvaluationPlan{
		FormatVersion: results.EvaluationVersion, Dataset: key, Definition: e.Definition, DataFiles: e.DataFiles, Batch: e.Batch,
	}
	on := results.EvaluationsOn(to, key)
	if err := errors.Join(p.SetSource(source, to), p.Write(on), on.PublishEvaluation(e)); err != nil {
		t.Fatal(err)
	}
}

// Mix puts a trial into a campaign even if Publish would refuse it as of another experiment. Such
// campaigns exist where trials were copied together, or were made by earlier versions.
func Mix(t testing.TB, c results.Campaign, r *results.Record) {
	t.Helper()
	alone := results.Campaign{Dir: t.TempDir()}
	if err := alone.Publish(r, Weights(t, r)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []func(results.Campaign, results.Trial) string{results.Campaign.WeightsPath, results.Campaign.RecordPath} {
		to := path(c, r.Trial)
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path(alone, r.Trial), to); err != nil {
			t.Fatal(err)
		}
	}
}

// Grid returns trials of the architectures on all dataset keys of the benchmark: one seed with
// the schedule of 2 epochs, and two seeds with that of 3.
func Grid(archs ...int) []results.Trial {
	var trials []results.Trial
	for _, arch := range archs {
		for _, key := range configs.BenchmarkKeys() {
			trials = append(trials, trial(arch, key, 2, 111), trial(arch, key, 3, 777), trial(arch, key, 3, 888))
		}
	}
	return trials
}

func trial(arch int, dataset string, epochs int, seed uint32) results.Trial {
	return results.Trial{Arch: arch, Dataset: dataset, Epochs: epochs, Seed: seed}
}

// Apart compares two records that may differ by rounding. It returns the largest relative distance
// between their losses, and all other differences as [results.Record.Diff] lists them; losses of
// curves with different lengths are among the latter. It does not compare accuracies, which jump
// with rounding, or the hashes of weights.
func Apart(a, b *results.Record) (losses float64, rest []string) {
	c := *a
	c.Weights, c.Eval = b.Weights, slices.Clone(a.Eval)
	compareCurve := func(curve *results.Curve, other results.Curve) {
		if len(curve.Loss) != len(other.Loss) {
			return
		}
		for i, loss := range other.Loss {
			losses = max(losses, math.Abs(curve.Loss[i]-loss)/math.Abs(loss))
		}
		curve.Loss, curve.Top1, curve.Top5 = other.Loss, other.Top1, other.Top5 // so that Diff finds the rest only
	}
	compareCurve(&c.Train.Curve, b.Train.Curve)
	for i := range min(len(c.Eval), len(b.Eval)) {
		compareCurve(&c.Eval[i].Curve, b.Eval[i].Curve)
	}
	return losses, c.Diff(b)
}
