// Package e2e tests nb201 end to end: it trains real trials, publishes them in a campaign and
// exports them; then the unmodified Python clients query the exports, and the original's network
// computes with the weights.
//
// The tests need the XLA plugin. Some need more: package needs finds it, or skips them.
package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend/devicetest"
	"nb201/internal/buildtest"
	"nb201/internal/needs"
	"nb201/internal/schematest"
	"nb201/results"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
	"nb201/train"
)

// program returns the path of nb201 for a test that makes its files in dir. At the end of the test it
// checks these against their schemas.
func program(t *testing.T, dir string) string {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			schematest.CheckDir(t, dir)
		}
	})
	return build(t)
}

// built builds nb201 once for all tests, in the test binary's directory, which go test removes. On a
// machine without Go (see tools/carry.sh) nb201 is in the directory above.
var built = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	if carried := filepath.Join(dir, "..", "nb201"); isFile(carried) {
		return carried, nil
	}
	path := filepath.Join(dir, "nb201")
	return path, buildtest.Build(path, "nb201/cmd/nb201")
})

// build returns the path of nb201.
func build(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// checkAlike checks that two records of the same trial are equal except for times. On the CPU they must
// agree to the bit. On a GPU two runs may round differently (see the tests of package train): on
// the CPU float32 and float64 are 2e-4 apart after two epochs of digits, and a GPU may have ten times
// that rounding.
func checkAlike(t *testing.T, what string, got, want *results.Record) {
	t.Helper()
	differences := want.Diff(got)
	if devicetest.OnGPU(t) {
		var losses float64
		losses, differences = resultstest.Apart(got, want)
		t.Logf("%s: losses %.2g relative apart", what, losses)
		if !(losses <= 1e-2) {
			differences = append(differences, fmt.Sprintf("losses are %.2g relative apart", losses))
		}
	}
	for _, difference := range differences {
		t.Errorf("%s: %s", what, difference)
	}
}

// trainInto trains a trial and publishes its record and weights, as nb201 train does.
func trainInto(t *testing.T, c results.Campaign, config train.Config) *results.Record {
	t.Helper()
	b := devicetest.Open(t)
	session := train.NewSession(b.Backend)
	defer session.Close()
	outcome, err := session.Run(t.Context(), config, func(train.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	r := outcome.Record
	r.Device, r.Attempts = b.Device, 1
	r.Versions = results.Versions{Program: "test", GoMLX: "test", Plugin: b.Plugin}
	if err := c.Publish(r, outcome.Weights); err != nil {
		t.Fatal(err)
	}
	last := r.Epochs - 1
	t.Logf("%v: compiled in %.1f s, training loss %.4f top-1 %.2f %%, %s loss %.4f top-1 %.2f %%",
		r.Trial, outcome.Compile.Seconds(), r.Train.Loss[last], r.Train.Top1[last], r.Eval[0].Set, r.Eval[0].Loss[last], r.Eval[0].Top1[last])
	return r
}

// exportAs exports a campaign with the given options.
func exportAs(t *testing.T, c results.Campaign, o export.Options) {
	t.Helper()
	b, err := published.Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := export.Run(t.Context(), b, o); err != nil {
		t.Fatal(err)
	}
}

// publishedSet returns the definition of a published dataset key.
func publishedSet(t *testing.T, key string) data.Definition {
	t.Helper()
	d, err := data.Published(key)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// definition returns a definition with one of the benchmark's dataset keys for a small number of
// images. Those of CIFAR-100 and ImageNet16-120 split the test images by a seed instead of the
// published lists.
func definition(t *testing.T, key string) data.Definition {
	if key == "cifar10-valid" || key == "cifar10" {
		return publishedSet(t, key)
	}
	d := publishedSet(t, "cifar10")
	d.Name, d.Classes = key, 100
	if key == "ImageNet16-120" {
		d.Classes, d.Size, d.Augment.CropPadding = 120, [2]int{16, 16}, 2
	}
	seed := uint64(0)
	d.Eval = append(d.Eval,
		data.SplitDefinition{Name: "x-valid", From: "test", Half: "first", HalfSeed: &seed, Order: data.Subset},
		data.SplitDefinition{Name: "x-test", From: "test", Half: "second", HalfSeed: &seed, Order: data.Subset})
	return d
}

// digitImages returns n images for a definition, made from the first n digits: it repeats their pixels to
// the definition's size and divides their ten classes evenly.
func digitImages(digits *data.Images, n int, d data.Definition) *data.Images {
	images := &data.Images{Size: d.Size[0]}
	scale, parts := images.Size/digits.Size, d.Classes/10
	for i, label := range digits.Labels[:n] {
		images.Labels = append(images.Labels, label*int32(parts)+int32(i%parts))
		for y := range images.Size {
			for x := range images.Size {
				at := 3 * ((i*digits.Size+y/scale)*digits.Size + x/scale)
				images.Pixels = append(images.Pixels, digits.Pixels[at:at+3]...)
			}
		}
	}
	return images
}

// smallBenchmark trains the first architectures on all dataset keys of the benchmark, with schedules
// 1 (one seed) and 2 (two seeds). On cifar10 the networks have the published size; elsewhere they
// have one cell per stage and half the channels, to compile and train faster.
func smallBenchmark(t *testing.T, architectures int) results.Campaign {
	t.Helper()
	digits, err := publishedSet(t, "digits").Load("")
	if err != nil {
		t.Fatal(err)
	}
	c := results.Campaign{Dir: filepath.Join(t.TempDir(), "campaign")}
	for _, key := range configs.BenchmarkKeys() {
		d := definition(t, key)
		n := 256 // one batch
		if key == "cifar10-valid" {
			n = 512 // half of them are trained on
		}
		loaded, err := data.New(d, map[string]*data.Images{
			"train": digitImages(digits.Train.Images, n, d), "test": digitImages(digits.Eval[0].Images, 128, d),
		})
		if err != nil {
			t.Fatal(err)
		}
		loaded.Files = digits.Files
		for index := range architectures {
			arch, err := cell.Topology{}.ByIndex(index)
			if err != nil {
				t.Fatal(err)
			}
			for _, trial := range []results.Trial{
				{Arch: index, Dataset: key, Epochs: 1, Seed: 777},
				{Arch: index, Dataset: key, Epochs: 2, Seed: 777},
				{Arch: index, Dataset: key, Epochs: 2, Seed: 888},
			} {
				settings := configs.Published()
				if key != "cifar10" { // full-size networks on one key
					settings.Channels, settings.Cells = 8, 1
				}
				recipe, err := settings.Recipe(trial.Epochs)
				if err != nil {
					t.Fatal(err)
				}
				trainInto(t, c, train.Config{
					Trial:   trial,
					Network: cell.Network{Arch: arch, Channels: recipe.Channels, Cells: recipe.Cells, Classes: d.Classes, Size: d.Size[0]},
					Recipe:  recipe, Settings: settings, Definition: d, Data: loaded,
				})
			}
		}
	}
	return c
}

// readmeCalls lists the calls shown in NAS-Bench-201's README, and those that NATS-Bench adds, by
// their names in testdata/readme_calls.py.
var readmeCalls = []string{
	"API(path)", "API(path, verbose=False)", "API(None)", "len(api)", "api[i]", "enumerate(api)",
	"api.show(1)", "api.show(2)",
	"api.query_meta_info_by_index", "info.get_metrics", "info.get_compute_costs",
	"api.query_by_index", "result.get_latency", "result.get_train()", "result.get_train(epoch)",
	"result.get_eval('x-valid')", "result.get_eval('x-test')",
	"api.query_index_by_arch", "api.get_net_config", "api.get_net_param", "api.get_net_param(None)",
	"api.get_more_info('cifar10')", "api.get_more_info('ImageNet16-120')", "api.reload",
	"torch.load(FULL)", "ResultsCount.create_from_state_dict", "print(result)",
	"result.get_train of a file", "result.get_train(epoch) of a file", "result.get_eval of a file",
	"result.get_eval(epoch) of a file", "result.get_latency of a file", "result.get_net_param", "result.get_config",
	"ArchResults.create_from_state_dict('less')", "ArchResults.create_from_state_dict('full')",
	"arch.arch_idx_str", "arch.get_dataset_names", "arch.get_compute_costs", "arch.get_metrics(False)", "arch.get_metrics(True)",
	"nats_bench.create", "api.find_best", "api.simulate_train_eval", "api.get_cost_info", "api.query_info_str_by_arch", "api.avaliable_hps",
}

var summary = regexp.MustCompile(`(?m)^(\d+) passed, (\d+) failed$`)

// torchHome exports a campaign in every format that the clients open. It returns the directory,
// which serves as $TORCH_HOME, where the README's API(None) looks.
func torchHome(t *testing.T, c results.Campaign) string {
	t.Helper()
	home := t.TempDir()
	for name, o := range map[string]export.Options{
		"NAS-Bench-201-v1_1-096897.pth": {Format: published.NASBench201},
		"NAS-Bench-201-v1_1-archive":    {Format: published.Archive},
		"runs":                          {Format: published.Runs},
		"NATS-tss-simple":               {Format: published.NATS},
		"NATS-tss-full":                 {Format: published.NATS, Weights: true},
		"NATS-tss.pickle.pbz2":          {Format: published.NATS},
	} {
		o.To, o.Less, o.Full = filepath.Join(home, name), "1", "2"
		exportAs(t, c, o)
	}
	return home
}

// checkClients runs the checker of the clients on all files below home, and expects it to pass at
// least the given number of checks.
func checkClients(t *testing.T, home string, architectures, checks int, environment ...string) {
	t.Helper()
	// Only the weights of a network of the published size can be reloaded.
	reloaded := t.TempDir()
	const full = "000000-FULL.pth"
	if err := os.Link(filepath.Join(home, "NAS-Bench-201-v1_1-archive", full), filepath.Join(reloaded, full)); err != nil {
		t.Fatal(err)
	}
	// With --autodl the checker loads the weights strictly into the original's network.
	out := python(t, environment, needs.Clients(t), "--hp-less", "1", "--hp-full", "2",
		"--expect-archs", strconv.Itoa(architectures), "--autodl", home, "--archive", reloaded, home)
	match := summary.FindSubmatch(out)
	if match == nil || string(match[2]) != "0" {
		t.Fatalf("%s", out)
	}
	t.Logf("%s", match[0])
	if passed, _ := strconv.Atoi(string(match[1])); passed < checks {
		t.Errorf("only %d checks:\n%s", passed, out)
	}
}

// python runs a script with NB201_PYTHON and returns its output.
func python(t *testing.T, environment []string, args ...string) []byte {
	t.Helper()
	command := exec.Command(needs.Python(t), args...)
	command.Env = append(os.Environ(), environment...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.Bytes())
	}
	return out
}

// The clients must answer each of their calls on files of trained trials.
func TestClients(t *testing.T) {
	needs.Python(t)
	needs.Clients(t)
	checkClients(t, torchHome(t, smallBenchmark(t, 1)), 1, 5000)
}

// The same for three architectures, with and without the protection of torch.load, and for every
// call shown in the READMEs. It trains 36 trials and needs NB201_NIGHTLY.
func TestClientsWhole(t *testing.T) {
	needs.Nightly(t)
	needs.Python(t)
	needs.Clients(t)
	home := torchHome(t, smallBenchmark(t, 3))
	for name, environment := range map[string][]string{
		"torch's default": nil,
		"no weights_only": {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1"},
	} {
		t.Run(name, func(t *testing.T) {
			checkClients(t, home, 3, 15000, environment...)
			out := python(t, environment, "testdata/readme_calls.py", home, filepath.Join(home, "NATS-tss-simple"),
				filepath.Join(home, "NATS-tss-full"), filepath.Join(home, "NATS-tss.pickle.pbz2"))
			outcome := map[string]*string{}
			if err := json.Unmarshal(out, &outcome); err != nil {
				t.Fatal(err)
			}
			for _, call := range readmeCalls {
				if failure, made := outcome[call]; !made {
					t.Errorf("%s was not called", call)
				} else if failure != nil {
					t.Errorf("%s %s", call, *failure)
				}
			}
			if len(outcome) != len(readmeCalls) {
				t.Errorf("%d calls were made, %d are listed", len(outcome), len(readmeCalls))
			}
		})
	}
}

// The client of the size search space must answer each of its calls on the published records, and on files of
// synthetic trials; wrong questions must fail as they do on the published ones. With -short it answers on the
// published records alone.
func TestSizeClients(t *testing.T) {
	needs.Python(t)
	check := func(name string, least int, args ...string) {
		outcome := map[string]*string{}
		if err := json.Unmarshal(python(t, nil, append([]string{"testdata/size_calls.py"}, args...)...), &outcome); err != nil {
			t.Fatal(err)
		}
		for call, failure := range outcome {
			if failure != nil {
				t.Errorf("%s: %s %s", name, call, *failure)
			}
		}
		if t.Logf("%s: %d calls", name, len(outcome)); len(outcome) < least {
			t.Errorf("%s: only %d calls were made", name, len(outcome))
		}
	}
	check("published", 60, filepath.Join("..", "testdata", "published-sss"))

	if !needs.IsLong() {
		return
	}
	c := resultstest.Fill(t, append(resultstest.PublishedIn(cell.Size{}, 0), resultstest.PublishedIn(cell.Size{}, 11)...)...)
	home := t.TempDir()
	const base = "NATS-sss-v1_0-50262"
	for name, o := range map[string]export.Options{
		base + "-simple": {}, base + "-full": {Weights: true}, base + ".pickle.pbz2": {}, "published-times": {Times: export.Published},
	} {
		o.Format, o.To = published.NATS, filepath.Join(home, name)
		exportAs(t, c, o)
	}
	check("measured times", 180, filepath.Join(home, base+"-simple"), home)
	check("published times", 60, filepath.Join(home, "published-times"))
}

// digits returns the configuration of a trial of a small network on digits.
func digits(t *testing.T, seed uint32, epochs int) train.Config {
	t.Helper()
	settings := configs.Published()
	settings.Cells = 1
	return trialConfig(t, "0", "digits", "", epochs, seed, settings)
}

// trialConfig returns the configuration of a trial described as on a command line.
func trialConfig(t *testing.T, arch, dataset, dataRoot string, epochs int, seed uint32, s configs.Settings) train.Config {
	t.Helper()
	resolved, err := cell.Resolve(cell.Topology{}, arch)
	if err != nil {
		t.Fatal(err)
	}
	o, err := train.NewOptions(resolved, dataset, strconv.Itoa(epochs), s)
	if err != nil {
		t.Fatal(err)
	}
	o.Seed, o.DataRoot = seed, dataRoot
	config, err := o.Config()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// The same command leaves the same record twice, except for times, and on the CPU the same weights.
// Another seed leaves different ones.
func TestSameCommandTwice(t *testing.T) {
	run := func(seed uint32) (*results.Record, []byte) {
		c := results.Campaign{Dir: t.TempDir()}
		r := trainInto(t, c, digits(t, seed, 2))
		weights, err := os.ReadFile(c.WeightsPath(r.Trial))
		if err != nil {
			t.Fatal(err)
		}
		return r, weights
	}
	first, weights := run(777)
	again, sameWeights := run(777)
	checkAlike(t, "again", again, first)
	switch equal := bytes.Equal(weights, sameWeights); {
	case devicetest.OnGPU(t):
		t.Logf("the same weights to the bit: %t", equal)
	case !equal:
		t.Error("the weights differ")
	}
	other, otherWeights := run(888)
	if other.Train.Loss[0] == first.Train.Loss[0] || bytes.Equal(weights, otherWeights) {
		t.Error("another seed changes nothing")
	}
}

// The original's network must reach the recorded accuracy with the weights. With -short they are those of
// digits alone.
func TestWeightsInOriginal(t *testing.T) {
	interpreter := needs.Python(t)
	check := func(t *testing.T, config train.Config, definition, dataRoot string) {
		t.Helper()
		c := results.Campaign{Dir: t.TempDir()}
		r := trainInto(t, c, config)
		// A network that learnt nothing reaches 10 %.
		if top1 := r.Eval[0].Top1[r.Epochs-1]; top1 < 15 {
			t.Errorf("top-1 %v %%: the network learnt too little for the comparison to mean anything", top1)
		}
		archive := filepath.Join(t.TempDir(), "archive")
		exportAs(t, c, export.Options{Format: published.Archive, To: archive, Less: r.Schedule()})
		out, err := exec.Command(interpreter, "../tools/check_weights.py", filepath.Join(archive, "000000-FULL.pth"), "--dataset", r.Dataset,
			"--seed", strconv.Itoa(int(r.Seed)), "--definition", definition, "--data", dataRoot).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		t.Logf("%s", bytes.TrimSpace(out))
	}
	t.Run("digits", func(t *testing.T) {
		check(t, digits(t, 777, 12), "../configs/datasets/digits.json", "../configs/digits")
	})
	if !needs.IsLong() {
		return
	}
	t.Run("photographs", func(t *testing.T) {
		const definition = "../testdata/cifar10-small.json"
		photographs := needs.Photos(t)
		settings := configs.Published()
		settings.Parity, settings.Workers = "modern", 0
		settings.Batch = 250 // divides the training images: one program less to compile
		check(t, trialConfig(t, "0", definition, photographs, 1, 777, settings), definition, photographs)
	})
}
