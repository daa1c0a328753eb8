package data_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
)

func TestCheck(t *testing.T) {
	root := t.TempDir()
	train, test := datatest.Synth(60, 32, 10, 1), datatest.Synth(9, 32, 10, 2)
	for i := range train.Labels {
		train.Labels[i] = int32(i % 9) // none of the last class
	}
	writeFiles(t, filepath.Join(root, "cifar-10-batches-bin"), "cifar10-binary", train, test)
	d := definitionOfCIFAR10(t)
	d.Images = data.Counts{}
	r, err := d.Check(root)
	if err != nil {
		t.Fatal(err)
	}
	if r.Format != "cifar10-binary" || r.Path != filepath.Join(root, "cifar-10-batches-bin") || len(r.Files) != 6 {
		t.Errorf("read %d files in %s of format %s", len(r.Files), r.Path, r.Format)
	}
	want := data.CheckedSet{Name: "train", Images: 60, Class: []int{7, 7, 7, 7, 7, 7, 6, 6, 6, 0}}
	if got := r.Sets[0]; got.Name != want.Name || got.Images != want.Images || !slices.Equal(got.Class, want.Class) {
		t.Errorf("trains on %+v, want %+v", got, want)
	}
	if n := r.Sets[1].Images; len(r.Sets) != 2 || n != 9 {
		t.Errorf("sets %+v", r.Sets)
	}
	// Uniform bytes have a mean of 127.5 and a deviation of 73.9.
	for c := range 3 {
		if math.Abs(r.Measured.Mean[c]-127.5) > 1 || math.Abs(r.Measured.Std[c]-73.9) > 1 {
			t.Errorf("channel %d: mean %v, deviation %v", c, r.Measured.Mean[c], r.Measured.Std[c])
		}
	}
	for i, fault := range []string{
		"class 9 has no training images", "mean of red", "mean of green", "mean of blue",
		"deviation of red", "deviation of green", "deviation of blue",
	} {
		if i >= len(r.Faults) || !strings.Contains(r.Faults[i], fault) {
			t.Errorf("faults %q, want one of %q at place %d", r.Faults, fault, i)
		}
	}

	// Other files than the published ones under a published key.
	writeFiles(t, filepath.Join(root, "cifar-10-batches-py"), "cifar10-python", train, test)
	if r, err = d.Check(root); err != nil {
		t.Fatal(err)
	}
	if len(r.Faults) != 7+6 || !strings.Contains(r.Faults[0], "cifar-10-batches-py/data_batch_1 has the MD5") || r.Files[5].Published != data.Differs {
		t.Errorf("faults %q", r.Faults)
	}
	// A user's own key may have any files.
	d.Name = "mine"
	if r, err = d.Check(root); err != nil {
		t.Fatal(err)
	}
	if len(r.Faults) != 7 || r.Files[0].Published != "" {
		t.Errorf("faults %q", r.Faults)
	}

	_, err = d.Check(t.TempDir())
	refused(t, err, "no data for mine")
}

func TestCheckDigits(t *testing.T) {
	d, err := data.Published("digits")
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Check("")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Faults) != 0 || r.Path != "" || r.Sets[0].Images != 1347 {
		t.Errorf("%+v", r)
	}
}

// Stats agrees with sums pixel by pixel, over all images and over some.
func TestMeasure(t *testing.T) {
	images := datatest.Synth(50, 4, 10, 1)
	for _, places := range [][]int32{nil, {3}, {0, 7, 49, 7}} {
		of := places
		if of == nil {
			for i := range images.Len() {
				of = append(of, int32(i))
			}
		}
		m := images.Stats(places)
		for c := range 3 {
			var values []float64
			sum := 0.0
			for _, i := range of {
				for k := range 16 {
					v := float64(images.Pixels[(int(i)*16+k)*3+c])
					values = append(values, v)
					sum += v
				}
			}
			mean, square := sum/float64(len(values)), 0.0
			for _, v := range values {
				square += (v - mean) * (v - mean)
			}
			std := math.Sqrt(square / float64(len(values)))
			if math.Abs(m.Mean()[c]-mean) > 1e-9 || math.Abs(m.Std()[c]-std) > 1e-9 {
				t.Errorf("places %v, channel %d: %v, %v, want %v, %v", places, c, m.Mean()[c], m.Std()[c], mean, std)
			}
		}
	}
	flat := new(data.PixelStats)
	if flat.Mean() != [3]float64{} || flat.Std() != [3]float64{} {
		t.Error("no pixels have a mean")
	}
	flat.Add([]byte{77, 0, 255, 77, 0, 255, 77, 0, 255})
	if flat.Mean() != [3]float64{77, 0, 255} || flat.Std() != [3]float64{} {
		t.Errorf("mean %v, deviation %v of one colour", flat.Mean(), flat.Std())
	}
}
