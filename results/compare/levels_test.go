package compare

import (
	"encoding/csv"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"nb201/results"
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
		g := &group{}
		for arch := range 5 + random.below(40) {
			var values [2][]value
			for side := range values {
				for seed := range 1 + random.below(3) {
					right := base + random.below(spread)
					v := value{seed: uint32(seed), top1: measured(right, images, batches[i%len(batches)], arch+seed)}
					if i%2 == 0 {
						v.images = images
					}
					values[side] = append(values[side], v)
				}
			}
			g.add(arch, values)
		}
		m := g.comparison(key{}).Top1
		for _, test := range []struct {
			name, want string
			got        *float64
		}{{"tau", want[0], m.Kendall}, {"rho", want[1], m.Spearman}} {
			if want, err := strconv.ParseFloat(test.want, 64); err != nil || !near(test.got, want) {
				t.Errorf("table %d: %s is %s, want %s", i, test.name, number(test.got), test.want)
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
		g := &group{images: [2]int{known}}
		var exact []*big.Rat
		for arch := range 1 + random.IntN(30) {
			seeds := 1 + random.IntN(5)
			p := archPoint{point: point{arch: arch}, seeds: [2]float64{float64(seeds)}}
			sum := int64(0)
			for range seeds {
				right := min(images, base+random.IntN(4))
				sum += int64(right)
				p.values[0] = append(p.values[0], value{top1: measured(right, images, 1+random.IntN(300), random.IntN(9))})
			}
			g.archs = append(g.archs, p)
			exact = append(exact, big.NewRat(sum, int64(seeds)))
		}
		levels := g.levels(0, g.thousandths(0))
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
		g := &group{images: [2]int{test.images}}
		for _, of := range [][]float64{test.a, test.b, {12.3456789, 99.87654}} {
			p := archPoint{seeds: [2]float64{float64(len(of))}}
			for _, v := range of {
				p.values[0] = append(p.values[0], value{top1: v})
			}
			g.archs = append(g.archs, p)
		}
		levels := g.levels(0, g.thousandths(0))
		if (levels[0] == levels[1]) != test.tied {
			t.Errorf("%v: levels %v", test, levels)
		}
	}
	g := &group{}
	for _, of := range [][]float64{{0.1, 0.2, 0.3}, {0.3, 0.2, 0.1}, {0.2}, {0.200001}} {
		p := archPoint{seeds: [2]float64{float64(len(of))}}
		for _, v := range of {
			p.values[0] = append(p.values[0], value{loss: v})
		}
		g.archs = append(g.archs, p)
	}
	if levels := g.levels(0, billionths); !slices.Equal(levels, []float64{0, 0, 0, 1}) {
		t.Errorf("losses are on levels %v", levels)
	}
}

// TestTies compares two benchmarks whose architectures have the same accuracies, but with
// different seeds.
func TestTies(t *testing.T) {
	r := run(t, results.Campaign{Dir: "testdata/ties/a"}, results.Campaign{Dir: "testdata/ties/b"})
	if len(r.Comparisons) != 2 {
		t.Fatalf("%d comparisons", len(r.Comparisons))
	}
	for _, c := range r.Comparisons {
		if !near(c.Top1.Kendall, 1) || !near(c.Top1.Spearman, 1) {
			t.Errorf("%s: tau %v, rho %v, want 1 and 1", c.Set, number(c.Top1.Kendall), number(c.Top1.Spearman))
		}
	}
	// The same of a campaign, whose records know the number of images.
	a, b := map[results.Trial]float64{}, map[results.Trial]float64{}
	for arch, counts := range [][]int{{5000, 5101, 5102}, {5001, 5101, 5101}, {7000, 7001, 7003}} {
		for i, right := range counts {
			a[at(arch, uint32(i))] = measured(right, 10000, 96, i)
			b[at(arch, uint32(2-i))] = measured(right, 10000, 256, i)
		}
	}
	for _, c := range run(t, publish(t, a), publish(t, b)).Comparisons {
		if !near(c.Top1.Kendall, 1) || !near(c.Top1.Spearman, 1) {
			t.Errorf("%s: tau %v, rho %v, want 1 and 1", c.Set, number(c.Top1.Kendall), number(c.Top1.Spearman))
		}
	}
}
