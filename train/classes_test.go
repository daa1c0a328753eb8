package train

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/train/traintest"
)

// onClasses configures a trial of one step on random images of a number of classes. It evaluates
// 45 images: if all of them are right, that is more than 100 % in float32.
func onClasses(t testing.TB, classes, size int, grey bool) Config {
	t.Helper()
	d := data.Definition{
		Name: fmt.Sprintf("classes-%d", classes), Format: "cifar10-python", Path: "nowhere", Classes: classes, Size: [2]int{size, size},
		Mean: [3]float64{127, 128, 129}, Std: [3]float64{73, 74, 75}, Augment: data.Augment{Flip: true, CropPadding: 2},
		Train: data.SplitDefinition{From: "train", Order: data.Shuffle},
		Eval:  []data.SplitDefinition{{Name: "ori-test", From: "test", Order: data.Sequential}},
	}
	stored := map[string]*data.Images{"train": datatest.Synth(64, size, classes, 1), "test": datatest.Synth(45, size, classes, 2)}
	if grey {
		for _, images := range stored {
			for i := 0; i < len(images.Pixels); i += 3 {
				images.Pixels[i+1], images.Pixels[i+2] = images.Pixels[i], images.Pixels[i]
			}
		}
	}
	set, err := data.New(d, stored)
	if err != nil {
		t.Fatal(err)
	}
	set.Files = []data.File{{Name: "made.npz", SHA256: strings.Repeat("0", 64)}} // a record names the files of its images
	s := settings(4, 1, 64)
	s.Workers = 0
	recipe, err := s.Recipe(1)
	if err != nil {
		t.Fatal(err)
	}
	arch, err := cell.Parse("|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Trial:   results.Trial{Arch: arch.Index(), Dataset: d.Name, Epochs: 1, Seed: 777},
		Network: cell.Network{Arch: arch, Channels: 4, Cells: 1, Classes: classes, Size: size},
		Recipe:  recipe, Settings: s, Definition: d, Data: set,
	}
}

// A trial works with any number of classes and any size of images, and torch with the original's
// network computes the same results for its first batch and its evaluation.
func TestClassesAndSizes(t *testing.T) {
	bound := 1e-5
	if devicetest.OnGPU(t) {
		bound = 1e-4 // as for TestGoldenTrajectoryFloat32, after a step
	}
	var cases []traintest.Case
	for _, test := range []struct {
		classes, size int
		grey, nightly bool   // nightly: compiling takes seconds
		widths        string // of an architecture of the size search space; "": that of onClasses
	}{
		{3, 20, true, false, ""}, {1000, 64, false, false, ""}, {7, 28, false, false, lightWidths},
		{2, 16, false, true, ""}, {4, 4, false, true, ""}, {5, 64, true, true, ""}, {120, 32, false, true, ""}, {1000, 16, false, true, ""},
		{100, 16, false, true, "64:40:8:56:24"},
	} {
		if test.nightly && !needs.IsNightly() {
			continue
		}
		name := fmt.Sprintf("%d classes, %d pixels", test.classes, test.size)
		c := onClasses(t, test.classes, test.size, test.grey)
		if test.widths != "" {
			c = onArch(c, archOf(t, test.widths))
		}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		o, err := runAlone(t.Context(), t, c, func(Progress) {})
		if err != nil {
			t.Fatal(name, ": ", err)
		}
		r := o.Record
		r.Device, r.Attempts, r.Versions = "cpu", 1, results.Versions{Program: "test", GoMLX: "test", Plugin: "test"}
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if few := test.classes <= 5; few != (r.Train.Top5[0] == 100) || few != (r.Eval[0].Top5[0] == 100) {
			t.Errorf("%s: top-5 accuracy %v of training, %v of evaluation", name, r.Train.Top5, r.Eval[0].Top5)
		}

		// The first batch is all of the training, and the evaluation set is one batch.
		judged := func(what string, split *data.Split, order data.Epoch, weights torchfile.StateDict, p results.Pass) traintest.Case {
			images, labels := make([]float32, split.Len()*3*test.size*test.size), make([]int32, split.Len())
			datatest.Fill(c.Data, images, labels, split, &order, 0, split.Len())
			count := func(percent float64) int { return int(math.Round(percent * float64(p.Images) / 100)) }
			return traintest.Case{
				Labels: labels, Classes: test.classes, Images: traintest.Floats(t, images), Size: test.size,
				Weights: saved(t, weights), Genotype: c.Network.Arch.Genotype(), Widths: test.widths,
				Channels: c.Network.Channels, Cells: c.Network.Cells, Training: split == &c.Data.Train,
				Name: name + ", " + what, Loss: p.Loss[0], Top1: count(p.Top1[0]), Top5: count(p.Top5[0]),
			}
		}
		tr := newTrial(c, nil, nil)
		initial := tr.seed()
		first := tr.draw(tr.streams, 0)
		cases = append(cases,
			judged("first step", tr.stages[0], first.order, initial, r.Train),
			judged("evaluation", tr.stages[1], tr.draw(first.streams, 1).order, o.Weights, r.Eval[0].Pass))
	}
	traintest.Judge(t, bound, cases)
}
