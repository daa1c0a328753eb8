package importer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/needs"
)

const (
	evalSize    = 8 // of the images in pixels
	evalClasses = 5
)

// trained writes the definition of a dataset that weights were trained on, and returns its path.
func trained(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`{ "name": "trained", "format": "npz", "path": "trained.npz", "classes": %d, "size": [%d, %[2]d],
  "mean": [125.3, 123.0, 113.9], "std": [63.0, 62.1, 66.7], "augment": { "flip": true, "crop_padding": 1 },
  "train": { "from": "train", "order": "shuffle" }, "eval": [ { "name": "ori-test", "from": "test", "order": "sequential" } ] }`, evalClasses, evalSize)
	write(t, dir, map[string][]byte{"trained.json": []byte(text)})
	return filepath.Join(dir, "trained.json")
}

// evaluation imports source as evaluation sets alone.
func evaluation(t testing.TB, source string) Options {
	return Options{Source: source, Name: "mine", To: filepath.Join(t.TempDir(), "sets"), EvaluationOnly: true, Like: trained(t)}
}

// labelled returns images of which the first has class 0, the others any but class 2 and the last one.
func labelled(n int, seed uint64) *data.Images {
	images := datatest.Synth(n, evalSize, evalClasses, seed)
	for i, label := range images.Labels {
		images.Labels[i] = []int32{0, 1, 3}[label%3]
	}
	return images
}

// arraysOf returns the arrays of images.
func arraysOf(images *data.Images) (x, y []byte) {
	files := collect("npy", images, images)
	return files["x_test.npy"], files["y_test.npy"]
}

// classDirectories returns the pictures of a set, in directories of classes with the names.
func classDirectories(set string, images *data.Images, names ...string) map[string][]byte {
	files := map[string][]byte{}
	for i, label := range images.Labels {
		files[filepath.Join(set, names[label], fmt.Sprintf("%06d.png", i))] = datatest.PNG(datatest.Slice(images, i, i+1))
	}
	for _, name := range names {
		files[filepath.Join(set, name, "notes.txt")] = nil // so that the directory exists
	}
	return files
}

// join merges files.
func join(all ...map[string][]byte) map[string][]byte {
	joined := map[string][]byte{}
	for _, files := range all {
		maps.Copy(joined, files)
	}
	return joined
}

// Every kind of source yields exactly the images and the numbers of the labels of each set, and a
// definition with the classes, size, mean and deviation of the dataset of the weights.
func TestEvaluationSources(t *testing.T) {
	fog, snow := labelled(20, 1), labelled(20, 2)
	snow.Labels = fog.Labels
	xFog, yFog := arraysOf(fog)
	xSnow, ySnow := arraysOf(snow)
	animals := []string{"ant", "bee", "cat", "dog", "eel"}
	part := func(images *data.Images, from, to int) *data.Images { return datatest.Slice(images, from, to) }
	small := datatest.Synth(3, 4, 2, 7) // of another size
	for name, c := range map[string]struct {
		files  map[string][]byte
		source string
		change func(o *Options)
		want   map[string]*data.Images
		notes  []string
	}{
		"class directories of sets": {
			files: join(classDirectories("fog", fog, animals...), classDirectories("snow", snow, animals...), map[string][]byte{"README.txt": nil}),
			want:  map[string]*data.Images{"fog": datatest.ByClass(fog), "snow": datatest.ByClass(snow)},
			notes: []string{"classes without images in fog: cat, eel", "*.jpeg: 11"},
		},
		"class directories": {
			files: classDirectories(".", fog, "00", "01", "02", "03", "04"),
			want:  map[string]*data.Images{"test": datatest.ByClass(fog)},
			notes: []string{"classes without images in test: 02, 04"},
		},
		"class directories, train left out": {
			files: join(classDirectories("fog", fog, animals...), classDirectories("train", snow, animals...)),
			want:  map[string]*data.Images{"fog": datatest.ByClass(fog)},
			notes: []string{"left out, because an evaluation set cannot be called so: train"},
		},
		"pairs": {
			files: map[string][]byte{"x_fog.npy": xFog, "y_fog.npy": yFog, "snow-2_images.npy": xSnow, "snow-2_labels.npy": ySnow, "label_names.npy": yFog, "other.npy": nil},
			want:  map[string]*data.Images{"fog": fog, "snow-2": snow},
			notes: []string{"arrays left out: label_names, other", "classes without images in fog: 2, 4"},
		},
		"Keras": {
			files: map[string][]byte{"x_train.npy": xSnow, "y_train.npy": ySnow, "x_test.npy": xFog, "y_test.npy": yFog},
			want:  map[string]*data.Images{"test": fog},
			notes: []string{"left out, because an evaluation set cannot be called so: train"},
		},
		"npz": {
			files: collect("npz", snow, fog), source: datatest.ArchiveName,
			want: map[string]*data.Images{"test": fog},
		},
		"one pair": {
			files: map[string][]byte{"images.npy": xFog, "labels.npy": yFog, "other.npy": nil},
			want:  map[string]*data.Images{"test": fog},
			notes: []string{"arrays left out: other"},
		},
		"CIFAR-10-C": {
			files: map[string][]byte{"labels.npy": yFog, "fog.npy": xFog, "gaussian_noise.npy": xSnow},
			want:  map[string]*data.Images{"fog": fog, "gaussian_noise": snow},
		},
		"CIFAR-10-C by severity": {
			files:  map[string][]byte{"labels.npy": yFog, "fog.npy": xFog, "gaussian_noise.npy": xSnow, "README.txt": nil},
			change: func(o *Options) { o.Severities = 4 },
			want: map[string]*data.Images{
				"fog-1": part(fog, 0, 5), "fog-2": part(fog, 5, 10), "fog-3": part(fog, 10, 15), "fog-4": part(fog, 15, 20),
				"gaussian_noise-1": part(snow, 0, 5), "gaussian_noise-2": part(snow, 5, 10), "gaussian_noise-3": part(snow, 10, 15), "gaussian_noise-4": part(snow, 15, 20),
			},
		},
		"pairs by severity": {
			files:  map[string][]byte{"fog_data.npy": xFog, "fog_targets.npy": yFog},
			change: func(o *Options) { o.Severities = 2 },
			want:   map[string]*data.Images{"fog-1": part(fog, 0, 10), "fog-2": part(fog, 10, 20)},
		},
		"shared labels": {
			files: map[string][]byte{"labels.npy": yFog, "fog_images.npy": xFog, "snow.npy": xSnow},
			want:  map[string]*data.Images{"fog": fog, "snow": snow},
		},
		"CSV": {
			files: map[string][]byte{"fog.csv": csvFile(fog, "", false, false), "snow.csv.gz": compress(t, csvFile(snow, "", false, false)), ".hidden.csv": nil},
			want:  map[string]*data.Images{"fog": fog, "snow": snow},
			notes: []string{"classes without images in snow: 2, 4"},
		},
		"one CSV": {
			files: map[string][]byte{"snow.csv": csvFile(snow, "", true, true)}, source: "snow.csv",
			change: func(o *Options) { o.Label, o.Planes = "last", true },
			want:   map[string]*data.Images{"snow": snow},
		},
		"another size": {
			files: func() map[string][]byte {
				x, y := arraysOf(small)
				return map[string][]byte{"x.npy": x, "y.npy": y}
			}(),
			want:  map[string]*data.Images{"test": enlarged(small)},
			notes: []string{"resized to 8x8 pixels, that of trained"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			o := evaluation(t, filepath.Join(dir, c.source))
			if c.change != nil {
				c.change(&o)
			}
			done, total := int64(0), int64(-1)
			o.Progress = func(d, t int64, _ string) { done, total = d, t }
			report, ds := imported(t, o)
			if done != total {
				t.Errorf("%d of %d are done in the end", done, total)
			}
			names := slices.Sorted(maps.Keys(c.want))
			var got []string
			for i, s := range ds.Eval {
				got = append(got, s.Name)
				if want := c.want[s.Name]; want == nil || !reflect.DeepEqual(s.Images, want) || s.Order != data.Sequential {
					t.Errorf("%s: the images are not those of the source", s.Name)
				}
				if r := report.Sets[i]; r.Name != s.Name || r.Images != s.Len() || r.From == "" {
					t.Errorf("%s: reported %+v", s.Name, r)
				}
			}
			if !slices.Equal(got, names) || len(report.Sets) != len(names) {
				t.Errorf("sets %q, want %q", got, names)
			}
			notes := strings.Join(report.Notes, "; ")
			for _, note := range c.notes {
				if !strings.Contains(notes, note) {
					t.Errorf("notes %q, want %q", notes, note)
				}
			}
			d, err := data.Find(report.Definition)
			if err != nil {
				t.Fatal(err)
			}
			if !d.EvaluationOnly() || !ds.EvaluationOnly() || d.Classes != evalClasses || d.Mean != [3]float64{125.3, 123, 113.9} || d.Std != [3]float64{63, 62.1, 66.7} {
				t.Errorf("definition %+v", d)
			}
			text, err := os.ReadFile(report.Definition)
			if err != nil || bytes.Contains(text, []byte("augment")) || bytes.Contains(text, []byte(`"train"`)) {
				t.Errorf("%v:\n%s", err, text)
			}
			if report.Like != "trained" || report.Parts != (Parts{}) || report.Images != (Images{}) || len(report.Classes) != evalClasses || report.Size != evalSize {
				t.Errorf("report %+v", report)
			}
		})
	}
}

// enlarged returns images of twice the side.
func enlarged(images *data.Images) *data.Images {
	out := &data.Images{Labels: images.Labels, Size: 2 * images.Size}
	for i := range images.Labels {
		pixels := images.Pixels[i*3*images.Size*images.Size:]
		for row := range out.Size {
			for column := range out.Size {
				from := 3 * (row/2*images.Size + column/2)
				out.Pixels = append(out.Pixels, pixels[from:from+3]...)
			}
		}
	}
	return out
}

// What does not fit is refused, and leaves nothing behind.
func TestEvaluationRefused(t *testing.T) {
	images := labelled(20, 1)
	x, y := arraysOf(images)
	beyond := &data.Images{Pixels: images.Pixels, Labels: slices.Clone(images.Labels), Size: evalSize}
	beyond.Labels[7] = evalClasses
	_, yBeyond := arraysOf(beyond)
	before := array("i8", []int{20}, make([]byte, 20), func(raw []byte, _ byte) []byte {
		return binary.LittleEndian.AppendUint64(raw, 1<<64-1)
	})
	xFew, _ := arraysOf(labelled(19, 2))
	digits := []string{"0", "1", "2", "3", "4"}
	letters := []string{"a", "b", "c", "d", "e"}
	alone := string(func() []byte {
		text, err := os.ReadFile(trained(t))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}())
	alone = strings.Replace(strings.Replace(alone, `"train": { "from": "train", "order": "shuffle" },`, "", 1), `"augment": { "flip": true, "crop_padding": 1 },`, "", 1)
	severities := func(n int) func(o *Options) { return func(o *Options) { o.Severities = n } }
	for name, c := range map[string]struct {
		files  map[string][]byte
		change func(o *Options)
		want   []string
	}{
		"no like":         {map[string][]byte{"x.npy": x, "y.npy": y}, func(o *Options) { o.Like = "" }, []string{"name it with --like"}},
		"unknown like":    {map[string][]byte{"x.npy": x, "y.npy": y}, func(o *Options) { o.Like = "cifar11" }, []string{`unknown dataset key "cifar11"`}},
		"like alone":      {map[string][]byte{"x.npy": x, "y.npy": y, "alone.json": []byte(alone)}, func(o *Options) { o.Like = filepath.Join(o.Source, "alone.json") }, []string{"no weights can be trained on it"}},
		"same name":       {map[string][]byte{"x.npy": x, "y.npy": y}, func(o *Options) { o.Name = "trained" }, []string{"trained is the dataset of --like"}},
		"label beyond":    {map[string][]byte{"x_fog.npy": x, "y_fog.npy": yBeyond}, nil, []string{"image 7 of y_fog has the label 5, but the classes of trained are 0 to 4"}},
		"label below":     {map[string][]byte{"x_fog.npy": x, "y_fog.npy": before}, nil, []string{"image 0 of y_fog has the label -1"}},
		"label in CSV":    {map[string][]byte{"fog.csv": csvFile(beyond, "", false, false)}, nil, []string{"fog.csv: line 8 has the label 5, but the classes of trained are 0 to 4"}},
		"no labels":       {map[string][]byte{"x_fog.npy": x, "x_snow.npy": x, "y_snow.npy": y}, nil, []string{"the images x_fog have no labels; add an array of them, y_fog or labels"}},
		"no images":       {map[string][]byte{"y_fog.npy": y}, nil, []string{"its arrays are y_fog; name those of each evaluation set x_SET and y_SET"}},
		"too few":         {map[string][]byte{"fog.npy": xFew, "labels.npy": y}, nil, []string{"fog has 19 images, but labels has 20 labels"}},
		"ambiguous":       {map[string][]byte{"x_fog.npy": x, "fog_images.npy": x, "y_fog.npy": y}, nil, []string{"could be the evaluation set fog"}},
		"ambiguous test":  {map[string][]byte{"x.npy": x, "y.npy": y, "x_test.npy": x, "y_test.npy": y}, nil, []string{"x, x_test could be the images of the evaluation set test"}},
		"ambiguous names": {map[string][]byte{"labels.npy": y, "fog.npy": x, "fog_images.npy": x}, nil, []string{"each of the arrays fog, fog_images could be the images of the evaluation set fog"}},
		"not an image":    {map[string][]byte{"labels.npy": y, "fog.npy": x, "list.npy": y}, nil, []string{"list has the shape [20]"}},
		"other shapes":    {map[string][]byte{"labels.npy": y, "fog.npy": x, "snow.npy": datatest.Npy(datatest.Array{DType: "u1", Shape: []int{20, 4, 4}, Bytes: make([]byte, 320)})}, nil, []string{"the images of fog and snow have different shapes"}},
		"only train":      {map[string][]byte{"x_train.npy": x, "y_train.npy": y}, nil, []string{"an evaluation set cannot be called train"}},
		"bad name":        {map[string][]byte{"labels.npy": y, "motion blur.npy": x}, nil, []string{`the evaluation set "motion blur": use up to 64 letters`}},
		"long name":       {map[string][]byte{"labels.npy": y, strings.Repeat("f", 64) + ".npy": x}, severities(2), []string{`fff-1": use up to 64 letters`}},
		"not divisible":   {map[string][]byte{"labels.npy": y, "fog.npy": x}, severities(3), []string{"fog has 20 images, which --severities 3 does not divide"}},
		"severities":      {map[string][]byte{"labels.npy": y, "fog.npy": x}, severities(-1), []string{"--severities -1: use 1 to 100"}},
		"severity of CSV": {map[string][]byte{"fog.csv": csvFile(images, "", false, false)}, severities(2), []string{"--severities is only for arrays"}},
		"mixed":           {map[string][]byte{"fog.csv": csvFile(images, "", false, false), "labels.npy": y, "fog.npy": x}, nil, []string{"both arrays (fog.npy, labels.npy) and tables (fog.csv)"}},
		"two CSV":         {map[string][]byte{"fog.csv": csvFile(images, "", false, false), "fog.csv.gz": nil}, nil, []string{"are both the evaluation set fog"}},
		"planes of npy":   {map[string][]byte{"labels.npy": y, "fog.npy": x}, func(o *Options) { o.Planes = true }, []string{"--planes are only for CSV files"}},
		"empty":           {map[string][]byte{"README.txt": nil}, nil, []string{"contains no class directories"}},
		"empty array": {map[string][]byte{"x_fog.npy": datatest.Npy(datatest.Array{DType: "u1", Shape: []int{0, 8, 8, 3}}), "y_fog.npy": datatest.Npy(datatest.Array{DType: "i8", Shape: []int{0}})}, nil,
			[]string{"the evaluation set fog (x_fog) has no images"}},
		"no pictures":   {classDirectories("fog", &data.Images{}, letters...), nil, []string{"contains no pictures in class directories"}},
		"empty set":     {join(classDirectories("fog", images, letters...), classDirectories("snow", &data.Images{}, letters...)), nil, []string{"the evaluation set snow (", "has no images"}},
		"few classes":   {classDirectories("fog", &data.Images{}, letters[:4]...), nil, []string{"fog has 4 class directories, but trained has 5 classes"}},
		"other classes": {join(classDirectories("fog", images, letters...), classDirectories("snow", images, digits...)), nil, []string{`snow has the class "0" where `, `fog has "a"`}},
		"flat":          {join(classDirectories("fog", images, letters...), map[string][]byte{"snow/a.png": nil}), nil, []string{"fog contain directories, but snow do not"}},
		"numbers":       {classDirectories("fog", images, "1", "2", "3", "4", "5"), nil, []string{`the class directory "1" has place 0 in the order of the names`}},
		"order":         {classDirectories("fog", images, "10", "0", "1", "2", "3"), nil, []string{`the class directory "10" has place 2`}},
		"unreadable":    {join(classDirectories("fog", images, digits...), map[string][]byte{"fog/0/zz.png": []byte("no picture")}), nil, []string{"1 of 21 pictures cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			o := evaluation(t, dir)
			if c.change != nil {
				c.change(&o)
			}
			refused(t, o, c.want...)
		})
	}
	for source, want := range map[string]string{"set.txt": "cannot be imported", "set.npz": "is not a complete .npz file"} {
		dir := t.TempDir()
		write(t, dir, map[string][]byte{source: []byte("text")})
		refused(t, evaluation(t, filepath.Join(dir, source)), want)
	}
}

// An import replaces its files with --force only, and never the definition of the weights' dataset. One
// that is stopped leaves nothing behind.
func TestEvaluationOverwrite(t *testing.T) {
	dir := t.TempDir()
	x, y := arraysOf(labelled(20, 1))
	write(t, dir, map[string][]byte{"labels.npy": y, "fog.npy": x})
	o := evaluation(t, dir)
	report, _ := imported(t, o)
	first, err := os.ReadFile(report.Pixels)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second import: %v", err)
	}
	o.Force = true
	imported(t, o)
	if again, err := os.ReadFile(report.Pixels); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the same import made another file (%v)", err)
	}
	like := o
	like.Like = filepath.Join(o.To, "mine.json")
	text, err := os.ReadFile(o.Like)
	if err == nil {
		err = os.WriteFile(like.Like, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), like); err == nil {
		t.Error("an import replaced the definition of --like")
	}
	if kept, err := os.ReadFile(like.Like); err != nil || !bytes.Equal(kept, text) {
		t.Errorf("the definition of --like has changed (%v)", err)
	}

	stopped := evaluation(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped.Progress = func(done, _ int64, _ string) {
		if done == 7 {
			cancel()
		}
	}
	if _, err := Run(ctx, stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if _, err := os.Lstat(stopped.To); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was left behind", stopped.To)
	}
}

func TestSetOf(t *testing.T) {
	for _, c := range []struct {
		name        string
		set         string
		image, text bool
	}{
		{"x", "", true, false}, {"Images", "", true, false}, {"labels", "", false, true}, {"x_fog", "fog", true, false}, {"y_fog-1", "fog-1", false, true},
		{"fog_images", "fog", true, false}, {"cifar10.1_v6_labels", "cifar10.1_v6", false, true}, {"gaussian_noise", "", false, false},
		{"pixelate", "", false, false}, {"jpeg_compression", "", false, false}, {"x_", "", false, false}, {"_x", "", false, false}, {"fog.data", "fog", true, false},
	} {
		image, isImage := setOf(c.name, imageWords)
		label, isLabel := setOf(c.name, labelWords)
		if isImage != c.image || isLabel != c.text || image+label != c.set {
			t.Errorf("%s: images %q %t, labels %q %t", c.name, image, isImage, label, isLabel)
		}
	}
}

// FuzzEvaluationNames: whatever the arrays are called, the import ends in a usage error or in sets that load.
func FuzzEvaluationNames(f *testing.F) {
	f.Add("labels", "fog", "snow_images")
	f.Add("x_fog", "y_fog", "train")
	f.Add("x", "y", "valid_labels")
	f.Add("data", "targets", "a b")
	images := labelled(4, 1)
	x, y := arraysOf(images)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		dir := t.TempDir()
		for _, name := range []string{a, b, c} {
			text := x
			if _, isLabel := setOf(name, labelWords); isLabel {
				text = y
			}
			if !filepath.IsLocal(name+".npy") || os.WriteFile(filepath.Join(dir, filepath.Base(name)+".npy"), text, 0o600) != nil {
				return
			}
		}
		o := evaluation(t, dir)
		report, err := Run(t.Context(), o)
		if err != nil {
			refused(t, o)
			return
		}
		d, err := data.Find(report.Definition)
		if err == nil {
			_, err = d.Load("")
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// The images of each layout that tools/corrupt.py writes are, pixel by pixel, those that numpy and Pillow
// read from it.
func TestCorrupt(t *testing.T) {
	python := needs.Python(t)
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		c := exec.Command(python, args...)
		c.Stderr = os.Stderr
		said, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(said)
	}
	const tool, digits = "../../tools/corrupt.py", "../../configs/digits/digits.csv.gz"
	for layout, c := range map[string]struct{ out, read string }{
		"npy": {"npy", `
labels = np.load(path + "/labels.npy")
for name in "blur", "jpeg", "noise":
    for s in 0, 1:
        show(f"{name}-{s+1}", np.load(f"{path}/{name}.npy")[40*s:40*s+40], labels[40*s:40*s+40])`},
		"npz": {"sets.npz", `
z = np.load(path)
for name in sorted(n[2:] for n in z if n.startswith("x_")):
    show(name, z["x_" + name], z["y_" + name])`},
		"classes": {"classes", `
from PIL import Image
for name in sorted(os.listdir(path)):
    files = [(c, f) for c in sorted(os.listdir(f"{path}/{name}")) for f in sorted(os.listdir(f"{path}/{name}/{c}"))]
    show(name, np.stack([np.asarray(Image.open(f"{path}/{name}/{c}/{f}")) for c, f in files]), np.array([int(c) for c, _ in files]))`},
	} {
		t.Run(layout, func(t *testing.T) {
			out := filepath.Join(dir, c.out)
			run(tool, digits, out, "--layout", layout, "--severities", "2", "--images", "40")
			again := filepath.Join(dir, "again"+c.out)
			run(tool, digits, again, "--layout", layout, "--severities", "2", "--images", "40")
			o := evaluation(t, out)
			o.Like = "digits"
			if layout == "npy" {
				o.Severities = 2
			}
			_, ds := imported(t, o)
			repeated := o
			repeated.Source, repeated.To = again, filepath.Join(t.TempDir(), "sets")
			if _, same := imported(t, repeated); !reflect.DeepEqual(same.Eval, ds.Eval) {
				t.Error("a second run of corrupt.py made other images")
			}
			want := run("-c", `
import os, sys
import numpy as np
path = sys.argv[1]
def show(name, x, y):
    print(name, x.dtype, x.shape, x.tobytes().hex(), y.tolist())
`+c.read, out)
			var got strings.Builder
			for _, s := range ds.Eval {
				labels := strings.Join(strings.Fields(fmt.Sprint(s.Images.Labels)), ", ")
				fmt.Fprintf(&got, "%s uint8 (%d, 16, 16, 3) %x %s\n", s.Name, s.Len(), s.Images.Pixels, labels)
			}
			if got.String() != want {
				t.Errorf("imported %.200q, want %.200q", got.String(), want)
			}
			if len(ds.Eval) != 6 || ds.Eval[0].Name != "blur-1" || ds.Eval[0].Len() != 40 {
				t.Errorf("sets %+v", ds.Eval)
			}
		})
	}
}

// corrupt.py reads test images from each of its sources alike.
func TestCorruptSources(t *testing.T) {
	python := needs.Python(t)
	images := datatest.Synth(10, 32, 10, 3)
	dir := t.TempDir()
	var first []byte
	for _, format := range []string{"cifar10-python", "cifar10-binary", "npz", "npy"} {
		source := filepath.Join(dir, format)
		write(t, source, collect(format, images, images))
		if format == "npz" {
			source = filepath.Join(source, datatest.ArchiveName)
		}
		out := filepath.Join(dir, format+"-corrupted.npz")
		if said, err := exec.Command(python, "../../tools/corrupt.py", source, out, "--layout", "npz", "--severities", "1").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = text
		}
		o := evaluation(t, out)
		o.Like = "cifar10"
		if _, ds := imported(t, o); !slices.Equal(ds.Eval[0].Images.Labels, images.Labels) || bytes.Equal(ds.Eval[2].Images.Pixels, images.Pixels) {
			t.Errorf("%s: other labels, or the same pixels", format)
		}
		if !bytes.Equal(text, first) {
			t.Errorf("%s: other images than from the first source", format)
		}
	}
}
