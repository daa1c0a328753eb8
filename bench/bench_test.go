package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/usage"
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

// fake takes turns of as many seconds as it has taken turns, times two if slow.
func fake(behaviour string, in io.Reader, out io.Writer) error {
	words, reports := json.NewDecoder(in), json.NewEncoder(out)
	var task Task
	if err := words.Decode(&task); err != nil {
		return err
	}
	factor, loss := 1.0, 2.5
	switch behaviour {
	case "slow":
		factor = 2
	case "other":
		loss = 2.6
	}
	for turn := range task.Turns {
		report := Report{Seconds: factor * float64(turn), CPU: float64(turn)}
		if turn == 0 {
			report = Report{Seconds: 30, Loss: loss}
		}
		if err := reports.Encode(report); err != nil {
			return err
		}
		if behaviour == "dies" && turn == 1 {
			return fmt.Errorf("a warning\nout of memory")
		}
		if turn < task.Turns-1 {
			var word string
			if err := words.Decode(&word); err != nil {
				return err
			}
		}
	}
	return reports.Encode(Report{PeakRSS: 3 << 30, Versions: []string{"Fake 1", behaviour}})
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

func TestContest(t *testing.T) {
	sides := fakes(t, "slow", "quick", "slow")
	task := Task{Turns: 6, Steps: 2, Precision: "fp32", Classes: 10}
	programs, err := contest(context.Background(), sides, task)
	if err != nil {
		t.Fatal(err)
	}
	arch, err := cell.ByIndex(0)
	if err != nil {
		t.Fatal(err)
	}
	c := &Comparison{Machine: []string{"A Processor, 2 cores"}, Channels: 16, Cells: 5, Batch: 256, Steps: 2, Rounds: 5}
	c.add(arch, task.Classes, programs)
	quick := c.Rows[1]
	if want := (Spread{1.5, 0.5, 2.5}); quick.Seconds != want {
		t.Errorf("seconds a step %v, want %v", quick.Seconds, want)
	}
	if want := (Spread{2, 2, 2}); quick.Ratio != want {
		t.Errorf("ratios %v, want %v", quick.Ratio, want)
	}
	if quick.Cold != 30 || quick.PeakRSS != 3<<30 || quick.FirstLoss != 2.5 {
		t.Errorf("cold start %v, peak RSS %v, first loss %v", quick.Cold, quick.PeakRSS, quick.FirstLoss)
	}
	if want := []string{"Fake 1", "slow", "quick"}; !slices.Equal(c.Versions, want) {
		t.Errorf("versions %v, want %v", c.Versions, want)
	}
	if text := c.Markdown(); !strings.Contains(text, "Architecture 0: nb201 takes 2.00 times as long as quick") {
		t.Errorf("no verdict against the faster one in:\n%s", text)
	}

	dir := t.TempDir()
	if err := c.Save(filepath.Join(dir, "results")); err != nil {
		t.Fatal(err)
	}
	saved, err := filepath.Glob(filepath.Join(dir, "results", "*-A-Processor.*"))
	if err != nil || len(saved) != 2 {
		t.Errorf("saved %v, %v", saved, err)
	}
}

func TestContestFails(t *testing.T) {
	for behaviour, want := range map[string]string{
		"dies":  "dies: out of memory",
		"other": "they do not train the same network",
	} {
		_, err := contest(context.Background(), fakes(t, "quick", behaviour), Task{Turns: 4, Precision: "fp32"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", behaviour, err, want)
		}
	}
}

func TestNoPyTorch(t *testing.T) {
	if err := hasPyTorch(context.Background(), filepath.Join(t.TempDir(), "python3")); err == nil {
		t.Error("a Python that is not there has PyTorch")
	}
}

func TestParse(t *testing.T) {
	for _, wrong := range [][]string{
		{"-archs", "15625"}, {"-archs", ""}, {"-batch", "0"}, {"-rounds", "0"}, {"-steps", "-1"}, {"-modes", "fast"},
		{"-precision", "fp64"}, {"-device", "tpu"}, {"-nonsense"}, {"more"},
	} {
		if _, err := parse(wrong); !usage.Is(err) {
			t.Errorf("%v: %v is no usage error", wrong, err)
		}
	}
	o, err := parse([]string{"-archs", "3,|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"})
	if err != nil || len(o.archs) != 2 {
		t.Errorf("%v, %v", o, err)
	}
}

func TestImages(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "data_batch_1.bin")
	raw := make([]byte, 2*record)
	raw[record] = 7 // second image: label, then the first pixel's red, green and blue
	raw[record+1], raw[record+1+size*size], raw[record+1+2*size*size] = 1, 2, 3
	if err := os.WriteFile(source, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := writeImages(dir, source, 2)
	if err != nil {
		t.Fatal(err)
	}
	images, err := readImages(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := images.Pixels[3*size*size:][:3]; images.Len() != 2 || images.Labels[1] != 7 || !slices.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("%d images, labels %v, first pixel of the second %v", images.Len(), images.Labels, got)
	}
	if _, err := writeImages(dir, source, 3); !usage.Is(err) {
		t.Errorf("too few images: %v", err)
	}
}

// TestStep takes turns with the real side of nb201.
func TestStep(t *testing.T) {
	const turns, batch = 2, 8
	images, err := writeImages(t.TempDir(), "", 2*batch)
	if err != nil {
		t.Fatal(err)
	}
	arch, err := cell.ByIndex(0)
	if err != nil {
		t.Fatal(err)
	}
	var in, out strings.Builder
	words := json.NewEncoder(&in)
	task := Task{
		Arch: arch.String(), Channels: 4, Cells: 1, Classes: 10, Batch: batch, Steps: 2, Turns: turns, Seed: 777,
		Mean: [3]float64{125, 125, 125}, Std: [3]float64{60, 60, 60}, Images: images, Device: "cpu", Precision: "fp32",
	}
	for _, word := range []any{task, "go"} {
		if err := words.Encode(word); err != nil {
			t.Fatal(err)
		}
	}
	if err := step(context.Background(), strings.NewReader(in.String()), &out); err != nil {
		t.Fatal(err)
	}
	reports := json.NewDecoder(strings.NewReader(out.String()))
	var got [turns + 1]Report
	for i := range got {
		if err := reports.Decode(&got[i]); err != nil {
			t.Fatal(err)
		}
	}
	first, second, last := got[0], got[1], got[2]
	if first.Loss < 1 || first.Loss > 5 || second.Loss != 0 {
		t.Errorf("losses %v and %v", first.Loss, second.Loss)
	}
	if second.Seconds <= 0 || second.Seconds >= first.Seconds || last.Compile <= 0 || last.Compile >= first.Seconds {
		t.Errorf("a cold turn of %v s, then one of %v s, compiling took %v s", first.Seconds, second.Seconds, last.Compile)
	}
	if last.PeakRSS < 1<<20 || len(last.Versions) < 3 {
		t.Errorf("peak RSS %d, versions %v", last.PeakRSS, last.Versions)
	}
}
