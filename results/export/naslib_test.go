package export

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/pickle"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// curveTrials returns trials of 3 epochs of two architectures: with two seeds, and on a dataset key that no
// published file has.
func curveTrials() (trials []results.Trial) {
	for _, arch := range []int{0, 11} {
		for _, dataset := range []string{"cifar10-valid", "cifar10", "cifar100", "ImageNet16-120", "digits"} {
			for _, seed := range []uint32{777, 888} {
				trials = append(trials, results.Trial{Arch: arch, Dataset: dataset, Epochs: 3, Seed: seed})
			}
		}
	}
	return trials
}

// NASLib's pickles have the values of the records, and read back to the same trials.
func TestNASLib(t *testing.T) {
	interpreter := python(t)
	c := resultstest.Fill(t, curveTrials()...)
	timeless := old(t, results.Trial{Arch: 12, Dataset: "cifar100", Epochs: 3, Seed: 888}) // x-valid after the last epoch alone
	publish(t, c, timeless)
	seed := uint32(888)
	to := filepath.Join(t.TempDir(), "data")
	report := exportWith(t, c, Options{Format: published.NASLib, To: to, Full: "3", Seed: &seed})
	want := []string{"nb201_ImageNet16_full_training.pickle", "nb201_cifar100_full_training.pickle", "nb201_cifar10_full_training.pickle", "nb201_digits_full_training.pickle"}
	if got := names(t, to); !slices.Equal(got, want) {
		t.Fatalf("made %q", got)
	}
	sets := []CurveSet{{"ImageNet16-120", "x-valid", 2}, {"cifar10-valid", "x-valid", 2}, {"cifar100", "ori-test", 1}, {"cifar100", "x-valid", 2}, {"digits", "ori-test", 2}}
	if !slices.Equal(report.Sets, sets) || report.Trials != 9 || report.WithoutSeed != 0 || report.WithoutCurves != 0 {
		t.Errorf("%+v", report)
	}
	warnings := strings.Join(report.Warnings(), "\n")
	if !strings.Contains(warnings, "cifar100: the curves of 1 architecture are of ori-test, those of 2 architectures of x-valid") || strings.Contains(warnings, "no trials on cifar10") {
		t.Error(warnings)
	}

	out, err := exec.Command(interpreter, "-c", `
import json, pickle, sys

def query(path, arch, dataset, metric, epoch=-1, full_lc=False):
    """What NASLib's query answers."""
    with open(path, "rb") as f:
        results = pickle.load(f)[arch]
    dataset = {"cifar10": "cifar10-valid"}.get(dataset, dataset)
    if metric in ("cost_info", "train_time"):
        costs = results[dataset]["cost_info"]
        return costs if metric == "cost_info" else costs[metric]
    values = results[dataset][metric]
    return values if full_lc and epoch == -1 else values[:epoch] if full_lc else values[epoch]

print(json.dumps({
    f"{arch}/{dataset}": [query(f"{sys.argv[1]}/nb201_{name}_full_training.pickle", arch, dataset, metric, full_lc=True)
        for metric in ("train_losses", "train_acc1es", "eval_losses", "eval_acc1es", "cost_info", "train_time")]
    for arch in sys.argv[2:]
    for dataset, name in (("cifar10", "cifar10"), ("cifar100", "cifar100"), ("ImageNet16-120", "ImageNet16"), ("digits", "digits"))
}))
`, to, resultstest.Record(t, trial(0, "digits", 3, 888)).Genotype, resultstest.Record(t, trial(11, "digits", 3, 888)).Genotype).Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string][]any
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != 8 {
		t.Fatalf("%v: %s", err, out)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-12*math.Max(math.Abs(a), 1) }
	b := open(t, to)
	if b.Format != published.NASLib || !slices.Equal(b.Evaluated(), []int{0, 11, 12}) {
		t.Errorf("read as %s with %v", b.Format, b.Evaluated())
	}
	for r, err := range c.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if r.Seed != seed || r.Dataset == "cifar10" {
			continue
		}
		set := "x-valid"
		if r.Dataset == "digits" || r.Arch == 12 {
			set = "ori-test"
		}
		i := slices.IndexFunc(r.Eval, func(e results.Evaluation) bool { return e.Set == set })
		sum := 0.0
		for _, s := range r.Train.Seconds {
			sum += s
		}
		perEpoch := sum / float64(r.Epochs)
		if name := map[string]string{"cifar10-valid": "cifar10"}[r.Dataset]; r.Arch != 12 {
			if name == "" {
				name = r.Dataset
			}
			got := answers[r.Genotype+"/"+name]
			for k, curve := range [][]float64{r.Train.Loss, r.Train.Top1, r.Eval[i].Loss, r.Eval[i].Top1} {
				list, _ := got[k].([]any)
				if len(list) != len(curve) {
					t.Fatalf("%v: list %d has %d values", r.Trial, k, len(list))
				}
				for epoch := range curve {
					if list[epoch] != curve[epoch] {
						t.Errorf("%v: list %d has %v at epoch %d, the record %v", r.Trial, k, list[epoch], epoch, curve[epoch])
					}
				}
			}
			costs, _ := got[4].(map[string]any)
			if costs["flops"] != r.FLOPs || costs["params"] != r.Params || costs["latency"] != clientLatencies(r.Latency)[0] || !near(got[5].(float64), perEpoch) {
				t.Errorf("%v: cost_info is %v", r.Trial, costs)
			}
		}
		// The same through nb201.
		a, err := b.Architecture(r.Arch)
		if err != nil {
			t.Fatal(err)
		}
		s, err := a.Schedule("3")
		if err != nil {
			t.Fatal(err)
		}
		trials, err := s.Query(r.Dataset, seed)
		if err != nil || len(trials) != 1 {
			t.Fatal(len(trials), err)
		}
		costs, err1 := s.ComputeCosts(r.Dataset)
		last, err2 := trials[0].Metrics(set, benchmark.Last)
		training, err3 := trials[0].Metrics(benchmark.TrainingSet, benchmark.Last)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if costs.FLOPs != r.FLOPs || last.Accuracy != r.Eval[i].Top1[2] || training.Loss != r.Train.Loss[2] || !near(*training.TotalSeconds, sum) ||
			(costs.Latency == nil) != (r.Latency == nil) || trials[0].Genotype != r.Genotype || trials[0].Channels != r.Recipe.Channels {
			t.Errorf("%v: read back as %+v, %+v, %+v", r.Trial, costs, last, training)
		}
	}
	// One file alone, and an export of an export.
	again := filepath.Join(t.TempDir(), "again")
	exportWith(t, results.Campaign{Dir: to}, Options{Format: published.NASLib, To: again, Full: "3", Seed: &seed})
	first, second := files(t, to), files(t, again)
	for name := range first {
		if first[name] != second[name] {
			t.Errorf("exported again, %s differs", name)
		}
	}
	if one := open(t, filepath.Join(to, want[3])); !slices.Equal(one.Evaluated(), []int{0, 11}) {
		t.Errorf("%s holds %v", want[3], one.Evaluated())
	}
}

func TestNASLibRefuses(t *testing.T) {
	c := resultstest.Fill(t, append(curveTrials(), trial(40, "digits", 3, 1))...)
	seed := uint32(5)
	for _, x := range []struct {
		options Options
		want    string
	}{
		{Options{Full: "3", Seed: &seed}, "has no trials of 3 epochs with seed 5 to export; choose another with --seed"},
		{Options{}, "has no trials of 200 epochs to export; it has trials of 3 epochs: select"},
		{Options{Full: "3", Weights: true}, "weights cannot be chosen for naslib"},
		{Options{Full: "3", AsPublished: true}, "naslib has no published name"},
		{Options{Format: published.CSV, Seed: &seed}, "csv holds the trials of all seeds; only naslib holds one"},
		{Options{Format: published.NATS, Seed: &seed}, "nats holds the trials of all seeds"},
	} {
		if x.options.Format == "" {
			x.options.Format = published.NASLib
		}
		x.options.To = filepath.Join(t.TempDir(), "new")
		if _, err := Run(t.Context(), open(t, c.Dir), x.options); !usage.Is(err) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: error %v, want %q", x.options, err, x.want)
		}
	}
	report := exportWith(t, c, Options{Format: published.NASLib, To: filepath.Join(t.TempDir(), "new"), Full: "3"})
	if w := strings.Join(report.Warnings(), "\n"); report.WithoutSeed != 1 || !strings.Contains(w, "1 architecture left out, because of no trial with the seed asked for") {
		t.Errorf("%+v, %s", report, w)
	}

	genotype := resultstest.Record(t, trial(0, "digits", 3, 1)).Genotype
	list := pickle.List{1.0, 2.0}
	entry := func(pairs ...pickle.Pair) any {
		return pickle.Dict{{Key: genotype, Value: pickle.Dict{{Key: "digits", Value: append(pickle.Dict{
			{Key: "train_losses", Value: list}, {Key: "train_acc1es", Value: list}, {Key: "eval_losses", Value: list},
			{Key: "cost_info", Value: pickle.Dict{{Key: "flops", Value: 1.0}, {Key: "params", Value: 1.0}, {Key: "latency", Value: nil}, {Key: "train_time", Value: nil}}},
		}, pairs...)}}}}
	}
	own := pickle.Pair{Key: published.NASLibTrial, Value: pickle.Dict{
		{Key: "seed", Value: 1}, {Key: "set", Value: "ori-test"}, {Key: "channels", Value: 8}, {Key: "cells", Value: 1}, {Key: "classes", Value: 10},
	}}
	for want, v := range map[string]any{
		`its key "nb201_trial" is missing: the curves could be of any seed and evaluation set; nb201 reads only`: entry(pickle.Pair{Key: "eval_acc1es", Value: list}),
		`eval_acc1es`: entry(own),
		`its lists have 2 and 1 values; expected one an epoch in each`: entry(own, pickle.Pair{Key: "eval_acc1es", Value: list[:1]}),
		`a Python pickle that was not written by torch.save`:           pickle.List{},
		`want 3 nodes`: pickle.Dict{{Key: "none|~0|+|", Value: pickle.Dict{{Key: "train_losses", Value: nil}}}},
	} {
		path := filepath.Join(t.TempDir(), published.NASLibName("digits"))
		err := writeFile(path, func(w io.Writer) error { return pickle.NewEncoder(w).Encode(v) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := published.Open(t.Context(), path); !usage.Is(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	path := filepath.Join(report.Path, published.NASLibName("digits"))
	if err := os.Truncate(path, int64(len(files(t, report.Path)[filepath.Base(path)])-10)); err != nil {
		t.Fatal(err)
	}
	if _, err := published.Open(t.Context(), path); !errors.Is(err, results.ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("cut short: %v", err)
	}
}
