package results_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/usage"
	. "nb201/results"
	"nb201/results/resultstest"
)

// settings lists changes of a record, with the name of the difference and its scope: which trials
// must agree in it.
var settings = []struct {
	want   string
	change func(*Record)
	scope  Trial // the fields that must be equal are set
}{
	{"SHA-256 of data_batch_1 is " + strings.Repeat("1b", 32) + ", not " + strings.Repeat("0a", 32),
		func(r *Record) { r.DataFiles[0].SHA256 = strings.Repeat("1b", 32) }, ofKey},
	{"list of data files is data_batch_1, data_batch_2, not data_batch_1",
		func(r *Record) {
			r.DataFiles = append(r.DataFiles, File{Name: "cifar-10-batches-py/data_batch_2", SHA256: strings.Repeat("2c", 32)})
		}, ofKey},
	{"mean of the pixels is [120,123,113.9], not [125.3,123,113.9]", definition("125.3", "120"), ofKey},
	{`augmentation is {"crop_padding":0,"flip":false}, not {"crop_padding":4,"flip":true}`,
		definition(`"flip":true,"crop_padding":4`, `"flip":false,"crop_padding":0`), ofKey},
	{"batch is 128, not 256", func(r *Record) { r.Recipe.Batch = 128 }, ofSchedule},
	{"learning rate is 0.2, not 0.1", func(r *Record) { r.Recipe.LearningRate = 0.2 }, ofSchedule},
	{"last learning rate is 0.01, not 0", func(r *Record) { r.Recipe.EtaMin = 0.01 }, ofSchedule},
	{"momentum is 0.5, not 0.9", func(r *Record) { r.Recipe.Momentum = 0.5 }, ofSchedule},
	{"nesterov is false, not true", func(r *Record) { r.Recipe.Nesterov = false }, ofSchedule},
	{"weight decay is 0, not 0.0005", func(r *Record) { r.Recipe.WeightDecay = 0 }, ofSchedule},
	{"scheduler is constant, not cosine", func(r *Record) { r.Recipe.Scheduler = "constant" }, ofSchedule},
	{"decayed is weights, not absent", func(r *Record) { r.Recipe.Decayed = "weights" }, ofSchedule},
	{"label smoothing is 0.1, not absent", func(r *Record) { r.Recipe.LabelSmoothing = 0.1 }, ofSchedule},
	{`augmentation of the recipe is {"cutout":8}, not absent`, func(r *Record) { r.Recipe.Augment.Cutout = 8 }, ofSchedule},
	{"warmup is 1, not 0", func(r *Record) { r.Recipe.Warmup = 1 }, ofSchedule},
	{"parity is modern, not 2019", func(r *Record) { r.Parity.Profile = "modern" }, ofSchedule},
	{"timeline is nov2019, not dec2019", func(r *Record) { r.Parity.Timeline = "nov2019" }, ofSchedule},
	{"workers is 0, not 4", func(r *Record) { r.Parity.Workers = 0 }, ofSchedule},
	{"precision is bf16, not fp32", func(r *Record) { r.Precision = "bf16" }, ofSchedule},
	{"list of evaluation sets is x-valid, not ori-test", definition(`"name":"ori-test"`, `"name":"x-valid"`), ofSchedule},
	{`evaluation set ori-test is {"from":"train","name":"ori-test","order":"sequential"}, not {"from":"test","name":"ori-test","order":"sequential"}`,
		definition(`"from":"test"`, `"from":"train"`), ofSchedule},
	{"source of the initial weights is a file, not the seed", startFrom("3d"), ofSchedule},
}

var (
	ofKey      = Trial{Dataset: "cifar10"}
	ofSchedule = Trial{Dataset: "cifar10", Epochs: 2}
)

func definition(old, new string) func(*Record) {
	return func(r *Record) { r.Definition = []byte(strings.Replace(string(r.Definition), old, new, 1)) }
}

func startFrom(digits string) func(*Record) {
	return func(r *Record) {
		r.InitialWeights = &StartWeights{File: File{Name: "0002-0001.pth", SHA256: strings.Repeat(digits, 32)}}
	}
}

// record makes a record of a trial with a complete dataset definition.
func record(t *testing.T, trial Trial) *Record {
	r := resultstest.Record(t, trial)
	r.Definition = []byte(`{"name":"cifar10","format":"cifar10-python","path":"cifar","classes":10,"size":[32,32],` +
		`"mean":[125.3,123,113.9],"std":[63,62.1,66.7],"augment":{"flip":true,"crop_padding":4},` +
		`"train":{"from":"train","order":"shuffle"},"eval":[{"name":"ori-test","from":"test","order":"sequential"}]}`)
	return r
}

// A change of any single setting is a difference, within its scope.
func TestDiffer(t *testing.T) {
	first := record(t, Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 1}).Settings()
	for _, trial := range []Trial{
		{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 2}, {Arch: 4, Dataset: "cifar10", Epochs: 2, Seed: 1}, {Arch: 3, Dataset: "cifar10", Epochs: 3, Seed: 1}, {Arch: 4, Dataset: "cifar10", Epochs: 3, Seed: 2}, {Arch: 3, Dataset: "cifar100", Epochs: 2, Seed: 1},
	} {
		if d := record(t, trial).Settings().Differ(first); d != nil {
			t.Errorf("%v: %v", trial, d)
		}
		for _, s := range settings {
			r := record(t, trial)
			s.change(r)
			want := s.want
			if trial.Dataset != s.scope.Dataset || s.scope.Epochs != 0 && trial.Epochs != s.scope.Epochs {
				want = ""
			}
			if got := r.Settings().Differ(first).String(); got != want {
				t.Errorf("%v: %q, want %q", trial, got, want)
			}
		}
	}
}

// Two seeds of an architecture start from the same weights; two architectures cannot.
func TestDifferInStartWeights(t *testing.T) {
	from := func(trial Trial, digits string) Settings {
		r := record(t, trial)
		startFrom(digits)(r)
		return r.Settings()
	}
	first := from(Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 1}, "3d")
	if d := from(Trial{Arch: 4, Dataset: "cifar10", Epochs: 2, Seed: 1}, "4e").Differ(first); d != nil {
		t.Errorf("another architecture: %v", d)
	}
	if d := from(Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 2}, "3d").Differ(first); d != nil {
		t.Errorf("the same file: %v", d)
	}
	r := record(t, Trial{Arch: 4, Dataset: "cifar10", Epochs: 2, Seed: 1})
	startFrom("4e")(r)
	r.InitialWeights.SetNewClassifier()
	if d := r.Settings().Differ(first); d.String() != "source of the classifier to start from is the seed, not the file" {
		t.Errorf("a new classifier: %v", d)
	}
	want := "SHA-256 of the initial weights is " + strings.Repeat("4e", 32) + ", not " + strings.Repeat("3d", 32)
	if d := from(Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 2}, "4e").Differ(first); d.String() != want {
		t.Errorf("another file: %v", d)
	}
}

func TestDifferentFiles(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for name, c := range map[string]struct {
		files, others []File
		want          string
	}{
		"the same":          {[]File{{Name: "d/x", SHA256: a}, {Name: "d/y", SHA256: b}}, []File{{Name: "d/x", SHA256: a}, {Name: "d/y", SHA256: b}}, ""},
		"another directory": {[]File{{Name: "new/x", SHA256: a}}, []File{{Name: "old/x", SHA256: a}}, ""},
		"renamed":           {[]File{{Name: "d/x2", SHA256: a}}, []File{{Name: "d/x", SHA256: a}}, ""},
		"swapped":           {[]File{{Name: "d/x", SHA256: b}, {Name: "d/y", SHA256: a}}, []File{{Name: "d/x", SHA256: a}, {Name: "d/y", SHA256: b}}, "SHA-256 of x is " + b + ", not " + a + "; SHA-256 of y is " + a + ", not " + b},
		"moved and changed": {[]File{{Name: "new/x", SHA256: b}}, []File{{Name: "old/x", SHA256: a}}, "SHA-256 of x is " + b + ", not " + a},
		"one less":          {[]File{{Name: "d/x", SHA256: a}}, []File{{Name: "d/x", SHA256: a}, {Name: "d/y", SHA256: b}}, "list of data files is x, not x, y"},
		"not known":         {nil, []File{{Name: "d/x", SHA256: a}}, ""},
	} {
		if got := DifferentFiles(c.files, c.others).String(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A campaign refuses a trial that differs from the finished ones, whichever of them exist, and
// publishing checks it again.
func TestCampaignIsOneExperiment(t *testing.T) {
	finished := record(t, Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 1})
	c := Campaign{Dir: t.TempDir()}
	if err := c.Publish(finished, resultstest.Weights(t, finished)); err != nil {
		t.Fatal(err)
	}
	before := filesIn(t, c.Dir)
	for _, trial := range []Trial{{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 2}, {Arch: 2, Dataset: "cifar10", Epochs: 2, Seed: 1}, {Arch: 15624, Dataset: "cifar10", Epochs: 2, Seed: 1}} {
		for _, s := range settings {
			r := record(t, trial)
			s.change(r)
			for _, err := range []error{c.CheckSettings(r.Settings()), c.Publish(r, resultstest.Weights(t, r))} {
				if !usage.Is(err) || !strings.Contains(err.Error(), finished.Trial.String()+": "+s.want+";") || !strings.Contains(err.Error(), "--out") {
					t.Errorf("%v: error %v, want %q", trial, err, s.want)
				}
			}
		}
	}
	if after := filesIn(t, c.Dir); !slices.Equal(before, after) {
		t.Errorf("left %q", after)
	}
	// The results of a trial that is refused at its end are kept.
	late := record(t, Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 9})
	late.Recipe.Batch = 128
	kept := Campaign{Dir: filepath.Join(c.Dir, "refused", "000003-cifar10-0002-0009")}
	err := c.PublishOrKeep(late, resultstest.Weights(t, late))
	if !usage.Is(err) || !errors.Is(err, ErrOtherExperiment) || !strings.HasSuffix(err.Error(), "; its record and weights are kept in "+kept.Dir) {
		t.Errorf("error %v", err)
	}
	if r, err := kept.Record(late.Trial); err != nil || r.Recipe.Batch != 128 {
		t.Errorf("kept %v, %v", r, err)
	}
	longer := record(t, Trial{Arch: 7, Dataset: "cifar10", Epochs: 3, Seed: 1})
	longer.Recipe.Batch = 128 // of another schedule
	if err := c.Publish(longer, resultstest.Weights(t, longer)); err != nil {
		t.Error(err)
	}
	longer = record(t, Trial{Arch: 8, Dataset: "cifar10", Epochs: 3, Seed: 1})
	if err := c.CheckSettings(longer.Settings()); !usage.Is(err) || !strings.Contains(err.Error(), "batch is 256, not 128") {
		t.Errorf("error %v", err)
	}
}

// A damaged record does not restrict the settings.
func TestDamagedRecordFixesNothing(t *testing.T) {
	c := Campaign{Dir: t.TempDir()}
	r := record(t, Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 1})
	if err := c.Publish(r, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(c.RecordPath(r.Trial), 0); err != nil {
		t.Fatal(err)
	}
	if done, err := c.Done(r.Trial); done || !errors.Is(err, ErrDamaged) {
		t.Errorf("done %v, %v", done, err)
	}
	other := record(t, Trial{Arch: 3, Dataset: "cifar10", Epochs: 2, Seed: 2})
	other.Recipe.Batch = 128
	if err := c.Publish(other, nil); err != nil {
		t.Error(err)
	}
	r = record(t, r.Trial)
	r.Recipe.Batch = 128
	if err := c.Publish(r, nil); err != nil { // in place of the damaged one, which is kept
		t.Error(err)
	}
	if kept, err := os.ReadFile(c.RecordPath(r.Trial) + ".damaged"); err != nil || len(kept) != 0 {
		t.Errorf("kept %q, %v", kept, err)
	}
}
