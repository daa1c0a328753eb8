package train

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend"
	"nb201/internal/backend/devicetest"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/results"
)

// judged is a batch that testdata/measure.py is asked for.
type judged struct {
	Labels   []int32 `json:"labels"`
	Classes  int     `json:"classes"`
	Logits   string  `json:"logits,omitempty"` // files of float32
	Images   string  `json:"images,omitempty"`
	Size     int     `json:"size,omitempty"`
	Weights  string  `json:"weights,omitempty"`
	Genotype string  `json:"genotype,omitempty"`
	Channels int     `json:"channels,omitempty"`
	Cells    int     `json:"cells,omitempty"`
	Training bool    `json:"training"`

	name string
	want batchResult // what this program measured
}

// judge has torch measure the batches, and compares.
func judge(t *testing.T, cases []judged) {
	t.Helper()
	interpreter := os.Getenv("NB201_PYTHON")
	if interpreter == "" {
		t.Skip("NB201_PYTHON names no Python with torch and xautodl: not compared with them")
	}
	text, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cases.json")
	write(t, file, text)
	c := exec.CommandContext(t.Context(), interpreter, "testdata/measure.py", file)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var answers [][3]float64
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(cases) {
		t.Fatalf("%v: %s", err, out)
	}
	bound := 1e-5
	if devicetest.OnGPU(t) {
		bound = 1e-4 // as for TestGoldenTrajectoryFloat32, after a step
	}
	for i, c := range cases {
		got := answers[i]
		if d := relative(c.want.loss, got[0]); !(d <= bound) || c.want.top1 != int(got[1]) || c.want.top5 != int(got[2]) {
			t.Errorf("%s: measured %+v, torch says %v", c.name, c.want, got)
		}
	}
}

// floats writes a file of float32 for measure.py.
func floats(t *testing.T, values []float32) string {
	t.Helper()
	text, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "floats")
	write(t, path, text)
	return path
}

// ranked makes logits and labels: that of row i is of rank i%8, or the last one.
func ranked(rows, classes int) (logits []float32, labels []int32) {
	source := rand.New(rand.NewPCG(1, uint64(classes)))
	for i := range rows {
		row, order := make([]float32, classes), source.Perm(classes)
		for rank, class := range order { // distinct
			row[class] = -0.01*float32(rank) + 0.005*source.Float32()
		}
		logits = append(logits, row...)
		labels = append(labels, int32(order[min(i%8, classes-1)]))
	}
	return logits, labels
}

// measureByHand is what crossEntropy measures, in float64 and by sorting.
func measureByHand(logits []float32, labels []int32, classes int) batchResult {
	var b batchResult
	for i, label := range labels {
		if label < 0 {
			continue
		}
		row := logits[i*classes:][:classes]
		sum := 0.0
		order := make([]int, classes)
		for class, v := range row {
			sum += math.Exp(float64(v))
			order[class] = class
		}
		b.loss += math.Log(sum) - float64(row[label])
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
		if order[0] == int(label) {
			b.top1++
		}
		if slices.Contains(order[:min(5, classes)], int(label)) {
			b.top5++
		}
		b.images++
	}
	b.loss /= float64(b.images)
	return b
}

// crossEntropyOf runs crossEntropy alone.
func crossEntropyOf(t *testing.T, logits []float32, labels []int32, classes int) batchResult {
	t.Helper()
	g := NewGraph(openBackend(t), "cross entropy")
	defer g.Finalize()
	rows := len(labels)
	var out []*tensors.Tensor
	err := backend.Catch(func() error {
		measures, _ := crossEntropy(Parameter(g, "logits", shapes.Make(dtypes.Float32, rows, classes)), Parameter(g, "labels", shapes.Make(dtypes.Int32, rows)))
		if err := g.Compile(measures); err != nil {
			return err
		}
		out = g.Run(tensors.FromFlatDataAndDimensions(logits, rows, classes), tensors.FromFlatDataAndDimensions(labels, rows))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	images := 0
	for _, label := range labels {
		if label >= 0 {
			images++
		}
	}
	b, err := readMeasures(out[0], images, images)
	if err != nil {
		t.Fatal(err)
	}
	return b[0]
}

// Labels of every rank are counted rightly for any number of classes, padding left out.
func TestTopN(t *testing.T) {
	var cases []judged
	for _, classes := range []int{2, 3, 4, 5, 6, 10, 120, 1000} {
		logits, labels := ranked(61, classes)
		measure := func() batchResult {
			t.Helper()
			got, want := crossEntropyOf(t, logits, labels, classes), measureByHand(logits, labels, classes)
			if d := relative(got.loss, want.loss); !(d <= 1e-5) || got.top1 != want.top1 || got.top5 != want.top5 || got.images != want.images {
				t.Errorf("%d classes: measured %+v, want %+v", classes, got, want)
			}
			return got
		}
		got := measure()
		if classes <= 5 && got.top5 != len(labels) {
			t.Errorf("%d classes: %d of %d images are among them", classes, got.top5, len(labels))
		}
		cases = append(cases, judged{Labels: slices.Clone(labels), Classes: classes, Logits: floats(t, logits), name: fmt.Sprint(classes, " classes"), want: got})

		// Logits that are equal, some rows of padding.
		for i := range logits {
			logits[i] = float32(math.Round(float64(logits[i]) * 30))
		}
		for i := 0; i < len(labels); i += 7 {
			labels[i] = -1
		}
		measure()
	}
	judge(t, cases)
}

// onClasses is a trial of one step on random images of so many classes. 45 images are
// evaluated: all of them right are more than 100 % in float32.
func onClasses(t testing.TB, classes, size int, grey bool) Config {
	t.Helper()
	d := data.Definition{
		Name: fmt.Sprintf("classes-%d", classes), Format: "cifar10-python", Path: "nowhere", Classes: classes, Size: [2]int{size, size},
		Mean: [3]float64{127, 128, 129}, Std: [3]float64{73, 74, 75}, Augment: data.Augment{Flip: true, CropPadding: 2},
		Train: data.Part{From: "train", Order: data.Shuffle},
		Eval:  []data.Part{{Name: "ori-test", From: "test", Order: data.Sequential}},
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
	recipe, err := configs.RecipeFor(1)
	if err != nil {
		t.Fatal(err)
	}
	recipe.Channels, recipe.Cells, recipe.Batch = 4, 1, 64
	arch, err := cell.Parse("|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Trial:   results.Trial{Arch: arch.Index(), Dataset: d.Name, Epochs: 1, Seed: 777},
		Network: cell.Network{Arch: arch, Channels: 4, Cells: 1, Classes: classes, Size: size},
		Recipe:  recipe, Definition: d, Data: set, Profile: random.Profiles()[0], Timeline: data.Dec2019, Precision: FP32,
	}
}

// A trial trains on any number of classes and any size of images, and torch with the
// original's network measures the same of its first batch and of its evaluation.
func TestClassesAndSizes(t *testing.T) {
	var cases []judged
	for _, test := range []struct {
		classes, size int
		grey, nightly bool // nightly: compiling takes seconds
	}{
		{3, 20, true, false}, {1000, 64, false, false},
		{2, 16, false, true}, {4, 4, false, true}, {5, 64, true, true}, {120, 32, false, true}, {1000, 16, false, true},
	} {
		if test.nightly && os.Getenv("NB201_NIGHTLY") == "" {
			continue
		}
		name := fmt.Sprintf("%d classes, %d pixels", test.classes, test.size)
		c := onClasses(t, test.classes, test.size, test.grey)
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		measured := map[string][]batchResult{}
		var r *results.Record
		var weights torchfile.StateDict
		var initial string
		var images []float32
		labels := make([]int32, c.Recipe.Batch)
		p, onDevice := c.programs(openBackend(t)), uploaded(t, c.Data)
		compileAll(p.all()...)
		defer func() {
			for _, program := range p.all() {
				program.finalize()
			}
		}()
		err := c.with(p, onDevice, func(Progress) {}, func(tr *trial) (err error) {
			initial = saved(t, tr.seed())
			order := tr.Data.TrainEpoch(tr.streams, tr.Workers, c.Recipe.Batch)
			images = make([]float32, c.Recipe.Batch*3*test.size*test.size)
			tr.Data.Fill(images, labels, &tr.Data.Train, &order, 0, c.Recipe.Batch)

			tr.measured = func(stage string, _, _ int, b batchResult) { measured[stage] = append(measured[stage], b) }
			if err := cmp.Or(tr.begin(), tr.run(t.Context())); err != nil {
				return err
			}
			r = tr.record
			weights, err = tr.trained()
			return err
		})
		if err != nil {
			t.Fatal(name, ": ", err)
		}
		r.Device, r.Attempts, r.Versions = "cpu", 1, results.Versions{Program: "test", GoMLX: "test", Plugin: "test"}
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if few := test.classes <= 5; few != (r.Train.Top5[0] == 100) || few != (r.Eval[0].Top5[0] == 100) {
			t.Errorf("%s: top-5 accuracy %v of training, %v of evaluation", name, r.Train.Top5, r.Eval[0].Top5)
		}

		network := judged{Classes: test.classes, Size: test.size, Genotype: r.Genotype, Channels: 4, Cells: 1}
		first, evaluation := network, network
		first.name, first.Training, first.Weights = name+", first step", true, initial
		first.Images, first.Labels, first.want = floats(t, images), labels, measured["train"][0]
		split := &c.Data.Eval[0]
		order := data.Epoch{Order: make([]int32, split.Len())}
		for i := range order.Order {
			order.Order[i] = int32(i)
		}
		images, labels = make([]float32, split.Len()*3*test.size*test.size), make([]int32, split.Len())
		c.Data.Fill(images, labels, split, &order, 0, split.Len())
		evaluation.name, evaluation.Weights = name+", evaluation", saved(t, weights)
		evaluation.Images, evaluation.Labels, evaluation.want = floats(t, images), labels, measured["ori-test"][0]
		cases = append(cases, first, evaluation)
	}
	judge(t, cases)
}
