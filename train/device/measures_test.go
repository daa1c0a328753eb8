package device

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/internal/backend"
	"nb201/internal/backend/devicetest"
	"nb201/internal/golden"
	"nb201/train/traintest"
)

// ranked makes logits and labels; the label of row i has the rank i%8, or the last rank.
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

// measureByHand computes the measures of crossEntropy in float64 and by sorting.
func measureByHand(logits []float32, labels []int32, classes int) Batch {
	var b Batch
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
		b.Loss += math.Log(sum) - float64(row[label])
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
		if order[0] == int(label) {
			b.CorrectTop1++
		}
		if slices.Contains(order[:min(5, classes)], int(label)) {
			b.CorrectTop5++
		}
		b.Images++
	}
	b.Loss /= float64(b.Images)
	return b
}

// crossEntropyOf runs only crossEntropy.
func crossEntropyOf(t *testing.T, logits []float32, labels []int32, classes int) Batch {
	t.Helper()
	g := NewGraph(devicetest.Open(t).Backend, "cross entropy")
	defer g.Finalize()
	rows := len(labels)
	var out []*tensors.Tensor
	err := backend.Catch(func() error {
		measures, _ := crossEntropy(Parameter(g, "logits", shapes.Make(dtypes.Float32, rows, classes)), Parameter(g, "labels", shapes.Make(dtypes.Int32, rows)), 0)
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

// Labels of every rank are counted correctly for any number of classes, without padding.
func TestTopN(t *testing.T) {
	var cases []traintest.Case
	for _, classes := range []int{2, 3, 4, 5, 6, 10, 120, 1000} {
		logits, labels := ranked(61, classes)
		measure := func() Batch {
			t.Helper()
			got, want := crossEntropyOf(t, logits, labels, classes), measureByHand(logits, labels, classes)
			if d := math.Abs(got.Loss-want.Loss) / want.Loss; !(d <= 1e-5) || got.CorrectTop1 != want.CorrectTop1 || got.CorrectTop5 != want.CorrectTop5 || got.Images != want.Images {
				t.Errorf("%d classes: measured %+v, want %+v", classes, got, want)
			}
			return got
		}
		got := measure()
		if classes <= 5 && got.CorrectTop5 != len(labels) {
			t.Errorf("%d classes: %d of %d images are among them", classes, got.CorrectTop5, len(labels))
		}
		cases = append(cases, traintest.Case{
			Labels: slices.Clone(labels), Classes: classes, Logits: traintest.Floats(t, logits),
			Name: fmt.Sprint(classes, " classes"), Loss: got.Loss, Top1: got.CorrectTop1, Top5: got.CorrectTop5,
		})

		// Logits that are equal, some rows of padding.
		for i := range logits {
			logits[i] = float32(math.Round(float64(logits[i]) * 30))
		}
		for i := 0; i < len(labels); i += 7 {
			labels[i] = -1
		}
		measure()
	}
	bound := 1e-5
	if devicetest.OnGPU(t) {
		bound = 1e-4
	}
	traintest.Judge(t, bound, cases)
}

// TestNaNMeasures compares the loss, the gradient and the counts for infinite or NaN logits with
// PyTorch's.
func TestNaNMeasures(t *testing.T) {
	var vectors struct {
		Types map[string]struct {
			Measures []struct {
				Logits     []string
				Loss       []string
				Gradient   [][]string
				Top1, Top5 []int
			}
		}
	}
	golden.Load(t, "nan.json", &vectors)
	parse := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, dtype := range map[string]dtypes.DType{"float32": dtypes.Float32, "float64": dtypes.Float64} {
		g := NewGraph(devicetest.Open(t).Backend, name)
		defer g.Finalize()
		const classes, rows = 7, 3 // the last two are padding
		logits := Parameter(g, "logits", shapes.Make(dtypes.Float64, rows, classes))
		labels := Parameter(g, "labels", shapes.Make(dtypes.Int32, rows))
		measures, gradient := crossEntropy(ConvertDType(logits, dtype), labels, 0)
		if err := g.Compile(ConvertDType(measures, dtypes.Float64), ConvertDType(gradient, dtypes.Float64)); err != nil {
			t.Fatal(err)
		}
		same := func(got float64, want string) bool {
			w := parse(want)
			return math.IsNaN(w) && math.IsNaN(got) || got == w || math.Abs(got-w) <= 1e-6*(1+math.Abs(w))
		}
		for _, m := range vectors.Types[name].Measures {
			var row []float64
			for _, text := range m.Logits {
				row = append(row, parse(text))
			}
			given := slices.Repeat(row, rows)
			for label := range classes {
				out := g.Run(tensors.FromFlatDataAndDimensions(given, rows, classes), []int32{int32(label), -1, -1})
				got, dLogits := tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
				if !same(got[0], m.Loss[label]) || int(got[1]) != m.Top1[label] || int(got[2]) != m.Top5[label] {
					t.Errorf("%s: label %d of %v: measured %v, PyTorch has %s, %d, %d", name, label, m.Logits, got, m.Loss[label], m.Top1[label], m.Top5[label])
				}
				for i, want := range m.Gradient[label] {
					if !same(dLogits[i], want) {
						t.Errorf("%s: label %d of %v: gradient %v, PyTorch has %v", name, label, m.Logits, dLogits[:classes], m.Gradient[label])
						break
					}
				}
			}
		}
	}
}

func TestGoldenMeter(t *testing.T) {
	var vectors struct {
		Meter struct {
			Batches [][]float64
			Avg     []float64
		}
	}
	golden.Load(t, "misc.json", &vectors)
	var m Meter
	for _, row := range vectors.Meter.Batches {
		b := Batch{Images: int(row[0]), Loss: row[1], CorrectTop1: int(row[2]), CorrectTop5: int(row[3])}
		m.Add(b)
		if b.Accuracy() != row[4] || accuracy(b.CorrectTop5, b.Images) != row[5] {
			t.Errorf("accuracies of %v differ", row)
		}
	}
	loss, top1, top5 := m.Averages()
	if got := []float64{loss, top1, top5}; !slices.Equal(got, vectors.Meter.Avg) {
		t.Errorf("averages %v, want %v", got, vectors.Meter.Avg)
	}
}
