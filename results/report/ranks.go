package report

import (
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"

	"nb201/results/benchmark"
	"nb201/results/rank"
	"nb201/results/summary"
)

const (
	// maxMeasures bounds the measures that are compared with each other.
	maxMeasures = 40
	// maxEarly bounds the epochs whose ranks are compared with those of the last.
	maxEarly = 40
)

// ranked holds the levels of the architectures by a measure: see [rank.Accuracies].
type ranked struct {
	archs  []int // ascending
	levels []float64
}

// rankLast ranks the architectures of a group by their accuracy on a set after the last epoch.
func rankLast(g *summary.Group, set int) ranked {
	return rankBy(g, set, func(t *summary.Trial) float64 { return t.Sets[set].Top1 })
}

// rankAt ranks them after the epoch at a position of the grid.
func rankAt(g *summary.Group, set, at int) ranked {
	return rankBy(g, set, func(t *summary.Trial) float64 { return g.Top1At(t, set, at) })
}

func rankBy(g *summary.Group, set int, top1 func(*summary.Trial) float64) ranked {
	var r ranked
	var values [][]float64
	for trials := range g.ByArch {
		var of []float64
		for i := range trials {
			if v := top1(&trials[i]); !math.IsNaN(v) {
				of = append(of, v)
			}
		}
		if of != nil {
			r.archs, values = append(r.archs, trials[0].Arch), append(values, of)
		}
	}
	r.levels = rank.Accuracies(values, g.Sets[set].Images)
	return r
}

// common returns the levels of the architectures that both have.
func common(a, b ranked) (x, y []float64) {
	for i, k := 0, 0; i < len(a.archs) && k < len(b.archs); {
		switch {
		case a.archs[i] < b.archs[k]:
			i++
		case a.archs[i] > b.archs[k]:
			k++
		default:
			x, y = append(x, a.levels[i]), append(y, b.levels[k])
			i, k = i+1, k+1
		}
	}
	return x, y
}

// addRanks adds the measures to the content, and the rank correlations between them.
func (c *content) addRanks(groups []*summary.Group) {
	var last []ranked
	for i, g := range groups {
		for s := range g.Sets {
			if len(c.Measures) == maxMeasures {
				break
			}
			if r := rankLast(g, s); len(r.archs) > 1 {
				c.Measures, last = append(c.Measures, measure{Group: i, Set: s}), append(last, r)
			}
		}
	}
	n := len(last)
	c.Kendall, c.Spearman, c.Common = make([][]*float64, n), make([][]*float64, n), make([][]int, n)
	for i := range n {
		c.Kendall[i], c.Spearman[i], c.Common[i] = make([]*float64, n), make([]*float64, n), make([]int, n)
	}
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		work.Go(func() error {
			c.Measures[i].addEarly(groups, last[i])
			for k := range i + 1 {
				x, y := common(last[i], last[k])
				tau, rho := finite(rank.Kendall(x, y)), finite(rank.Spearman(x, y))
				c.Kendall[i][k], c.Kendall[k][i] = tau, tau
				c.Spearman[i][k], c.Spearman[k][i] = rho, rho
				c.Common[i][k], c.Common[k][i] = len(x), len(x)
			}
			return nil
		})
	}
	_ = work.Wait() // no error
}

// addEarly compares the ranks after early epochs with the last ones.
func (m *measure) addEarly(groups []*summary.Group, last ranked) {
	g := groups[m.Group]
	m.Epochs, m.Early = []int{}, []*float64{}
	for _, at := range summary.Spread(len(g.Grid), maxEarly) {
		x, y := common(rankAt(g, m.Set, at), last)
		if len(x) < 2 {
			continue
		}
		m.Epochs, m.Early = append(m.Epochs, g.Grid[at]), append(m.Early, finite(rank.Kendall(x, y)))
	}
}

// finite returns v, or nil if it is infinite or NaN.
func finite(v float64) *float64 {
	if !benchmark.IsFinite(v) {
		return nil
	}
	return &v
}
