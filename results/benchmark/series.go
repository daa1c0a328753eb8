package benchmark

import (
	"fmt"
	"math"
	"slices"

	"nb201/results"
)

// Last selects the last epoch of a schedule where an epoch is expected, as iepoch=None does in the
// clients.
const Last = -1

// TrainingSet is the name that selects the training set where a set of images is asked for.
const TrainingSet = "train"

// Measures holds the measures of the passes over a set of images. A series that the file does
// not contain is nil.
type Measures struct {
	Loss    Series // mean cross entropy
	Top1    Series // top-1 accuracy, percent
	Top5    Series // top-5 accuracy, percent
	Seconds Series // wall time of the whole pass
}

// SetMeasures holds the measures of a set of images, together with its name.
type SetMeasures struct {
	Set string // TrainingSet, or the name of an evaluation set
	Measures
	// Further is the number of images of a further evaluation set ([ResultsCount.AddEvaluation]); 0: the
	// set is the trial's own.
	Further int
}

// Series holds the values of a measure in ascending order of epochs. Epochs that the file does
// not contain are absent.
type Series []Point

// Point is the value of a measure after an epoch.
type Point struct {
	Epoch int // counted from 0
	Value float64
}

// Consecutive returns a series of values for consecutive epochs, beginning with first.
func Consecutive(first int, values []float64) Series {
	s := make(Series, len(values))
	for i, v := range values {
		s[i] = Point{first + i, v}
	}
	return s
}

// newSeries returns a series of values for these epochs.
func newSeries(epochs []int, values []float64) Series {
	s := make(Series, len(values))
	for i, v := range values {
		s[i] = Point{epochs[i], v}
	}
	return s
}

// newMeasures returns the measures of an evaluation, or of training as one that begins with the first
// epoch.
func newMeasures(e *results.Evaluation) Measures {
	series := func(values []float64) Series {
		if e.Epochs == nil {
			return Consecutive(e.FirstEpoch, values)
		}
		return newSeries(e.Epochs, values)
	}
	return Measures{Loss: series(e.Loss), Top1: series(e.Top1), Top5: series(e.Top5), Seconds: series(e.Seconds)}
}

// At returns the value after an epoch; ok is false if s has none.
func (s Series) At(epoch int) (value float64, ok bool) {
	i, ok := slices.BinarySearchFunc(s, epoch, func(p Point, epoch int) int { return p.Epoch - epoch })
	if !ok {
		return 0, false
	}
	return s[i].Value, true
}

// Complete reports whether s has each of the epochs 0 to epochs-1 and no other.
func (s Series) Complete(epochs int) bool {
	return len(s) == epochs && (epochs == 0 || s[0].Epoch == 0 && s[epochs-1].Epoch == epochs-1)
}

// describe describes the epochs of s briefly, for errors.
func (s Series) describe() string {
	switch n := len(s); {
	case n == 0:
		return "none"
	case n == 1:
		return fmt.Sprintf("%d alone", s[0].Epoch)
	case n == s[n-1].Epoch-s[0].Epoch+1:
		return fmt.Sprintf("%d to %d", s[0].Epoch, s[n-1].Epoch)
	default:
		return fmt.Sprintf("%d epochs from %d to %d", n, s[0].Epoch, s[n-1].Epoch)
	}
}

// IsAccuracy reports whether v can be an accuracy in percent. It accepts values slightly above
// 100: where a whole batch is correct, float32 rounding in the original
// (xautodl/utils/evaluation_utils.py, obtain_accuracy) exceeds 100 by less than 0.01.
func IsAccuracy(v float64) bool { return v >= 0 && v <= 100.01 }

// IsFinite reports whether v is neither NaN nor infinite.
func IsFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
