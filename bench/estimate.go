package main

import (
	"fmt"
	"iter"
	"math"

	"nb201/cell"
	"nb201/configs"
)

// Estimate is a sum over all architectures, estimated from some of them.
type Estimate struct {
	Total    float64 `json:"total"`
	StdError float64 `json:"standard_error"`
	By       string  `json:"regression_on,omitempty"` // regressor known for all architectures; empty for the sample's mean
}

func (e Estimate) String() string {
	by := ""
	if e.By != "" {
		by = " by " + e.By
	}
	format := "%.0f ± %.0f%s"
	if e.StdError < 10 {
		format = "%.4g ± %.2g%s"
	}
	return fmt.Sprintf(format, e.Total, e.StdError, by)
}

// fewestToRegress is the least number of architectures for a regression. With fewer, its error would
// be underestimated.
const fewestToRegress = 10

// estimateTotal estimates the sum over all architectures of a quantity y measured on some of them.
// It uses the mean, or a regression on FLOPs or on bytes moved, whose means over all architectures
// are known, whichever has the smallest standard error.
func estimateTotal(o *common, archs []cell.Arch, y []float64) Estimate {
	best := regress(make([]float64, len(y)), y, 0)
	if len(archs) < fewestToRegress {
		return best
	}
	network := func(a cell.Arch) cell.Network {
		return cell.Network{Arch: a, Channels: o.channels, Cells: o.cells, Classes: 10, Size: 32}
	}
	for _, known := range []struct {
		name string
		of   func(cell.Arch) float64
	}{
		{"FLOPs", func(a cell.Arch) float64 { return network(a).FLOPs() }},
		{"bytes moved", func(a cell.Arch) float64 {
			return network(a).TrainingPasses(o.batch, o.elementBytes()).Traffic().Total()
		}},
	} {
		var x []float64
		for _, a := range archs {
			x = append(x, known.of(a))
		}
		sum := 0.0
		for _, a := range (cell.Topology{}).All() {
			sum += known.of(a)
		}
		if e := regress(x, y, sum/cell.Topologies); e.StdError < best.StdError {
			e.By = known.name
			best = e
		}
	}
	return best
}

// regress estimates the sum of y over all architectures from a sample, given x, whose mean over all
// is xOfAll. The estimate is cell.Topologies times the value at xOfAll of the line fitted by least
// squares, or cell.Topologies times the mean of y if x is constant in the sample. The standard error is
// that of sampling without replacement.
func regress(x, y []float64, xOfAll float64) Estimate {
	n := float64(len(y))
	mx, my := mean(x), mean(y)
	var xx, xy, yy float64 // sums of squares about the means
	for i := range y {
		dx, dy := x[i]-mx, y[i]-my
		xx, xy, yy = xx+dx*dx, xy+dx*dy, yy+dy*dy
	}
	slope, fitted := 0.0, 1.0
	if xx > 0 {
		slope, fitted = xy/xx, 2
	}
	rest := max(yy-slope*xy, 0) // rounding may make it negative
	variance := rest / (n - fitted) / n * (1 - n/cell.Topologies)
	return Estimate{Total: cell.Topologies * (my + slope*(xOfAll-mx)), StdError: cell.Topologies * math.Sqrt(variance)}
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// groupBy yields the elements grouped by key, in the order in which the keys first occur.
func groupBy[K comparable, E any](all []E, key func(E) K) iter.Seq2[K, []E] {
	var order []K
	groups := map[K][]E{}
	for _, e := range all {
		k := key(e)
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], e)
	}
	return func(yield func(K, []E) bool) {
		for _, k := range order {
			if !yield(k, groups[k]) {
				return
			}
		}
	}
}

// rowLike returns the row of a dataset key, or of one with images of the same size, because the
// number of classes hardly matters. It returns a zero row if there is none.
func rowLike(rows []sampleRow, key string) sampleRow {
	size := func(key string) int {
		d, _ := configs.FindDataset(key)
		return d.Size
	}
	var like sampleRow
	for _, r := range rows {
		if r.Dataset == key {
			return r
		}
		if size(r.Dataset) == size(key) {
			like = r
		}
	}
	return like
}
