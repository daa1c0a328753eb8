package plan

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"nb201/cell"
	"nb201/results"
	"nb201/results/resultstest"
)

func near(got, want, relative float64) bool { return math.Abs(got-want) <= relative*math.Abs(want) }

func TestFitLine(t *testing.T) {
	for _, c := range []struct {
		points []point
		want   Line
	}{
		{[]point{{10, 3}, {20, 5}, {30, 7}}, Line{1, 0.2}},
		{[]point{{10, 5}, {30, 5}}, Line{5, 0}},
		{[]point{{10, 7}, {20, 5}}, Line{6, 0}},         // falls with the FLOPs: 6 fits better than 0.34 a MFLOP
		{[]point{{10, 1}, {20, 3}}, Line{0, 70. / 500}}, // would begin below 0
		{[]point{{10, 2}, {10, 4}}, Line{0, 0.3}},
		{[]point{{10, 2}}, Line{0, 0.2}},
	} {
		got := fitLine(c.points)
		if math.Abs(got.PerImage-c.want.PerImage) > 1e-9 || math.Abs(got.PerMFLOP-c.want.PerMFLOP) > 1e-9 {
			t.Errorf("%v: %+v, want %+v", c.points, got, c.want)
		}
	}
}

// timed publishes records of a device with known rates, each n-th on another device.
func timed(t *testing.T, trials []results.Trial, truth Rate, spread float64, others int) results.Campaign {
	t.Helper()
	c := results.Campaign{Dir: t.TempDir()}
	for i, trial := range trials {
		r := resultstest.Record(t, trial)
		r.Device = truth.Device
		if others > 0 && i%others == 0 {
			r.Device = "another"
		}
		factor := 1 + spread*(float64(trial.Arch/1000%3)-1)
		total := truth.PerTrial
		set := func(p *results.Pass, l Line) {
			for k := range p.Seconds {
				p.Seconds[k] = l.seconds(float64(p.Images), r.FLOPs) * factor
				total += p.Seconds[k]
			}
		}
		set(&r.Train, truth.Train)
		for k := range r.Eval {
			set(&r.Eval[k].Pass, truth.Eval)
		}
		r.Finished = r.Started.Add(time.Duration(total * float64(time.Second)))
		if err := c.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// MeasureRate finds the rate with which the times of the records were computed.
func TestMeasureRate(t *testing.T) {
	truth := Rate{Device: "GPU", Train: Line{3e-5, 2e-6}, Eval: Line{1e-5, 5e-7}, PerTrial: 20}
	var trials []results.Trial
	for arch := range 12 {
		for _, key := range []string{"cifar10-valid", "cifar100", "ImageNet16-120"} {
			trials = append(trials, results.Trial{Arch: arch * 1000, Dataset: key, Epochs: 2 + arch%2, Seed: 777})
		}
	}
	slices.SortFunc(trials, results.Trial.Compare)
	for _, spread := range []float64{0, 0.1} {
		c := timed(t, trials, truth, spread, 5)
		rate, err := MeasureRate(t.Context(), c, trials, "fp32")
		if err != nil {
			t.Fatal(err)
		}
		if rate.Device != "GPU" || rate.Trials != 28 || rate.Archs != 12 || rate.Error > spread+1e-9 || spread > 0 && rate.Error < 0.05 {
			t.Errorf("spread %g: %+v", spread, rate)
		}
		w := Work{Train: 12 * 50000, Eval: 12 * 10000, MFLOPs: 5} // among those measured
		if got, want := rate.Seconds(w), truth.Seconds(w); !near(got, want, 1e-6+spread/2) {
			t.Errorf("spread %g: %g s, want %g", spread, got, want)
		}
		if spread == 0 && (!near(rate.Train.PerImage, 3e-5, 1e-6) || !near(rate.Eval.PerMFLOP, 5e-7, 1e-6) || !near(rate.PerTrial, 20, 1e-3)) {
			t.Errorf("%+v", rate)
		}
		// Another precision has no rate. Damaged records are skipped.
		if rate, err := MeasureRate(t.Context(), c, trials, "tf32"); rate != nil || err != nil {
			t.Errorf("in tf32: %+v, %v", rate, err)
		}
		if err := os.Truncate(c.RecordPath(trials[1]), 100); err != nil {
			t.Fatal(err)
		}
		if rate, err := MeasureRate(t.Context(), c, trials, "fp32"); err != nil || rate.Trials != 27 {
			t.Errorf("with a damaged record: %+v, %v", rate, err)
		}
	}
}

func TestEstimateImages(t *testing.T) {
	p := mustNew(t, defaults, selection(t, "0-9", []string{"cifar10-valid", "ImageNet16-120"}, []int{12, 200}, 1, 2))
	c := p.Estimate(p.Trials(), FixedRate(1000))
	train := 10 * 2 * (12. + 200) * (25000 + 151700)
	eval := 10 * 2 * (12. + 200) * (35000 + 12000)
	if c.Trials != 80 || c.TrainImages != train || c.EvalImages != eval || !near(c.Seconds, train/1000+eval/3000, 1e-9) {
		t.Errorf("%+v, want %g images to train on and %g to evaluate", c, train, eval)
	}
	if c := p.Estimate(p.Trials(), nil); c.Seconds != 0 {
		t.Errorf("without a rate %g s", c.Seconds)
	}
}

// The estimated disk space is within 10 % of the files' size, for each kind of trial.
func TestEstimateDisk(t *testing.T) {
	s := defaults
	for _, c := range []struct {
		archs    string
		key      string
		epochs   int
		channels int
		files    int
	}{
		{"0,1462,9930,11", "cifar10-valid", 12, 16, 6},
		{"0,1462", "cifar10", 200, 16, 6},
		{"3", "cifar100", 12, 16, 4},
		{"3,4", "ImageNet16-120", 200, 16, 12},
		{"0-5", "digits", 12, 4, 1},
		{"0-5", "digits", 1, 2, 1},
	} {
		s.Channels = c.channels
		p := mustNew(t, s, selection(t, c.archs, []string{c.key}, []int{c.epochs}, 777))
		campaign := results.Campaign{Dir: t.TempDir()}
		for trial := range p.Trials() {
			r := resultstest.Record(t, trial)
			resultstest.Resize(t, r, s.Channels, s.Cells)
			r.Definition = p.Datasets[0].Definition
			r.Versions.Plugin = "pjrt_c_api_cpu_plugin.so 0.11.2"
			for len(r.DataFiles) < c.files {
				r.DataFiles = append(r.DataFiles, r.DataFiles[0])
			}
			// Real times have nanoseconds, and real accuracies are means of rounded ones.
			measured := func(p *results.Pass) {
				for i, s := range p.Seconds {
					p.Seconds[i] = time.Duration(s * 1e9).Seconds()
					p.Top1[i] *= 1 - 3e-8
					p.Top5[i] *= 1 - 3e-8
				}
			}
			measured(&r.Train)
			for i := range r.Eval {
				measured(&r.Eval[i].Pass)
			}
			if err := campaign.Publish(r, resultstest.Weights(t, r)); err != nil {
				t.Fatal(err)
			}
		}
		size := func(folder string) (sum float64) {
			files, err := filepath.Glob(filepath.Join(campaign.Dir, folder, "*", "*", "*"))
			if err != nil || len(files) != p.Len() {
				t.Fatalf("%d files in %s: %v", len(files), folder, err)
			}
			for _, f := range files {
				info, err := os.Stat(f)
				if err != nil {
					t.Fatal(err)
				}
				sum += float64(info.Size())
			}
			return sum
		}
		cost := p.Estimate(p.Trials(), nil)
		if got, want := cost.RecordBytes, size("trials"); !near(got, want, 0.1) {
			t.Errorf("%s, %d epochs: records of %.0f bytes, estimated %.0f", c.key, c.epochs, want, got)
		}
		if got, want := cost.WeightBytes, size("weights"); !near(got, want, 0.05) {
			t.Errorf("%s, C %d: weights of %.0f bytes, estimated %.0f", c.key, c.channels, want, got)
		}
		s.Weights = false
		if cost := mustNew(t, s, selection(t, c.archs, []string{c.key}, []int{c.epochs}, 777)).Estimate(p.Trials(), nil); cost.WeightBytes != 0 {
			t.Errorf("dropped weights take %g bytes", cost.WeightBytes)
		}
		s.Weights = true
	}
}

// The estimate also fits the record of a real trial.
func TestEstimateRealRecord(t *testing.T) {
	campaign := results.Campaign{Dir: filepath.Join("..", "..", "cmd", "nb201", "testdata", "campaign")}
	done, err := Done(t.Context(), campaign.Dir)
	if err != nil || len(done) != 1 {
		t.Fatalf("%v, %v", done, err)
	}
	r, err := campaign.Record(done[0])
	if err != nil {
		t.Fatal(err)
	}
	p := mustNew(t, Settings{Settings: r.TrialSettings()}, Selection{
		Archs: new(archsOf(r.Arch)), Datasets: []string{r.Dataset}, Epochs: []int{r.Epochs}, Seeds: []uint32{r.Seed},
	})
	info, err := os.Stat(campaign.RecordPath(done[0]))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Estimate(p.Trials(), nil).RecordBytes; !near(got, float64(info.Size()), 0.1) {
		t.Errorf("a record of %d bytes, estimated %.0f", info.Size(), got)
	}
	if err := p.Adopt(t.Context(), campaign, done); err != nil {
		t.Errorf("the plan does not adopt the trial: %v", err)
	}
	if n, err := r.Network(); err != nil || n.FLOPs() != p.Work(done[0]).MFLOPs {
		t.Errorf("%g MFLOPs, the record has %g (%v)", p.Work(done[0]).MFLOPs, n.FLOPs(), err)
	}
}

func archsOf(indices ...int) Archs {
	var a Archs
	for _, i := range indices {
		a.add(i, i)
	}
	return a
}

// Architectures of the same convolutions cost the same.
func TestConvolutions(t *testing.T) {
	type cost struct{ flops, params float64 }
	costs := map[any]cost{}
	for _, a := range (cell.Topology{}).All() {
		n := cell.Network{Arch: a, Channels: 16, Cells: 5, Classes: 10, Size: 32}
		c := cost{n.FLOPs(), n.Params()}
		if known, ok := costs[a.Shapes()]; ok && known != c {
			t.Fatalf("%v: %v and %v", a.Shapes(), known, c)
		}
		costs[a.Shapes()] = c
	}
	if len(costs) != 28 {
		t.Errorf("%d costs", len(costs))
	}
}
