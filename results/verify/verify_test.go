package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/seal"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

func open(t testing.TB, path string) *benchmark.Benchmark {
	t.Helper()
	b, err := published.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func run(t testing.TB, path string, o Options) *Report {
	t.Helper()
	r, err := Run(t.Context(), open(t, path), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// published11 returns the architecture 11 of a campaign without records, as published files
// have it.
func published11(t testing.TB, c results.Campaign) *benchmark.Architecture {
	t.Helper()
	a, err := open(t, c.Dir).Architecture(11)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			r.Record, r.Recipe = nil, nil
		}
	}
	return a
}

// find returns the trial of an architecture on a dataset with a seed.
func find(a *benchmark.Architecture, dataset string, seed uint32) *benchmark.ResultsCount {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			if r.Dataset == dataset && r.Seed == seed {
				return r
			}
		}
	}
	panic("no such trial")
}

func scale(s benchmark.Series, by float64) {
	for i := range s {
		s[i].Value *= by
	}
}

// lastOnly drops all epochs but the last from the measures of an evaluation set, though not
// from its times, as in some sets in published files of the schedule 200.
func lastOnly(m *benchmark.Measures) {
	for _, s := range []*benchmark.Series{&m.Loss, &m.Top1, &m.Top5} {
		*s = (*s)[len(*s)-1:]
	}
}

// TestPlantedInTrials plants a fault in a trial of a sound architecture, cifar100 with
// seed 888, which must be found there and nowhere else.
func TestPlantedInTrials(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(11)...)
	valid := func(r *benchmark.ResultsCount) *benchmark.Measures { m, _ := r.Set("x-valid"); return m }
	tests := []struct {
		name  string
		plant func(a *benchmark.Architecture, r *benchmark.ResultsCount)
		check Check
		what  string
	}{
		{"parameters of another network", func(a *benchmark.Architecture, r *benchmark.ResultsCount) {
			arch, _ := cell.Topology{}.ByIndex(12)
			n := cell.Network{Arch: arch, Channels: r.Channels, Cells: r.Cells, Classes: r.Classes, Size: 32}
			r.Params = n.Params()
		}, CheckCosts, "million parameters; its network has"},
		{"FLOPs of another network", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.FLOPs *= 1.000001 }, CheckCosts, "million FLOPs; its network has"},
		{"FLOPs not a number", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.FLOPs = math.NaN() }, CheckCosts, "NaN million FLOPs"},
		{"no cells", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Cells = 0 }, CheckCosts, "its network is invalid: a network cannot have 0 cells"},
		{"last bit of the FLOPs", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.FLOPs = math.Nextafter(r.FLOPs, 0) }, CheckSeeds, "seed 777 has"},
		{"another macro skeleton", func(a *benchmark.Architecture, r *benchmark.ResultsCount) {
			r.Channels = 16
			n, _ := networkOf(r)
			r.FLOPs, r.Params = n.FLOPs(), n.Params()
		}, CheckSeeds, "seed 777 has"},
		{"wrong genotype", func(a *benchmark.Architecture, r *benchmark.ResultsCount) {
			a11, _ := cell.Topology{}.ByIndex(11)
			arch := a11.(cell.Cell)
			arch[0], arch[5] = arch[5], arch[0] // of the same costs
			r.Genotype = arch.String()
		}, CheckIdentity, "architecture 11 has"},
		{"trial of another architecture", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Arch = 12 }, CheckIdentity, "it is stored as a trial of architecture 11"},
		{"seed twice", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Seed = 777 }, CheckIdentity, "this dataset and seed twice"},
		{"missing epoch of training", func(a *benchmark.Architecture, r *benchmark.ResultsCount) {
			r.Training.Loss = slices.Delete(slices.Clone(r.Training.Loss), 1, 2)
		}, CheckCurves, "training: loss lacks epoch 1; it has 2 of 3 epochs"},
		{"missing first epoch of evaluation", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Top5 = valid(r).Top5[1:] }, CheckCurves, "x-valid: top-5 accuracy lacks epoch 0"},
		{"curve too long", func(a *benchmark.Architecture, r *benchmark.ResultsCount) {
			r.Training.Top1 = append(slices.Clone(r.Training.Top1), benchmark.Point{Epoch: 3, Value: 50})
		}, CheckCurves, "training: top-1 accuracy has an epoch 3; the last of the trial's 3 epochs is 2"},
		{"missing evaluation set", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Evaluation = r.Evaluation[:2] }, CheckCurves, "evaluation sets [x-test] are missing"},
		{"no evaluation set", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Evaluation = nil }, CheckCurves, "it has no evaluation sets"},
		{"only the last epoch of the main set", func(a *benchmark.Architecture, r *benchmark.ResultsCount) {
			m, _ := r.Set("ori-test")
			m.Loss = m.Loss[2:]
		}, CheckCurves, "ori-test: loss lacks epoch 0"},
		{"times of some epochs", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Seconds = valid(r).Seconds[:2] }, CheckCurves, "x-valid: time lacks epoch 2"},
		{"times of some sets", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Seconds = nil }, CheckCurves, "2 of its 3 evaluation sets have times"},
		{"no epochs", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Loss = benchmark.Series{} }, CheckCurves, "x-valid: loss lacks epoch 0; it has 0 of 3 epochs"},
		{"NaN", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Training.Loss[2].Value = math.NaN() }, CheckValues, "training: loss is NaN at epoch 2"},
		{"infinite losses", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { scale(r.Training.Loss, math.Inf(1)) }, CheckValues, "training: loss is +Inf at epoch 0; 2 more epochs are wrong too"},
		{"negative loss", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Training.Loss[0].Value = -1 }, CheckValues, "training: loss is -1 at epoch 0"},
		{"accuracy above 100", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Training.Top5[0].Value = 100.5 }, CheckValues, "training: top-5 accuracy is 100.5 at epoch 0"},
		{"top-5 below top-1", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Training.Top5[0].Value = 2 }, CheckValues, "top-5 accuracy is 2 %, less than the top-1 accuracy"},
		{"negative time", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Seconds[1].Value = -1 }, CheckValues, "x-valid: time is -1 at epoch 1"},
		{"zero latency", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { r.Latencies = []float64{0.01, 0} }, CheckValues, "latency 1 is 0 s"},
		{"training accuracies as fractions", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { scale(r.Training.Top1, 0.01) }, CheckValues, "training: top-1 accuracy is 1 % or less in 3 epochs, and not a whole number of the 50000 images"},
		{"wrong mean of x-valid and x-test", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Top1[1].Value++ }, CheckHalves, "top-1 accuracy of ori-test"},
		{"wrong mean of the losses", func(a *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Loss[1].Value++ }, CheckHalves, "loss of ori-test"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := published11(t, c)
			r := find(a, "cifar100", 888)
			test.plant(a, r)
			var f findings
			f.checkArchitecture(a)
			if len(f.faults) != 1 || f.faults[0].Check != test.check || *f.faults[0].Trial != r.Trial || !strings.Contains(f.faults[0].What, test.what) {
				t.Errorf("found %v, want one of %s: %q", f.faults, test.check, test.what)
			}
		})
	}
}

// TestPlantedInSchedules plants faults that are found more than once.
func TestPlantedInSchedules(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(11)...)
	tests := []struct {
		name  string
		plant func(a *benchmark.Architecture)
		want  []string // prefixes, in order
	}{
		{"wrong classes", func(a *benchmark.Architecture) { find(a, "cifar10", 777).Classes = 100 },
			[]string{"identity: it has 100 classes; cifar10 has 10", "costs: ", "costs: "}},
		{"fractions everywhere", func(a *benchmark.Architecture) {
			r := find(a, "cifar10", 111)
			for _, m := range []*benchmark.Measures{&r.Training, &r.Evaluation[0].Measures} {
				scale(m.Top1, 0.01)
				scale(m.Top5, 0.01)
			}
		}, slices.Repeat([]string{"values: "}, 4)},
		{"other epochs", func(a *benchmark.Architecture) {
			s := a.Schedules[1]
			r := s.Results[len(s.Results)-1]
			other := a.Schedules[0].Results[len(a.Schedules[0].Results)-1]
			r.Epochs, r.Training, r.Evaluation = other.Epochs, other.Training, other.Evaluation
		}, []string{"seeds: schedule '3' has 2 epochs in this trial, but 3 in that on cifar10-valid with seed 777"}},
		{"the schedule's own genotype", func(a *benchmark.Architecture) { a.Schedules[0].Genotype = "|none~0|" },
			slices.Repeat([]string{"identity: it is stored as a trial of |none~0|"}, 4)},
		{"a key that is no name", func(a *benchmark.Architecture) { find(a, "cifar10", 111).Dataset = "../cifar10" },
			[]string{`identity: dataset key "../cifar10"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := published11(t, c)
			test.plant(a)
			var f findings
			f.checkArchitecture(a)
			ok := len(f.faults) == len(test.want)
			for i := range min(len(f.faults), len(test.want)) {
				ok = ok && strings.HasPrefix(string(f.faults[i].Check)+": "+f.faults[i].What, test.want[i])
			}
			if !ok {
				t.Errorf("found %v, want %q", f.faults, test.want)
			}
		})
	}
}

// TestSound checks that valid oddities are not faults, and that those worth knowing are noted.
func TestSound(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(11)...)
	tests := []struct {
		name   string
		change func(a *benchmark.Architecture)
		notes  []string
	}{
		{"as it is", func(*benchmark.Architecture) {}, nil},
		{"as schedule 200 is published", func(a *benchmark.Architecture) {
			for _, r := range a.Schedules[1].Results {
				r.Training.Top5 = nil
				for i := range r.Evaluation {
					if r.Evaluation[i].Set != "ori-test" && r.Dataset != "cifar10-valid" || r.Evaluation[i].Set == "ori-test" && r.Dataset == "cifar10-valid" {
						lastOnly(&r.Evaluation[i].Measures)
					}
				}
			}
		}, []string{
			"cifar10-valid, 3 epochs: no top-5 accuracy for training (2 trials)",
			"cifar10-valid, 3 epochs: ori-test: only the last epoch (2 trials)",
			"cifar10, 3 epochs: no top-5 accuracy for training (2 trials)",
			"cifar100, 3 epochs: no top-5 accuracy for training (2 trials)",
			"cifar100, 3 epochs: x-test: only the last epoch (2 trials)",
			"cifar100, 3 epochs: x-valid: only the last epoch (2 trials)",
			"ImageNet16-120, 3 epochs: no top-5 accuracy for training (2 trials)",
			"ImageNet16-120, 3 epochs: x-test: only the last epoch (2 trials)",
			"ImageNet16-120, 3 epochs: x-valid: only the last epoch (2 trials)",
		}},
		{"no times, latency and evaluated top-5", func(a *benchmark.Architecture) {
			r := find(a, "cifar100", 777)
			r.Latencies, r.Training.Seconds = nil, nil
			for i := range r.Evaluation {
				r.Evaluation[i].Seconds, r.Evaluation[i].Top5 = nil, nil
			}
		}, []string{
			"cifar100, 3 epochs: no evaluation times (1 trials)",
			"cifar100, 3 epochs: no training times (1 trials)",
		}},
		{"the timeline nov2019", func(a *benchmark.Architecture) {
			r := find(a, "cifar10-valid", 777)
			r.Evaluation = slices.DeleteFunc(r.Evaluation, func(e benchmark.SetMeasures) bool { return e.Set == "ori-test" })
		}, []string{"cifar10-valid, 3 epochs: only x-valid was evaluated, as in the timeline nov2019 (1 trials)"}},
		{"guessing among many classes", func(a *benchmark.Architecture) {
			r := find(a, "ImageNet16-120", 777)
			for _, m := range []*benchmark.Measures{&r.Training, &r.Evaluation[0].Measures, &r.Evaluation[1].Measures, &r.Evaluation[2].Measures} {
				for i := range m.Top1 {
					m.Top1[i].Value = 100.0 / 120
					if m == &r.Training {
						m.Top1[i].Value = 1290.0 / 151700 * 100
					}
				}
			}
		}, nil},
		{"a user's dataset", func(a *benchmark.Architecture) {
			for _, s := range a.Schedules {
				for _, r := range s.Results {
					if r.Dataset != "cifar10" {
						continue
					}
					r.Dataset, r.Classes = "mine", 7
					n := cell.Network{Channels: r.Channels, Cells: r.Cells, Classes: 7, Size: 28}
					n.Arch, _ = cell.Topology{}.ByIndex(11)
					r.FLOPs, r.Params = n.FLOPs(), n.Params()
				}
			}
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := published11(t, c)
			test.change(a)
			v := &verifier{checked: map[Check]int{}, notes: map[Note]int{}}
			var f findings
			f.checkArchitecture(a)
			v.add(&f)
			var notes []string
			for _, n := range v.sortedNotes() {
				notes = append(notes, n.String())
			}
			if len(f.faults) > 0 || !slices.Equal(notes, test.notes) {
				t.Errorf("found %v, notes %q, want %q", f.faults, notes, test.notes)
			}
		})
	}
}

// TestUsersDataset checks that faults are found on a dataset whose definition is unknown.
func TestUsersDataset(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(11)...)
	a := published11(t, c)
	r := find(a, "cifar10", 777)
	r.Dataset = "mine"
	r.FLOPs++
	scale(r.Training.Top1, 0.01)
	var f findings
	f.checkCosts(r)
	f.checkValues(r)
	want := []string{"which match no image size", "is it a fraction instead of percent?"}
	if len(f.faults) != 2 || !strings.Contains(f.faults[0].What, want[0]) || !strings.Contains(f.faults[1].What, want[1]) {
		t.Errorf("found %v", f.faults)
	}
}

func TestPlantedInWeights(t *testing.T) {
	tensor := func(w torchfile.StateDict, name string) *torchfile.Tensor {
		for _, t := range w {
			if t.Name == name {
				return t.Tensor
			}
		}
		panic("no tensor " + name)
	}
	record := resultstest.Record(t, results.Trial{Arch: 11, Dataset: "cifar10", Epochs: 2, Seed: 777})
	tests := []struct {
		name  string
		plant func(w torchfile.StateDict) torchfile.StateDict
		want  string
	}{
		{"sound", func(w torchfile.StateDict) torchfile.StateDict { return w }, ""},
		{"another architecture", func(torchfile.StateDict) torchfile.StateDict {
			return resultstest.Weights(t, resultstest.Record(t, results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 2, Seed: 777}))
		}, "weights of another architecture?"},
		{"another dataset", func(torchfile.StateDict) torchfile.StateDict {
			return resultstest.Weights(t, resultstest.Record(t, results.Trial{Arch: 11, Dataset: "cifar100", Epochs: 2, Seed: 777}))
		}, "classifier.weight[100 32] of float32, but the network has classifier.weight[10 32]"},
		{"a tensor less", func(w torchfile.StateDict) torchfile.StateDict { return w[1:] }, "tensors, but the network has"},
		{"another name", func(w torchfile.StateDict) torchfile.StateDict { w[0].Name = "module.stem.0.weight"; return w }, "module.stem.0.weight"},
		{"NaN", func(w torchfile.StateDict) torchfile.StateDict {
			tensor(w, "stem.1.bias").Float32[3] = float32(math.NaN())
			return w
		}, "1 values of stem.1.bias are not finite"},
		{"infinite", func(w torchfile.StateDict) torchfile.StateDict {
			tensor(w, "stem.0.weight").Float32[3] = float32(math.Inf(-1))
			return w
		}, "1 values of stem.0.weight are not finite"},
		{"negative variance", func(w torchfile.StateDict) torchfile.StateDict {
			tensor(w, "lastact.0.running_var").Float32[0] = -1e-9
			return w
		}, "1 variances in lastact.0.running_var are negative"},
		{"negative count", func(w torchfile.StateDict) torchfile.StateDict {
			tensor(w, "stem.1.num_batches_tracked").Int64[0] = -1
			return w
		}, "stem.1.num_batches_tracked is -1"},
		{"a negative mean", func(w torchfile.StateDict) torchfile.StateDict {
			tensor(w, "stem.1.running_mean").Float32[0] = -1
			return w
		}, ""},
	}
	r := &benchmark.ResultsCount{
		Trial: record.Trial, Genotype: record.Genotype, Classes: 10, FLOPs: record.FLOPs, Params: record.Params,
		Channels: record.Recipe.Channels, Cells: record.Recipe.Cells,
	}
	for _, test := range tests {
		var f findings
		sound := f.checkWeights(r, test.plant(resultstest.Weights(t, record)))
		switch {
		case sound != (test.want == "") || sound != (len(f.faults) == 0):
			t.Errorf("%s: sound %v, found %v", test.name, sound, f.faults)
		case !sound && (len(f.faults) != 1 || f.faults[0].Check != CheckWeights || !strings.Contains(f.faults[0].What, test.want)):
			t.Errorf("%s: found %v, want %q", test.name, f.faults, test.want)
		}
	}
}

// A trial in bfloat16 may drift further on another device, within limits.
func TestReevaluationOfBF16(t *testing.T) {
	r := resultstest.Record(t, results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 3, Seed: 888})
	r.Precision = "bf16"
	c := results.Campaign{Dir: t.TempDir()}
	if err := c.Publish(r, resultstest.Weights(t, r)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ loss, top1, faults float64 }{{1, 0, 0}, {1.01, -0.9, 0}, {1.03, 0, 1}, {1, 1.1, 1}, {math.NaN(), 0, 1}} {
		report := run(t, c.Dir, Options{Reevaluate: func(_ context.Context, trial *benchmark.ResultsCount, _ torchfile.StateDict) ([]results.SetResult, error) {
			e := trial.Record.Eval[0]
			last := r.Epochs - 1
			return []results.SetResult{setResult(e.Set, e.Loss[last]*test.loss, e.Top1[last]+test.top1, e.Top5[last])}, nil
		}})
		if len(report.Faults) != int(test.faults) {
			t.Errorf("%+v: found %v", test, report.Faults)
		}
	}
}

func TestReevaluation(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(4)...)
	evaluate := func(r *benchmark.ResultsCount) (evaluated []results.SetResult) {
		for _, e := range r.Evaluation {
			last := len(e.Top1) - 1
			evaluated = append(evaluated, setResult(e.Set, e.Loss[last].Value, e.Top1[last].Value, e.Top5[last].Value))
		}
		return evaluated
	}
	tests := []struct {
		name   string
		change func(*results.SetResult)
		fault  string
	}{
		{"exact", func(*results.SetResult) {}, ""},
		{"another device", func(e *results.SetResult) { e.Loss *= 1.0005; e.Top1 += 0.03; e.Top5 -= 0.05 }, ""},
		{"another loss", func(e *results.SetResult) { e.Loss *= 1.01 }, "ori-test: the weights give a loss of"},
		{"no loss", func(e *results.SetResult) { e.Loss = math.NaN() }, "ori-test: the weights give a loss of NaN"},
		{"another accuracy", func(e *results.SetResult) { e.Top1 -= 0.1 }, "ori-test: the weights give a top-1 accuracy of"},
		{"another top-5 accuracy", func(e *results.SetResult) { e.Top5-- }, "a difference of 100 of 10000 images"},
	}
	for _, test := range tests {
		at := results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 3, Seed: 888}
		calls, running := 0, 0
		o := Options{Reevaluate: func(_ context.Context, r *benchmark.ResultsCount, w torchfile.StateDict) ([]results.SetResult, error) {
			running++
			defer func() { running-- }()
			calls++
			if running != 1 || len(w) == 0 {
				t.Errorf("%d at once, %d tensors", running, len(w))
			}
			evaluated := evaluate(r)
			if r.Trial == at {
				test.change(&evaluated[0])
			}
			return evaluated, nil
		}}
		r := run(t, c.Dir, o)
		if calls != 12 || r.Weights != 12 {
			t.Errorf("%s: %d of %d weights were evaluated", test.name, calls, r.Weights)
		}
		if test.fault == "" {
			if len(r.Faults) > 0 {
				t.Errorf("%s: found %v", test.name, r.Faults)
			}
		} else if len(r.Faults) != 1 || r.Faults[0].Check != CheckReevaluation || *r.Faults[0].Trial != at || !strings.Contains(r.Faults[0].What, test.fault) {
			t.Errorf("%s: found %v", test.name, r.Faults)
		}
	}
	r := run(t, c.Dir, Options{Reevaluate: func(context.Context, *benchmark.ResultsCount, torchfile.StateDict) ([]results.SetResult, error) {
		return nil, nil
	}})
	if last := r.Checks[len(r.Checks)-1]; len(r.Faults) > 0 || last != (Count{Check: CheckReevaluation}) || !slices.ContainsFunc(r.Notes, func(n Note) bool {
		return n.Check == CheckReevaluation && strings.Contains(n.What, "not evaluated again")
	}) {
		t.Errorf("without images: faults %v, notes %v, %+v", r.Faults, r.Notes, last)
	}
	broken := errors.New("no images")
	_, err := Run(t.Context(), open(t, c.Dir), Options{Reevaluate: func(context.Context, *benchmark.ResultsCount, torchfile.StateDict) ([]results.SetResult, error) {
		return nil, broken
	}})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "architecture 4 on") {
		t.Errorf("a failed evaluation ends in %v", err)
	}
}

// edit changes a file.
func edit(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(text)
	if bytes.Equal(changed, text) {
		t.Fatalf("nothing changed in %s", path)
	}
	if err := os.WriteFile(path, changed, 0o666); err != nil {
		t.Fatal(err)
	}
}

// replace returns an edit that replaces the first match of pattern by text.
func replace(pattern, text string) func([]byte) []byte {
	return func(b []byte) []byte {
		at := regexp.MustCompile(pattern).FindIndex(b)
		if at == nil {
			return b
		}
		return slices.Concat(b[:at[0]], []byte(text), b[at[1]:])
	}
}

// resealed returns an edit of a record that updates its SHA-256 too.
func resealed(change func([]byte) []byte) func([]byte) []byte {
	return func(text []byte) []byte {
		object, _, _ := seal.Open(text)
		return seal.Seal(change(object))
	}
}

func truncate(b []byte) []byte { return b[:len(b)/2] }

// TestPlantedInCampaigns plants a fault in the files of one trial of a campaign, which must
// be the only one found.
func TestPlantedInCampaigns(t *testing.T) {
	sound := resultstest.Fill(t, resultstest.Grid(0, 4)...)
	bad := results.Trial{Arch: 4, Dataset: "cifar100", Epochs: 3, Seed: 888}
	record := func(change func([]byte) []byte) func(*testing.T, results.Campaign) {
		return func(t *testing.T, c results.Campaign) { edit(t, c.RecordPath(bad), change) }
	}
	sealed := func(change func([]byte) []byte) func(*testing.T, results.Campaign) {
		return record(resealed(change))
	}
	weights := func(change func([]byte) []byte) func(*testing.T, results.Campaign) {
		return func(t *testing.T, c results.Campaign) { edit(t, c.WeightsPath(bad), change) }
	}
	tests := []struct {
		name  string
		plant func(*testing.T, results.Campaign)
		check Check
		what  string
	}{
		{"truncated record", record(truncate), CheckFiles, "0003-0888.json"},
		{"no JSON", record(func([]byte) []byte { return []byte("\x00\x01") }), CheckFiles, "0003-0888.json"},
		{"empty record", record(func([]byte) []byte { return nil }), CheckFiles, "0003-0888.json"},
		{"flipped bit in a record", record(func(b []byte) []byte {
			b = slices.Clone(b)
			b[len(b)/2] ^= 0x10
			return b
		}), CheckFiles, "changed since it was written: its SHA-256 is"},
		{"unknown key", sealed(replace(`"genotype"`, `"genotyp"`)), CheckFiles, "genotyp"},
		{"wrong genotype", sealed(replace(`"\|[^"]*"`, `"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"`)), CheckFiles, "does not match architecture 4"},
		{"parameters of another network", sealed(replace(`"params_millions": [0-9.]+`, `"params_millions": 0.6404`)), CheckFiles, "params_millions is 0.6404, but the network has"},
		{"missing epoch", sealed(replace(`"loss": \[[0-9.]+, `, `"loss": [`)), CheckFiles, "training: loss has 2 values for 3 epochs"},
		{"negative time", sealed(replace(`"seconds": \[`, `"seconds": [-`)), CheckFiles, "seconds[0] is -1"},
		{"zero latency", sealed(replace(`per_batch_of_256": \[[0-9.]+`, `per_batch_of_256": [0`)), CheckFiles, "is 0"},
		{"record of another trial", func(t *testing.T, c results.Campaign) {
			edit(t, c.RecordPath(bad), func([]byte) []byte {
				other := bad
				other.Seed = 777
				text, err := os.ReadFile(c.RecordPath(other))
				if err != nil {
					t.Fatal(err)
				}
				return text
			})
		}, CheckFiles, "contains the record of another trial"},
		{"an accuracy as a fraction", sealed(replace(`"top1_percent": \[[0-9.]+`, `"top1_percent": [0.20123`)), CheckRecord, "not a whole number of the 50000 images"},
		{"top-5 below top-1", sealed(replace(`"top5_percent": \[[0-9.]+`, `"top5_percent": [2`)), CheckRecord, "less than the top-1 accuracy"},
		{"wrong mean of the halves", sealed(replace(`("set": "ori-test",[^\[]*)("loss": )\[[0-9.]+`, `"set": "ori-test", "first_epoch": 0, "images": 10000, "loss": [9`)), CheckHalves, "loss of ori-test is 9 at epoch 0"},
		{"flipped bit in a tensor", weights(func(b []byte) []byte {
			b = slices.Clone(b)
			b[len(b)/2] ^= 0x10
			return b
		}), CheckWeights, "its SHA-256 is"},
		{"truncated weights", weights(truncate), CheckWeights, "its SHA-256 is"},
		{"missing weights", func(t *testing.T, c results.Campaign) {
			if err := os.Remove(c.WeightsPath(bad)); err != nil {
				t.Fatal(err)
			}
		}, CheckWeights, "no such file"},
		{"weights of another seed", func(t *testing.T, c results.Campaign) {
			other := bad
			other.Seed = 777
			edit(t, c.WeightsPath(bad), func([]byte) []byte {
				b, err := os.ReadFile(c.WeightsPath(other))
				if err != nil {
					t.Fatal(err)
				}
				return b
			})
		}, CheckWeights, "its SHA-256 is"},
		{"hash of other weights", sealed(replace(`("weights": \{[^}]*"sha256": ")[0-9a-f]{64}`, `"weights": {"name": "0003-0888.pth", "sha256": "`+strings.Repeat("0f", 32))), CheckWeights, "its SHA-256 is"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := results.Campaign{Dir: t.TempDir()}
			if err := os.CopyFS(c.Dir, os.DirFS(sound.Dir)); err != nil {
				t.Fatal(err)
			}
			test.plant(t, c)
			r := run(t, c.Dir, Options{})
			if len(r.Faults) != 1 || r.Faults[0].Check != test.check || !strings.Contains(r.Faults[0].What, test.what) {
				t.Errorf("found %v, want one of %s: %q", r.Faults, test.check, test.what)
			}
			read := 24
			if test.check == CheckFiles { // the fault names the file
				read--
			} else if len(r.Faults) == 1 && *r.Faults[0].Trial != bad {
				t.Errorf("found it in %v", r.Faults[0].Trial)
			}
			if r.Trials != read || len(r.Notes) > 0 {
				t.Errorf("%d of 24 trials read, notes %v", r.Trials, r.Notes)
			}
		})
	}
}

// A record that contradicts itself is a fault, and its weights are not evaluated; a clock
// that was set during the trial is a note.
func TestRecords(t *testing.T) {
	trials := resultstest.Grid(4)[:4]
	c := resultstest.Fill(t, trials...)
	wrong, unknown, slow := trials[0], trials[1], trials[2]
	edit(t, c.RecordPath(wrong), resealed(replace(`"momentum": 0.9`, `"momentum": 9`)))
	edit(t, c.RecordPath(slow), resealed(replace(`"finished": "2026-01-02T04`, `"finished": "2026-01-02T03`)))
	var evaluated []results.Trial
	r := run(t, c.Dir, Options{
		Record: func(r *results.Record) error {
			if r.Trial == unknown {
				return errors.New("nobody knows it")
			}
			return nil
		},
		Reevaluate: func(_ context.Context, r *benchmark.ResultsCount, _ torchfile.StateDict) ([]results.SetResult, error) {
			evaluated = append(evaluated, r.Trial)
			return nil, nil
		},
	})
	want := []Fault{{CheckRecord, &wrong, `the recipe's key "momentum" must be from 0 to below 1, not 9`}, {CheckRecord, &unknown, "nobody knows it"}}
	if !reflect.DeepEqual(r.Faults, want) {
		t.Errorf("found %v, want %v", r.Faults, want)
	}
	slices.SortFunc(evaluated, results.Trial.Compare)
	if !slices.Equal(evaluated, trials[2:]) {
		t.Errorf("evaluated %v", evaluated)
	}
	if i := slices.IndexFunc(r.Notes, func(n Note) bool { return n.Check == CheckRecord }); i < 0 ||
		r.Notes[i].String() != fmt.Sprintf("%s, %d epochs: its passes took longer than the whole trial: the clock was set in between (1 trials)", slow.Dataset, slow.Epochs) {
		t.Errorf("notes %v", r.Notes)
	}
}

func TestSoundCampaign(t *testing.T) {
	trials := append(resultstest.Grid(0, 4, 11), results.Trial{Arch: 4, Dataset: "digits", Epochs: 2, Seed: 1})
	c := resultstest.Fill(t, trials...)
	var last [2]int
	calls := 0
	r := run(t, c.Dir, Options{Progress: func(done, total int) { last = [2]int{done, total}; calls++ }})
	want := &Report{
		Path: c.Dir, Format: published.CampaignFormat, Architectures: 3, Trials: 37, Weights: 37,
		Checks: []Count{
			{CheckFiles, 75, 0}, {CheckIdentity, 37, 0}, {CheckCosts, 37, 0}, {CheckCurves, 37, 0}, {CheckValues, 37, 0}, {CheckRecord, 37, 0}, {CheckHalves, 18, 0}, {CheckSeeds, 37, 0}, {CheckSettings, 37, 0}, {CheckWeights, 37, 0},
		},
		Faults: []Fault{}, Notes: []Note{},
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("found %+v, want %+v", r, want)
	}
	if last != [2]int{78, 78} || calls != 78 {
		t.Errorf("progress ended at %v after %d calls", last, calls)
	}
}

// Records with and without the kernels for the CPU are sound, also in one campaign.
func TestKernelsOfRecords(t *testing.T) {
	trials := resultstest.Grid(4)[:3]
	c := resultstest.Fill(t, trials...)
	for i, kernels := range []string{"1 avx2", "none"} {
		edit(t, c.RecordPath(trials[i]), resealed(replace(`"xla_plugin": "0.115"`, `"xla_plugin": "0.115",
    "cpu_kernels": "`+kernels+`"`)))
		if r, err := c.Record(trials[i]); err != nil || r.Versions.Kernels != kernels {
			t.Errorf("%v, %v", r.Versions, err)
		}
	}
	if r := run(t, c.Dir, Options{}); len(r.Faults) > 0 || r.Trials != 3 {
		t.Errorf("%d trials, found %v", r.Trials, r.Faults)
	}
}

// TestLeftovers checks that files of no trial are noted, and are not faults.
func TestLeftovers(t *testing.T) {
	trial := results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 2, Seed: 111}
	c := resultstest.Fill(t, trial)
	other := trial
	other.Seed = 112
	left := []string{
		c.RecordPath(trial) + ".bak", c.WeightsPath(other), filepath.Join(filepath.Dir(c.RecordPath(trial)), ".0002-0112.json.ABC.tmp"),
		filepath.Join(c.Dir, "trials", "000004", "cifar10", "0002-111.json"), filepath.Join(c.Dir, "trials", "README"),
	}
	for _, path := range append(left, filepath.Join(c.Dir, "plan.json")) {
		if err := os.WriteFile(path, []byte("text"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, c.Dir, Options{})
	if len(r.Faults) > 0 || len(r.Notes) != len(left) {
		t.Errorf("found %v, notes %v", r.Faults, r.Notes)
	}
	for _, path := range left {
		if !slices.ContainsFunc(r.Notes, func(n Note) bool { return strings.HasPrefix(n.String(), path+" ") }) {
			t.Errorf("no note of %s: %v", path, r.Notes)
		}
	}
}

func TestOrder(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(0, 4, 11)...)
	for trial, err := range c.Trials() {
		if err != nil {
			t.Fatal(err)
		}
		edit(t, c.RecordPath(trial), resealed(replace(`"top5_percent": \[[0-9.]+`, `"top5_percent": [2`)))
	}
	r := run(t, c.Dir, Options{})
	ordered := slices.IsSortedFunc(r.Faults, func(a, b Fault) int { return a.Trial.Compare(*b.Trial) })
	if len(r.Faults) != 36 || !ordered {
		t.Errorf("%d faults, in order %v", len(r.Faults), ordered)
	}
}

func TestCancelled(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(0, 4)...)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, open(t, c.Dir), Options{Progress: func(done, _ int) {
		if done == 5 { // of 50
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended in %v", err)
	}
}

func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "trials"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), open(t, dir), Options{}); !usage.Is(err) || !strings.Contains(err.Error(), "contains no trials to verify") {
		t.Errorf("an empty campaign: %v", err)
	}
}

func TestStrings(t *testing.T) {
	trial := results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 2, Seed: 111}
	for _, test := range []struct {
		v    fmt.Stringer
		want string
	}{
		{Fault{CheckCosts, &trial, "too high"}, "architecture 4 on cifar10, 2 epochs, seed 111: costs: too high"},
		{Fault{CheckFiles, nil, "a.pth: gone"}, "files: a.pth: gone"},
		{Note{CheckCurves, "cifar10", "", 2, "no times", 3}, "cifar10, 2 epochs: no times (3 trials)"},
		{Note{CheckCurves, "cifar10", "warm", 2, "no times", 1}, "cifar10, recipe warm: no times (1 trials)"},
		{Note{Check: CheckFiles, What: "a.tmp is old"}, "a.tmp is old"},
	} {
		if got := test.v.String(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// setResult returns the results of a set of 10000 images.
func setResult(set string, loss, top1, top5 float64) results.SetResult {
	return results.SetResult{Set: set, Images: 10000, Averages: results.Averages{Loss: loss, Top1: top1, Top5: top5}}
}
