package compare

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// No two ticks of an axis have the same label, and each is where its label says.
func TestTickLabels(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	axes := []axis{{99.48, 100.5}, {-0.01, 0.01}, {-1e-9, 1e-9}, {0, 1e6}, {-1e6, 1e7}, {99.998, 100.001}, {10, 11}, {0, 0.30000000000000004}}
	for range 5000 {
		low := (random.Float64() - 0.3) * 100
		axes = append(axes, axis{low, low + math.Pow(10, random.Float64()*14-7)})
	}
	for _, a := range axes {
		ticks := a.ticks()
		var labels []string
		for _, tick := range ticks {
			labels = append(labels, tick.Label)
			v, err := strconv.ParseFloat(tick.Label, 64)
			if err != nil || math.Abs(a.position(v)-tick.At) > 1 || tick.Label[0] == '-' && v == 0 {
				t.Errorf("%v: %q is at %v instead of %v (%v)", a, tick.Label, tick.At, a.position(v), err)
			}
		}
		slices.Sort(labels)
		if len(ticks) < 2 || len(slices.Compact(slices.Clone(labels))) != len(ticks) {
			t.Errorf("%v: labels %q", a, labels)
		}
	}
}
