package export

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nb201/cell"
	"nb201/internal/needs"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// open opens a benchmark.
func open(t testing.TB, path string) *benchmark.Benchmark {
	t.Helper()
	b, err := published.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// export exports the schedules of 2 and 3 epochs.
func export(t testing.TB, c results.Campaign, format benchmark.Format, to string) *Report {
	t.Helper()
	return exportWith(t, c, Options{Format: format, To: to, Less: "2", Full: "3"})
}

func exportWith(t testing.TB, c results.Campaign, o Options) *Report {
	t.Helper()
	report, err := Run(t.Context(), open(t, c.Dir), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// publish puts records into a campaign, without weights.
func publish(t testing.TB, c results.Campaign, records ...*results.Record) {
	t.Helper()
	for _, r := range records {
		if err := c.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// files returns the files and directories below dir, with the content of each file.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if entry.IsDir() {
			found[name+"/"] = ""
			return nil
		}
		text, err := os.ReadFile(path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// python returns the path of the Python that has the clients, or skips the test.
func python(t *testing.T) string {
	t.Helper()
	return needs.Python(t)
}

// old returns a record of the nov2019 timeline: x-valid and x-test at the last epoch only.
func old(t testing.TB, trial results.Trial) *results.Record {
	r := resultstest.Record(t, trial)
	for i := range r.Eval[1:] {
		e := &r.Eval[i+1]
		last := trial.Epochs - 1
		e.FirstEpoch = last
		e.Curve = results.Curve{Loss: e.Loss[last:], Top1: e.Top1[last:], Top5: e.Top5[last:], Seconds: e.Seconds[last:]}
	}
	r.Latency = nil
	return r
}

// The client must return every number in the records, from the merged file and from the
// archive.
func TestClientAnswersTheRecords(t *testing.T) {
	needs.Long(t, "asks a Python client for every number")
	interpreter := python(t)
	trials := append(resultstest.Grid(0, 1, 11), results.Trial{Arch: 4, Dataset: "digits", Epochs: 2},
		results.Trial{Arch: 4, Dataset: "digits", Epochs: 3, Seed: 4294967295})
	c := resultstest.Fill(t, trials...)
	incomplete := old(t, results.Trial{Arch: 0, Dataset: "cifar100", Epochs: 3, Seed: 999})
	without := resultstest.Record(t, results.Trial{Arch: 5, Dataset: "cifar10", Epochs: 7, Seed: 777}) // no slot for it
	publish(t, c, incomplete, without)
	dir := t.TempDir()
	merged, archive := filepath.Join(dir, "merged.pth"), filepath.Join(dir, "archive")
	export(t, c, published.NASBench201, merged)
	export(t, c, published.Archive, archive)
	if out, err := exec.Command(interpreter, "testdata/ask.py", merged, archive).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(merged + ".json")
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		Name, Seed string
		Train      answeredCurve
		TrainTop5  []float64 `json:"train_top5"`
		Eval       map[string]answeredCurve
		Flop       float64
		Params     float64
		Latency    []float64
		Config     map[string]any
	}
	var got struct {
		Archs           []string
		Trials, Archive map[string]answer
		Weights         int
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for i, a := range (cell.Topology{}).All() {
		if got.Archs[i] != a.String() {
			t.Fatalf("api[%d] is %s", i, got.Archs[i])
		}
	}
	want := map[string]answer{}
	kept := 0
	for r, err := range c.Records() {
		if err != nil {
			t.Fatal(err)
		}
		hp := map[int]string{2: "12", 3: "200"}[r.Epochs]
		if hp == "" {
			continue
		}
		a := answer{
			Name: r.Dataset, Seed: fmt.Sprintf("%04d", r.Seed),
			Train:     answeredCurve{r.Train.Loss, r.Train.Top1, pointers(r.Train.Seconds)},
			TrainTop5: r.Train.Top5,
			Eval:      map[string]answeredCurve{},
			Flop:      r.FLOPs, Params: r.Params, Latency: clientLatencies(r.Latency),
			Config: map[string]any{"name": "infer.tiny", "C": 8.0, "N": 1.0, "arch_str": r.Genotype, "num_classes": float64(r.Classes)},
		}
		for _, e := range r.Eval {
			seconds := pointers(e.Seconds)
			if r.Dataset == incomplete.Dataset && r.Epochs == incomplete.Epochs && r.Arch == incomplete.Arch {
				seconds = make([]*float64, len(seconds)) // dropped from all seeds, as one lacks them
			}
			a.Eval[e.Set] = answeredCurve{e.Loss, e.Top1, seconds}
		}
		want[fmt.Sprintf("%s/%d/%s/%d", hp, r.Arch, r.Dataset, r.Seed)] = a
		if r.Weights != nil {
			kept++
		}
	}
	if len(got.Trials) != len(want) || len(got.Archive) != 2*len(want) || got.Weights != kept {
		t.Errorf("the client finds %d trials, %d in the archive, %d with weights; there are %d, %d with weights",
			len(got.Trials), len(got.Archive), got.Weights, len(want), kept)
	}
	for name, w := range want {
		for _, g := range []answer{got.Trials[name], got.Archive["FULL/"+name], got.Archive["SIMPLE/"+name]} {
			if !reflect.DeepEqual(g, w) {
				t.Errorf("%s: the client answers\n%+v, not\n%+v", name, g, w)
			}
		}
	}
}

// clientLatencies returns the latencies in a file for the clients: their mean.
func clientLatencies(latencies []float64) []float64 {
	if latencies == nil {
		return nil
	}
	sum := 0.0
	for _, s := range latencies {
		sum += s
	}
	return []float64{sum / float64(len(latencies))}
}

// answeredCurve holds the client's answers for a set; a time may be None.
type answeredCurve struct {
	Loss, Accuracy []float64
	Time           []*float64 `json:"cur_time"`
}

func pointers(values []float64) []*float64 {
	p := make([]*float64, len(values))
	for i := range values {
		p[i] = &values[i]
	}
	return p
}

// clientKinds lists the kinds of files that the clients read, by the checker's names.
var clientKinds = map[string]Options{
	"runs":                 {Format: published.Runs},
	"archive":              {Format: published.Archive},
	"merged.pth":           {Format: published.NASBench201},
	"nats-simple":          {Format: published.NATS},
	"nats-full":            {Format: published.NATS, Weights: true},
	"nats" + natsExtension: {Format: published.NATS},
}

// TestCheckClients runs the checker named by NB201_CHECK_CLIENTS on exports of campaigns.
func TestCheckClients(t *testing.T) {
	interpreter := python(t)
	checker := needs.Clients(t)
	for name, x := range map[string]struct {
		archs  []int
		listed string
		times  Times
		kinds  []string
		failed int
	}{
		"first":     {[]int{0}, "1", Measured, slices.Collect(maps.Keys(clientKinds)), 0},
		"published": {[]int{0}, "1", Published, []string{"merged.pth", "nats-simple"}, 0},
		// 201's client counts trials of all architectures listed: 4 dataset keys, 2 schedules.
		"some": {[]int{0, 11}, "15625", Measured, []string{"merged.pth"}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			c := results.Campaign{Dir: t.TempDir()}
			trials := resultstest.Grid(x.archs...)
			for _, arch := range x.archs {
				trials = append(trials, results.Trial{Arch: arch, Dataset: "cifar10-valid", Epochs: 2, Seed: 777})
			}
			for _, trial := range trials {
				r := resultstest.Record(t, trial)
				resultstest.Resize(t, r, 16, 5)
				if err := c.Publish(r, resultstest.Weights(t, r)); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			for _, name := range x.kinds {
				o := clientKinds[name]
				o.To, o.Less, o.Full, o.Times = filepath.Join(dir, name), "2", "3", x.times
				exportWith(t, c, o)
			}
			out, err := exec.Command(interpreter, checker, "--partial", "--hp-less", "2", "--hp-full", "3", "--expect-archs", x.listed, dir).CombinedOutput()
			failed, statistics := 0, 0
			for line := range strings.Lines(string(out)) {
				if strings.HasPrefix(line, "FAIL ") {
					failed++
				}
				if strings.Contains(line, " statistics(") {
					statistics++
				}
			}
			if failed != x.failed || statistics != failed || (err == nil) != (failed == 0) || !strings.Contains(string(out), fmt.Sprintf(" passed, %d failed", failed)) {
				t.Errorf("%v\n%s", err, out)
			}
			t.Logf("%s", out[bytes.LastIndexByte(out[:len(out)-1], '\n')+1:])
		})
	}
}

// tools/check_weights.py must distinguish weights whose accuracy in the original network is
// the recorded one from other weights.
func TestCheckWeights(t *testing.T) {
	needs.Long(t, "evaluates in torch three times")
	interpreter := python(t)
	const images = 450
	check := func(right int) (string, int) {
		r := resultstest.Record(t, results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 5})
		r.Eval[0].Top1[1], r.Eval[0].Top5[1] = 100*float64(right)/images, 100
		c := results.Campaign{Dir: t.TempDir()}
		if err := c.Publish(r, resultstest.Weights(t, r)); err != nil {
			t.Fatal(err)
		}
		archive := filepath.Join(t.TempDir(), "archive")
		export(t, c, published.Archive, archive)
		command := exec.Command(interpreter, "../../tools/check_weights.py", filepath.Join(archive, "000001-FULL.pth"), "--dataset", "digits",
			"--seed", "5", "--definition", "../../configs/datasets/digits.json", "--data", "../../configs/digits")
		out, _ := command.CombinedOutput()
		return string(out), command.ProcessState.ExitCode()
	}
	out, code := check(images - 1)
	_, measured, _ := strings.Cut(out, "in torch top-1 ")
	var top1 float64
	if _, err := fmt.Sscanf(measured, "%f", &top1); err != nil || code != 1 || !strings.Contains(out, "450 images of ori-test") || !strings.Contains(out, "DIFFERENT") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	right := int(math.Round(top1 / 100 * images))
	if out, code := check(right); code != 0 || !strings.Contains(out, "the same") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, code := check(right + 1); code != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func trial(arch int, dataset string, epochs int, seed uint32) results.Trial {
	return results.Trial{Arch: arch, Dataset: dataset, Epochs: epochs, Seed: seed}
}

func TestReport(t *testing.T) {
	c := resultstest.Fill(t, trial(0, "cifar10-valid", 12, 777), trial(0, "cifar10-valid", 12, 888), trial(3, "cifar10-valid", 12, 777),
		trial(3, "digits", 12, 777), trial(3, "cifar10", 5, 777), trial(9, "cifar10", 200, 777), trial(40, "cifar10", 5, 777))
	publish(t, c, old(t, trial(9, "cifar10", 12, 1)), old(t, trial(9, "cifar100", 200, 1)))
	slot := func(name string, epochs int, coverage []Coverage, absent ...string) Slot {
		return Slot{Name: name, Epochs: epochs, Coverage: coverage, Absent: absent}
	}
	less := []Coverage{{"cifar10-valid", 777, 2}, {"cifar10-valid", 888, 1}, {"cifar10", 1, 1}, {"digits", 777, 1}}
	full := []Coverage{{"cifar10", 777, 1}, {"cifar100", 1, 1}}
	five := []Coverage{{"cifar10", 777, 2}}
	others := []string{"cifar10-valid", "cifar100", "ImageNet16-120"}
	for _, x := range []struct {
		format   benchmark.Format
		want     Report
		steps    int
		warnings []string
	}{
		{published.Archive, Report{
			Architectures: 3, Trials: 7,
			Slots:          []Slot{slot("less", 12, less, "cifar100", "ImageNet16-120"), slot("full", 200, full, "cifar10-valid", "ImageNet16-120")},
			OtherSchedules: []string{"5"}, WithoutWeights: 2, WithoutLatency: 2, WithoutTimes: 1,
		}, 4, []string{
			"12 epochs ('less'): no trials on cifar100, ImageNet16-120", "cifar10-valid with seed 888 covers 1 of 3 architectures",
			"digits is not a dataset of the benchmark", "other schedules were left out: 5 epochs", "no weights of 2 trials", "no latency of 2 trials",
			"no times for some or all epochs of 1 trial: ",
		}},
		{published.NATS, Report{
			Architectures: 4, Trials: 9, Listed: cell.Topologies, WithoutLatency: 2, WithoutTimes: 1,
			Slots: []Slot{slot("5", 5, five, others...), slot("12", 12, less, "cifar100", "ImageNet16-120"), slot("200", 200, full, "cifar10-valid", "ImageNet16-120")},
		}, 4, []string{"5 epochs ('5'): cifar10 with seed 777 covers 2 of 4 architectures"}},
		{published.CSV, Report{
			Architectures: 4, Trials: 9, WithoutLatency: 2, WithoutTimes: 1,
			Slots: []Slot{slot("5", 5, five, others...), slot("12", 12, less, "cifar100", "ImageNet16-120"), slot("200", 200, full, "cifar10-valid", "ImageNet16-120")},
		}, 4, nil},
	} {
		to := filepath.Join(t.TempDir(), "out")
		var steps []int
		report := exportWith(t, c, Options{Format: x.format, To: to, Progress: func(done, total int) { steps = append(steps, done, total) }})
		x.want.Path, x.want.Format, x.want.Times = to, x.format, Measured
		if !reflect.DeepEqual(report, &x.want) {
			t.Errorf("%s: %+v, not\n%+v", x.format, report, x.want)
		}
		if !slices.Equal(steps, []int{1, 4, 2, 4, 3, 4, 4, 4}) {
			t.Errorf("progress %v", steps)
		}
		warnings := strings.Join(report.Warnings(), "\n")
		for _, w := range x.warnings {
			if !strings.Contains(warnings, w) {
				t.Errorf("%s: no %q in\n%s", x.format, w, warnings)
			}
		}
		if strings.Contains(warnings, "client") && x.format == published.CSV {
			t.Errorf("%s: %s", x.format, warnings)
		}
	}
	empty := Report{Slots: []Slot{{Name: "full", Epochs: 200}}}
	if w := empty.Warnings()[0]; !strings.Contains(w, "200 epochs ('full'): no trials;") {
		t.Error(w)
	}
}

// names returns the sorted names of the files and directories below dir.
func names(t testing.TB, dir string) (names []string) {
	for name := range files(t, dir) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestFiles(t *testing.T) {
	c := resultstest.Fill(t, append(resultstest.Grid(7), trial(40, "digits", 2, 3))...)
	for format, want := range map[benchmark.Format][]string{
		published.Runs: {
			"000000-015624-C8-N1-LESS/", "000000-015624-C8-N1-LESS/arch-000007-seed-0111.pth", "000000-015624-C8-N1-LESS/arch-000040-seed-0003.pth",
			"000000-015624-C8-N1/", "000000-015624-C8-N1/arch-000007-seed-0777.pth", "000000-015624-C8-N1/arch-000007-seed-0888.pth", "meta-node-4.pth",
		},
		published.Archive: {"000007-FULL.pth", "000007-SIMPLE.pth", "000040-FULL.pth", "000040-SIMPLE.pth"},
		published.NATS:    {"000007.pickle.pbz2", "000040.pickle.pbz2", "meta.pickle.pbz2"},
		published.Parquet: {"epochs.parquet", "trials.parquet"},
		published.CSV:     {"epochs.csv", "epochs.csv-metadata.json", "trials.csv", "trials.csv-metadata.json"},
	} {
		to := filepath.Join(t.TempDir(), "new")
		export(t, c, format, to)
		if got := names(t, to); !slices.Equal(got, want) {
			t.Errorf("%s: made %q", format, got)
		}
		if got := names(t, filepath.Dir(to)); got[0] != "new/" || len(got) != len(want)+1 {
			t.Errorf("%s: left %q", format, got)
		}
	}
}

// How many architectures a merged file lists depends on whether those of the campaign are
// the first ones in the official order.
func TestListed(t *testing.T) {
	for _, x := range []struct {
		archs   []int
		listed  int
		warning string
	}{
		{[]int{0}, 1, "only architectures 0 to 0: to the client this is a benchmark of 1"},
		{[]int{0, 1, 2}, 3, "only architectures 0 to 2: to the client this is a benchmark of 3"},
		{[]int{0, 2}, cell.Topologies, "2 of the 15625 listed architectures"},
		{[]int{1}, cell.Topologies, "1 of the 15625 listed architectures"},
	} {
		c := resultstest.Fill(t, resultstest.Grid(x.archs...)...)
		report := export(t, c, published.NASBench201, filepath.Join(t.TempDir(), "merged.pth"))
		if w := strings.Join(report.Warnings(), "\n"); report.Listed != x.listed || !strings.HasPrefix(w, x.warning) || strings.Contains(w, "\n") {
			t.Errorf("%v: %d listed, warnings %s", x.archs, report.Listed, w)
		}
		archive := export(t, c, published.Archive, filepath.Join(t.TempDir(), "archive"))
		if archive.Listed != 0 || archive.Warnings() != nil {
			t.Errorf("%v: archive: %d listed, warnings %q", x.archs, archive.Listed, archive.Warnings())
		}
	}
	whole := Report{Architectures: cell.Topologies, Listed: cell.Topologies}
	if w := whole.Warnings(); w != nil {
		t.Errorf("the whole benchmark: warnings %q", w)
	}
}

// The last architectures of a campaign may have only trials of schedules that are left out.
func TestLastArchitecturesLeftOut(t *testing.T) {
	trials := append(resultstest.Grid(0, 1), results.Trial{Arch: 4250, Dataset: "cifar10", Epochs: 5, Seed: 1})
	c := resultstest.Fill(t, trials...)
	report := export(t, c, published.NASBench201, filepath.Join(t.TempDir(), "merged.pth"))
	if report.Architectures != 2 || report.Listed != 2 || !slices.Equal(report.OtherSchedules, []string{"5"}) {
		t.Errorf("%+v", report)
	}
}

// In an existing directory, files are named like the published ones. The kinds of NATS share the MD5 of the
// merged file.
func TestNameWithMD5(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(0)...)
	merged := filepath.Join(t.TempDir(), "merged"+natsExtension)
	exportWith(t, c, Options{Format: published.NATS, To: merged, Less: "2", Full: "3"})
	for _, x := range []struct {
		options Options
		name    func(md5 string) string
	}{
		{Options{Format: published.NASBench201}, func(md5 string) string { return "NAS-Bench-201-" + md5[26:] + ".pth" }},
		{Options{Format: published.NATS, Merged: true}, func(md5 string) string { return "NATS-tss-v1_0-" + md5[27:] + ".pickle.pbz2" }},
		{Options{Format: published.NATS}, func(md5 string) string { return "NATS-tss-v1_0-" + md5[27:] + "-simple" }},
		{Options{Format: published.NATS, Weights: true}, func(md5 string) string { return "NATS-tss-v1_0-" + md5[27:] + "-full" }},
	} {
		o := x.options
		o.To, o.Less, o.Full = t.TempDir(), "2", "3"
		report := exportWith(t, c, o)
		of := report.Path
		if o.Format == published.NATS {
			of = merged
		}
		text, err := os.ReadFile(of)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(o.To, x.name(fmt.Sprintf("%x", md5.Sum(text)))); report.Path != want {
			t.Errorf("made %s, not %s", report.Path, want)
		}
		before := files(t, o.To)
		if slices.ContainsFunc(slices.Collect(maps.Keys(before)), func(name string) bool { return filepath.Base(name) == itemsName }) {
			t.Errorf("%s contains what only its name was made from", report.Path)
		}
		if _, err := Run(t.Context(), open(t, c.Dir), o); !usage.Is(err) || !strings.Contains(err.Error(), report.Path+" already exists") {
			t.Errorf("second export: %v", err)
		}
		for name, text := range before {
			if files(t, o.To)[name] != text {
				t.Errorf("the second export changed %s", name)
			}
		}
	}
}

func TestRunRefuses(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(0)...)
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	mixed := resultstest.Fill(t, trial(0, "digits", 2, 1))
	wider := resultstest.Record(t, trial(0, "digits", 2, 2))
	resultstest.Resize(t, wider, 16, 1)
	larger := resultstest.Record(t, trial(0, "digits", 3, 1))
	publish(t, mixed, larger)
	resultstest.Mix(t, mixed, wider)
	sizes := resultstest.Fill(t, trial(0, "digits", 2, 1))
	larger = resultstest.Record(t, trial(0, "digits", 2, 2))
	larger.ImageSize = 32
	resultstest.Resize(t, larger, 8, 1)
	publish(t, sizes, larger)
	damaged := resultstest.Fill(t, resultstest.Grid(0, 1)...)
	last := trial(1, "ImageNet16-120", 3, 888)
	if err := os.Truncate(damaged.RecordPath(last), 300); err != nil {
		t.Fatal(err)
	}
	named := resultstest.Record(t, trial(0, "digits", 2, 1))
	named.Eval[0].Set = benchmark.TrainingSet
	training := results.Campaign{Dir: t.TempDir()}
	publish(t, training, named)
	slots := func(format benchmark.Format, to string) Options {
		return Options{Format: format, To: to, Less: "2", Full: "3"}
	}
	for name, x := range map[string]struct {
		campaign results.Campaign
		options  Options
		want     string
	}{
		"format":        {c, slots("zip", "new"), `unknown format "zip"; use one of runs, archive, nasbench201, nats, naslib, parquet, csv`},
		"campaign":      {c, slots(published.CampaignFormat, "new"), "unknown format"},
		"times":         {c, Options{Format: published.NATS, To: "new", Times: "guessed"}, `unknown times "guessed"; use one of measured, published`},
		"nowhere":       {c, slots(published.Archive, ""), "the path of the export is empty"},
		"one schedule":  {c, Options{Format: published.Archive, To: "new", Less: "3", Full: "3"}, "--less 3 and --full 3 are equal; give two different"},
		"negative":      {c, Options{Format: published.Archive, To: "new", Less: "-1"}, "--less -1 and --full 200 (its default): use numbers of epochs"},
		"merged":        {c, Options{Format: published.Archive, To: "new", Merged: true}, "no merged form"},
		"weights":       {c, Options{Format: published.CSV, To: "new", Weights: true}, "weights cannot"},
		"no trial":      {c, Options{Format: published.Archive, To: "new"}, "no trials of 12 or 200 epochs to export; it has trials of 2, 3 epochs: select"},
		"taken":         {c, slots(published.Archive, "taken"), "already exists"},
		"taken file":    {c, slots(published.NASBench201, "taken"), "already exists"},
		"taken folder":  {c, slots(published.CSV, "."), "already exists"},
		"new folder":    {c, slots(published.NASBench201, "new/"), "/new/: it does not exist; create the directory first"},
		"named folder":  {c, slots(published.NATS, "new/"), "create the directory first"},
		"no parent":     {c, slots(published.NASBench201, "none/new"), "no directory"},
		"networks":      {mixed, slots(published.Archive, "new"), "different networks"},
		"image sizes":   {sizes, slots(published.Archive, "new"), "different networks"},
		"damaged":       {damaged, slots(published.NASBench201, "new"), "byte 300"},
		"damaged trial": {damaged, slots(published.Archive, "new"), filepath.Base(damaged.RecordPath(last))},
		"train":         {training, slots(published.CSV, "new"), `evaluation set named "train"`},
	} {
		if x.options.To != "" {
			x.options.To = dir + "/" + x.options.To
		}
		_, err := Run(t.Context(), open(t, x.campaign.Dir), x.options)
		if !usage.Is(err) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
		if got := names(t, dir); !slices.Equal(got, []string{"taken"}) {
			t.Fatalf("%s: left %v", name, got)
		}
	}
	if text, err := os.ReadFile(taken); err != nil || string(text) != "precious" {
		t.Errorf("%q %v", text, err)
	}
}

// A format that is a directory under any name makes the one that a trailing slash asks for.
func TestNewDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tables")
	c := resultstest.Fill(t, trial(0, "cifar10", 2, 777))
	if report := exportWith(t, c, Options{Format: published.CSV, To: dir + "/"}); report.Path != dir {
		t.Errorf("exported to %s, not %s", report.Path, dir)
	}
}

// kinds returns options for every kind of export that holds all trials of a schedule.
func kinds() map[string]Options {
	kinds := map[string]Options{"merged nats": {Format: published.NATS, Merged: true}, "nats with weights": {Format: published.NATS, Weights: true}}
	for _, format := range Formats() {
		if format == published.NASLib { // it holds one trial and set alone: see TestNASLib
			continue
		}
		kinds[string(format)] = Options{Format: format}
	}
	return kinds
}

// wide returns a campaign that is exported in several parts.
func wide(t testing.TB) results.Campaign {
	var trials []results.Trial
	for _, arch := range []int{0, 1, 31, 32, 33, 64, 100, 15624} {
		trials = append(trials, trial(arch, "cifar100", 2, 111), trial(arch, "cifar10-valid", 2, 777), trial(arch, "cifar10-valid", 3, 777))
	}
	return resultstest.Fill(t, trials...)
}

// An interrupted export resumes and has the same content as one made in one go. Parts that
// are damaged, or whose trials have changed, are made again. The bytes do not depend on the
// number of goroutines.
func TestResume(t *testing.T) {
	c := wide(t)
	all := kinds()
	all["naslib"] = Options{Format: published.NASLib}
	for name, o := range all {
		t.Run(name, func(t *testing.T) {
			o.Less, o.Full = "2", "3"
			o.To = filepath.Join(t.TempDir(), "new")
			before := runtime.GOMAXPROCS(1)
			exportWith(t, c, o)
			runtime.GOMAXPROCS(8)
			defer runtime.GOMAXPROCS(before)
			want := files(t, filepath.Dir(o.To))

			o.To = filepath.Join(t.TempDir(), "new")
			ctx, cancel := context.WithCancel(t.Context())
			o.Progress = func(done, _ int) {
				if done == 6 {
					cancel()
				}
			}
			runtime.GOMAXPROCS(1)
			_, err := Run(ctx, open(t, c.Dir), o)
			runtime.GOMAXPROCS(8)
			var p *Partial
			if !errors.Is(err, context.Canceled) || !errors.As(err, &p) || p.Done != 6 || p.Total != 8 || p.Dir != o.To+".partial" {
				t.Fatalf("error %v (%+v)", err, p)
			}
			if _, err := os.Lstat(o.To); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the export exists: %v", err)
			}
			parts, err := filepath.Glob(filepath.Join(p.Dir, "0*"))
			if err != nil || len(parts) < 3 {
				t.Fatalf("%d parts are kept (%v)", len(parts), err)
			}
			// A truncated part, and temporary files of a killed process.
			for name, text := range files(t, parts[0]) {
				if name != summaryName && text != "" {
					if err := os.Truncate(filepath.Join(parts[0], name), int64(len(text)/2)); err != nil {
						t.Fatal(err)
					}
					break
				}
			}
			for _, left := range []string{".part.X.tmp", "whole"} {
				if err := os.MkdirAll(filepath.Join(p.Dir, left, "below"), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			var first int
			o.Progress = func(done, _ int) {
				if first == 0 {
					first = done
				}
			}
			exportWith(t, c, o)
			if first == 0 {
				t.Error("no progress")
			}
			if got := files(t, filepath.Dir(o.To)); !reflect.DeepEqual(got, want) {
				t.Errorf("the resumed export has %q, the other %q, or their content differs", names(t, filepath.Dir(o.To)), slices.Sorted(maps.Keys(want)))
			}
		})
	}
}

// A kept part is made again if anything in it has changed, even a single byte.
func TestDamagedParts(t *testing.T) {
	c := wide(t)
	flip := func(b []byte) []byte {
		b[len(b)/2] ^= 1
		return b
	}
	change := func(path string, change func([]byte) []byte) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := change(bytes.Clone(text))
		if bytes.Equal(changed, text) {
			t.Fatalf("%s was not changed", path)
		}
		if err := os.WriteFile(path, changed, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(part string, files []string){
		"nothing": func(string, []string) {},
		"a byte":  func(part string, files []string) { change(filepath.Join(part, files[0]), flip) },
		"the last byte": func(part string, files []string) {
			change(filepath.Join(part, files[0]), func(b []byte) []byte { b[len(b)-1]++; return b })
		},
		"a byte of the summary": func(part string, _ []string) {
			change(filepath.Join(part, summaryName), func(b []byte) []byte { return bytes.Replace(b, []byte(`"trials": `), []byte(`"trials": 1`), 1) })
		},
		"a hash": func(part string, _ []string) { change(filepath.Join(part, summaryName), flip) },
		"a summary of before": func(part string, files []string) {
			change(filepath.Join(part, summaryName), func([]byte) []byte {
				info, err := os.Stat(filepath.Join(part, files[0]))
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Appendf(nil, `{"architectures":[0],"trials":3,"files":{%q:%d}}`, files[0], info.Size())
			})
		},
		"a file missing": func(part string, files []string) {
			if err := os.Remove(filepath.Join(part, files[0])); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, format := range []benchmark.Format{published.Archive, published.CSV} {
			o := Options{Format: format, Less: "2", Full: "3", To: filepath.Join(t.TempDir(), "new")}
			if format == published.CSV {
				o.Less, o.Full = "", ""
			}
			exportWith(t, c, o)
			want := files(t, filepath.Dir(o.To))
			o.To = filepath.Join(t.TempDir(), "new")
			ctx, cancel := context.WithCancel(t.Context())
			o.Progress = func(done, _ int) {
				if done == 6 {
					cancel()
				}
			}
			procs := runtime.GOMAXPROCS(1) // else the last parts may end before they are stopped
			_, err := Run(ctx, open(t, c.Dir), o)
			runtime.GOMAXPROCS(procs)
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			parts, err := filepath.Glob(filepath.Join(o.To+".partial", "0*"))
			if err != nil || len(parts) < 2 {
				t.Fatalf("kept %q (%v)", parts, err)
			}
			inPart := slices.DeleteFunc(names(t, parts[0]), func(name string) bool { return name == summaryName })
			damage(parts[0], inPart)
			o.Progress = nil
			exportWith(t, c, o)
			if got := files(t, filepath.Dir(o.To)); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: the resumed export differs", format, name)
			}
		}
	}
}

// Parts are reused only for the trials and options that they were made from.
func TestStaleParts(t *testing.T) {
	c := wide(t)
	to := filepath.Join(t.TempDir(), "new")
	stop := func(o Options) (kept []string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		o.Format, o.To = published.CSV, to
		o.Progress = func(done, _ int) {
			if done >= 6 {
				cancel()
			}
		}
		var p *Partial
		if _, err := Run(ctx, open(t, c.Dir), o); !errors.As(err, &p) {
			t.Fatal(err)
		}
		kept, err := filepath.Glob(filepath.Join(p.Dir, "0*"))
		if err != nil || len(kept) < 2 {
			t.Fatalf("kept %q (%v)", kept, err)
		}
		return kept
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // else the last part may end before it is stopped
	first := stop(Options{})
	if again := stop(Options{}); again[0] != first[0] || again[1] != first[1] {
		t.Errorf("parts %q, then %q", first, again)
	}
	if other := stop(Options{Times: Published}); other[0] == first[0] || other[1] == first[1] {
		t.Errorf("parts %q, then with other times %q", first, other)
	}
	publish(t, c, resultstest.Record(t, trial(1, "digits", 2, 1)))
	if changed := stop(Options{}); changed[0] == first[0] || changed[1] != first[1] {
		t.Errorf("parts %q, then with another trial in the first %q", first, changed)
	}
}

// A full disk ends the export with a one-line error; finished parts are kept.
func TestFullDisk(t *testing.T) {
	c := wide(t)
	o := Options{Format: published.CSV, To: filepath.Join(t.TempDir(), "new"), Times: Measured}
	b := open(t, c.Dir)
	e := &exporter{benchmark: b, archs: b.Evaluated(), options: o, writer: csvWriter(), partial: o.To + ".partial"}
	e.layout = e.writer.layout(&o, cell.Topology{})
	begin := e.layout.begin
	begun := 0
	e.layout.begin = func(dir string) (partWriter, error) {
		if begun++; begun == 3 {
			return nil, &fs.PathError{Op: "write", Path: dir, Err: syscall.ENOSPC}
		}
		return begin(dir)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	_, err := e.run(t.Context())
	var p *Partial
	if !usage.Is(err) || !errors.As(err, &p) || p.Done < 5 || !strings.Contains(err.Error(), "the disk is full") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error %v", err)
	}
	exportWith(t, c, o)
	if _, err := os.Lstat(p.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s still exists", p.Dir)
	}
}

// Every kind of export can be exported again, and loses nothing that the merged file
// contains.
func TestConvert(t *testing.T) {
	c := resultstest.Fill(t, append(resultstest.Grid(0, 40), trial(1, "digits", 3, 5))...)
	incomplete := old(t, trial(0, "cifar100", 3, 999))
	publish(t, c, incomplete)
	dir := t.TempDir()
	want := export(t, c, published.NASBench201, filepath.Join(dir, "merged.pth"))
	text, err := os.ReadFile(want.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range kinds() {
		if o.Format != published.Parquet && o.Format != published.CSV {
			o.Less, o.Full = "2", "3"
		}
		o.To = filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if o.Format == published.NASBench201 {
			o.To += ".pth"
		} else if o.Merged {
			o.To += natsExtension
		}
		exportWith(t, c, o)
		again := Options{Format: published.NASBench201, To: o.To + "-again.pth"}
		if o.Less == "" || o.Format == published.Runs { // they keep the schedules' names
			again.Less, again.Full = "2", "3"
		}
		report, err := Run(t.Context(), open(t, o.To), again)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := os.ReadFile(report.Path)
		if err != nil {
			t.Fatal(err)
		}
		if o.Format == published.Runs { // without latencies
			if report.WithoutLatency != want.Trials || report.Trials != want.Trials {
				t.Errorf("by way of runs: %+v, not %+v", report, want)
			}
			continue
		}
		if !bytes.Equal(got, text) {
			t.Errorf("the merged file made from %s differs: %+v, not %+v", name, report, want)
		}
	}
}

// Our reader finds a campaign's trials unchanged in every kind of export, except for what
// the format cannot contain.
func TestReadsBack(t *testing.T) {
	c := resultstest.Fill(t, append(resultstest.Grid(0, 40), trial(40, "digits", 3, 5))...)
	for name, o := range kinds() {
		t.Run(name, func(t *testing.T) {
			o.Less, o.Full, o.To = "2", "3", filepath.Join(t.TempDir(), "new")
			switch {
			case o.Format == published.NASBench201:
				o.To += ".pth"
			case o.Merged:
				o.To += natsExtension
			}
			exportWith(t, c, o)
			b := open(t, o.To)
			compared := 0
			for want, err := range open(t, c.Dir).Architectures() {
				if err != nil {
					t.Fatal(err)
				}
				got, err := b.Architecture(want.Index)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Schedules) != 2 || got.Genotype != want.Genotype {
					t.Fatalf("architecture %d reads %v", want.Index, got)
				}
				for i, s := range want.Schedules {
					if len(got.Schedules[i].Results) != len(s.Results) {
						t.Fatalf("%d trials along schedule %s, not %d", len(got.Schedules[i].Results), s.HP, len(s.Results))
					}
					for k, r := range s.Results {
						readsBack(t, o, got.Schedules[i].Results[k], r)
						compared++
					}
				}
			}
			if compared != 25 {
				t.Errorf("%d trials were compared", compared)
			}
		})
	}
}

// readsBack compares a trial in an export with that in the campaign.
func readsBack(t *testing.T, o Options, got, want *benchmark.ResultsCount) {
	t.Helper()
	weights, err := got.Weights()
	if err != nil {
		t.Fatal(err)
	}
	trained, err := want.Weights()
	if err != nil {
		t.Fatal(err)
	}
	if o.Weights || o.Format == published.Runs || o.Format == published.Archive {
		if !reflect.DeepEqual(weights, trained) || len(weights) == 0 {
			t.Errorf("%v: the weights differ", want.Trial)
		}
	} else if weights != nil {
		t.Errorf("%v has weights", want.Trial)
	}
	tables := o.Format == published.Parquet || o.Format == published.CSV
	type values struct { // without the record and the function that reads weights
		Trial                    results.Trial
		Genotype                 string
		Channels, Cells, Classes int
		FLOPs, Params            float64
		Latencies                []float64
		Sets                     []benchmark.SetMeasures
	}
	of := func(r *benchmark.ResultsCount) values {
		v := values{r.Trial, r.Genotype, r.Channels, r.Cells, r.Classes, r.FLOPs, r.Params, r.Latencies, r.Sets()}
		switch {
		case o.Format == published.Runs: // measured no latency; named its sets in no order
			v.Latencies = nil
			slices.SortFunc(v.Sets, func(a, b benchmark.SetMeasures) int { return strings.Compare(a.Set, b.Set) })
		case !tables:
			v.Latencies = clientLatencies(v.Latencies)
		}
		for i := range v.Sets {
			if !tables && o.Format != published.Runs && v.Sets[i].Set != benchmark.TrainingSet {
				v.Sets[i].Top5 = nil // the clients have none
			}
		}
		return v
	}
	if g, w := of(got), of(want); !reflect.DeepEqual(g, w) {
		t.Errorf("%v reads\n%v\nnot\n%v", want.Trial, g, w)
	}
}

// Two processes cannot make the same export at a time.
func TestLocked(t *testing.T) {
	c := wide(t)
	o := Options{Format: published.CSV, To: filepath.Join(t.TempDir(), "new")}
	tried := false
	o.Progress = func(int, int) {
		if !tried {
			tried = true
			o := o
			o.Progress = nil
			if _, err := Run(t.Context(), open(t, c.Dir), o); !usage.Is(err) || !strings.Contains(err.Error(), "another process") {
				t.Errorf("error %v", err)
			}
		}
	}
	exportWith(t, c, o)
}

// An export of many architectures needs no more memory than one of few.
func TestStreams(t *testing.T) {
	needs.Long(t, "makes 128 records")
	c := results.Campaign{Dir: t.TempDir()}
	for arch := range 128 {
		publish(t, c, resultstest.Record(t, trial(arch, "cifar100", 200, 777)))
	}
	for _, o := range []Options{{Format: published.NASBench201}, {Format: published.NATS, Merged: true}, {Format: published.CSV}} {
		o.To = filepath.Join(t.TempDir(), "merged")
		var early, late uint64
		o.Progress = func(done, _ int) {
			var m runtime.MemStats
			if done == 32 || done == 128 {
				runtime.GC()
				runtime.ReadMemStats(&m)
			}
			if done == 32 {
				early = m.HeapAlloc
			} else if done == 128 {
				late = m.HeapAlloc
			}
		}
		exportWith(t, c, o)
		t.Logf("%s: heap %d kB after 32 architectures, %d kB after 128", o.Format, early>>10, late>>10)
		if late > early+2<<20 {
			t.Errorf("%s: the heap grew from %d to %d bytes", o.Format, early, late)
		}
	}
}

// Options.Archs cuts the export, and Options.Listed chooses what a merged file lists.
func TestSomeArchitectures(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(0, 1, 2, 40)...)
	b := open(t, c.Dir)
	for _, x := range []struct {
		archs  []int
		listed Listing
		want   []int
		count  int
	}{
		{nil, "", []int{0, 1, 2, 40}, cell.Topologies},
		{[]int{1, 0, 1}, "", []int{0, 1}, 2},
		{[]int{0, 1}, ListAll, []int{0, 1}, cell.Topologies},
		{[]int{0, 1}, ListHeld, []int{0, 1}, 2},
		{[]int{40, 1}, ListFirst, []int{1, 40}, cell.Topologies},
		{[]int{40, 1}, ListHeld, []int{1, 40}, 41},
	} {
		for _, o := range []Options{{Format: published.NASBench201}, {Format: published.NATS}, {Format: published.NATS, Merged: true}} {
			o.Less, o.Full, o.Archs, o.Listed = "2", "3", x.archs, x.listed
			o.To = filepath.Join(t.TempDir(), "some")
			if o.Format == published.NASBench201 {
				o.To += ".pth"
			} else if o.Merged {
				o.To += natsExtension
			}
			var total int
			o.Progress = func(_, all int) { total = all }
			report, err := Run(t.Context(), b, o)
			if err != nil {
				t.Fatal(err)
			}
			got := open(t, o.To)
			if !slices.Equal(got.Evaluated(), x.want) || got.Listed != x.count || report.Listed != x.count || total != len(x.want) {
				t.Errorf("%v, %q, %s: holds %v and lists %d (%d in the report), progress to %d", x.archs, x.listed, o.To, got.Evaluated(), got.Listed, report.Listed, total)
			}
		}
	}
	for _, x := range []struct {
		o    Options
		want string
	}{
		{Options{Format: published.CSV, Archs: []int{2, 7, 3}}, c.Dir + " does not hold architecture 3 and 1 more of those asked for; name only"},
		{Options{Format: published.CSV, Archs: []int{41}}, "does not hold architecture 41; name only"},
		{Options{Format: published.CSV, Archs: []int{}}, "the list of architectures to export is empty"},
		{Options{Format: published.CSV, Listed: ListAll}, "csv lists no architectures; only nasbench201 and nats list them"},
		{Options{Format: published.NATS, Listed: "most"}, `unknown listing "most"; use one of first, all, held`},
	} {
		x.o.To = filepath.Join(t.TempDir(), "none")
		if _, err := Run(t.Context(), b, x.o); !usage.Is(err) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("error %v, want one with %q", err, x.want)
		}
	}
}
