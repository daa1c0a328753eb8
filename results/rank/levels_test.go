package rank

import (
	"encoding/csv"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// measured returns the accuracy for a number of right images, averaged over batches as the
// original does, with its float32 product. shift varies the number of right images per
// batch.
func measured(right, images, batch, shift int) float64 {
	var sum float64
	for first := 0; first < images; first += batch {
		n := min(batch, images-first)
		most := max(0, right-(images-first-n))
		here := max(most, min(right, (n*right/images+shift)%(n+1)))
		here = min(here, n, right)
		sum += float64(float32(here)*float32(100.0/float64(n))) * float64(n)
		right -= here
	}
	return min(sum/float64(images), 100)
}

// draw is the generator of testdata/ranks.py.
type draw uint64

func (d *draw) below(n int) int {
	*d = *d*6364136223846793005 + 1442695040888963407
	return int(uint64(*d)>>33) % n
}

// TestScipy checks that tau-b and rho equal scipy's on exact fractions, whether or not the
// number of images is known, and however the images are distributed over batches.
func TestScipy(t *testing.T) {
	f, err := os.Open("testdata/ranks.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wanted, err := csv.NewReader(f).ReadAll()
	if err != nil || len(wanted) != 1000 {
		t.Fatalf("%d tables (%v)", len(wanted), err)
	}
	random := draw(201)
	batches := []int{256, 96, 45, 1000}
	for i, want := range wanted {
		images := []int{450, 1797, 3000, 6000, 10000, 25000, 151700}[random.below(7)]
		spread := 2 + random.below(6)
		base := random.below(images - spread)
		var sides [2][][]float64
		for arch := range 5 + random.below(40) {
			for side := range sides {
				var values []float64
				for seed := range 1 + random.below(3) {
					right := base + random.below(spread)
					values = append(values, measured(right, images, batches[i%len(batches)], arch+seed))
				}
				sides[side] = append(sides[side], values)
			}
		}
		known := images * (1 - i%2)
		a, b := Accuracies(sides[0], known), Accuracies(sides[1], known)
		for _, test := range []struct {
			name, want string
			got        float64
		}{{"tau", want[0], Kendall(a, b)}, {"rho", want[1], Spearman(a, b)}} {
			if want, err := strconv.ParseFloat(test.want, 64); err != nil || !near(test.got, want) {
				t.Errorf("table %d: %s is %v, want %s", i, test.name, test.got, test.want)
			}
		}
	}
}

// TestLevels compares the levels of means with those of exact fractions.
func TestLevels(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		images := 1 + random.IntN(200_000)
		known := []int{0, images}[random.IntN(2)]
		base := random.IntN(images)
		var values [][]float64
		var exact []*big.Rat
		for range 1 + random.IntN(30) {
			seeds := 1 + random.IntN(5)
			var accuracies []float64
			sum := int64(0)
			for range seeds {
				right := min(images, base+random.IntN(4))
				sum += int64(right)
				accuracies = append(accuracies, measured(right, images, 1+random.IntN(300), random.IntN(9)))
			}
			values = append(values, accuracies)
			exact = append(exact, big.NewRat(sum, int64(seeds)))
		}
		levels := Accuracies(values, known)
		for i := range exact {
			for j := range exact {
				if got, want := math.Copysign(1, levels[i]-levels[j]), exact[i].Cmp(exact[j]); want == 0 && levels[i] != levels[j] || want != 0 && (levels[i] == levels[j] || int(got) != want) {
					t.Fatalf("%d images (known %d): %v and %v are on levels %v and %v", images, known, exact[i], exact[j], levels[i], levels[j])
				}
			}
		}
	}
}

// TestRounding checks that accuracies that are not counts of images are rounded to a
// thousandth of an image, and that equal losses in another order are tied.
func TestRounding(t *testing.T) {
	for _, test := range []struct {
		images int
		a, b   []float64
		tied   bool
	}{
		{10000, []float64{61.234567}, []float64{61.234568}, true},
		{10000, []float64{61.23456}, []float64{61.23463}, false}, // less than a hundredth of an image
		{0, []float64{61.2345678}, []float64{61.2345681}, true},
		{0, []float64{61.234567}, []float64{61.234867}, false},
		{6000, []float64{50, 50 + 1.0/60, 50}, []float64{50 + 1.0/60, 50, 50}, true},
		{6000, []float64{50, 50 + 1.0/60, 50}, []float64{50 + 1.0/180}, true}, // of a mean, say
		{6000, []float64{50, 50 + 2.0/60}, []float64{50 + 1.0/60}, true},
		{6000, []float64{100.0 / 7}, []float64{100.0/7 + 1e-13}, true}, // of another number of images
	} {
		levels := Accuracies([][]float64{test.a, test.b, {12.3456789, 99.87654}}, test.images)
		if (levels[0] == levels[1]) != test.tied {
			t.Errorf("%v: levels %v", test, levels)
		}
	}
	if levels := Losses([][]float64{{0.1, 0.2, 0.3}, {0.3, 0.2, 0.1}, {0.2}, {0.200001}}); !slices.Equal(levels, []float64{0, 0, 0, 1}) {
		t.Errorf("losses are on levels %v", levels)
	}
}

func TestNoArchitectures(t *testing.T) {
	if a, l := Accuracies(nil, 0), Losses(nil); len(a) != 0 || len(l) != 0 {
		t.Errorf("levels %v and %v", a, l)
	}
}
