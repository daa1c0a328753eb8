package train

import (
	"context"
	"errors"
	"testing"
)

// small is a trial of two epochs that compiles in seconds.
func small(t *testing.T) Config {
	t.Helper()
	config, err := Options{
		Arch: "0", Dataset: "digits", Epochs: 2, Seed: 777, Parity: "2019", Timeline: "dec2019", Workers: 4,
		Precision: "fp32", Channels: 4, Cells: 1, Batch: 256,
	}.Config()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestDiverged(t *testing.T) {
	config := small(t)
	config.Recipe.LearningRate = 1e30
	steps := 0
	_, err := Run(context.Background(), openBackend(t), config, func(Progress) { steps++ })
	var diverged *Diverged
	if !errors.As(err, &diverged) || diverged.Stage != "train" || diverged.Epoch != 0 || diverged.Step != steps || steps == 0 {
		t.Errorf("after %d steps: %v", steps, err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	steps, config := 0, small(t)
	config.perCall = 1
	outcome, err := Run(ctx, openBackend(t), config, func(Progress) {
		if steps++; steps == 2 {
			cancel()
		}
	})
	// The step under way is finished; no other is begun.
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
