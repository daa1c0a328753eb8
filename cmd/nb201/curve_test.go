package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nb201/results/benchmark"
)

// labels returns the labels on the axis of a drawn curve.
func labels(t *testing.T, values []float64) []string {
	t.Helper()
	var text strings.Builder
	drawCurve(&text, len(values), []benchmark.SetMeasures{{Set: "x", Measures: benchmark.Measures{Top1: benchmark.Consecutive(0, values)}}})
	var labels []string
	for line := range strings.Lines(text.String()) {
		if at := strings.IndexAny(line, "┤┼"); at > 0 {
			labels = append(labels, strings.TrimSpace(line[:at]))
		}
	}
	if len(labels) == 0 {
		t.Fatalf("%v: no axis in %s", values, &text)
	}
	return labels
}

// No two lines of a drawn curve have the same label, for any range of values.
func TestLabelsOfCurves(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	curves := [][]float64{
		{10, 10}, {0, 0, 0}, {99.98, 100}, {99.99999, 100}, {99.9999999, 100}, {0, 100}, {50, 50.004}, {10, 10.001, 10.002},
		{0, 1e-9}, {100, 100.0000076}, {12.5, 13.5}, {0.1, 9.9},
	}
	for range 5000 {
		width := []float64{1e-9, 1e-6, 1e-5, 1e-3, 0.01, 0.1, 1, 5, 9, 10, 11, 50}[random.IntN(12)]
		base := random.Float64() * (100 - width)
		curve := make([]float64, 2+random.IntN(20))
		for i := range curve {
			curve[i] = base + random.Float64()*width
		}
		curves = append(curves, curve)
	}
	for _, curve := range curves {
		got := labels(t, slices.Clone(curve))
		if distinct := slices.Compact(slices.Clone(got)); len(distinct) != len(got) {
			t.Errorf("%v: labels %q", curve, got)
		}
	}
	if got := labels(t, []float64{math.NaN(), 20, math.Inf(1), 80}); got[0] != "80" || got[len(got)-1] != "20" {
		t.Errorf("values that are not finite: labels %q", got)
	}
	if got := labels(t, []float64{11.56, 89.33}); got[0] != "89" || got[len(got)-1] != "12" {
		t.Errorf("labels %q", got)
	}
}
