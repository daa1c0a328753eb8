package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/data"
	"nb201/internal/npy"
	"nb201/results"
)

// TestMain makes the test binary a program that takes turns, where fakeSide says
// how it behaves.
func TestMain(m *testing.M) {
	if behaviour := os.Getenv(fakeSide); behaviour != "" {
		if err := fake(behaviour, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const fakeSide = "NB201_BENCH_FAKE_SIDE"

// fake does tasks in turns of as many seconds as it has taken turns, times two if slow, and
// evaluates in half the time.
func fake(behaviour string, in io.Reader, out io.Writer) error {
	words, reports := json.NewDecoder(in), json.NewEncoder(out)
	factor, loss := 1.0, 2.5
	switch behaviour {
	case "unable":
		return fmt.Errorf("no such device")
	case "slow":
		factor = 2
	case "other":
		loss = 2.6
	}
	for {
		var task Task
		switch err := words.Decode(&task); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		for turn := range task.Turns {
			cost := Cost{factor * float64(turn), float64(turn)}
			report := Report{Train: cost, Eval: Cost{cost.Seconds / 2, cost.CPU / 2}}
			if turn == 0 {
				report = Report{Train: Cost{30, 60}, Loss: loss}
			}
			if err := reports.Encode(report); err != nil {
				return err
			}
			if behaviour == "dies" && turn == 1 {
				return fmt.Errorf("a warning\nout of memory")
			}
			var word string
			if err := words.Decode(&word); err != nil {
				return err
			}
		}
		if err := reports.Encode(Closing{PeakRSS: 3 << 30, Versions: []string{"Fake 1", behaviour}}); err != nil {
			return err
		}
	}
}

func fakes(t *testing.T, behaviours ...string) []side {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var sides []side
	for _, b := range behaviours {
		sides = append(sides, side{name: b, command: []string{"env", fakeSide + "=" + b, self}})
	}
	return sides
}

// flags are the options of a command line of step.
func flags(t *testing.T) *stepOptions {
	t.Helper()
	o := &stepOptions{common: common{channels: 4, cells: 1, batch: 8, device: "cpu", precision: "fp32", archs: []cell.Arch{medianArch()}}, steps: 2, rounds: 5}
	for _, key := range []string{"cifar10", "ImageNet16-120"} {
		d, err := data.Published(key)
		if err != nil {
			t.Fatal(err)
		}
		o.datasets = append(o.datasets, d)
	}
	return o
}

func TestContest(t *testing.T) {
	o := flags(t)
	table := newTable("step", &o.common, stepColumns)
	table.Machine = []string{"A Processor, 2 cores"}
	peaks := Peaks{Bandwidth: 1e9, FLOP: math.Inf(1)}
	programs := programsOf(fakes(t, "slow", "quick", "slow"))
	defer stopAll(programs)
	for _, d := range o.datasets { // one after another in the same processes
		rows, err := o.contest(context.Background(), programs, o.archs[0], d, peaks, &table.Setting)
		if err != nil {
			t.Fatal(err)
		}
		table.Rows = append(table.Rows, rows...)
		table.Notes = append(table.Notes, verdict(rows)...)
	}
	for _, i := range []int{1, 4} {
		quick := table.Rows[i]
		if want := (Spread{1.5, 0.5, 2.5}); quick.Train.Seconds != want {
			t.Errorf("row %d: seconds a step %v, want %v", i, quick.Train.Seconds, want)
		}
		if want := (Spread{2, 2, 2}); quick.Train.Ratio != want || quick.Eval.Ratio != want {
			t.Errorf("row %d: ratios %v and %v, want %v", i, quick.Train.Ratio, quick.Eval.Ratio, want)
		}
		network := o.network(o.archs[0], o.datasets[i/3])
		limit := network.TrainingTraffic(8, 4).Total() / 1e9
		if got := quick.Train.Share; math.Abs(got-limit/1.5) > 1e-9 {
			t.Errorf("row %d: share %v of a limit of %v s in 1.5 s", i, got, limit)
		}
		if want := (Cost{30 - 4.5, 60 - 4.5}); quick.FirstTurn != want || quick.RSS != 3<<30 || quick.FirstLoss != 2.5 {
			t.Errorf("row %d: first turn %v, want %v; peak RSS %v, first loss %v", i, quick.FirstTurn, want, quick.RSS, quick.FirstLoss)
		}
	}
	if want := []string{"Fake 1", "slow", "quick"}; !slices.Equal(table.Versions, want) {
		t.Errorf("versions %v, want %v", table.Versions, want)
	}
	text := table.Markdown()
	for _, want := range []string{
		"Architecture 14452, images of ImageNet16-120: nb201's step takes 2.00 times as long as that of quick",
		"| 14452 | cifar10 | quick | 1.5 (0.5-2.5) |",
		"A Processor, 2 cores",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}

	o.save = filepath.Join(t.TempDir(), "results")
	if err := table.publish(&o.common); err != nil {
		t.Fatal(err)
	}
	saved, err := filepath.Glob(filepath.Join(o.save, "*-A-Processor-step-fp32.*"))
	if err != nil || len(saved) != 2 {
		t.Errorf("saved %v, %v", saved, err)
	}
}

func TestContestFails(t *testing.T) {
	o := flags(t)
	for behaviour, want := range map[string]string{
		"dies":  "dies: out of memory",
		"other": "they do not train the same network",
	} {
		programs := programsOf(fakes(t, "quick", behaviour))
		_, err := o.contest(context.Background(), programs, o.archs[0], o.datasets[0], Peaks{1, 1}, &Setting{})
		stopAll(programs)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", behaviour, err, want)
		}
	}
}

// A side that cannot begin is left out, and told.
func TestUnable(t *testing.T) {
	o := flags(t)
	var s Setting
	programs := programsOf(fakes(t, "quick", "unable", "slow"))
	defer stopAll(programs)
	rows, err := o.contest(context.Background(), programs, o.archs[0], o.datasets[0], Peaks{1, 1}, &s)
	if err != nil || len(rows) != 2 || rows[1].Side != "slow" || len(s.Skipped) != 1 || !strings.Contains(s.Skipped[0], "unable: no such device") {
		t.Errorf("%d rows, skipped %q, %v", len(rows), s.Skipped, err)
	}
}

func TestTogether(t *testing.T) {
	o := &severalOptions{stepOptions: *flags(t)}
	row, err := o.together(context.Background(), fakes(t, "quick")[0], 3, o.archs[0], o.datasets[0], &Setting{})
	if err != nil || row.Processes != 3 || len(row.Turns) != 5 || row.RSS != 9<<30 || row.ImagesPerSecond.Min <= 0 {
		t.Errorf("%+v, %v", row, err)
	}
}

func TestNoPyTorch(t *testing.T) {
	missing := side{name: "PyTorch", command: []string{filepath.Join(t.TempDir(), "python3")}}
	if err := missing.check(context.Background()); err == nil {
		t.Error("a Python that is not there has PyTorch")
	}
}

// Wrong flags are told as such, with exit code 2.
func TestWrongUsage(t *testing.T) {
	for _, wrong := range []string{
		"step --archs 15625", "step --batch 0", "step --rounds 0", "step --steps -1", "step --modes fast", "step --precision fp64",
		"step --device tpu", "step --nonsense", "step more", "nonsense", "trial --modes jax", "trial --epochs 0", "trial --dataset nonsense",
		"sample --archs 2", "sample --datasets cifar10", "several --processes none", "campaign --archs 0", "compile --datasets digits",
	} {
		if code := run(t.Context(), strings.Fields(wrong)); code != 2 {
			t.Errorf("%s: exit code %d", wrong, code)
		}
	}
}

func TestMedian(t *testing.T) {
	if a := medianArch(); a.Index() != 14452 {
		t.Errorf("architecture %d, where help and README say 14452", a.Index())
	}
}

// Records that are written are those that are read, and a split's are in its own order.
func TestRecords(t *testing.T) {
	const size = 4
	images := imagesOf(noise(3, size, 120), size)
	var written bytes.Buffer
	if err := writeRecords(&written, &data.Split{Images: images, Indices: []int32{2, 0}}); err != nil {
		t.Fatal(err)
	}
	got := imagesOf(written.Bytes(), size)
	if n := 3 * size * size; !slices.Equal(got.Labels, []int32{images.Labels[2], images.Labels[0]}) ||
		!slices.Equal(got.Pixels, slices.Concat(images.Pixels[2*n:], images.Pixels[:n])) {
		t.Errorf("%v come back as %v", images, got)
	}
}

// The JAX side reads the initial weights by the names of the state dict.
func TestWeights(t *testing.T) {
	o := flags(t)
	task := o.newTask(o.archs[0], o.datasets[0], 1, 1)
	if err := task.writeFiles(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	set, err := npy.OpenSet(task.Weights)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	n := 0
	for _, w := range o.network(o.archs[0], o.datasets[0]).Tensors() {
		if w.Role == cell.BNCount {
			continue
		}
		n++
		a, err := set.Open(w.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Shape, w.Shape) {
			t.Errorf("%s has shape %v, want %v", w.Name, a.Shape, w.Shape)
		}
	}
	if len(set.Names()) != n {
		t.Errorf("%d arrays, want %d", len(set.Names()), n)
	}
}

// A quantity that is linear in FLOPs is estimated without an error, and of all
// architectures so is any.
func TestEstimate(t *testing.T) {
	o := flags(t)
	flops := func(a cell.Arch) float64 {
		return cell.Network{Arch: a, Channels: 4, Cells: 1, Classes: 10, Size: 32}.FLOPs()
	}
	want := 0.0
	var all []cell.Arch
	var squares []float64
	wantSquares := 0.0
	for _, a := range cell.All() {
		want += 3 + 2*flops(a)
		all, squares = append(all, a), append(squares, flops(a)*flops(a))
		wantSquares += flops(a) * flops(a)
	}
	some := drawn(20)
	var y []float64
	for _, a := range some {
		y = append(y, 3+2*flops(a))
	}
	if e := estimateTotal(&o.common, some, y); e.By != "FLOPs" || math.Abs(e.Total/want-1) > 1e-9 || e.StdError > 1e-6*want {
		t.Errorf("%+v, want %v by FLOPs", e, want)
	}
	if e := estimateTotal(&o.common, all, squares); math.Abs(e.Total/wantSquares-1) > 1e-9 || e.StdError != 0 {
		t.Errorf("of all: %+v, want %v", e, wantSquares)
	}
	if e := regress(make([]float64, 3), []float64{1, 2, 3}, 0); e.Total != 2*cell.Count || math.Abs(e.StdError/cell.Count-math.Sqrt(1.0/3)) > 1e-3 {
		t.Errorf("of 1, 2, 3: %+v", e)
	}
}

// The whole benchmark from rows of 1 second a step and none of evaluation.
func TestExtrapolate(t *testing.T) {
	o := &sampleOptions{stepOptions: *flags(t)}
	var rows []sampleRow
	for _, a := range drawn(3) {
		for _, key := range []string{"cifar10", "ImageNet16-120"} {
			rows = append(rows, sampleRow{Arch: a.Index(), Dataset: key, Side: "nb201", Train: 1, Compile: 3600})
		}
	}
	e := o.extrapolate(rows)[0]
	images := 0
	for _, key := range results.PublishedDatasets() {
		d, _ := results.FindDataset(key)
		images += d.Train
	}
	want := 200 * float64(images) / 8 / 3600 * cell.Count
	if math.Abs(e.Seed200.Total/want-1) > 1e-9 || e.Seed200.StdError > 1e-9*want || e.Compile.Total != 4*cell.Count || e.Archs != 3 {
		t.Errorf("%+v, want %v hours a seed", e, want)
	}
	published := want*3 + want/200*12 + 12*25000.0/8/3600*cell.Count
	if math.Abs(e.Published.Total/published-1) > 1e-9 {
		t.Errorf("published: %v, want %v", e.Published, published)
	}
}

// A sample goes on from what was kept, and only of the same setting.
func TestState(t *testing.T) {
	o := &sampleOptions{stepOptions: *flags(t), state: filepath.Join(t.TempDir(), "a", "state.jsonl")}
	kept := sampleState{o.setting(), Peaks{1, 2}, []sampleRow{{Arch: 14452, Train: 3}}}
	for range 2 {
		if err := o.appendState(kept); err != nil {
			t.Fatal(err)
		}
	}
	states, err := o.readState()
	if err != nil || len(states) != 2 {
		t.Fatalf("%v, %v", states, err)
	}
	if rows, found := findRows(states, medianArch()); !found || rows[0] != kept.Rows[0] {
		t.Errorf("%v comes back as %v", kept.Rows, rows)
	}
	o.batch++
	if states, err := o.readState(); err != nil || len(states) != 0 {
		t.Errorf("another batch size: %v, %v", states, err)
	}
}

// TestSide does two tasks with the real side of nb201.
func TestSide(t *testing.T) {
	t.Setenv(keptPrograms, t.TempDir()) // for the second task
	const turns = 2
	o := flags(t)
	o.archs[0] = cell.Arch{} // quick to compile
	dir := t.TempDir()
	var in, out strings.Builder
	words := json.NewEncoder(&in)
	task := o.newTask(o.archs[0], o.datasets[1], o.steps, turns-1)
	if err := task.writeFiles(dir); err != nil {
		t.Fatal(err)
	}
	for _, word := range []any{task, "go", "finish", task, "go", "finish"} {
		if err := words.Encode(word); err != nil {
			t.Fatal(err)
		}
	}
	if err := nb201Side(context.Background(), strings.NewReader(in.String()), &out); err != nil {
		t.Fatal(err)
	}
	reports := json.NewDecoder(strings.NewReader(out.String()))
	for range 2 {
		var got [turns]Report
		var closing Closing
		for _, r := range []any{&got[0], &got[1], &closing} {
			if err := reports.Decode(r); err != nil {
				t.Fatal(err)
			}
		}
		first, second := got[0], got[1]
		if first.Loss < 1 || first.Loss > 8 || second.Loss != 0 {
			t.Errorf("losses %v and %v", first.Loss, second.Loss)
		}
		if second.Train.Seconds <= 0 || second.Eval.Seconds <= 0 || second.Train.Seconds >= first.Train.Seconds ||
			closing.Compile <= 0 || closing.Compile >= first.Train.Seconds+first.Eval.Seconds {
			t.Errorf("a cold turn %+v, then %+v, compiling took %v s", first, second, closing.Compile)
		}
		if closing.PeakRSS < 1<<20 || len(closing.Versions) < 3 {
			t.Errorf("peak RSS %d, versions %v", closing.PeakRSS, closing.Versions)
		}
	}
}

// TestCompileOne compiles the programs of a trial, and tells them apart.
func TestCompileOne(t *testing.T) {
	t.Setenv(keptPrograms, "off")
	o := flags(t)
	o.archs[0] = cell.Arch{} // quick to compile
	task := compileTask{o.newTask(o.archs[0], o.datasets[1], 1, 0), 2*o.batch + 3}
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := compileOne(context.Background(), bytes.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	var got compiled
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range got.Programs {
		names = append(names, p.Name)
		if p.Seconds <= 0 || p.CPU <= 0 {
			t.Errorf("%+v", p)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(got.Programs) || len(names) < 2 {
		t.Errorf("programs %v", names)
	}
}
