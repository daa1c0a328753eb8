package rank

import (
	"cmp"
	"math"
	"slices"
)

// This file decides which architectures are tied. Floating-point means cannot: those of
// 50, 51, 51 and of 51, 50, 51 may differ in their last bit. Here a mean is a fraction of
// whole numbers, which compares exactly. An accuracy is a whole number of images; the
// float32 arithmetic with which the original averages batches moves it by a few thousandths
// of an image.

// fraction is a mean: a sum of n whole numbers, over n. It is exact if the sum is below 2^53.
type fraction struct{ sum, n float64 }

func (f fraction) compare(other fraction) int { return cmp.Compare(f.sum*other.n, other.sum*f.n) }

// Accuracies numbers the architectures in ascending order of their mean accuracies, with
// equal numbers for ties: means that are the same number of images. values[i] lists the
// accuracies, in percent, of the trials of architecture i, at least one. images is the number
// of images in the set, or 0 if unknown. Accuracies that are not whole numbers of images are
// rounded to a thousandth of an image.
func Accuracies(values [][]float64, images int) []float64 {
	n := float64(countImages(slices.Concat(values...), images))
	return levels(values, func(v float64) float64 {
		if count, ok := imagesOf(v, n, nearCount); ok {
			return 1000 * count
		}
		return math.Round(1000 * v * n / 100)
	})
}

// IsCount reports whether an accuracy, in percent, is a whole number of images, up to the float32
// rounding of averages over batches.
func IsCount(accuracy float64, images int) bool {
	_, ok := imagesOf(accuracy, float64(images), nearCount)
	return ok
}

// Losses numbers the architectures in ascending order of their mean losses, with equal
// numbers for ties. values[i] lists the losses, in nats, of the trials of architecture i, at
// least one. A loss is rounded to a billionth of a nat; float32 has seven digits.
func Losses(values [][]float64) []float64 {
	return levels(values, func(v float64) float64 { return math.Round(v * 1e9) })
}

// levels numbers the means of values in ascending order, with equal numbers for ties. toWhole
// converts a value to a whole number.
func levels(values [][]float64, toWhole func(float64) float64) []float64 {
	means := make([]fraction, len(values))
	for i, of := range values {
		means[i].n = float64(len(of))
		for _, v := range of {
			means[i].sum += toWhole(v)
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

const (
	// nearCount is the largest distance, in images, of an accuracy from the whole number
	// of images that it represents.
	nearCount = 0.03
	// noise bounds the rounding error of float32 in an accuracy, in percent: 2^-24 each of
	// the factor 100/batch and of its product.
	noise = 2 * 100.0 / (1 << 24)
	// mostImages bounds the set sizes that countImages tries: in larger sets, one image is
	// not much more than noise.
	mostImages = 200_000
	// someImages is used for accuracies that are not whole numbers of images. It makes a
	// thousandth of an image 1e-6 percent, which is ten times finer than float32 and than
	// one image of ten million.
	someImages = 100_000
)

// countImages finds the number of images that accuracies are shares of: known, if that
// makes all of them whole numbers, or else the smallest number that does. If several do,
// any of them gives the same ties. If none does, the accuracies are not counts of images,
// and known or someImages is only used for rounding. accuracies is reordered.
func countImages(accuracies []float64, known int) int {
	slices.Sort(accuracies)
	accuracies = slices.Compact(accuracies)
	allFit := func(images int, within float64) bool {
		for i, v := range accuracies {
			if _, ok := imagesOf(v, float64(images), within); !ok {
				copy(accuracies[1:], accuracies[:i]) // try the one that failed first next time
				accuracies[0] = v
				return false
			}
		}
		return true
	}
	if known > 0 && allFit(known, nearCount) {
		return known
	}
	for images := 1; images <= mostImages; images++ {
		if allFit(images, float64(images)*noise/100) {
			return images
		}
	}
	return cmp.Or(known, someImages)
}

// imagesOf converts an accuracy in percent to a whole number of images, and reports whether
// the accuracy is that close to a whole number: within is in images.
func imagesOf(accuracy, images, within float64) (count float64, ok bool) {
	exact := accuracy * images / 100
	count = math.Round(exact)
	return count, math.Abs(exact-count) <= within
}
