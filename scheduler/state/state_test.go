package state

import (
	"math"
	"strings"
	"testing"
	"time"

	"nb201/results"
)

func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		totals  Totals
		workers int
		rate    float64
		want    time.Duration
	}{
		{Totals{Left: 10, Running: 2, Work: 12 * time.Hour}, 4, 100, 3 * time.Hour},
		{Totals{Left: 10, Running: 2}, 4, 6, 2 * time.Hour},
		{Totals{Left: 10, Work: time.Hour}, 0, 0, 0},
		{Totals{Left: 10}, 4, 0, 0},
	} {
		if got := c.totals.TimeLeft(c.workers, c.rate); got != c.want {
			t.Errorf("%+v, %d workers, %v an hour: %v, not %v", c.totals, c.workers, c.rate, got, c.want)
		}
	}
}

func TestSpanAndPercent(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 1400 * time.Millisecond: "1s", 59 * time.Second: "59s", 59600 * time.Millisecond: "1m00s",
		185 * time.Second: "3m05s", 247 * time.Minute: "4h07m", 291 * time.Hour: "12d03h",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v is %q, not %q", d, got, want)
		}
	}
	for _, c := range []struct {
		part, whole int
		want        string
	}{{0, 0, "0 %"}, {0, 3, "0.0 %"}, {2, 3, "66.6 %"}, {299999, 300000, "99.9 %"}, {3, 3, "100.0 %"}} {
		if got := Percent(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d is %q, not %q", c.part, c.whole, got, c.want)
		}
	}
}

// The columns of a wide table appear as far as they fit. On a narrow terminal, the table has fewer.
func TestWorkerTable(t *testing.T) {
	trial := results.Trial{Arch: 4711, Dataset: "cifar10-valid", Epochs: 200, Seed: 777}
	now := time.Now()
	s := Run{Workers: []Worker{
		{Device: "cuda:0", Trial: &trial, Attempt: 1, Stage: "x-valid", Epoch: 36, Epochs: 200, Since: now.Add(-754 * time.Second), ImagesPerSecond: 8123.4,
			Training: &Pass{Set: "train", Epoch: 36, Loss: 0.45678, Top1: 84.567}, Evaluation: &Pass{Set: "x-valid", Epoch: 35, Loss: 0.5, Top1: 80.125}},
		{Device: "cuda:1", Stage: StageIdle, Since: now.Add(-5 * time.Second)},
	}}
	const narrow = `device  trial                           at                    images/s  for
cuda:0  004711/cifar10-valid/0200-0777  epoch 37/200 x-valid  8123      12m34s
cuda:1  -                               idle                  -         5s
`
	const short = `device  trial                           at              images/s  for
cuda:0  004711/cifar10-valid/0200-0777  37/200 x-valid  8123      12m34s
cuda:1  -                               idle            -         5s
`
	const rates = `device  trial                           at              images/s
cuda:0  004711/cifar10-valid/0200-0777  37/200 x-valid  8123
cuda:1  -                               idle            -
`
	const least = `device  trial                           at
cuda:0  004711/cifar10-valid/0200-0777  37/200 x-valid
cuda:1  -                               idle
`
	const passes = `device  trial                           at                    images/s  for     loss   train %  evaluation %
cuda:0  004711/cifar10-valid/0200-0777  epoch 37/200 x-valid  8123      12m34s  0.457  84.57    x-valid 80.12
cuda:1  -                               idle                  -         5s      -      -        -
`
	const wide = `device  trial                           at                    images/s  for     loss   train %  evaluation %   so far
cuda:0  004711/cifar10-valid/0200-0777  epoch 37/200 x-valid  8123      12m34s  0.457  84.57    x-valid 80.12  ▁▂█
cuda:1  -                               idle                  -         5s      -      -        -              -
`
	drawings := []string{"▁▂█", "-"}
	for _, test := range []struct {
		width    int
		drawings []string
		want     string
	}{
		{0, nil, narrow}, {109, drawings, narrow}, {79, nil, narrow}, {78, nil, short}, {73, nil, short}, {72, nil, rates}, {65, nil, rates},
		{64, nil, least}, {60, drawings, least}, {10, nil, least},
		{110, drawings, passes}, {110, nil, passes}, {160, drawings, wide}, {160, nil, passes},
	} {
		if got := s.WorkerTable(test.width, test.drawings); got != test.want {
			t.Errorf("in %d columns, drawings %q:\n%s\nwant\n%s", test.width, test.drawings, got, test.want)
		}
	}

	// Whatever a state file contains, no line is wider than the terminal because of these columns.
	s.Workers[0].Training = &Pass{Set: "\x1b[2J\t", Loss: 1e308, Top1: -1e308}
	s.Workers[0].Evaluation = &Pass{Set: strings.Repeat("\x1b[2J", 1000), Top1: 1e308}
	const cut = `device  trial                           at                    images/s  for     loss    train %
cuda:0  004711/cifar10-valid/0200-0777  epoch 37/200 x-valid  8123      12m34s  1e+308  -1e+308
cuda:1  -                               idle                  -         5s      -       -
`
	if got := s.WorkerTable(160, drawings); got != cut {
		t.Errorf("hostile:\n%s\nwant\n%s", got, cut)
	}
}

// A curve stays short, keeps its first and its last pass, and leaves out passes evenly. Copies of the
// worker do not change.
func TestAddPass(t *testing.T) {
	for _, passes := range []int{1, 2, 99, 100, 101, 200, 1000} {
		for _, every := range []int{1, 3} {
			var w, before Worker
			for i := range passes {
				if i == passes/2 {
					before = w
				}
				w.AddPass(&Pass{Set: StageTraining, Epoch: 5 + every*i, Loss: float64(i) + 1e-7, Top1: 12.3456})
				w.AddPass(&Pass{Set: "x-valid", Epoch: 5 + every*i, Loss: math.MaxFloat64})
				w.AddPass(&Pass{Set: "x-valid", Epoch: 5 + every*i}) // again: left out
			}
			c := w.Curves[0]
			n := len(c.Epochs)
			if n > maxPoints || len(c.Loss) != n || len(c.Top1) != n || n < min(passes, maxPoints/2) {
				t.Fatalf("%d passes: %d points, %d losses, %d accuracies", passes, n, len(c.Loss), len(c.Top1))
			}
			if c.Epochs[0] != 5 || c.Epochs[n-1] != 5+every*(passes-1) {
				t.Errorf("%d passes: epochs %d to %d", passes, c.Epochs[0], c.Epochs[n-1])
			}
			for i := 2; i < n-1; i++ {
				if c.Epochs[i]-c.Epochs[i-1] != c.Epochs[1]-c.Epochs[0] {
					t.Errorf("%d passes: uneven epochs %v", passes, c.Epochs)
				}
			}
			for i, epoch := range c.Epochs {
				if want := float64((epoch - 5) / every); c.Loss[i] != want || c.Top1[i] != 12.35 {
					t.Errorf("epoch %d: loss %v, accuracy %v", epoch, c.Loss[i], c.Top1[i])
				}
			}
			if w.Training.Epoch != c.Epochs[n-1] || w.Evaluation.Set != "x-valid" || w.Curves[1].Loss[0] != math.MaxFloat64 {
				t.Errorf("%+v", w)
			}
			if passes > 1 && before.Curves[0].Epochs[len(before.Curves[0].Epochs)-1] != 5+every*(passes/2-1) {
				t.Errorf("%d passes: a copy has changed: %v", passes, before.Curves[0].Epochs)
			}
		}
	}
}
