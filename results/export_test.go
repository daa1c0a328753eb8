package results

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/usage"
)

// export makes an export of the schedules of 2 and 3 epochs.
func export(t testing.TB, c Campaign, format Format, to string) *Report {
	t.Helper()
	report, err := Export(t.Context(), c, Options{Format: format, To: to, Less: 2, Full: 3})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// python is the Python with the clients.
func python(t *testing.T) string {
	p := os.Getenv("NB201_PYTHON")
	if p == "" {
		t.Skip("NB201_PYTHON names no Python with torch and nas-bench-201")
	}
	return p
}

// The client must answer every number of the records, from the merged file and from
// the archive.
func TestClientAnswersTheRecords(t *testing.T) {
	interpreter := python(t)
	trials := append(grid(0, 1, 11), Trial{4, "digits", 2, 0}, Trial{4, "digits", 3, 4294967295})
	c := fill(t, trials...)
	// A run of the nov2019 timeline: x-valid and x-test at the last epoch only.
	old := synthetic(t, Trial{0, "cifar100", 3, 999})
	for i := range old.Eval[1:] {
		e := &old.Eval[i+1]
		e.FirstEpoch = 2
		e.Curve = Curve{e.Loss[2:], e.Top1[2:], e.Top5[2:], e.Seconds[2:]}
	}
	old.Latency = nil
	if err := c.Publish(old, nil); err != nil {
		t.Fatal(err)
	}
	trials = append(trials, old.Trial, Trial{5, "cifar10", 7, 777}) // no slot for the last
	if err := c.Publish(synthetic(t, trials[len(trials)-1]), nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	merged, archive := filepath.Join(dir, "merged.pth"), filepath.Join(dir, "archive")
	export(t, c, NASBench201, merged)
	export(t, c, Archive, archive)
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
	for i, a := range cell.All() {
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
			Flop:      r.FLOPs, Params: r.Params, Latency: r.Latency,
			Config: map[string]any{"name": "infer.tiny", "C": 8.0, "N": 1.0, "arch_str": r.Genotype, "num_classes": float64(r.Classes)},
		}
		for _, e := range r.Eval {
			seconds := pointers(e.Seconds)
			if r.Dataset == old.Dataset && r.Epochs == old.Epochs && r.Arch == old.Arch {
				seconds = make([]*float64, len(seconds)) // what one seed lacks none may have
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

// answeredCurve is what the client answers of a set; a time may be None.
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

// TestCheckClients runs the checker that NB201_CHECK_CLIENTS names, if any, over
// exports of campaigns.
func TestCheckClients(t *testing.T) {
	interpreter := python(t)
	checker := os.Getenv("NB201_CHECK_CLIENTS")
	if checker == "" {
		t.Skip("NB201_CHECK_CLIENTS names no checker")
	}
	for name, x := range map[string]struct {
		archs  []int
		listed string
		failed int
	}{
		"first": {[]int{0, 1, 2}, "3", 0},
		// The client counts trials of all architectures listed: 4 dataset keys, 2 schedules.
		"some": {[]int{0, 11}, "15625", 8},
	} {
		t.Run(name, func(t *testing.T) {
			c := Campaign{t.TempDir()}
			for _, trial := range grid(x.archs...) {
				r := synthetic(t, trial)
				resize(t, r, 16, 5)
				if err := c.Publish(r, syntheticWeights(t, r)); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			export(t, c, NASBench201, filepath.Join(dir, "merged.pth"))
			export(t, c, Archive, filepath.Join(dir, "archive"))
			out, err := exec.Command(interpreter, checker, "--hp-less", "2", "--hp-full", "3", "--expect-archs", x.listed, dir).CombinedOutput()
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
		})
	}
}

// tools/check_weights.py must tell weights whose accuracy in the original network is
// the recorded one from others.
func TestCheckWeights(t *testing.T) {
	interpreter := python(t)
	check := func(top1 float64) (string, int) {
		r := synthetic(t, Trial{1, "digits", 2, 5})
		r.Eval[0].Top1[1] = top1
		c := Campaign{t.TempDir()}
		if err := c.Publish(r, syntheticWeights(t, r)); err != nil {
			t.Fatal(err)
		}
		archive := filepath.Join(t.TempDir(), "archive")
		export(t, c, Archive, archive)
		command := exec.Command(interpreter, "../tools/check_weights.py", filepath.Join(archive, "000001-FULL.pth"), "--dataset", "digits",
			"--seed", "5", "--definition", "../configs/datasets/digits.json", "--data", "../configs/digits")
		out, _ := command.CombinedOutput()
		return string(out), command.ProcessState.ExitCode()
	}
	out, code := check(99)
	_, measured, _ := strings.Cut(out, "in torch top-1 ")
	var top1 float64
	if _, err := fmt.Sscanf(measured, "%f", &top1); err != nil || code != 1 || !strings.Contains(out, "450 images of ori-test") || !strings.Contains(out, "DIFFERENT") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if out, code := check(top1 + 0.09); code != 0 || !strings.Contains(out, "the same") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, code := check(top1 + 0.15); code != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestReport(t *testing.T) {
	c := fill(t, Trial{0, "cifar10-valid", 12, 777}, Trial{0, "cifar10-valid", 12, 888}, Trial{3, "cifar10-valid", 12, 777},
		Trial{3, "digits", 12, 777}, Trial{3, "cifar10", 5, 777}, Trial{9, "cifar10", 200, 777})
	dropped := synthetic(t, Trial{9, "cifar10", 12, 1})
	dropped.Latency = nil
	if err := c.Publish(dropped, nil); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "out")
	var steps []int
	report, err := Export(t.Context(), c, Options{Format: Archive, To: to, Progress: func(done, total int) { steps = append(steps, done, total) }})
	if err != nil {
		t.Fatal(err)
	}
	want := &Report{
		Path: to, Architectures: 3, Trials: 6,
		Slots: []Slot{
			{"less", 12, []Coverage{{"cifar10-valid", 777, 2}, {"cifar10-valid", 888, 1}, {"cifar10", 1, 1}, {"digits", 777, 1}}, []string{"cifar100", "ImageNet16-120"}},
			{"full", 200, []Coverage{{"cifar10", 777, 1}}, []string{"cifar10-valid", "cifar100", "ImageNet16-120"}},
		},
		OtherSchedules: []int{5}, WithoutWeights: 1, WithoutLatency: 1,
	}
	if !reflect.DeepEqual(report, want) {
		t.Errorf("%+v, not\n%+v", report, want)
	}
	if !slices.Equal(steps, []int{1, 3, 2, 3, 3, 3}) {
		t.Errorf("progress %v", steps)
	}
	warnings := strings.Join(report.Warnings(), "\n")
	for _, w := range []string{
		"12 epochs ('less'): no trial on cifar100, ImageNet16-120", "cifar10-valid with seed 888 has 1 of 3 architectures",
		"digits is no dataset of the benchmark", "other schedules were left out: 5 epochs", "1 trials have no weights", "1 trials have no latency",
	} {
		if !strings.Contains(warnings, w) {
			t.Errorf("no %q in\n%s", w, warnings)
		}
	}
	var names []string
	entries, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"000000-FULL.pth", "000000-SIMPLE.pth", "000003-FULL.pth", "000003-SIMPLE.pth", "000009-FULL.pth", "000009-SIMPLE.pth"}; !slices.Equal(names, want) {
		t.Errorf("made %v", names)
	}
	empty := Report{Slots: []Slot{{Name: "full", Epochs: 200}}}
	if w := empty.Warnings()[0]; !strings.Contains(w, "200 epochs ('full'): no trial at all") {
		t.Error(w)
	}
}

// What a merged file is to the client depends on whether the campaign begins the
// official order.
func TestListed(t *testing.T) {
	for _, x := range []struct {
		archs   []int
		listed  int
		warning string
	}{
		{[]int{0}, 1, "architectures 0 to 0 alone: to the client this is a benchmark of 1"},
		{[]int{0, 1, 2}, 3, "architectures 0 to 2 alone: to the client this is a benchmark of 3"},
		{[]int{0, 2}, cell.Count, "2 of the 15625 architectures listed"},
		{[]int{1}, cell.Count, "1 of the 15625 architectures listed"},
	} {
		c := fill(t, grid(x.archs...)...)
		report := export(t, c, NASBench201, filepath.Join(t.TempDir(), "merged.pth"))
		if w := strings.Join(report.Warnings(), "\n"); report.Listed != x.listed || !strings.HasPrefix(w, x.warning) || strings.Contains(w, "\n") {
			t.Errorf("%v: %d listed, warnings %s", x.archs, report.Listed, w)
		}
		archive := export(t, c, Archive, filepath.Join(t.TempDir(), "archive"))
		if archive.Listed != 0 || archive.Warnings() != nil {
			t.Errorf("%v: archive: %d listed, warnings %q", x.archs, archive.Listed, archive.Warnings())
		}
	}
	whole := Report{Architectures: cell.Count, Listed: cell.Count}
	if w := whole.Warnings(); w != nil {
		t.Errorf("the whole benchmark: warnings %q", w)
	}
}

func TestNameWithMD5(t *testing.T) {
	c := fill(t, grid(0)...)
	dir := t.TempDir()
	report := export(t, c, NASBench201, dir)
	text, err := os.ReadFile(report.Path)
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", md5.Sum(text))
	if want := filepath.Join(dir, "NAS-Bench-201-"+sum[26:]+".pth"); report.Path != want {
		t.Errorf("made %s, not %s", report.Path, want)
	}
	if _, err := Export(t.Context(), c, Options{Format: NASBench201, To: dir, Less: 2, Full: 3}); !usage.Is(err) || !strings.Contains(err.Error(), report.Path) {
		t.Errorf("second export: %v", err)
	}
}

func TestExportRefuses(t *testing.T) {
	c := fill(t, grid(0)...)
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	mixed := fill(t, Trial{0, "digits", 2, 1})
	wider := synthetic(t, Trial{0, "digits", 2, 2})
	resize(t, wider, 16, 1)
	if err := mixed.Publish(wider, nil); err != nil {
		t.Fatal(err)
	}
	damaged := fill(t, grid(0, 1)...)
	last := read(t, damaged)[20]
	if err := os.Truncate(damaged.RecordPath(last), 300); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		campaign Campaign
		options  Options
		want     string
	}{
		"no campaign":   {Campaign{t.TempDir()}, Options{Format: Archive, To: "new", Less: 2, Full: 3}, "is no campaign"},
		"format":        {c, Options{Format: "zip", To: "new", Less: 2, Full: 3}, "unknown format"},
		"nowhere":       {c, Options{Format: Archive, Less: 2, Full: 3}, "needs a place"},
		"one schedule":  {c, Options{Format: Archive, To: "new", Less: 3, Full: 3}, "two different"},
		"negative":      {c, Options{Format: Archive, To: "new", Less: -1}, "two different"},
		"no trial":      {c, Options{Format: Archive, To: "new"}, "has trials of 2, 3 epochs"},
		"taken":         {c, Options{Format: Archive, To: "taken", Less: 2, Full: 3}, "is there already"},
		"taken file":    {c, Options{Format: NASBench201, To: "taken", Less: 2, Full: 3}, "is there already"},
		"no parent":     {c, Options{Format: NASBench201, To: "none/new", Less: 2, Full: 3}, "there is no directory"},
		"networks":      {mixed, Options{Format: Archive, To: "new", Less: 2, Full: 3}, "different networks"},
		"damaged":       {damaged, Options{Format: NASBench201, To: "new", Less: 2, Full: 3}, "byte 300"},
		"damaged trial": {damaged, Options{Format: Archive, To: "new", Less: 2, Full: 3}, filepath.Base(damaged.RecordPath(last))},
	} {
		if x.options.To != "" {
			x.options.To = filepath.Join(dir, x.options.To)
		}
		_, err := Export(t.Context(), x.campaign, x.options)
		if !usage.Is(err) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
		if got := files(t, dir); !slices.Equal(got, []string{"taken"}) {
			t.Fatalf("%s: left %v", name, got)
		}
	}
	if text, err := os.ReadFile(taken); err != nil || string(text) != "precious" {
		t.Errorf("%q %v", text, err)
	}
}

func TestExportStops(t *testing.T) {
	c := fill(t, grid(0, 1, 2)...)
	for _, format := range Formats() {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Export(ctx, c, Options{Format: format, To: filepath.Join(dir, "new"), Less: 2, Full: 3,
			Progress: func(done, _ int) {
				if done == 2 {
					cancel()
				}
			}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", format, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) || len(files(t, dir)) > 0 {
			t.Errorf("%s: left %v", format, files(t, dir))
		}
	}
}

// A merged file of many architectures needs no more memory than one of few.
func TestMergedStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 60 records")
	}
	var trials []Trial
	for arch := range 60 {
		trials = append(trials, Trial{arch, "cifar100", 200, 777})
	}
	c := Campaign{t.TempDir()}
	for _, trial := range trials {
		if err := c.Publish(synthetic(t, trial), nil); err != nil {
			t.Fatal(err)
		}
	}
	var early, late uint64
	report, err := Export(t.Context(), c, Options{Format: NASBench201, To: filepath.Join(t.TempDir(), "merged.pth"), Progress: func(done, _ int) {
		var m runtime.MemStats
		if done == 10 || done == 60 {
			runtime.GC()
			runtime.ReadMemStats(&m)
		}
		if done == 10 {
			early = m.HeapAlloc
		} else if done == 60 {
			late = m.HeapAlloc
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(report.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kB, heap %d kB after 10 architectures, %d kB after 60", info.Size()>>10, early>>10, late>>10)
	if late > early+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", early, late)
	}
}
