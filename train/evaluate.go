package train

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"

	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
)

// Measures are what a pass over a set of images has measured.
type Measures struct {
	Loss    float64 `json:"loss"`         // mean cross entropy
	Top1    float64 `json:"top1_percent"` // accuracy, 0..100
	Top5    float64 `json:"top5_percent"` // with fewer than five classes 100
	Seconds float64 `json:"seconds"`      // wall time of the whole pass
}

// addTo puts the measures at the end of a curve.
func (m Measures) addTo(c *results.Curve) {
	c.Loss = append(c.Loss, m.Loss)
	c.Top1 = append(c.Top1, m.Top1)
	c.Top5 = append(c.Top5, m.Top5)
	c.Seconds = append(c.Seconds, m.Seconds)
}

// Evaluated is what was measured on an evaluation set.
type Evaluated struct {
	Set    string `json:"set"`
	Images int    `json:"images"`
	Measures
}

// Evaluate evaluates trained weights on every evaluation set of c.Data, as after the
// last epoch of c.Trial: in the same order and the same batches. On the same device the
// weights of a float32 trial thus give the last values of its record again, to the bit;
// another order or batch size moves them by rounding alone. Weights that are not the
// network's, or not finite, are a usage error. ctx, observe and *Diverged are as for Run;
// c.Initial does not matter.
func Evaluate(ctx context.Context, b compute.Backend, c Config, weights torchfile.StateDict, observe func(Progress)) ([]Evaluated, error) {
	c.Initial = nil
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := checkWeights(c.Network, weights); err != nil {
		return nil, usage.Errorf("weights of architecture %d for %s: %w", c.Network.Arch.Index(), c.Trial.Dataset, err)
	}
	p := c.programs(b)
	compileAll(p.evaluate)
	defer p.evaluate.finalize()
	images, err := upload(b, c.Data)
	defer images.finalize()
	var sets []Evaluated
	if err == nil {
		err = c.with(p, images, observe, func(t *trial) (err error) {
			if t.state, err = newState(t.whole.model.Layout, weights, t.Precision); err != nil {
				return err
			}
			t.toLastEvaluation()
			sets, err = t.evaluateSets(ctx)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("evaluate architecture %d on %s: %w", c.Network.Arch.Index(), c.Trial.Dataset, err)
	}
	return sets, nil
}

// toLastEvaluation moves a trial that has not begun on to where the evaluation of the
// last epoch begins.
func (t *trial) toLastEvaluation() {
	t.seed()
	for range t.Recipe.Epochs - 1 {
		t.Data.TrainEpoch(t.streams, t.Workers, t.Recipe.Batch)
		for i := range t.Data.Eval {
			t.Data.EvalEpoch(t.streams, i)
		}
	}
	t.Data.TrainEpoch(t.streams, t.Workers, t.Recipe.Batch)
	t.at = place{position: position{Epoch: t.Recipe.Epochs - 1, Stage: 1}}
}

// evaluateSets evaluates every evaluation set, once.
func (t *trial) evaluateSets(ctx context.Context) ([]Evaluated, error) {
	var sets []Evaluated
	for i := range t.Data.Eval {
		split := &t.Data.Eval[i]
		m, err := t.stage(ctx)
		if err != nil {
			return nil, err
		}
		sets = append(sets, Evaluated{split.Name, split.Len(), m})
	}
	return sets, nil
}
