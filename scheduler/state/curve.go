package state

import (
	"math"
	"slices"
)

// Curve holds the results of a worker's passes over a set of images, in its attempt at a trial. The
// three slices have one value for each pass.
type Curve struct {
	Set    string    `json:"set"`          // StageTraining, or the evaluation set's name
	Epochs []int     `json:"epochs"`       // ascending, from 0
	Loss   []float64 `json:"loss"`         // mean cross entropy, rounded
	Top1   []float64 `json:"top1_percent"` // rounded

	stride int // between the epochs, but for the last one; 0: a curve from a file
}

// maxPoints bounds the passes of a curve, which the run writes about once a second.
const maxPoints = 100

// AddPass records a pass that has ended. Copies of w made before do not change. p must not change
// later.
func (w *Worker) AddPass(p *Pass) {
	if p.Set == StageTraining {
		w.Training = p
	} else {
		w.Evaluation = p
	}
	w.Curves = slices.Clone(w.Curves)
	at := slices.IndexFunc(w.Curves, func(c Curve) bool { return c.Set == p.Set })
	if at < 0 {
		at = len(w.Curves)
		w.Curves = append(w.Curves, Curve{Set: p.Set, stride: 1})
	}
	w.Curves[at] = w.Curves[at].with(p)
}

// with returns the curve with one more pass. A pass that is not later than the last one is left out.
func (c Curve) with(p *Pass) Curve {
	n := len(c.Epochs)
	if n > 0 && p.Epoch <= c.Epochs[n-1] {
		return c
	}
	if n > 1 && (c.Epochs[n-1]-c.Epochs[0])%c.stride != 0 {
		n-- // it was kept because it was the last one
	}
	c.Epochs = append(slices.Clip(c.Epochs[:n]), p.Epoch)
	c.Loss = append(slices.Clip(c.Loss[:n]), rounded(p.Loss, 1e4))
	c.Top1 = append(slices.Clip(c.Top1[:n]), rounded(p.Top1, 1e2))
	for len(c.Epochs) > maxPoints {
		c.stride *= 2
		c = c.thin()
	}
	return c
}

// thin returns the curve with the passes at its stride, and the last one.
func (c Curve) thin() Curve {
	thin := Curve{Set: c.Set, stride: c.stride}
	for i, epoch := range c.Epochs {
		if (epoch-c.Epochs[0])%c.stride == 0 || i == len(c.Epochs)-1 {
			thin.Epochs, thin.Loss, thin.Top1 = append(thin.Epochs, epoch), append(thin.Loss, c.Loss[i]), append(thin.Top1, c.Top1[i])
		}
	}
	return thin
}

// rounded returns v rounded to multiples of 1/parts.
func rounded(v, parts float64) float64 {
	if r := math.Round(v * parts); !math.IsInf(r, 0) {
		return r / parts
	}
	return v
}
