package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend/devicetest"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/train/device"
)

// someTrial returns a trial of two epochs with three evaluation sets, and a state of it.
func someTrial(t testing.TB) (*Trial, *device.State) {
	t.Helper()
	set, err := data.New(data.Definition{
		Size: [2]int{16, 16}, Mean: [3]float64{127, 127, 127}, Std: [3]float64{64, 64, 64}, Train: data.SplitDefinition{From: "train"},
		Eval: []data.SplitDefinition{{Name: "x-valid", From: "train"}, {Name: "ori-test", From: "test"}, {Name: "other", From: "test"}},
	}, map[string]*data.Images{"train": datatest.Synth(44, 16, 10, 1), "test": datatest.Synth(37, 16, 10, 2)})
	if err != nil {
		t.Fatal(err)
	}
	n := cell.Network{Arch: cell.Cell{}, Channels: 4, Cells: 1, Classes: 10, Size: 16}
	step := device.NewStep(devicetest.Open(t).Backend, device.Spec{Network: n, Precision: configs.FP32, Stored: 81}, 16)
	var weights torchfile.StateDict
	for _, w := range n.Tensors() {
		tensor := &torchfile.Tensor{Shape: w.Shape}
		if w.Role == cell.BNCount {
			tensor.Int64 = make([]int64, 1)
		} else {
			tensor.Float32 = make([]float32, w.Len())
		}
		weights = append(weights, torchfile.NamedTensor{Name: w.Name, Tensor: tensor})
	}
	state, err := step.NewState(weights)
	if err != nil {
		t.Fatal(err)
	}
	return &Trial{
		Identity: []byte(`{"of":"a test"}`), Recipe: &configs.Recipe{Epochs: 2, Batch: 16}, Profile: random.Profiles()[0], Step: step,
		Stages: []*data.Split{&set.Train, &set.Eval[0], &set.Eval[1], &set.Eval[2]},
	}, state
}

// FuzzCheckpoint reads checkpoints with a correct hash. The result must be an error, or a position in
// the trial that is written again as it was read.
func FuzzCheckpoint(f *testing.F) {
	trial, state := someTrial(f)
	seed := func(at Cursor, values ...int) {
		c := &Checkpoint{Cursor: at, Streams: data.NewStreams(1, trial.Profile), State: state}
		for _, n := range values {
			values := make([]float64, n)
			c.Curves = append(c.Curves, results.Curve{Loss: values, Top1: values, Top5: values, Seconds: values})
		}
		var b bytes.Buffer
		if err := trial.write(&b, c); err != nil {
			f.Fatal(err)
		}
		text := b.Bytes()
		if read, err := trial.read(bytes.NewReader(text), int64(len(text))); err != nil || read.Cursor != at {
			f.Fatalf("read %+v, %v, wrote %+v", read, err, at)
		}
		f.Add(text[:len(text)-sha256.Size])
	}
	seed(Cursor{}, 0, 0, 0, 0)
	seed(Cursor{Position: Position{Epoch: 1, Stage: 2, Batch: 1}, Seconds: 0.5, Meter: device.Meter{Images: 16, Loss: 30}}, 2, 2, 1, 1)
	seed(Cursor{Position: Position{Epoch: 2}}, 2, 2, 2, 2)
	f.Add([]byte(magic + "{}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		text := append(slices.Clone(body), sum[:]...)
		read, err := trial.read(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := trial.write(&b, read); err != nil {
			t.Fatal(err)
		}
		second, err := trial.read(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil || second.Cursor != read.Cursor {
			t.Errorf("read %+v, then %+v, %v", read.Cursor, second, err)
		}
	})
}
