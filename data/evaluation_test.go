package data_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
)

// alone returns a definition file of evaluation sets alone for images of 4x4 pixels; replace changes
// parts of it.
func alone(replace ...string) []byte {
	text := `{ "name": "small", "format": "npz", "path": "arrays.npz", "classes": 10, "size": [4, 4],
  "mean": [125.3, 123.0, 113.9], "std": [63.0, 62.1, 66.7],
  "eval": [ { "name": "noise-1", "from": "noise-1", "order": "sequential" }, { "name": "blur", "from": "blur", "order": "sequential" } ]
}`
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			panic(replace[i])
		}
		text = strings.Replace(text, replace[i], replace[i+1], 1)
	}
	return []byte(text)
}

// isAlone checks what holds of every dataset of evaluation sets alone.
func isAlone(t *testing.T, d data.Definition, ds *data.Dataset) {
	t.Helper()
	if !d.EvaluationOnly() || !ds.EvaluationOnly() || ds.Train.Len() != 0 || ds.Train.Name != "train" {
		t.Errorf("definition alone: %t, dataset alone: %t, training set %+v", d.EvaluationOnly(), ds.EvaluationOnly(), ds.Train)
	}
	refused(t, d.CheckTraining(), "dataset "+d.Name+" has no training set, only evaluation sets")
	if err := ds.CheckBatch(1 << 20); err != nil {
		t.Error(err)
	}
	crop := true
	if a, err := ds.Augmentation(configs.Augment{Crop: &crop, Cutout: 2}); err != nil || a != (data.Augment{}) {
		t.Errorf("augmented by %+v, %v", a, err)
	}
	streams := data.NewStreams(7, profile(t, "2019"))
	before := streams.State()
	if e := ds.TrainEpoch(streams, data.Augment{Flip: true, CropPadding: 1, Cutout: 2}, 4, 256); len(e.Order)+len(e.Crops) != 0 {
		t.Errorf("drew %d images and %d crops", len(e.Order), len(e.Crops))
	}
	if !bytes.Equal(streams.State(), before) {
		t.Error("an empty training set draws from the random streams")
	}
	if after := d.ForTimeline(configs.Nov2019); !reflect.DeepEqual(after, d) {
		t.Errorf("in the timeline nov2019: %+v", after)
	}
	wantFound(t, d, "")
}

// Evaluation sets alone need the files of no other stored split, in every format.
func TestEvaluationOnly(t *testing.T) {
	for _, format := range formatsOfFiles() {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			test := datatest.ByClass(datatest.Synth(30, 4, 10, 2))
			for i := range 10 { // each class occurs
				test.Labels[3*i] = int32(i)
			}
			test = datatest.ByClass(test)
			for name, text := range datatest.Files(format, datatest.Synth(30, 4, 10, 1), test) {
				if isTest := strings.Contains(name, "test") || name == "val_data"; isTest || format == "npz" {
					write(t, filepath.Join(dir, "images", name), text)
				}
			}
			path := "images"
			if format == "npz" {
				path += "/" + datatest.ArchiveName
			}
			d := define(t, dir, alone(`"npz"`, `"`+format+`"`, "arrays.npz", path, `"noise-1", "order"`, `"test", "order"`,
				`"blur", "order": "sequential"`, `"test", "half": "second", "half_seed": 3, "order": "subset"`))
			ds, err := d.Load("")
			if err != nil {
				t.Fatal(err)
			}
			isAlone(t, d, ds)
			if len(ds.Eval) != 2 || !reflect.DeepEqual(ds.Eval[0].Images, test) || ds.Eval[1].Images != ds.Eval[0].Images || ds.Eval[1].Len() != 15 {
				t.Errorf("evaluates %+v", ds.Eval)
			}
			if n, known := d.CountImages(d.Eval[0]); known {
				t.Errorf("the definition alone says %d images", n)
			}
			d.Images.Test = 30
			if n, known := d.CountImages(d.Eval[1]); n != 15 || !known {
				t.Errorf("%d images, known %t", n, known)
			}
			if _, err := d.Load(""); err != nil {
				t.Error(err)
			}
			d.Images.Test = 31
			_, err = d.Load("")
			refused(t, err, "has 31 test images, but these files hold 30")
		})
	}
}

// Evaluation sets alone in arrays have names of their authors' choice, and other arrays are not read.
func TestNamedArrays(t *testing.T) {
	dir := t.TempDir()
	noise, blur := datatest.Synth(30, 4, 10, 1), datatest.Synth(7, 4, 10, 2)
	files := map[string][]byte{"x_other.npy": []byte("not an array")}
	for name, images := range map[string]*data.Images{"noise-1": noise, "blur": blur} {
		for file, text := range datatest.Files("npy", images, images) {
			if base, isTest := strings.CutSuffix(file, "_test.npy"); isTest {
				files[base+"_"+name+".npy"] = text
			}
		}
	}
	for name, text := range files {
		write(t, filepath.Join(dir, "arrays", name), text)
	}
	write(t, filepath.Join(dir, "arrays.npz"), deflated(t, files))
	for format, path := range map[string]string{"npz": "arrays.npz", "npy": "arrays"} {
		d := define(t, dir, alone(`"npz"`, `"`+format+`"`, "arrays.npz", path))
		ds, err := d.Load("")
		if err != nil {
			t.Fatal(err)
		}
		isAlone(t, d, ds)
		if !reflect.DeepEqual(ds.Eval[0].Images, noise) || !reflect.DeepEqual(ds.Eval[1].Images, blur) {
			t.Errorf("%s: the images are not those in the arrays", format)
		}
		if want := map[string]int{"npz": 1, "npy": 4}[format]; len(ds.Files) != want {
			t.Errorf("%s: read %v", format, ds.Files)
		}
		r, err := d.Check("")
		if err != nil || len(r.Faults) != 0 || r.Measured != nil || len(r.Sets) != 2 || r.Sets[0].Name != "noise-1" || r.Sets[1].Images != 7 {
			t.Errorf("%s: %+v, %v", format, r, err)
		}
		if text, err := json.Marshal(r); err != nil || bytes.Contains(text, []byte("measured")) {
			t.Errorf("%s: %s, %v", format, text, err)
		}
		text, err := json.Marshal(d)
		if err != nil || bytes.Contains(text, []byte(`"train"`)) {
			t.Errorf("%s: %s, %v", format, text, err)
		}
		if again, err := data.DecodeDefinition("again", text, dir); err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%s: %+v, %v", format, again, err)
		}
	}
	for _, c := range []struct{ replace, want []string }{
		{[]string{`"blur", "order"`, `"fog", "order"`}, []string{"arrays.npz: y_fog is missing"}},
		{[]string{`"blur", "order"`, `"other", "order"`}, []string{"arrays.npz: y_other is missing"}},
		{[]string{`"classes": 10`, `"classes": 3`}, []string{"arrays.npz: y_noise-1: label ", "must be from 0 to 2"}},
	} {
		_, err := define(t, dir, alone(c.replace...)).Load("")
		refused(t, err, c.want...)
	}
}

// A definition without a training set must be consistent.
func TestEvaluationOnlyErrors(t *testing.T) {
	for _, c := range []struct{ replace, want []string }{
		{[]string{`"eval"`, `"train": {}, "eval"`}, []string{`key "train" is empty`, `leave out "train"`}},
		{[]string{`"eval"`, `"train": null, "eval"`}, []string{`key "train" is empty`}},
		{[]string{`"eval"`, `"train": { "from": "train", "order": "shuffle" }, "eval"`}, []string{`key "eval.0.from" must be train or test, not "noise-1"`}},
		{[]string{`"eval"`, `"augment": { "flip": true }, "eval"`}, []string{`key "augment" is only for a training set`}},
		{[]string{`"eval"`, `"augment": { "crop_padding": 1 }, "eval"`}, []string{`key "augment" is only for a training set`}},
		{[]string{`"npz"`, `"image-folder"`}, []string{`key "eval.0.from" must be train or test, not "noise-1"`}},
		{[]string{`"noise-1", "order"`, `"../noise", "order"`}, []string{`key "eval.0.from" is "../noise": use up to 64 letters`}},
		{[]string{`"noise-1", "order"`, `"", "order"`}, []string{`key "eval.0.from" is ""`}},
		{[]string{`"name": "blur"`, `"name": "train"`}, []string{`key "eval.1.name" is "train", which is taken`}},
		{[]string{`"name": "blur"`, `"name": "noise-1"`}, []string{`key "eval.1.name" is "noise-1", which is taken`}},
	} {
		file := filepath.Join(t.TempDir(), "mine.json")
		write(t, file, alone(c.replace...))
		_, err := data.Find(file)
		refused(t, err, append(c.want, file)...)
	}
}

// Definitions with a training set are written as before.
func TestTrainIsWritten(t *testing.T) {
	for _, key := range configs.Datasets() {
		d, err := data.Published(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.CheckTraining(); err != nil || d.EvaluationOnly() {
			t.Errorf("%s: alone %t, %v", key, d.EvaluationOnly(), err)
		}
		text, err := json.Marshal(d)
		if err != nil || !bytes.Contains(text, []byte(`"augment":{"flip":`)) || !bytes.Contains(text, []byte(`"train":{"from":"train"`)) {
			t.Errorf("%s: %s, %v", key, text, err)
		}
	}
}
