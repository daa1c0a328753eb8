package export

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// The published names are those that the clients look for: they open such exports without a path.
func TestAsPublished(t *testing.T) {
	interpreter := python(t)
	grid := resultstest.Grid(0)
	for i := range grid {
		grid[i].Epochs = map[int]int{2: 12, 3: 200}[grid[i].Epochs]
	}
	c, sized := resultstest.Fill(t, grid...), sizes(t, 0)
	dir := t.TempDir()
	for _, x := range []struct {
		c       results.Campaign
		options Options
		name    string
	}{
		{c, Options{Format: published.NASBench201}, "NAS-Bench-201-v1_1-096897.pth"},
		{c, Options{Format: published.Archive}, "NAS-Bench-201-v1_1-archive"},
		{c, Options{Format: published.NATS, Merged: true}, "NATS-tss-v1_0-3ffb9.pickle.pbz2"},
		{c, Options{Format: published.NATS}, "NATS-tss-v1_0-3ffb9-simple"},
		{c, Options{Format: published.NATS, Weights: true}, "NATS-tss-v1_0-3ffb9-full"},
		{sized, Options{Format: published.NATS, Merged: true}, "NATS-sss-v1_0-50262.pickle.pbz2"},
		{sized, Options{Format: published.NATS}, "NATS-sss-v1_0-50262-simple"},
		{sized, Options{Format: published.NATS, Weights: true}, "NATS-sss-v1_0-50262-full"},
	} {
		o := x.options
		o.To, o.AsPublished = dir, true
		if o.Format != published.Archive {
			o.Listed = ListAll
		}
		if report := exportWith(t, x.c, o); report.Path != filepath.Join(dir, x.name) {
			t.Errorf("made %s, not %s", report.Path, x.name)
		}
		if _, err := Run(t.Context(), open(t, x.c.Dir), o); !usage.Is(err) || !strings.Contains(err.Error(), x.name+" already exists") {
			t.Errorf("second export: %v", err)
		}
	}
	for _, x := range []struct {
		options Options
		want    string
	}{
		{Options{Format: published.CSV, To: dir}, "csv has no published name; only archive, nasbench201 and nats have one"},
		{Options{Format: published.Runs, To: dir}, "runs has no published name"},
		{Options{Format: published.NATS, To: filepath.Join(dir, "new")}, "new under a published name: it is not an existing directory"},
		{Options{Format: published.NASBench201, To: filepath.Join(dir, "new.pickle")}, "no plain pickle was published"},
	} {
		x.options.AsPublished = true
		if _, err := Run(t.Context(), open(t, c.Dir), x.options); !usage.Is(err) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: error %v, want %q", x.options, err, x.want)
		}
	}

	command := exec.Command(interpreter, "-c", `
from nats_bench import create
from nas_201_api import NASBench201API

for space, count in (("tss", 15625), ("sss", 32768)):
    for fast in (False, True):
        api = create(None, space, fast_mode=fast, verbose=False)
        assert len(api) == count, len(api)
        hp = "200" if space == "tss" else "90"
        print(space, fast, api.get_more_info(0, "cifar10", hp=hp, is_random=777)["test-accuracy"])
    assert api.get_net_param(0, "cifar10", 777, hp=hp) is None
    api.reload(None, 0)
    assert api.get_net_param(0, "cifar10", 777, hp=hp)
api = NASBench201API(None, verbose=False)
print("201", api.get_more_info(0, "cifar10", hp="200", is_random=777)["test-accuracy"])
api.reload(None, 0)
assert api.get_net_param(0, "cifar10", 777, "200")
`)
	command.Env = append(os.Environ(), "TORCH_HOME="+dir)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := map[string]int{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); f[0] == "tss" || f[0] == "sss" || f[0] == "201" {
			answers[f[len(f)-1]]++
		}
	}
	if len(answers) != 2 { // one for each space
		t.Errorf("the answers differ:\n%s", out)
	}
}

// A merged file can be a plain pickle: that of the compressed file, or the value in the checkpoint. It is read in
// place.
func TestPlainPickle(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	c, sized := resultstest.Fill(t, resultstest.Grid(0, 11)...), sizes(t, 0, 7)
	dir := t.TempDir()
	for _, x := range []struct {
		c         results.Campaign
		options   Options
		extension string // of the usual form
	}{
		{c, Options{Format: published.NATS, Less: "2", Full: "3"}, natsExtension},
		{c, Options{Format: published.NATS, Merged: true, Weights: true}, natsExtension},
		{sized, Options{Format: published.NATS, Merged: true}, natsExtension},
		{c, Options{Format: published.NASBench201, Less: "2", Full: "3"}, ".pth"},
	} {
		o := x.options
		o.To = filepath.Join(dir, "plain.pickle")
		usual := filepath.Join(dir, "usual"+x.extension)
		exportWith(t, x.c, o)
		plain, err := os.ReadFile(o.To)
		if err != nil {
			t.Fatal(err)
		}
		got := open(t, o.To)
		unpacked, err := filepath.Glob(filepath.Join(cache, "nb201", "*.pickle"))
		if err != nil || len(unpacked) > 0 {
			t.Errorf("opening it unpacked %v (%v)", unpacked, err)
		}
		o.To = usual
		exportWith(t, x.c, o)
		text, err := os.ReadFile(usual)
		if err != nil {
			t.Fatal(err)
		}
		if x.extension == natsExtension {
			var b bytes.Buffer
			if _, err := b.ReadFrom(bzip2.NewReader(bytes.NewReader(text))); err != nil || !bytes.Equal(b.Bytes(), plain) {
				t.Errorf("%+v: the pickle is not that of the compressed file (%v)", x.options, err)
			}
		} else if !bytes.Contains(text, plain) {
			t.Errorf("%+v: the pickle is not that in the checkpoint", x.options)
		}
		want := open(t, usual)
		if got.Format != want.Format || got.Space != want.Space || got.Listed != want.Listed || len(got.Evaluated()) != 2 {
			t.Errorf("%+v: read as %s, %s, lists %d, holds %v", x.options, got.Format, got.Space.Title(), got.Listed, got.Evaluated())
		}
		for _, index := range want.Evaluated() {
			g, err1 := got.Architecture(index)
			w, err2 := want.Architecture(index)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(values(t, g), values(t, w)) {
				t.Errorf("%+v: architecture %d differs", x.options, index)
			}
		}
		if err := errors.Join(os.Remove(usual), os.Remove(filepath.Join(dir, "plain.pickle")), os.RemoveAll(filepath.Join(cache, "nb201"))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// values returns an architecture with the weights in place of the functions that read them.
func values(t *testing.T, a *benchmark.Architecture) (all []any) {
	t.Helper()
	all = append(all, a.Index, a.Genotype)
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			weights, err := r.Weights()
			if err != nil {
				t.Fatal(err)
			}
			trial := *r
			trial.SetWeights(nil)
			all = append(all, s.HP, weights, trial)
		}
	}
	return all
}

// Programs that unpickle read both plain forms.
func TestPlainPickleInPython(t *testing.T) {
	interpreter := python(t)
	c := resultstest.Fill(t, resultstest.Grid(0)...)
	dir := t.TempDir()
	for name, format := range map[string]benchmark.Format{"201.pickle": published.NASBench201, "nats.pickle": published.NATS} {
		exportWith(t, c, Options{Format: format, To: filepath.Join(dir, name), Less: "2", Full: "3", Listed: ListAll})
	}
	out, err := exec.Command(interpreter, "-c", `
import pickle, sys
for name, slots in (("201", ["full", "less"]), ("nats", ["12", "200"])):
    with open(f"{sys.argv[1]}/{name}.pickle", "rb") as f:
        data = pickle.load(f)
    assert len(data["meta_archs"]) == data["total_archs"] == 15625
    assert sorted(data["arch2infos"][0]) == slots and list(data["evaluated_indexes"]) == [0]
    full = data["arch2infos"][0][slots[1] if name == "nats" else "full"]
    print(full["arch_str"], full["all_results"][("cifar10", 777)]["eval_acc1es"]["ori-test@2"], full["all_results"][("cifar10", 777)]["latency"])
`, dir).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != 2 || lines[0] != lines[1] || strings.Count(lines[0], "]") != 1 || strings.Contains(lines[0], "], ") {
		t.Errorf("%v\n%s", err, out)
	}
}
