package train

import (
	"context"
	"errors"
	"testing"
	"time"

	"nb201/results"
)

// small configures a trial of two epochs that compiles in seconds.
func small(t *testing.T) Config {
	t.Helper()
	config, err := options(t, "0", "digits", 2, 777, settings(4, 1, 256)).Config()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestDiverged(t *testing.T) {
	config := small(t)
	config.Recipe.LearningRate = 1e30
	steps := 0
	_, err := runAlone(context.Background(), t, config, func(Progress) { steps++ })
	var diverged *Diverged
	if !errors.As(err, &diverged) || diverged.Stage != "train" || diverged.Epoch != 0 || diverged.Step != steps || steps == 0 {
		t.Errorf("after %d steps: %v", steps, err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	steps, config := 0, small(t)
	config.batchesPerCall = 1
	outcome, err := runAlone(ctx, t, config, func(Progress) {
		if steps++; steps == 2 {
			cancel()
		}
	})
	// The running step finishes, and no other is started.
	if !errors.Is(err, context.Canceled) || outcome != nil || steps > 3 {
		t.Errorf("after %d steps: %v", steps, err)
	}
}

func TestCheck(t *testing.T) {
	config := small(t)
	if err := config.Check(); err != nil {
		t.Fatal(err)
	}
	config.Network.Size = 4 // the last stage's maps have one pixel
	config.Recipe.Batch = 1346
	if err := config.Check(); err == nil {
		t.Error("a last batch of one pixel passes, where PyTorch's BatchNorm refuses")
	}
}

// The clock may be changed while a trial runs, or while it is interrupted.
func TestSetFinished(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		started time.Time // as the record has it
		seconds []float64 // of the passes
	}{
		"in one go":                    {now.Truncate(time.Millisecond), []float64{0}},
		"interrupted":                  {now.Add(-time.Hour), []float64{30, 40}},
		"the clock went back a day":    {now.Add(24 * time.Hour), []float64{30, 40}},
		"the clock went back a second": {now.Add(-69 * time.Second), []float64{30, 40}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &results.Record{Started: c.started}
			r.Train.Seconds = c.seconds
			setFinished(r, now)
			if took := r.Finished.Sub(r.Started).Seconds(); took < r.Seconds() {
				t.Errorf("%v to %v is less than the passes' %v s", r.Started, r.Finished, r.Seconds())
			}
			if sound := !c.started.After(now.Add(-time.Duration(r.Seconds()) * time.Second)); sound && !r.Started.Equal(c.started) {
				t.Errorf("the start moved from %v to %v", c.started, r.Started)
			}
		})
	}
}
