package train

import (
	"errors"
	"math"
	"slices"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
)

// Training in bfloat16 starts like training in float32, to within 8 bits: the losses of the first
// steps and the first gradients differ from the golden ones, but by no more than rounding explains. With -short
// the networks are of the topology search space.
func TestGoldenTrajectoryBFloat16(t *testing.T) {
	spaces := cell.Spaces()
	if !needs.IsLong() {
		spaces = spaces[:1]
	}
	followRounded(t, spaces, configs.BF16, 5e-3, 1e-4, 0.03)
}

// TF32 has three bits more than bfloat16, and only rounds operands, so its bounds are a quarter.
// cuDNN need not use it.
func TestGoldenTrajectoryTF32(t *testing.T) {
	if devicetest.TF32(t) {
		followRounded(t, cell.Spaces(), configs.TF32, 5e-3/4, -1, 0.03/4)
	}
}

// followRounded follows golden trajectories of float32 in search spaces in a coarser precision. Its losses must be
// within losses, relative, and the magnitudes of the first gradients off by more than least and
// no more than most.
func followRounded(t *testing.T, spaces []cell.Space, precision configs.Precision, losses, least, most float64) {
	t.Helper()
	eachOf(t, spaces, func(t *testing.T, space cell.Space) {
		cases := slices.DeleteFunc(loadTrajectories(t, space), func(c trajectory) bool { return c.DType != "float32" || c.isDeep() || !c.isVaried() })
		if len(cases) == 0 {
			needs.Golden(t, errors.New("no trajectory in float32 of a network with different layers in its cells"))
		}
		for _, c := range cases {
			t.Run(c.name(), func(t *testing.T) {
				t.Parallel()
				c.followRounded(t, precision, losses, least, most)
			})
		}
	})
}

// isVaried reports whether the cells of the network have 3x3 convolutions and other layers that compute.
func (c trajectory) isVaried() bool {
	var of3x3, other bool
	for _, m := range c.network.Modules() {
		for edge, op := range m.Cell {
			of3x3 = of3x3 || op == cell.NorConv3x3
			other = other || op == cell.NorConv1x1 || op == cell.AvgPool3x3 || m.Projects(edge)
		}
	}
	return of3x3 && other
}

func (c trajectory) followRounded(t *testing.T, precision configs.Precision, losses, least, most float64) {
	t.Helper()
	c.Steps = c.Steps[:min(3, len(c.Steps))]
	c.Eval.N = 0
	tr := c.trial(t)
	tr.config.Settings.Precision = precision
	tr.runner.Set = executables(t, tr.config)
	o := c.follow(t, tr)
	for i, want := range c.Steps {
		d := relative(o.steps[i][0], want[0])
		t.Logf("step %d: loss off by %.2g relative", i+1, d)
		if !(d <= losses) {
			t.Errorf("step %d: loss off by %.2g relative, more than %g", i+1, d, losses)
		}
	}
	var off, all float64
	for name, want := range c.Gradients {
		off += math.Abs(o.gradients[name][1] - want[1])
		all += want[1]
	}
	d := off / all
	t.Logf("the magnitudes of the first gradients are off by %.2g relative", d)
	if !(least < d && d <= most) {
		t.Errorf("the magnitudes of the first gradients are off by %.2g relative, not by %g to %g", d, least, most)
	}
}

// A trial in bfloat16 learns like one in float32, records its precision, keeps float32 weights, and
// evaluating these reproduces its last results.
func TestBFloat16Trial(t *testing.T) {
	s := openSession(t)
	losses := map[configs.Precision][]float64{}
	for _, precision := range []configs.Precision{configs.FP32, configs.BF16} {
		c := interruptible(t, configs.Parities()[0], 4, precision)
		o, _ := finish(t, s, c)
		losses[precision] = o.Record.Train.Loss
		if o.Record.Precision != precision {
			t.Errorf("the record says %s", o.Record.Precision)
		}
		sets, err := s.Evaluate(t.Context(), c, o.Weights, func(Progress) {})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range o.Record.Eval {
			last := len(e.Loss) - 1
			if !measuredAgain(t, precision, sets[i], e) {
				t.Errorf("%s: %s: evaluated %v, trained %v %v", precision, e.Set, sets[i], e.Loss[last], e.Top1[last])
			}
		}
	}
	for i, want := range losses[configs.FP32] {
		if d := relative(losses[configs.BF16][i], want); !(0 < d && d < 0.05) {
			t.Errorf("epoch %d: the loss is %v, %v in float32", i+1, losses[configs.BF16][i], want)
		}
	}
}
