package rank

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// near reports whether two correlations are equal but for rounding, or both undefined.
func near(got, want float64) bool {
	return math.Abs(got-want) < 1e-9 || math.IsNaN(got) && math.IsNaN(want)
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// naiveKendall computes tau-b by its definition.
func naiveKendall(x, y []float64) float64 {
	var s, xx, yy float64
	for i := range x {
		for j := range i {
			a, b := sign(x[i]-x[j]), sign(y[i]-y[j])
			s, xx, yy = s+a*b, xx+a*a, yy+b*b
		}
	}
	return s / math.Sqrt(xx) / math.Sqrt(yy)
}

// naiveSpearman computes rho as the correlation of ranks that are counted, relative to their
// mean: half the number of smaller values, minus half that of larger ones.
func naiveSpearman(x, y []float64) float64 {
	var s, xx, yy float64
	for i := range x {
		var a, b float64
		for j := range x {
			a, b = a+sign(x[i]-x[j])/2, b+sign(y[i]-y[j])/2
		}
		s, xx, yy = s+a*b, xx+a*a, yy+b*b
	}
	return s / math.Sqrt(xx) / math.Sqrt(yy)
}

func TestRankCorrelations(t *testing.T) {
	for _, test := range []struct {
		x, y     []float64
		tau, rho float64 // the third's tau, the fourth's rho: the examples of scipy.stats
	}{
		{[]float64{1, 2}, []float64{3, 4}, 1, 1},
		{[]float64{1, 2}, []float64{4, 3}, -1, -1},
		{[]float64{12, 2, 1, 12, 2}, []float64{1, 4, 7, 1, 0}, -0.47140452079103173, -5 / math.Sqrt(9*9.5)},
		{[]float64{1, 2, 3, 4, 5}, []float64{5, 6, 7, 8, 7}, 0.7378647873726218, 0.8207826816681233},
		{[]float64{1, 1, 1}, []float64{1, 2, 3}, math.NaN(), math.NaN()},
		{[]float64{1}, []float64{2}, math.NaN(), math.NaN()},
		{nil, nil, math.NaN(), math.NaN()},
	} {
		if tau := Kendall(test.x, test.y); !near(tau, test.tau) {
			t.Errorf("tau of %v and %v is %v, want %v", test.x, test.y, tau, test.tau)
		}
		if rho := Spearman(test.x, test.y); !near(rho, test.rho) {
			t.Errorf("rho of %v and %v is %v, want %v", test.x, test.y, rho, test.rho)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n := 2 + random.IntN(60)
		values := 1 + random.IntN(20) // few: many ties
		x, y := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i], y[i] = float64(random.IntN(values)), float64(random.IntN(values))
		}
		before := slices.Concat(x, y)
		tau, rho := Kendall(x, y), Spearman(x, y)
		if !slices.Equal(slices.Concat(x, y), before) {
			t.Fatal("the values were changed")
		}
		if want := naiveKendall(x, y); !near(tau, want) {
			t.Errorf("tau of %v and %v is %v, want %v", x, y, tau, want)
		}
		if want := naiveSpearman(x, y); !near(rho, want) {
			t.Errorf("rho of %v and %v is %v, want %v", x, y, rho, want)
		}
		if !near(Kendall(y, x), tau) || !near(Spearman(y, x), rho) {
			t.Errorf("%v and %v: not symmetric", x, y)
		}
		// Only the ranks matter.
		power := slices.Clone(x)
		for i, v := range x {
			power[i] = -math.Exp(v)
		}
		if !near(Kendall(power, y), -tau) || !near(Spearman(power, y), -rho) {
			t.Errorf("%v and %v: an order turned round does not turn the sign", x, y)
		}
	}
}
