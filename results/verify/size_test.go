package verify

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/needs"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// sizeTrials returns the published trials of architectures of the size search space.
func sizeTrials(archs ...int) (trials []results.Trial) {
	for _, arch := range archs {
		trials = append(trials, resultstest.PublishedIn(cell.Size{}, arch)...)
	}
	return trials
}

// TestPlantedInSizes plants a fault in a trial of architecture 11, 8:8:8:16:32, of the size search space.
func TestPlantedInSizes(t *testing.T) {
	c := resultstest.Fill(t, sizeTrials(11)...)
	valid := func(r *benchmark.ResultsCount) *benchmark.Measures { m, _ := r.Set("x-valid"); return m }
	network := func(text string, r *benchmark.ResultsCount) cell.Network {
		arch, err := cell.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		n := cell.Network{Arch: arch, Classes: r.Classes, Size: 32}
		if arch.Space() == (cell.Topology{}) {
			n.Channels, n.Cells = 16, 5
		}
		return n
	}
	for name, test := range map[string]struct {
		plant func(a *benchmark.Architecture, r *benchmark.ResultsCount)
		check Check
		what  string
		found int
	}{
		"parameters of another architecture": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) {
			r.Params = network("8:8:8:32:16", r).Params()
		}, CheckCosts, "million parameters; its network has 0.0", 1},
		"parameters as NATS-Bench's README reads the widths": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) {
			r.Params = network("8:8:16:8:32", r).Params()
		}, CheckCosts, "million parameters; its network has 0.0", 1},
		"FLOPs of another image size": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) {
			n := network("8:8:8:16:32", r)
			n.Size = 16
			r.FLOPs = n.FLOPs()
		}, CheckCosts, "million FLOPs; its network has", 1},
		"channels of the topology search space": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) { r.Channels, r.Cells = 16, 5 }, CheckCosts, "fix its channels and cells", 1},
		"swapped widths": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) {
			n := network("8:8:8:32:16", r)
			r.Genotype, r.FLOPs, r.Params = n.Arch.String(), n.FLOPs(), n.Params()
		}, CheckIdentity, "its genotype is 8:8:8:32:16; architecture 11 has 8:8:8:16:32", 2}, // and other costs than seed 777
		"an architecture of the topology search space": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) {
			a, _ := cell.Topology{}.ByIndex(11)
			r.Trial.Space, r.Genotype, r.Channels, r.Cells = "", a.String(), 16, 5
			n := network(r.Genotype, r)
			r.FLOPs, r.Params = n.FLOPs(), n.Params()
		}, CheckIdentity, "it is stored as a trial of the size search space", 2},
		"another index": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) { r.Arch = 12 }, CheckIdentity, "it is stored as a trial of architecture 11", 1},
		"an epoch is missing": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) {
			r.Training.Loss = slices.Delete(slices.Clone(r.Training.Loss), 5, 6)
		}, CheckCurves, "training: loss lacks epoch 5; it has 11 of 12 epochs", 1},
		"only the last epoch of a set": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) { lastOnly(valid(r)) }, CheckCurves, "x-valid: loss lacks epoch 0; it has 1 of 12 epochs", 3},
		"only the first set":           {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) { r.Evaluation = r.Evaluation[:1] }, CheckCurves, "evaluation sets [x-valid x-test] are missing", 1},
		"not a number":                 {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Loss[3].Value = math.NaN() }, CheckValues, "x-valid: loss is NaN at epoch 3", 2},
		"negative time":                {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) { valid(r).Seconds[3].Value = -1 }, CheckValues, "x-valid: time is -1 at epoch 3", 1},
		"zero latency":                 {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) { r.Latencies = []float64{0} }, CheckValues, "latency 0 is 0 s", 1},
		"another mean of x-valid and x-test": {func(_ *benchmark.Architecture, r *benchmark.ResultsCount) {
			m, _ := r.Set("ori-test")
			m.Top1[7].Value++
		}, CheckHalves, "top-1 accuracy of ori-test is", 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := published11(t, c)
			r, err := a.Schedule("12")
			if err != nil {
				t.Fatal(err)
			}
			trials, err := r.Query("cifar100", 888)
			if err != nil {
				t.Fatal(err)
			}
			test.plant(a, trials[0])
			var f findings
			f.checkArchitecture(a)
			planted := func(fault Fault) bool {
				return fault.Check == test.check && *fault.Trial == trials[0].Trial && strings.Contains(fault.What, test.what)
			}
			if len(f.faults) != test.found || !slices.ContainsFunc(f.faults, planted) {
				t.Errorf("found %v, want %d of %s: %q", f.faults, test.found, test.check, test.what)
			}
		})
	}
}

// Weights must be those of the architecture's widths.
func TestPlantedInWeightsOfSizes(t *testing.T) {
	of := func(arch int) *results.Record {
		return resultstest.Record(t, results.Trial{Space: "sss", Arch: arch, Dataset: "cifar10", Epochs: 12, Seed: 777})
	}
	record := of(11)
	r := benchmark.FromRecord(record)
	weights := resultstest.Weights(t, record)
	for name, x := range map[string]struct {
		weights torchfile.StateDict
		want    string
	}{
		"sound":           {weights, ""},
		"swapped widths":  {resultstest.Weights(t, of(25)), "weights of another architecture?"}, // 8:8:8:32:16
		"a layer less":    {slices.DeleteFunc(slices.Clone(weights), func(w torchfile.NamedTensor) bool { return strings.Contains(w.Name, "layers.3") }), "tensors, but the network has"},
		"module's prefix": {append(torchfile.StateDict{{Name: "module." + weights[0].Name, Tensor: weights[0].Tensor}}, weights[1:]...), "module.stem.0.weight"},
	} {
		var f findings
		if sound := f.checkWeights(r, x.weights); sound != (x.want == "") || !sound && (len(f.faults) != 1 || !strings.Contains(f.faults[0].What, x.want)) {
			t.Errorf("%s: found %v, want %q", name, f.faults, x.want)
		}
	}
}

// The published records are sound, and nothing in them is odd.
func TestPublishedSizes(t *testing.T) {
	r := run(t, filepath.Join("..", "..", "testdata", "published-sss"), Options{})
	r.Notes = slices.DeleteFunc(r.Notes, func(n Note) bool { return n.Trials == 0 }) // of files
	if len(r.Faults) > 0 || r.Trials != 40 || len(r.Notes) > 0 {
		t.Errorf("%d trials, found %v, notes %v", r.Trials, r.Faults, r.Notes)
	}
}

// Exports and campaigns are sound, and faults planted in their files are found.
func TestPlantedInFilesOfSizes(t *testing.T) {
	needs.Long(t, "writes files again and again")
	c := resultstest.Fill(t, sizeTrials(4, 11)...)
	if r := run(t, c.Dir, Options{}); len(r.Faults) > 0 || r.Trials != 40 || r.Weights != 40 {
		t.Errorf("campaign: %d trials, %d with weights, found %v", r.Trials, r.Weights, r.Faults)
	}
	sound := t.TempDir()
	for name, x := range map[string]struct {
		options export.Options
		weights int
	}{
		"runs": {export.Options{Format: published.Runs}, 40}, "nats": {export.Options{Format: published.NATS, Times: export.Published}, 0},
		"full": {export.Options{Format: published.NATS, Weights: true}, 32}, "merged.pickle.pbz2": {export.Options{Format: published.NATS}, 0},
		"parquet": {export.Options{Format: published.Parquet}, 0}, "csv": {export.Options{Format: published.CSV}, 0},
	} {
		x.options.To = filepath.Join(sound, name)
		if _, err := export.Run(t.Context(), open(t, c.Dir), x.options); err != nil {
			t.Fatal(err)
		}
		if r := run(t, x.options.To, Options{}); len(r.Faults) > 0 || r.Trials != 40 || r.Weights != x.weights {
			t.Errorf("%s: %d trials, %d with weights, found %v", name, r.Trials, r.Weights, r.Faults)
		}
	}
	rename := func(from, to string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(name string, change func([]byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { edit(t, filepath.Join(dir, name), change) }
	}
	flip := func(b []byte) []byte { b = slices.Clone(b); b[len(b)/5] ^= 1; return b } // in a large tensor of cifar10-valid
	for name, x := range map[string]struct {
		of    string
		plant func(t *testing.T, dir string)
		want  []string // checks
		what  string
	}{
		"a flipped bit in a run":    {"runs", change("raw-data-12/arch-000004-seed-0888.pth", flip), []string{"files", "weights"}, ""},
		"a flipped bit in a record": {"full", change("000004.pickle.pbz2", flip), []string{"files"}, ""},
		"a truncated record":        {"nats", change("000004.pickle.pbz2", truncate), []string{"files"}, ""},
		"a run of another index":    {"runs", rename("raw-data-12/arch-000004-seed-0888.pth", "raw-data-12/arch-000012-seed-0888.pth"), []string{"files"}, `channels is "8:8:8:8:40"; architecture 12 has "8:8:8:16:40"`},
		"a record of another index": {"nats", rename("000004.pickle.pbz2", "000012.pickle.pbz2"), []string{"files"}, "it is architecture 4, 8:8:8:8:40; expected 12, 8:8:8:16:40"},
		"widths swapped in a table": {"csv", change("trials.csv", func(b []byte) []byte { return bytes.Replace(b, []byte("8:8:8:16:32"), []byte("8:8:8:32:16"), 1) }), []string{"files"}, "does not match architecture 11"},
		"the other space in a table": {"csv", change("trials.csv", func(b []byte) []byte {
			return bytes.Replace(b, []byte("\n11,8:8:8:16:32"), []byte("\n11,|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"), 1)
		}), []string{"files"}, "does not match architecture 11"},
		"costs in a table":            {"csv", change("trials.csv", func(b []byte) []byte { return bytes.Replace(b, []byte(",10,"), []byte(",10,1"), 1) }), []string{"costs"}, "million FLOPs; its network has"},
		"a record with another width": {"campaign", change("trials/sss-000004/cifar10/0012-0888.json", func(b []byte) []byte { return bytes.Replace(b, []byte("8:8:8:8:40"), []byte("8:8:8:40:8"), 1) }), []string{"files"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			source, dir := filepath.Join(sound, x.of), filepath.Join(t.TempDir(), "copy")
			if x.of == "campaign" {
				source = c.Dir
			}
			if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
				t.Fatal(err)
			}
			x.plant(t, dir)
			r := run(t, dir, Options{})
			found := map[string]bool{}
			said := false
			for _, fault := range r.Faults {
				found[string(fault.Check)] = true
				said = said || strings.Contains(fault.String(), x.what)
			}
			for _, check := range x.want {
				if !found[check] {
					t.Errorf("nothing found of %s", check)
				}
			}
			if len(found) != len(x.want) || !said {
				t.Errorf("found %v, want %v with %q", r.Faults, x.want, x.what)
			}
		})
	}
}
