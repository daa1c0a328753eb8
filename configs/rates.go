package configs

// #cgo LDFLAGS: -lm
// #include <math.h>
import "C"

import "math"

// LearningRates returns the learning rate of each batch of an epoch with this many batches, all counted
// from 0. The warm-up and the cosine are those of xautodl/procedures/optimizers.py, where a batch of the
// warm-up has the rate that the rise has reached before it, so that the first one is 0.
func (r *Recipe) LearningRates(epoch, batches int) func(batch int) float64 {
	if epoch < r.Warmup {
		return func(batch int) float64 {
			warmup := float64(r.Warmup)
			return (float64(epoch)/warmup + float64(batch)/float64(batches)/warmup) * r.LearningRate
		}
	}
	rate := r.learningRate(epoch)
	return func(int) float64 { return rate }
}

// learningRate returns the learning rate of an epoch after the warm-up. It is constant within an epoch.
func (r *Recipe) learningRate(epoch int) float64 {
	done, all := float64(epoch-r.Warmup), float64(r.Epochs-r.Warmup)
	switch r.Scheduler {
	case Steps: // MultiStepLR
		rate := r.LearningRate
		for _, milestone := range r.Milestones {
			if milestone <= epoch {
				rate *= r.Gamma
			}
		}
		return rate
	case Linear: // LinearLR
		return r.LearningRate * (1 - (r.LearningRate-r.EtaMin)*done/all/r.LearningRate)
	case Constant:
		return r.LearningRate
	}
	// CosineAnnealingLR, with the C library's cosine, as Python has it, because Go's differs in the last bit.
	cosine := float64(C.cos(C.double(math.Pi * done / all)))
	return r.EtaMin + (r.LearningRate-r.EtaMin)*(1+cosine)/2
}
