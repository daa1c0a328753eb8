package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"nb201/internal/backend/devicetest"
	"nb201/internal/golden"
	"nb201/internal/needs"
	"nb201/train/device"
)

// realCurve is a case of real_*.json: the original program on real photographs.
type realCurve struct {
	Arch   archName
	Seed   uint32
	Epochs int
	Batch  int
	// Curve holds, per epoch: epoch, training loss, top-1, top-5, and of ori-test
	// loss, top-1.
	Curve [][]float64
	Steps []float64 `json:"first_epoch_step_losses"`
}

// TestGoldenPhotographs follows the original program for an epoch on the photographs that
// NB201_PHOTOS names: CIFAR-10 batches of 5,000 training and 1,000 test images. The curves of
// different seeds differ by more than the allowed error.
func TestGoldenPhotographs(t *testing.T) {
	needs.Long(t, "trains networks of the published size for an epoch")
	for _, c := range loadRealCurves(t) {
		t.Run(c.name(), func(t *testing.T) { c.follow(t, 1) })
	}
}

// TestGoldenPhotographsWhole follows the first case to the end of its schedule, the
// others too when NB201_NIGHTLY is "all".
func TestGoldenPhotographsWhole(t *testing.T) {
	needs.Nightly(t)
	for _, c := range loadRealCurves(t) {
		t.Run(c.name(), func(t *testing.T) { c.follow(t, c.Epochs) })
		if !needs.IsNightlyAll() {
			break
		}
	}
}

func loadRealCurves(t *testing.T) []realCurve {
	needs.Photos(t)
	var cases []realCurve
	for _, name := range golden.Glob(t, "real_*.json") {
		var vectors struct{ Cases []realCurve }
		golden.Load(t, name, &vectors)
		cases = append(cases, vectors.Cases...)
	}
	return cases
}

func (c realCurve) name() string {
	return fmt.Sprintf("%s/seed=%d", c.Arch, c.Seed)
}

// follow trains for a number of epochs and compares each with the original's.
func (c realCurve) follow(t *testing.T, epochs int) {
	s := settings(16, 5, c.Batch)
	s.Parity, s.Workers = "modern", 0
	o := options(t, string(c.Arch), "../testdata/cifar10-small.json", c.Epochs, c.Seed, s)
	o.DataRoot = needs.Photos(t)
	config, err := o.Config()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	first := 1e-5
	if devicetest.OnGPU(t) {
		first = 1e-4 // as for TestGoldenTrajectoryFloat32, in a network of 17 cells
	}
	passes := map[string][]device.Meter{}
	_, err = runAlone(ctx, t, config, func(p Progress) {
		if p.Epoch == epochs {
			stop()
			return
		}
		if p.Batch == 0 {
			passes[p.Stage] = append(passes[p.Stage], device.Meter{})
		}
		m := &passes[p.Stage][p.Epoch]
		m.Add(device.Batch{Images: p.Images, Loss: p.Loss, CorrectTop1: int(math.Round(p.Top1 * float64(p.Images) / 100))})
		if p.Stage == "train" && p.Epoch == 0 && p.Batch == 0 {
			d := relative(p.Loss, c.Steps[0])
			t.Logf("first step: loss off by %.2g relative", d)
			if !(d <= first) {
				t.Errorf("first step: loss off by %.2g relative, more than %g", d, first)
			}
		}
	})
	if err != nil && !(errors.Is(err, context.Canceled) && epochs < c.Epochs) {
		t.Fatal(err)
	}
	for epoch, want := range c.Curve[:epochs] {
		loss, top1, _ := passes["train"][epoch].Averages()
		testLoss, testTop1, _ := passes["ori-test"][epoch].Averages()
		t.Logf("epoch %2d: training %.4f %.2f %% (original %.4f %.2f %%), ori-test %.4f %.2f %% (%.4f %.2f %%)",
			epoch, loss, top1, want[1], want[2], testLoss, testTop1, want[4], want[5])
		bound := 0.02
		if epoch == 0 {
			bound = 0.003 // the seeds are 0.0065 apart
		}
		if d := relative(loss, want[1]); !(d <= bound) {
			t.Errorf("epoch %d: training loss %.4f is %.2g relative off %.4f", epoch, loss, d, want[1])
		}
		if last := epoch == c.Epochs-1; last && !(math.Abs(testTop1-want[5]) <= 3) {
			t.Errorf("final ori-test top-1 %.2f %%, the original's is %.2f %%", testTop1, want[5])
		}
	}
}
