package compare

import (
	"cmp"
	"math"
	"slices"
)

// This file decides which architectures are tied. Floating-point means do not: those of
// 50, 51, 51 and of 51, 50, 51 may differ in their last bit. A mean is a fraction of whole
// numbers here, which compares exactly. An accuracy is a whole number of images; the
// float32 arithmetic that the original averages batches with moves it by a few
// thousandths of one.

// fraction is a mean: a sum of whole numbers over how many there are. It is exact where
// the numbers are below 2^53 in all.
type fraction struct{ sum, n float64 }

func (f fraction) compare(other fraction) int { return cmp.Compare(f.sum*other.n, other.sum*f.n) }

// levels numbers the architectures' means of a side in ascending order; tied ones have
// one number. whole makes a whole number of a value.
func (g *group) levels(side int, whole func(value) float64) []float64 {
	means := make([]fraction, len(g.archs))
	for i, p := range g.archs {
		means[i].n = p.seeds[side]
		for _, v := range p.values[side] {
			means[i].sum += whole(v)
		}
	}
	order := indices(len(means))
	slices.SortFunc(order, func(i, j int) int { return means[i].compare(means[j]) })
	levels := make([]float64, len(means))
	for k, i := range order[min(1, len(order)):] {
		levels[i] = levels[order[k]]
		if means[i].compare(means[order[k]]) != 0 {
			levels[i]++
		}
	}
	return levels
}

// billionths counts a loss in billionths of a nat: float32 knows seven digits of it.
func billionths(v value) float64 { return math.Round(v.loss * 1e9) }

// thousandths returns what counts the accuracies of a side in thousandths of one image.
func (g *group) thousandths(side int) func(value) float64 {
	var accuracies []float64
	for _, p := range g.archs {
		for _, v := range p.values[side] {
			accuracies = append(accuracies, v.top1)
		}
	}
	images := float64(countImages(accuracies, cmp.Or(g.images[side], g.images[1-side])))
	return func(v value) float64 {
		if count, ok := imagesOf(v.top1, images, nearCount); ok {
			return 1000 * count
		}
		return math.Round(1000 * v.top1 * images / 100)
	}
}

const (
	// nearCount is how far from a whole number of images an accuracy may lie that is one.
	nearCount = 0.03
	// noise bounds what float32 adds to an accuracy, in percent: 2^-24 of the factor
	// 100/batch and of its product.
	noise = 2 * 100.0 / (1 << 24)
	// mostImages bounds the sets whose size countImages finds: among more images one is
	// not much more than noise.
	mostImages = 200_000
	// someImages makes a thousandth of an image 1e-6 percent where accuracies are of no
	// whole number of images: ten times finer than float32, and one image of ten million.
	someImages = 100_000
)

// countImages finds the number of images that accuracies are shares of: the one that is
// known, if it makes them whole numbers, or the smallest that does. Which of several
// that do is the same for what is tied. Where none does, accuracies were not counted,
// and known, or someImages, serves for rounding.
func countImages(accuracies []float64, known int) int {
	slices.Sort(accuracies)
	accuracies = slices.Compact(accuracies)
	fit := func(images int, within float64) bool {
		for i, v := range accuracies {
			if _, ok := imagesOf(v, float64(images), within); !ok {
				copy(accuracies[1:], accuracies[:i]) // what refused a number is asked first
				accuracies[0] = v
				return false
			}
		}
		return true
	}
	if known > 0 && fit(known, nearCount) {
		return known
	}
	for images := 1; images <= mostImages; images++ {
		if fit(images, float64(images)*noise/100) {
			return images
		}
	}
	return cmp.Or(known, someImages)
}

// imagesOf is the number of images that an accuracy in percent is, and whether it lies
// within some part of one from a whole number.
func imagesOf(accuracy, images, within float64) (count float64, ok bool) {
	exact := accuracy * images / 100
	count = math.Round(exact)
	return count, math.Abs(exact-count) <= within
}
