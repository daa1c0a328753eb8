package scheduler

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nb201/internal/progress"
	"nb201/internal/progress/progresstest"
	"nb201/results"
	"nb201/scheduler/state"
)

// sampleRun returns the state of a run with two workers, one of them idle, and its totals.
func sampleRun() (state.Run, state.Totals) {
	trial := results.Trial{Arch: 4711, Dataset: "cifar10-valid", Epochs: 200, Seed: 777}
	now := time.Now()
	s := state.Run{Host: "node1", PID: 7, Started: now.Add(-2 * time.Hour), Finished: 30, Failed: 1,
		Workers: []state.Worker{
			{Device: "cuda:0", Trial: &trial, Attempt: 2, Stage: "train", Epoch: 36, Epochs: 200, Since: now.Add(-754 * time.Second), ImagesPerSecond: 8123.4},
			{Device: "cuda:1", Stage: state.StageIdle, Since: now.Add(-5 * time.Second)},
		},
		LastHour: state.Throughput{Seconds: 3600, Trials: 15, Images: 3e7},
	}
	return s, state.Totals{Planned: 120, Done: 45, Running: 1, Failed: 1, Left: 73, Work: 10 * time.Hour}
}

// viewOn returns a View on a terminal.
func viewOn(w io.Writer, size func() (width, height int)) *View {
	v := new(View)
	v.display = progress.OpenTerminal(w, size, v.draw)
	return v
}

func TestViewOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out progresstest.Output
		var width, height atomic.Int32
		width.Store(120)
		height.Store(24)
		v := viewOn(&out, func() (int, int) { return int(width.Load()), int(height.Load()) })
		check := func(want string) {
			t.Helper()
			time.Sleep(300 * time.Millisecond) // until the next frame
			synctest.Wait()
			if got := progresstest.Screen(t, out.String()); got != want {
				t.Errorf("the terminal shows\n%s\nwant\n%s", got, want)
			}
		}
		s, totals := sampleRun()
		v.Show(s, totals)
		time.Sleep(700 * time.Millisecond)
		s.Workers[0].Stage = "x-valid"
		s.Workers[0].Training = &state.Pass{Set: "train", Epoch: 36, Loss: 0.5, Top1: 84.5}
		v.Show(s, totals)
		const block = `device  trial                           at                               images/s  for     loss  train %  evaluation %
cuda:0  004711/cifar10-valid/0200-0777  epoch 37/200 x-valid, attempt 2  8123      12m35s  0.5   84.50    -
cuda:1  -                               idle                             -         6s      -     -        -
[=============                      ]  45 of 120 trials done (37.5 %), 1 failed, 8123 images/s, 15 trials/h, 5h00m left
`
		check(block)
		// Text is printed above the block.
		fmt.Fprintf(v, "a worker crashed\n")
		check("a worker crashed\n" + block)

		s.Paused = "1 GiB free on the disk"
		width.Store(60)
		v.Show(s, totals)
		check(`a worker crashed
device  trial                           at
cuda:0  004711/cifar10-valid/0200-0777  37/200 x-valid
cuda:1  -                               idle
paused: 1 GiB free on the disk
45 of 120 trials done (37.5 %), 1 failed, 8123 images/s, 15
  trials/h, 5h00m left
`)
		s.Paused = ""
		height.Store(7)
		for range 8 {
			s.Workers = append(s.Workers, s.Workers[1])
		}
		v.Show(s, totals)
		check(`a worker crashed
device     trial                           at
cuda:0     004711/cifar10-valid/0200-0777  37/200 x-valid
cuda:1 #0  -                               idle
... and 8 more workers
45 of 120 trials done (37.5 %), 1 failed, 8123 images/s, 15
  trials/h, 1h00m left
`)
		v.Done()
		check("a worker crashed\n")
		v.Done()
		check("a worker crashed\n")
	})
}

// A wide terminal shows the passes, and the curve of each worker's trial in progress: one evaluation
// set of it, each epoch once.
func TestViewShowsPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out progresstest.Output
		v := viewOn(&out, func() (int, int) { return 160, 24 })
		s, totals := sampleRun()
		s.Workers[0].Attempt = 1
		for epoch, top1 := range []float64{10, 80, 45} {
			s.Workers[0].AddPass(&state.Pass{Set: "train", Epoch: epoch, Loss: 1.5, Top1: 20})
			for _, set := range []string{"x-valid", "x-test"} {
				s.Workers[0].AddPass(&state.Pass{Set: set, Epoch: epoch, Loss: 1.25, Top1: top1})
				v.Show(s, totals)
				v.Show(s, totals)
			}
		}
		check := func(want string) {
			t.Helper()
			time.Sleep(300 * time.Millisecond) // until the next frame
			synctest.Wait()
			if got := progresstest.Screen(t, out.String()); !strings.HasPrefix(got, want) {
				t.Errorf("the terminal shows\n%s\nwant\n%s", got, want)
			}
		}
		check(`device  trial                           at                  images/s  for     loss  train %  evaluation %  so far
cuda:0  004711/cifar10-valid/0200-0777  epoch 37/200 train  8123      12m34s  1.5   20.00    x-test 45.00  ▁█▄
cuda:1  -                               idle                -         5s      -     -        -             -
`)
		other := results.Trial{Arch: 5, Dataset: "cifar10-valid", Epochs: 200, Seed: 777}
		w := &s.Workers[0]
		w.Trial, w.Since, w.Training, w.Evaluation, w.Curves = &other, time.Now(), nil, nil, nil
		v.Show(s, totals)
		check(`device  trial                           at                  images/s  for  loss  train %  evaluation %  so far
cuda:0  000005/cifar10-valid/0200-0777  epoch 37/200 train  8123      0s   -     -        -             -
`)
		v.Done()
	})
}

// evaluated returns a worker whose trial has accuracies on one evaluation set.
func evaluated(top1 ...float64) state.Worker {
	return state.Worker{Curves: []state.Curve{{Set: state.StageTraining, Top1: []float64{1, 2, 3}}, {Set: "x-valid", Top1: top1}}}
}

func TestSparkline(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{nil, "-"}, {[]float64{50}, "▁"}, {[]float64{50, 50}, "▁▁"}, {[]float64{5e-324, 0}, "█▁"},
		{[]float64{0, 10, 20, 30, 40, 50, 60, 70}, "▁▂▃▄▅▆▇█"},
	} {
		if got := sparkline(evaluated(test.values...)); got != test.want {
			t.Errorf("%v is drawn as %q, not %q", test.values, got, test.want)
		}
	}
	if got := sparkline(evaluated(math.NaN(), math.Inf(1), -1, 1e308)); got != "-" {
		t.Errorf("impossible values are drawn as %q", got)
	}
	var long []float64
	for i := range 200 {
		long = append(long, float64(i)/2)
	}
	if got := sparkline(evaluated(long...)); got != "▁▁▂▂▃▃▄▄▄▅▅▆▆▇▇█" {
		t.Errorf("200 values are drawn as %q", got)
	}
}

func TestViewAsText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		v := NewView(&out)
		s, totals := sampleRun()
		for second := range 70 {
			if second == 40 {
				fmt.Fprintln(v, "a worker crashed")
			}
			totals.Done = 45 + second
			v.Show(s, totals)
			time.Sleep(time.Second)
		}
		v.Done()
		const rest = ", 1 failed, 8123 images/s, 15 trials/h, 5h00m left\n"
		want := "45 of 120 trials done (37.5 %)" + rest + "75 of 120 trials done (62.5 %)" + rest + "a worker crashed\n" +
			"105 of 120 trials done (87.5 %)" + rest + "114 of 120 trials done (95.0 %)" + rest
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
	})
}

func TestViewConcurrent(t *testing.T) {
	var out progresstest.Output
	v := viewOn(&out, func() (int, int) { return 100, 24 })
	s, totals := sampleRun()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				v.Show(s, totals)
				fmt.Fprintln(v, "text")
			}
		})
	}
	group.Wait()
	v.Done()
	if got, want := progresstest.Screen(t, out.String()), strings.Repeat("text\n", 200); got != want {
		t.Errorf("the terminal shows\n%s", got)
	}
}
