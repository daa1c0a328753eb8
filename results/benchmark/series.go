package benchmark

import (
	"fmt"
	"slices"
)

// Last asks for the last epoch of a schedule, as iepoch=None does in the clients.
const Last = -1

// TrainingSet is the name under which the images trained on are asked for.
const TrainingSet = "train"

// Measures of the passes over a set of images. A series that the file does not keep
// is nil.
type Measures struct {
	Loss    Series // mean cross entropy
	Top1    Series // accuracy, percent
	Top5    Series
	Seconds Series // wall time of the whole pass
}

// SetMeasures are the measures of an evaluation set.
type SetMeasures struct {
	Set string
	Measures
}

// Series holds the values of a measure in ascending order of epochs, which count
// from 0. Epochs that a file lacks are absent.
type Series []Point

// Point is the value of a measure after an epoch.
type Point struct {
	Epoch int
	Value float64
}

// Consecutive is the series of the values of consecutive epochs.
func Consecutive(first int, values []float64) Series {
	s := make(Series, len(values))
	for i, v := range values {
		s[i] = Point{first + i, v}
	}
	return s
}

// At is the value after an epoch, and whether there is one.
func (s Series) At(epoch int) (float64, bool) {
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

func (s Series) sum() float64 {
	var sum float64
	for _, p := range s {
		sum += p.Value
	}
	return sum
}

// describe says which epochs s has.
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

// IsAccuracy reports whether v can be an accuracy in percent. The original's float32 makes
// more than 100 of some batches that are right throughout (xautodl/utils/evaluation_utils.py,
// obtain_accuracy), by less than a hundredth.
func IsAccuracy(v float64) bool { return v >= 0 && v <= 100.01 }
