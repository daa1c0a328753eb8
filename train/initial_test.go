package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// digits50 is a dataset of digits that trains on whole batches of 50 and has an evaluation set of
// each order: sequential, and drawn again in every epoch.
const digits50 = `{
	"name": "digits50", "format": "digits", "classes": 10, "size": [16, 16],
	"mean": [77.97, 77.97, 77.97], "std": [95.73, 95.73, 95.73], "augment": {"flip": true, "crop_padding": 1},
	"train": {"from": "test", "order": "shuffle"},
	"eval": [
		{"name": "ori-test", "from": "train", "half": "first", "half_seed": 1, "order": "sequential"},
		{"name": "x-valid", "from": "train", "half": "second", "half_seed": 1, "order": "subset"}
	]
}`

// lightest is an architecture that compiles fast.
const lightest = "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|"

// lightWidths is a light architecture of the size search space in which a skip_connect projects and a
// residual block keeps its width.
const lightWidths = "8:16:8:8:24"

// onDigits50 returns the options of a trial that compiles in seconds.
func onDigits50(t *testing.T, epochs int, seed uint32) Options {
	t.Helper()
	return onDigits50Of(t, lightest, epochs, seed)
}

// onDigits50Of returns the options of such a trial of an architecture.
func onDigits50Of(t *testing.T, arch string, epochs int, seed uint32) Options {
	t.Helper()
	definition := filepath.Join(t.TempDir(), "digits50.json")
	write(t, definition, []byte(digits50))
	s := settings(4, 1, 50)
	s.Workers = 2
	return options(t, arch, definition, epochs, seed, s)
}

func resolve(t *testing.T, o Options) Config {
	t.Helper()
	c, err := o.Config()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func runTrial(t *testing.T, c Config) *Outcome {
	t.Helper()
	o, err := runAlone(t.Context(), t, c, func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	r := o.Record
	r.Device, r.Attempts, r.Versions = "cpu", 1, results.Versions{Program: "test", GoMLX: "test", Plugin: "test"}
	return o
}

// saved writes weights to a file and returns its path.
func saved(t *testing.T, weights torchfile.StateDict) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "W.pth")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := torchfile.Write(f, weights); err != nil {
		t.Fatal(err)
	}
	return path
}

// measuredAgain reports whether the results of stored weights are the last values of the trial's curve,
// on the CPU to the bit. On a GPU another program than the trial's may compute them. It rounds
// differently, and may therefore swap two classes of an image whose logits are nearly equal.
func measuredAgain(t *testing.T, precision configs.Precision, got results.SetResult, want results.Evaluation) bool {
	t.Helper()
	last := len(want.Loss) - 1
	if !devicetest.OnGPU(t) {
		return got.Loss == want.Loss[last] && got.Top1 == want.Top1[last] && got.Top5 == want.Top5[last]
	}
	losses := 1e-5
	if precision == configs.BF16 {
		losses = 5e-3
	}
	d, few := relative(got.Loss, want.Loss[last]), 2*100/float64(want.Images)
	t.Logf("%s: loss off by %.2g relative, top-1 by %.2g %%", want.Set, d, got.Top1-want.Top1[last])
	return d <= losses && math.Abs(got.Top1-want.Top1[last]) <= few && math.Abs(got.Top5-want.Top5[last]) <= few
}

// evaluateAgain publishes a trial, evaluates the stored weights and checks that this reproduces the
// last values of its curves, on the CPU to the bit.
func evaluateAgain(t *testing.T, o *Outcome, dataRoot string) {
	t.Helper()
	campaign := results.Campaign{Dir: t.TempDir()}
	if err := campaign.Publish(o.Record, o.Weights); err != nil {
		t.Fatal(err)
	}
	record, err := campaign.Record(o.Record.Trial)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := campaign.Weights(record)
	if err != nil {
		t.Fatal(err)
	}
	config, err := openSession(t).ConfigFor(record, dataRoot)
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]int{}
	sets, err := openSession(t).Evaluate(t.Context(), config, weights, func(p Progress) { images[p.Stage] += p.Images })
	if err != nil {
		t.Fatal(err)
	}
	if len(sets) != len(record.Eval) {
		t.Fatalf("evaluated %d sets, the trial had %d", len(sets), len(record.Eval))
	}
	for i, want := range record.Eval {
		last, got := record.Epochs-1, sets[i]
		if got.Set != want.Set || got.Images != want.Images || images[got.Set] != want.Images || got.Seconds <= 0 ||
			!measuredAgain(t, config.Settings.Precision, got, want) {
			t.Errorf("evaluated %+v, the record has loss %v, top-1 %v, top-5 %v on %s",
				got, want.Loss[last], want.Top1[last], want.Top5[last], want.Set)
		}
	}
}

// TestStoredPhotographs evaluates weights that were trained on real photographs.
func TestStoredPhotographs(t *testing.T) {
	root := needs.Photos(t)
	o := options(t, lightest, "../testdata/cifar10-small.json", 1, 777, settings(4, 1, 250))
	o.DataRoot = root
	evaluateAgain(t, runTrial(t, resolve(t, o)), root)
}

// TestStoredWeights trains a trial, evaluates its weights, and trains another from them.
func TestStoredWeights(t *testing.T) {
	t.Run("tss", func(t *testing.T) { checkStoredWeights(t, lightest) })
	t.Run("sss", func(t *testing.T) { checkStoredWeights(t, lightWidths) })
}

func checkStoredWeights(t *testing.T, arch string) {
	const epochs = 8
	trained := runTrial(t, resolve(t, onDigits50Of(t, arch, epochs, 777)))
	record := trained.Record

	t.Run("evaluate", func(t *testing.T) { evaluateAgain(t, trained, "") })

	t.Run("fine-tune", func(t *testing.T) {
		options := onDigits50Of(t, arch, 1, 888)
		options.Start.File = saved(t, trained.Weights)
		tuned := runTrial(t, resolve(t, options))
		if loss, scratch := tuned.Record.Train.Loss[0], record.Train.Loss[0]; !(loss < scratch/2) {
			t.Errorf("the first epoch's training loss is %v, from scratch it was %v", loss, scratch)
		}
		const steps = 450 / 50
		for i, w := range tuned.Weights {
			if w.Int64 != nil && (trained.Weights[i].Int64[0] != epochs*steps || w.Int64[0] != (epochs+1)*steps) {
				t.Errorf("%s is %d, in the file %d, after %d steps more", w.Name, w.Int64[0], trained.Weights[i].Int64[0], steps)
			}
		}
		sum, err := hashFile(options.Start.File)
		if want := (results.File{Name: "W.pth", SHA256: sum}); err != nil || tuned.Record.InitialWeights.File != want {
			t.Errorf("the record has the initial weights %+v, want %+v (%v)", tuned.Record.InitialWeights, want, err)
		}
		if err := tuned.Record.Validate(); err != nil {
			t.Error(err)
		}
	})
}

// TestInitialState checks that starting from a file changes only the weights: with a file of the
// weights that the seed draws, the trial is the same.
func TestInitialState(t *testing.T) {
	scratch := onDigits50(t, 2, 777)
	begun := func(o Options) (weights torchfile.StateDict, order data.Epoch) {
		c := resolve(t, o)
		tr := trialOf(t, c)
		if err := tr.initialise(); err != nil {
			t.Fatal(err)
		}
		defer tr.close()
		weights, err := tr.runner.Set.Whole.Weights(tr.runner.State, 0)
		if err != nil {
			t.Fatal(err)
		}
		return weights, tr.draw(tr.streams, 0).order
	}
	network := resolve(t, scratch).Network
	seven := network
	seven.Classes = 7
	profile := random.Profiles()[0]
	drawn, order := begun(scratch)
	own, other := InitialWeights(network, random.NewTorch(777), profile), InitialWeights(network, random.NewTorch(1), profile)
	for _, c := range []struct {
		name          string
		file          torchfile.StateDict
		newClassifier bool
		want          torchfile.StateDict // but for the classifier, where it is new
	}{
		{"the seed's own", own, false, drawn},
		{"another's", other, false, other},
		{"another's, new classifier", other, true, other},
		{"of 7 classes, new classifier", InitialWeights(seven, random.NewTorch(1), profile), true, other},
	} {
		o := scratch
		o.Start.File, o.Start.NewClassifier = saved(t, c.file), c.newClassifier
		weights, itsOrder := begun(o)
		for i, w := range weights {
			want := c.want[i]
			if c.newClassifier && slices.Contains(classifier, w.Name) {
				want = drawn[i]
			}
			if !reflect.DeepEqual(w.Tensor, want.Tensor) {
				t.Errorf("%s: %s differs", c.name, w.Name)
			}
		}
		if !reflect.DeepEqual(itsOrder, order) {
			t.Errorf("%s: the first epoch's order or crops differ", c.name)
		}
	}
}

// TestInitialRefused checks that every file that a trial cannot start from is a usage error.
func TestInitialRefused(t *testing.T) {
	scratch := onDigits50(t, 2, 777)
	network := resolve(t, scratch).Network
	draw := func(change func(*cell.Network)) torchfile.StateDict {
		other := network
		change(&other)
		return InitialWeights(other, random.NewTorch(1), random.Profiles()[0])
	}
	same := func(*cell.Network) {}
	seven := draw(func(n *cell.Network) { n.Classes = 7 })
	with := func(name string, t *torchfile.Tensor) torchfile.StateDict {
		weights := draw(same)
		for i, w := range weights {
			if w.Name == name {
				weights[i].Tensor = t
			}
		}
		return weights
	}
	float32s := func(value float64) *torchfile.Tensor {
		v := []float32{1, 2, 3, float32(value)}
		return &torchfile.Tensor{Shape: []int{4}, Float32: v}
	}
	prefixed := draw(same)
	prefixed[len(prefixed)-1].Name = "module.classifier.bias"
	renamed := draw(same)
	renamed[len(renamed)-1].Name = "classifier.offset"
	for _, c := range []struct {
		name    string
		weights torchfile.StateDict
		want    string
	}{
		{"channels", draw(func(n *cell.Network) { n.Channels = 8 }), "it has 47 of another shape (stem.0.weight[8 3 3 3] instead of [4 3 3 3]; "},
		{"architecture", draw(func(n *cell.Network) {
			arch := n.Arch.(cell.Cell)
			arch[0] = cell.NorConv3x3
			n.Arch = arch
		}), "the network"},
		{"classes", seven, "has a classifier of 7 classes (classifier.weight, classifier.bias), but the dataset has 10; use --new-classifier"},
		{"NaN", with("stem.1.running_var", float32s(math.NaN())), "stem.1.running_var has NaN at element 3"},
		{"infinite", with("lastact.0.bias", &torchfile.Tensor{Shape: []int{16}, Float32: slices.Repeat([]float32{float32(math.Inf(-1))}, 16)}),
			"lastact.0.bias has -Inf at element 0"},
		{"shape", with("stem.1.bias", &torchfile.Tensor{Shape: []int{2}, Float32: []float32{1, 2}}), "it has 1 of another shape (stem.1.bias[2] instead of [4])"},
		{"dtype", with("stem.1.bias", &torchfile.Tensor{Shape: []int{4}, Int64: []int64{1, 2, 3, 4}}), "stem.1.bias has the type int64, not a floating-point type"},
		{"beyond float32", with("stem.1.bias", &torchfile.Tensor{Shape: []int{4}, Float64: []float64{1, 2, 3, -1e39}}),
			"stem.1.bias has -1e+39 at element 3, which is beyond float32"},
		{"half a batch", with("stem.1.num_batches_tracked", &torchfile.Tensor{Float32: []float32{1.5}}),
			"stem.1.num_batches_tracked is 1.5, not a whole number of batches"},
		{"count too high for a float16", with("stem.1.num_batches_tracked", &torchfile.Tensor{Float16: []uint16{0x7c00}}),
			"stem.1.num_batches_tracked is +Inf, not a whole number of batches"},
		{"one count lacking", slices.DeleteFunc(draw(same), func(w torchfile.NamedTensor) bool { return w.Name == "stem.1.num_batches_tracked" }),
			"lacks 1 of the network's 57 tensors (stem.1.num_batches_tracked)"},
		{"one more", append(draw(same), torchfile.NamedTensor{Name: "n_averaged", Tensor: &torchfile.Tensor{Int64: []int64{1}}}),
			`it has 1 that the network does not have ("n_averaged")`},
		{"some with a prefix", prefixed,
			"it lacks 1 of the network's 57 tensors (classifier.bias), and has 1 that the network does not have (\"module.classifier.bias\")"},
		{"name", renamed, "it lacks 1 of the network's 57 tensors (classifier.bias), and has 1 that the network does not have (\"classifier.offset\")"},
		{"fewer", draw(same)[:3], "it lacks 45 of the network's 57 tensors (stem.1.running_mean; "},
	} {
		o := scratch
		o.Start.File = saved(t, c.weights)
		_, err := o.Config()
		if !usage.Is(err) || !strings.HasPrefix(err.Error(), "W.pth ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a usage error with %q", c.name, err, c.want)
		}
		_, err = openSession(t).Evaluate(t.Context(), resolve(t, scratch), c.weights, nil)
		if !usage.Is(err) {
			t.Errorf("%s: evaluation ends with %v, want a usage error", c.name, err)
		}
	}
}

func TestConfigForRefused(t *testing.T) {
	trial := results.Trial{Arch: 0, Dataset: "digits", Epochs: 2, Seed: 777}
	published, err := data.Published("digits")
	if err != nil {
		t.Fatal(err)
	}
	definition, err := json.Marshal(published)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(r *results.Record, old, new string) {
		r.Definition = []byte(strings.Replace(string(r.Definition), old, new, 1))
	}
	for _, c := range []struct {
		name   string
		change func(*results.Record)
		want   string // empty: no error
	}{
		{"as trained", func(*results.Record) {}, ""},
		{"key", func(r *results.Record) { replace(r, `"classes"`, `"klasses"`) },
			`architecture 0 on digits, 2 epochs, seed 777: dataset definition: unknown key "klasses"`},
		{"format", func(r *results.Record) { replace(r, `"format":"digits"`, `"format":"gif"`) }, `unknown format "gif"`},
		{"dataset", func(r *results.Record) { replace(r, `"name":"digits"`, `"name":"letters"`) },
			"defines letters, 10 classes and 16 pixels, but the record has digits"},
		{"profile", func(r *results.Record) { r.Parity.Profile = "2030" }, `unknown parity profile "2030"`},
		{"precision", func(r *results.Record) { r.Precision = "fp16" }, `unknown precision "fp16"`},
		{"batch", func(r *results.Record) { r.Recipe.Batch = 5000 }, "larger than the data"},
		{"images", func(r *results.Record) {
			r.DataFiles = []results.File{{Name: "digits.csv.gz", SHA256: strings.Repeat("0", 64)}}
		}, "SHA-256 of digits.csv.gz is"},
	} {
		r := resultstest.Record(t, trial)
		r.Definition, r.DataFiles = definition, nil
		c.change(r)
		_, err := openSession(t).ConfigFor(r, "")
		if c.want == "" && err != nil || c.want != "" && (!usage.Is(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestCheckRecord(t *testing.T) {
	defined := func(old, new string) func(*results.Record) {
		return func(r *results.Record) {
			r.Definition = []byte(strings.Replace(string(r.Definition), old, new, 1))
		}
	}
	for _, key := range append(configs.BenchmarkKeys(), "digits", resultstest.Own) {
		if err := CheckRecord(resultstest.Record(t, results.Trial{Dataset: key, Epochs: 2})); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, c := range []struct {
		name, key string
		change    func(*results.Record)
		want      string // empty: no error
	}{
		{"a set of nov2019", "cifar10-valid", func(r *results.Record) {
			d, err := data.Published(r.Dataset)
			if err != nil {
				t.Fatal(err)
			}
			if r.Definition, err = json.Marshal(d.ForTimeline(configs.Nov2019)); err != nil {
				t.Fatal(err)
			}
			r.Parity.Timeline, r.Eval = configs.Nov2019, r.Eval[1:]
		}, ""},
		{"all sets in nov2019", "cifar100", func(r *results.Record) { r.Parity.Timeline = configs.Nov2019 },
			"it differs from that of cifar100 in the timeline nov2019"},
		{"two sets in nov2019", resultstest.Own, func(r *results.Record) { r.Parity.Timeline = configs.Nov2019 },
			"it has 2 evaluation sets and the record 2, but the timeline nov2019 uses 1"},
		{"half", "cifar10-valid", func(r *results.Record) { r.Train.Images-- }, "it has 25000 images of training, but the record has 24999"},
		{"split", "ImageNet16-120", func(r *results.Record) { r.Eval[2].Images = 6000 }, "it has 3000 images of x-test, but the record has 6000"},
		{"published counts", "cifar10", defined("50000", "40000"), "it differs from that of cifar10"},
		{"no counts", resultstest.Own, func(r *results.Record) { r.Train.Images, r.Eval[0].Images = 512, 7 }, ""},
		{"own counts", resultstest.Own, defined(`"size"`, `"images":{"train":601,"test":201},"size"`), "it has 201 images of ori-test, but the record has 200"},
		{"own pixels", resultstest.Own, defined("125.3", "125.4"), ""},
		{"a set less", resultstest.Own, func(r *results.Record) { r.Eval = r.Eval[:1] }, "it has 2 evaluation sets and the record 1, but the timeline"},
		{"order of the sets", resultstest.Own, func(r *results.Record) { r.Eval[0], r.Eval[1] = r.Eval[1], r.Eval[0] },
			"it has the evaluation set ori-test where the record has x-valid"},
		{"evaluation sets alone", resultstest.Own, defined(`"augment":{"flip":true,"crop_padding":0},"train":{"from":"train","order":"shuffle"},`, ""),
			"has no training set, only evaluation sets"},
		{"no definition", resultstest.Own, func(r *results.Record) { r.Definition = []byte(`{}`) }, `dataset definition: key "name"`},
	} {
		r := resultstest.Record(t, results.Trial{Dataset: c.key, Epochs: 2})
		c.change(r)
		err := CheckRecord(r)
		if c.want == "" && err != nil || c.want != "" && (!usage.Is(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestPublishedConfig(t *testing.T) {
	trial := results.Trial{Arch: 11, Dataset: "digits", Epochs: 200, Seed: 888} // no CIFAR is here
	r := resultstest.Record(t, trial)
	c, err := openSession(t).PublishedConfig(&benchmark.ResultsCount{Trial: trial, Genotype: r.Genotype, Channels: 8, Cells: 1, Classes: 10}, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Trial != trial || c.Recipe.Batch != 256 || c.Recipe.Epochs != 200 || c.Network.Channels != 8 || c.Network.Cells != 1 || c.Settings.Workers != 4 ||
		c.Settings.Parity != "2019" {
		t.Errorf("config %+v", c)
	}
	for _, key := range []string{"cifar10", "MNIST", "../mine.json"} {
		trial.Dataset = key
		if _, err := openSession(t).PublishedConfig(&benchmark.ResultsCount{Trial: trial, Genotype: r.Genotype, Channels: 8, Cells: 1}, t.TempDir()); !usage.Is(err) {
			t.Errorf("%s: error %v, want a usage error", key, err)
		}
	}
}

// A published file of another search space has no weights of the trial's architecture, whose index is that
// of another one there.
func TestInitialOfAnotherSpace(t *testing.T) {
	for arch, want := range map[string]string{
		"11":          " holds architectures of the size search space, not of the topology search space; name another file with --from",
		"8:8:8:16:32": " has no weights of architecture 11 of the size search space; name another file with --from",
	} {
		o := onDigits50Of(t, arch, 1, 777)
		o.Start.File = "../testdata/published-sss/000011.pickle.pbz2"
		if _, err := o.Config(); !usage.Is(err) || err.Error() != o.Start.File+want {
			t.Errorf("%s: error %v, want %s%s", arch, err, o.Start.File, want)
		}
	}
}

// TestPickTrial checks that --from-trial, or the trial's own dataset, seed and schedule, select a
// trial, and that the error lists the trials otherwise.
func TestPickTrial(t *testing.T) {
	on := func(dataset string, epochs int, seed uint32) results.Trial {
		return results.Trial{Arch: 0, Dataset: dataset, Epochs: epochs, Seed: seed}
	}
	several := []results.Trial{on("digits", 2, 111), on("digits", 3, 111), on("digits", 3, 777), on("cifar10", 2, 111)}
	ofSizes := func(epochs int) results.Trial {
		return results.Trial{Space: cell.Size{}.Name(), Arch: 0, Dataset: "digits", Epochs: epochs, Seed: 777}
	}
	open := func(trials []results.Trial, keep bool) *benchmark.Architecture {
		c := results.Campaign{Dir: t.TempDir()}
		for _, trial := range trials {
			r := resultstest.Record(t, trial)
			var weights torchfile.StateDict
			if keep {
				weights = resultstest.Weights(t, r)
			}
			if err := c.Publish(r, weights); err != nil {
				t.Fatal(err)
			}
		}
		b, err := published.Open(t.Context(), c.Dir)
		if err != nil {
			t.Fatal(err)
		}
		a, err := b.Architecture(0)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	all, one, none := open(several, true), open(several[:1], true), open(several, false)
	sizes, noSizes := open([]results.Trial{ofSizes(1), ofSizes(12)}, true), open([]results.Trial{ofSizes(1)}, false)
	const list = "f.pth has weights of cifar10:2:111, digits:2:111, digits:3:111, digits:3:777; name one of them with --from-trial"
	for _, c := range []struct {
		a    *benchmark.Architecture
		pick string
		t    results.Trial
		want string // the trial or the error
	}{
		{all, "", on("digits", 200, 777), "digits:3:777"},
		{all, "", on("digits", 2, 111), "digits:2:111"},
		{all, "", on("cifar10", 200, 5), "cifar10:2:111"},
		{all, "", on("digits", 200, 111), list},
		{all, "", on("digits", 3, 5), list},
		{all, "", on("mine", 3, 777), list},
		{all, "digits:3:111", on("mine", 3, 777), "digits:3:111"},
		{all, "digits:3:888", on("digits", 3, 777), list},
		{all, "digits", on("digits", 3, 777), list},
		{one, "", on("mine", 200, 5), "digits:2:111"},
		{one, "digits:3:111", on("digits", 2, 111), "f.pth has weights of digits:2:111; name"},
		{none, "", on("digits", 3, 777), "f.pth has no weights of architecture 0;"},
		{sizes, "", ofSizes(1), "digits:01:777"},
		{sizes, "digits:12:777", ofSizes(1), "digits:12:777"},
		{noSizes, "", ofSizes(1), "f.pth has no weights of architecture 0 of the size search space;"},
	} {
		found, err := pickTrial("f.pth", c.a, c.pick, c.t)
		if err != nil {
			if !usage.Is(err) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%q for %v: error %v, want %q", c.pick, c.t, err, c.want)
			}
		} else if found.name != c.want || fmt.Sprintf("%s:%s:%d", found.Dataset, found.Schedule(), found.Seed) != c.want {
			t.Errorf("%q for %v: found %s (%v), want %s", c.pick, c.t, found.name, found.Trial, c.want)
		}
	}
}
