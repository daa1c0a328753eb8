package train

import (
	"math"
	"slices"
	"testing"

	"nb201/cell"
	"nb201/internal/random"
)

// In bfloat16 a training begins as in float32, up to 8 bits: the first steps' losses and
// the first gradients are the golden ones within what rounding moves, and not exactly.
func TestGoldenTrajectoryBFloat16(t *testing.T) {
	all, err := cell.Parse("|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|")
	if err != nil {
		t.Fatal(err)
	}
	cases := loadTrajectories(t)
	cases = slices.DeleteFunc(cases, func(c trajectory) bool { return c.DType != "float32" || c.N > 1 || c.Arch.Arch != all })
	if len(cases) == 0 {
		t.Fatal("no trajectory of it in float32")
	}
	for _, c := range cases {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			c.Steps = c.Steps[:min(3, len(c.Steps))]
			c.Eval.N = 0
			tr := c.trial(t)
			tr.Precision = BF16
			tr.programs = tr.Config.programs(openBackend(t))
			o := c.follow(t, tr)
			for i, want := range c.Steps {
				d := relative(o.steps[i][0], want[0])
				if !(d <= 5e-3) {
					t.Errorf("step %d: loss off by %.2g relative, more than 5e-3", i+1, d)
				}
			}
			var off, all float64
			for name, want := range c.Gradients {
				off += math.Abs(o.gradients[name][1] - want[1])
				all += want[1]
			}
			if d := off / all; !(1e-4 < d && d <= 0.03) {
				t.Errorf("the magnitudes of the first gradients are off by %.2g relative", d)
			}
		})
	}
}

// A trial in bfloat16 learns as one in float32 does, says so, keeps float32 weights, and
// these give its last measures again.
func TestBFloat16Trial(t *testing.T) {
	s := openSession(t)
	losses := map[Precision][]float64{}
	for _, precision := range []Precision{FP32, BF16} {
		c := interruptible(t, random.Profiles()[0], 4, precision)
		o, _ := finish(t, s, c)
		losses[precision] = o.Record.Train.Loss
		if o.Record.Precision != string(precision) {
			t.Errorf("the record says %s", o.Record.Precision)
		}
		sets, err := Evaluate(t.Context(), openBackend(t), c, o.Weights, func(Progress) {})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range o.Record.Eval {
			last := len(e.Loss) - 1
			if sets[i].Loss != e.Loss[last] || sets[i].Top1 != e.Top1[last] {
				t.Errorf("%s: %s: evaluated %v, trained %v %v", precision, e.Set, sets[i], e.Loss[last], e.Top1[last])
			}
		}
	}
	for i, want := range losses[FP32] {
		if d := relative(losses[BF16][i], want); !(0 < d && d < 0.05) {
			t.Errorf("epoch %d: the loss is %v, %v in float32", i+1, losses[BF16][i], want)
		}
	}
}
