package train

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/usage"
)

// testSetAlone returns the definition and the images of evaluation sets alone: the test set of the digits.
func testSetAlone(t *testing.T, d data.Definition, set *data.Dataset) (data.Definition, *data.Dataset) {
	t.Helper()
	dir := t.TempDir()
	for _, text := range datatest.Files("npz", set.Eval[0].Images, set.Eval[0].Images) {
		if err := os.WriteFile(filepath.Join(dir, "alone.npz"), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	d.Name, d.Format, d.Path, d.Augment, d.Train = "alone", "npz", filepath.Join(dir, "alone.npz"), data.Augment{}, data.SplitDefinition{}
	alone, err := d.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return d, alone
}

// TestEvaluationSetsAlone evaluates weights on a dataset without a training set, whatever recipe and
// settings the trial has, and refuses to train on it.
func TestEvaluationSetsAlone(t *testing.T) {
	s := settings(4, 1, 256)
	s.Timeline, s.Workers = configs.Nov2019, 3
	o := options(t, "0", "digits", 3, 7, s)
	trained, err := o.Config()
	if err != nil {
		t.Fatal(err)
	}
	crop := true
	o.Recipe.Augment = configs.Augment{Crop: &crop, Cutout: 4}
	var images *data.Dataset
	o.Definition, images = testSetAlone(t, trained.Definition, trained.Data)
	alone, err := o.config(func(data.Definition, string) (*data.Dataset, error) { return images, nil })
	if err != nil {
		t.Fatal(err)
	}

	session := openSession(t)
	weights := trialOf(t, trained).seed()
	want, err := session.Evaluate(t.Context(), trained, weights, func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	got, err := session.Evaluate(t.Context(), alone, weights, func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	want[0].Seconds, got[0].Seconds = 0, 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, but as the test set of digits %+v", got, want)
	}

	// Only the evaluations before the last draw from the streams: the base seeds of their loaders.
	evaluating, expected := trialOf(t, alone), trialOf(t, alone)
	evaluating.toLastEvaluation()
	expected.seed()
	for range o.Recipe.Epochs - 1 {
		expected.streams.Torch.Int63()
	}
	if !bytes.Equal(evaluating.streams.State(), expected.streams.State()) {
		t.Error("the empty training set draws from the streams")
	}

	if _, err := session.Run(t.Context(), alone, func(Progress) {}); !usage.Is(err) || !strings.Contains(err.Error(), "dataset alone has no training set") {
		t.Errorf("training: error %v", err)
	}
}
