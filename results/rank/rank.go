// Package rank correlates the orders in which two series of measures rank architectures.
//
// [Kendall] and [Spearman] correlate any numbers. [Accuracies] and [Losses] make numbers of
// the measures of trials such that architectures with the same mean are tied.
package rank

import (
	"cmp"
	"math"
	"slices"
)

// Kendall returns Kendall's rank correlation tau-b of pairs x[i], y[i], in O(n log n) after
// W. R. Knight, "A computer method for calculating Kendall's tau with ungrouped data"
// (1966). It is NaN when all x or all y are equal. x and y are equally long.
func Kendall(x, y []float64) float64 {
	order := indices(len(x))
	slices.SortFunc(order, func(i, j int) int { return cmp.Or(cmp.Compare(x[i], x[j]), cmp.Compare(y[i], y[j])) })
	sorted := make([]float64, len(y))
	for k, i := range order {
		sorted[k] = y[i]
	}
	tiedX := tied(len(x), func(k int) bool { return x[order[k]] == x[order[k-1]] })
	tiedBoth := tied(len(x), func(k int) bool { return x[order[k]] == x[order[k-1]] && sorted[k] == sorted[k-1] })
	discordant := inversions(sorted, make([]float64, len(sorted)))
	tiedY := tied(len(y), func(k int) bool { return sorted[k] == sorted[k-1] })
	all := pairs(len(x))
	// Concordant minus discordant pairs.
	s := all - tiedX - tiedY + tiedBoth - 2*discordant
	return s / math.Sqrt((all-tiedX)*(all-tiedY))
}

func pairs(n int) float64 { return float64(n) * float64(n-1) / 2 }

// tied counts the pairs of equal elements among n sorted ones; same reports whether element
// k equals the one before it.
func tied(n int, same func(k int) bool) float64 {
	count, first := 0.0, 0
	for k := 1; k <= n; k++ {
		if k == n || !same(k) {
			count += pairs(k - first)
			first = k
		}
	}
	return count
}

// inversions sorts v and counts the pairs that were in descending order. space is scratch
// space as long as v.
func inversions(v, space []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	half := len(v) / 2
	count := inversions(v[:half], space[:half]) + inversions(v[half:], space[half:])
	copy(space, v)
	left, right := space[:half], space[half:]
	for k := range v {
		if len(right) == 0 || len(left) > 0 && left[0] <= right[0] {
			v[k], left = left[0], left[1:]
		} else {
			v[k], right = right[0], right[1:]
			count += float64(len(left))
		}
	}
	return count
}

// Spearman returns Spearman's rank correlation rho: the correlation of the ranks, where
// equal values get the mean of their ranks. It is NaN when all x or all y are equal. x and y
// are equally long.
func Spearman(x, y []float64) float64 {
	rx, ry := ranks(x), ranks(y)
	mean := float64(len(x)+1) / 2
	var xx, yy, xy float64
	for i := range rx {
		dx, dy := rx[i]-mean, ry[i]-mean
		xx, yy, xy = xx+dx*dx, yy+dy*dy, xy+dx*dy
	}
	return xy / math.Sqrt(xx*yy)
}

// ranks returns the rank of each value, from 1.
func ranks(v []float64) []float64 {
	order := indices(len(v))
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(v[i], v[j]) })
	ranks := make([]float64, len(v))
	for first := 0; first < len(v); {
		next := first + 1
		for next < len(v) && v[order[next]] == v[order[first]] {
			next++
		}
		for _, i := range order[first:next] {
			ranks[i] = float64(first+1+next) / 2
		}
		first = next
	}
	return ranks
}

func indices(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}
