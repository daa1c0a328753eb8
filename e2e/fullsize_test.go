package e2e

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nb201/configs"
	"nb201/data/datatest"
	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/published"
	"nb201/results/verify"
)

// lightest is the architecture with only skip_connect.
const lightest = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"

// TestFullSize trains the lightest architecture for an epoch of CIFAR-100 and of ImageNet16-120,
// with as many synthetic images as the published files have, in their formats. Because the labels
// are random, the loss must be that of guessing. It needs NB201_NIGHTLY.
func TestFullSize(t *testing.T) {
	needs.Nightly(t)
	for _, key := range []string{"cifar100", "ImageNet16-120"} {
		t.Run(key, func(t *testing.T) {
			root := t.TempDir()
			d := publishedSet(t, key)
			dir := filepath.Join(root, "cifar.python", d.Path)
			if err := os.MkdirAll(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			images := datatest.Synth(d.Images.Train, d.Size[0], d.Classes, 1)
			tests := datatest.Synth(d.Images.Test, d.Size[0], d.Classes, 2)
			for name, text := range datatest.Files(d.Format, images, tests) {
				if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			config := trialConfig(t, lightest, key, root, 1, 777, configs.Published())
			loaded := time.Since(began)
			c := results.Campaign{Dir: t.TempDir()}
			r := trainInto(t, c, config)
			guess := math.Log(float64(d.Classes))
			if loss := r.Train.Loss[0]; math.Abs(loss-guess) > 0.1*guess {
				t.Errorf("training loss %.4f, guessing has %.4f", loss, guess)
			}
			for _, e := range r.Eval {
				if loss := e.Loss[0]; math.Abs(loss-guess) > 0.1*guess {
					t.Errorf("%s: loss %.4f, guessing has %.4f", e.Set, loss, guess)
				}
			}
			b, err := published.Open(t.Context(), c.Dir)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			report, err := verify.Run(t.Context(), b, verify.Options{})
			if err != nil || len(report.Faults) > 0 || report.Trials != 1 {
				t.Errorf("verify: %v, %v", err, report.Faults)
			}
			t.Logf("%s: %d and %d images loaded in %.1f s, an epoch of training in %.0f s", key,
				d.Images.Train, d.Images.Test, loaded.Seconds(), r.Train.Seconds[0])
		})
	}
}
