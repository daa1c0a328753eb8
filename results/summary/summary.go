// Package summary holds what is kept in memory of all trials of a benchmark: costs, the measures
// after the last epoch, learning curves at some epochs, and how the trials were made. [Read] reads
// a benchmark, and [Summary.Update] follows one that changes, such as a campaign that runs.
package summary

import (
	"math"
	"time"
	"unique"

	"nb201/configs"
	"nb201/results"
)

// Summary holds the trials of a benchmark. It does not change, and is safe for concurrent use. The
// zero Summary has no trial.
type Summary struct {
	Archs   []int    // that have trials, ascending
	Groups  []*Group // in the order of [results.Trial.Compare], and then of the schedule's name
	Damaged []string // what could not be read, by architecture; inert text
	LeftOut int      // sets of trials that are left out: the accuracy after the last epoch is out of range

	damage []damage // by architecture; Damaged lists its texts
}

// damage lists what could not be read of an architecture.
type damage struct {
	arch  int
	texts []string
}

// Group holds the trials on one dataset with one schedule.
type Group struct {
	Dataset, Schedule string
	Epochs            int
	Sets              []Set   // that a trial has, the training set first, then by name
	Grid              []int   // epochs, counted from 0, of which curves are kept; the last is the last
	Trials            []Trial // by architecture and seed

	leftOut int // see Summary
}

// Set describes a set of images.
type Set struct {
	Name   string
	Images int // 0: unknown
}

// Trial holds what is kept of a trial. NaN is missing.
type Trial struct {
	Arch             int
	Seed             uint32
	leftOut          uint32   // see Summary
	FLOPs, Params    float64  // millions
	Latency, Seconds float64  // for 256 images; of all training passes
	Sets             []Values // of each of the group's sets
	Made             *Made    // nil: the benchmark has no record of the trial

	held layout // the sets that the trial itself has
	// curves has the accuracies and then the losses at the epochs of the grid but the last, set by
	// set. Those of the last are in Sets.
	curves []float32
}

// Values holds the measures of a trial on a set after the last epoch. NaN is missing.
type Values struct{ Top1, Loss float64 }

// Made says how and when a trial was made, according to its record.
type Made struct {
	Properties        unique.Handle[Properties] // few differ
	Started, Finished time.Time
	Spent             time.Duration // in all passes
}

// Properties describe how a trial was made; many trials of a campaign share them.
type Properties struct {
	Device                          string
	Program, GoMLX, Plugin, Kernels string // versions
	Precision                       configs.Precision
	Parity                          results.Parity
	Channels, Cells, Batch          int
	Attempts                        int
}

// Trials returns the number of trials.
func (s *Summary) Trials() int {
	n := 0
	for _, g := range s.Groups {
		n += len(g.Trials)
	}
	return n
}

// ByArch yields the trials of each architecture, in order of their indices.
func (g *Group) ByArch(yield func(trials []Trial) bool) {
	for first := 0; first < len(g.Trials); {
		next := first + 1
		for next < len(g.Trials) && g.Trials[next].Arch == g.Trials[first].Arch {
			next++
		}
		if !yield(g.Trials[first:next]) {
			return
		}
		first = next
	}
}

// Mean returns the mean of a value over the trials that have it, NaN if none has.
func Mean(trials []Trial, value func(*Trial) float64) float64 {
	var n, sum float64
	for i := range trials {
		if v := value(&trials[i]); !math.IsNaN(v) {
			n, sum = n+1, sum+v
		}
	}
	return sum / n
}

// Top1At returns the accuracy of a trial of the group on a set after the epoch at a position of the
// grid, as float32.
func (g *Group) Top1At(t *Trial, set, at int) float64 {
	return g.curveAt(t, 2*set, at, t.Sets[set].Top1)
}

// LossAt returns the loss, like Top1At.
func (g *Group) LossAt(t *Trial, set, at int) float64 {
	return g.curveAt(t, 2*set+1, at, t.Sets[set].Loss)
}

func (g *Group) curveAt(t *Trial, curve, at int, last float64) float64 {
	n := len(g.Grid) - 1
	if at == n {
		return float64(float32(last))
	}
	return float64(t.curves[curve*n+at])
}

// Spread returns n of the epochs 0 to epochs-1, evenly spread, or all if there are not more. The
// first and the last are among them if n is at least 2; if it is 1, the last.
func Spread(epochs, n int) []int {
	if epochs <= 0 {
		return nil
	}
	n = min(n, epochs)
	if n == 1 {
		return []int{epochs - 1}
	}
	grid := make([]int, n)
	for i := range grid {
		grid[i] = (i*(epochs-1) + (n-1)/2) / (n - 1)
	}
	return grid
}

// nan is a missing value.
var nan = math.NaN()

// same reports whether values are equal or both missing.
func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
