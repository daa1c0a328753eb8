package importer

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
	"nb201/data/picture"
	"nb201/internal/needs"
	"nb201/internal/random"
	"nb201/internal/usage"
)

// write writes files, given by their paths in dir.
func write(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// collect returns the files of a layout of datatest.
func collect(format string, train, test *data.Images) map[string][]byte {
	files := map[string][]byte{}
	for name, text := range datatest.Files(format, train, test) {
		files[name] = text
	}
	return files
}

// options import source as "mine" into a directory of the test.
func options(t testing.TB, source string) Options {
	return Options{Source: source, Name: "mine", To: filepath.Join(t.TempDir(), "sets"), Flip: true, CropPadding: -1}
}

// imported runs an import and loads what it made.
func imported(t testing.TB, o Options) (*Report, *data.Dataset) {
	t.Helper()
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := data.Find(report.Definition)
	if err != nil {
		t.Fatal(err)
	}
	ds, err := d.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return report, ds
}

// refused checks that an import ends in a usage error of one line with the parts and
// leaves nothing behind.
func refused(t *testing.T, o Options, parts ...string) {
	t.Helper()
	report, err := Run(t.Context(), o)
	if !usage.Is(err) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%+v: made %v, error %v, want a usage error with %q", o, report, err, parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if _, err := os.Lstat(o.To); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was left behind after %v", o.To, err)
	}
}

// mean of the three channels over pixels, and deviation, in two passes.
func moments(pixels []byte) (mean, std [3]float64) {
	n := float64(len(pixels) / 3)
	for i, v := range pixels {
		mean[i%3] += float64(v) / n
	}
	for i, v := range pixels {
		std[i%3] += (float64(v) - mean[i%3]) * (float64(v) - mean[i%3]) / n
	}
	for c := range std {
		std[c] = math.Sqrt(std[c])
	}
	return mean, std
}

func near(a, b [3]float64) bool {
	for c := range a {
		if math.Abs(a[c]-b[c]) > 1e-4 {
			return false
		}
	}
	return true
}

// csvFile returns a CSV file of images.
func csvFile(images *data.Images, header string, last, planes bool) []byte {
	var out strings.Builder
	out.WriteString(header)
	n := 3 * images.Size * images.Size
	pixels := images.Pixels
	if planes {
		pixels = datatest.Planes(images)
	}
	for i, label := range images.Labels {
		var values []string
		for _, v := range pixels[i*n : (i+1)*n] {
			values = append(values, strconv.Itoa(int(v)))
		}
		if last {
			values = append(values, fmt.Sprint(label))
		} else {
			values = slices.Insert(values, 0, fmt.Sprint(label))
		}
		out.WriteString(strings.Join(values, ",") + "\r\n")
	}
	return []byte(out.String())
}

func compress(t testing.TB, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// array returns an .npy file of images, converted to a type.
func array(dtype string, shape []int, values []byte, convert func(raw []byte, v byte) []byte) []byte {
	var raw []byte
	for _, v := range values {
		raw = convert(raw, v)
	}
	return datatest.Npy(datatest.Array{DType: dtype, Shape: shape, Bytes: raw})
}

// Every kind of source yields exactly these images, at their original size.
func TestSources(t *testing.T) {
	const size, classes = 8, 3
	train, test := datatest.Synth(40, size, classes, 1), datatest.Synth(15, size, classes, 2)
	train, test = datatest.ByClass(train), datatest.ByClass(test) // the order of class directories
	files := collect("image-folder", train, test)
	folder := func(test string) map[string][]byte {
		renamed := map[string][]byte{".DS_Store": {1}, "train/class_0000/Thumbs.db": {1}, "train/class_0001/.hidden.png": {1}}
		for name, text := range files {
			renamed[strings.Replace(name, "test/", test+"/", 1)] = text
		}
		return renamed
	}
	npys := collect("npy", train, test)
	with := func(x func(images *data.Images) []byte) map[string][]byte {
		return map[string][]byte{"x_train.npy": x(train), "y_train.npy": npys["y_train.npy"], "x_test.npy": x(test), "y_test.npy": npys["y_test.npy"]}
	}
	scaled := func(most float64) func(images *data.Images) []byte {
		return func(images *data.Images) []byte {
			return array("f4", []int{images.Len(), size, size, 3}, images.Pixels, func(raw []byte, v byte) []byte {
				return binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(float64(v)*most/255)))
			})
		}
	}
	header := "label"
	for i := range 3 * size * size {
		header += fmt.Sprintf(",%d", i)
	}
	header += "\n"
	for name, c := range map[string]struct {
		files  map[string][]byte
		source string
		change func(o *Options)
		note   string
	}{
		"pictures":        {files: folder("test"), note: "*.jpeg: 1"},
		"pictures, val":   {files: folder("val")},
		"pictures, valid": {files: folder("valid")},
		"pictures, both":  {files: func() map[string][]byte { f := folder("test"); f["val/class_0000/a.png"] = []byte{1}; return f }(), note: "left out, because the test set is test: val"},
		"npz":             {files: collect("npz", train, test), source: datatest.ArchiveName},
		"npy":             {files: npys},
		"planes": {files: with(func(images *data.Images) []byte {
			return datatest.Npy(datatest.Array{DType: "u1", Shape: []int{images.Len(), 3, size, size}, Bytes: datatest.Planes(images)})
		})},
		"int32": {files: with(func(images *data.Images) []byte {
			return array("i4", []int{images.Len(), size, size, 3}, images.Pixels, func(raw []byte, v byte) []byte {
				return binary.LittleEndian.AppendUint32(raw, uint32(v))
			})
		}), note: "int32: they were read on a scale of 0 to 255"},
		"float32 0..1":   {files: with(scaled(1)), note: "float32: they were read on a scale of 0 to 1"},
		"float32 0..255": {files: with(scaled(255)), note: "float32: they were read on a scale of 0 to 255"},
		"MedMNIST": {files: map[string][]byte{"train_images.npy": npys["x_train.npy"], "train_labels.npy": npys["y_train.npy"],
			"test_images.npy": npys["x_test.npy"], "test_labels.npy": npys["y_test.npy"]}},
		"CSV":             {files: map[string][]byte{"train.csv": csvFile(train, "", false, false), "test.csv": csvFile(test, "", false, false)}},
		"CSV with header": {files: map[string][]byte{"train.csv": csvFile(train, "\xef\xbb\xbf"+header, false, false), "test.csv": csvFile(test, header, false, false)}},
		"CSV with mark":   {files: map[string][]byte{"train.csv": csvFile(train, "\xef\xbb\xbf", false, false), "test.csv": csvFile(test, "", false, false)}},
		"CSV, label last": {files: map[string][]byte{"train.csv": csvFile(train, "", true, false), "valid.csv": csvFile(test, "", true, false)},
			change: func(o *Options) { o.Label = "last" }},
		"CSV, planes, gzip": {files: map[string][]byte{"train.csv.gz": compress(t, csvFile(train, "", false, true)), "test.csv.gz": compress(t, csvFile(test, "", false, true))},
			change: func(o *Options) { o.Planes = true }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			o := options(t, filepath.Join(dir, c.source))
			if c.change != nil {
				c.change(&o)
			}
			done, total := int64(0), int64(-1)
			o.Progress = func(d, t int64, _ string) { done, total = d, t }
			report, ds := imported(t, o)
			if !reflect.DeepEqual(ds.Train.Images, train) || !reflect.DeepEqual(ds.Eval[0].Images, test) {
				t.Error("the images are not those of the source")
			}
			if done != total {
				t.Errorf("%d of %d are done in the end", done, total)
			}
			if note := strings.Join(report.Notes, "; "); !strings.Contains(note, c.note) {
				t.Errorf("notes %q, want %q", note, c.note)
			}
			mean, std := moments(train.Pixels)
			if !near(report.Mean, mean) || !near(report.Std, std) {
				t.Errorf("mean %v and deviation %v, want %v and %v", report.Mean, report.Std, mean, std)
			}
			if report.Images != (Images{Train: 40, Test: 15}) || len(report.Classes) != classes || report.Size != size {
				t.Errorf("report %+v", report)
			}
			if !ds.Augment.Flip || ds.Augment.CropPadding != 1 || ds.Train.Order != data.Shuffle {
				t.Errorf("augmented by %+v, order %s", ds.Augment, ds.Train.Order)
			}
		})
	}
}

// Grey images of every layout get three equal channels.
func TestGrey(t *testing.T) {
	const size = 4
	images := datatest.Synth(12, size, 2, 1)
	var grey []byte
	for i := 0; i < len(images.Pixels); i += 3 {
		copy(images.Pixels[i+1:i+3], []byte{images.Pixels[i], images.Pixels[i]})
		grey = append(grey, images.Pixels[i])
	}
	var table strings.Builder
	for i, label := range images.Labels {
		fmt.Fprint(&table, label)
		for _, v := range grey[i*size*size:][:size*size] {
			fmt.Fprintf(&table, ", %d", v)
		}
		table.WriteString("\n")
	}
	y := collect("npy", images, images)["y_train.npy"]
	for _, shape := range [][]int{{12, size, size}, {12, size, size, 1}, {12, 1, size, size}, nil} {
		dir := t.TempDir()
		if shape == nil {
			write(t, dir, map[string][]byte{"train.csv": []byte(table.String()), "test.csv": []byte(table.String())})
		} else if x := array("u1", shape, grey, func(raw []byte, v byte) []byte { return append(raw, v) }); true {
			write(t, dir, map[string][]byte{"x_train.npy": x, "y_train.npy": y, "x_test.npy": x, "y_test.npy": y})
		}
		if _, ds := imported(t, options(t, dir)); !reflect.DeepEqual(ds.Train.Images, images) || !reflect.DeepEqual(ds.Eval[0].Images, images) {
			t.Errorf("shape %v: the images are not those of the source", shape)
		}
	}
}

// shot is a JPEG picture.
func shot(t testing.TB, width, height int, seed uint64) []byte {
	t.Helper()
	noise := rand.New(rand.NewPCG(seed, 0))
	im := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range im.Pix {
		im.Pix[i] = byte(noise.Uint32())
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, im, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Pictures with an EXIF orientation are counted in one note.
func TestTurned(t *testing.T) {
	dir := t.TempDir()
	for path, name := range map[string]string{"a/1.jpg": "turned.jpg", "a/2.jpg": "upright.jpg", "a/3.png": "turned.png", "b/1.jpg": "444.jpg", "b/2.png": "rgb.png"} {
		text, err := os.ReadFile(filepath.Join("..", "picture", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, map[string][]byte{path: text})
	}
	o := options(t, dir)
	o.Test, o.Size = 0.5, 8
	report, _ := imported(t, o)
	if notes := strings.Join(report.Notes, "; "); !strings.HasSuffix(notes, "EXIF data say to rotate or mirror them: 2") {
		t.Errorf("notes %q", notes)
	}
}

// Pixels on another scale than 0 to 255, such as 0 to 16, are read unchanged, with a warning.
func TestDark(t *testing.T) {
	for _, kind := range []string{"image-folder", "npz", "csv"} {
		for most, warns := range map[byte]bool{1: kind == "image-folder", 16: true, 31: true, 32: false} {
			images := datatest.Synth(12, 4, 2, 1)
			for i := range images.Pixels {
				images.Pixels[i] %= most + 1
			}
			images.Pixels[0] = most
			source := t.TempDir()
			if kind == "csv" {
				write(t, source, map[string][]byte{"train.csv": pixelLines(images), "test.csv": pixelLines(images)})
			} else {
				write(t, source, collect(kind, images, images))
			}
			if kind == "npz" {
				source = filepath.Join(source, datatest.ArchiveName)
			}
			o := options(t, source)
			o.Size = 4
			report, ds := imported(t, o)
			want := ""
			if warns {
				want = fmt.Sprintf("the largest pixel value is %d of 255, so the images are nearly black; ", most)
				if got := slices.Max(ds.Train.Images.Pixels); got != most {
					t.Errorf("%s: the largest pixel is %d, not %d", kind, got, most)
				}
			}
			if (report.Warning != "") != warns || !strings.HasPrefix(report.Warning, want) {
				t.Errorf("%s of 0 to %d: warning %q, want %q", kind, most, report.Warning, want)
			}
		}
	}
}

// pixelLines returns images as lines of CSV without a header, the label first.
func pixelLines(images *data.Images) []byte {
	var text []byte
	for i, label := range images.Labels {
		text = fmt.Append(text, label)
		for _, v := range images.Pixels[i*len(images.Pixels)/images.Len():][:len(images.Pixels)/images.Len()] {
			text = fmt.Append(text, ",", v)
		}
		text = append(text, '\n')
	}
	return text
}

// Photographs of any shape are resized, from nested class directories of more classes than
// a byte can count.
func TestSqueezed(t *testing.T) {
	const classes = 300
	dir := t.TempDir()
	files := map[string][]byte{}
	for c := range classes {
		for _, name := range []string{"train/%03d/b/1.JPG", "train/%03d/2.jpeg", "test/%03d/3.jpg"} {
			files[fmt.Sprintf(name, c)] = shot(t, 5+c%7, 4+c%9, uint64(c))
		}
	}
	write(t, dir, files)
	refused(t, options(t, dir), "different sizes", "--size")
	o := options(t, dir)
	o.Size = 4
	_, ds := imported(t, o)
	if ds.Classes != classes || ds.Train.Len() != 2*classes {
		t.Fatalf("%d classes, %d images", ds.Classes, ds.Train.Len())
	}
	for i, label := range ds.Train.Images.Labels {
		name := []string{"train/%03d/2.jpeg", "train/%03d/b/1.JPG"}[i%2]
		im, err := picture.Decode(bytes.NewReader(files[fmt.Sprintf(name, i/2)]))
		if err != nil {
			t.Fatal(err)
		}
		if int(label) != i/2 || !bytes.Equal(im.Square(4), datatest.Slice(ds.Train.Images, i, i+1).Pixels) {
			t.Fatalf("image %d, of class %d, is not %s", i, label, name)
		}
	}
}

// Labels that are not 0, 1, ... are taken in their order.
func TestLabels(t *testing.T) {
	images := datatest.Synth(9, 4, 3, 1)
	names := []int32{-3, 7, 400}
	renamed := &data.Images{Pixels: images.Pixels, Size: 4}
	for _, l := range images.Labels {
		renamed.Labels = append(renamed.Labels, names[l])
	}
	dir := t.TempDir()
	write(t, dir, map[string][]byte{"train.csv": csvFile(renamed, "", false, false), "test.csv": csvFile(renamed, "", false, false)})
	report, ds := imported(t, options(t, dir))
	if !slices.Equal(report.Classes, []string{"-3", "7", "400"}) || !slices.Equal(ds.Train.Images.Labels, images.Labels) {
		t.Errorf("classes %q, labels %v", report.Classes, ds.Train.Images.Labels)
	}
}

// --test draws its share of each class with the seed, from the files in order.
func TestDrawnTest(t *testing.T) {
	images := datatest.ByClass(datatest.Synth(60, 4, 3, 1))
	dir := t.TempDir()
	for name, text := range collect("image-folder", images, images) {
		if name, ok := strings.CutPrefix(name, "train/"); ok {
			write(t, dir, map[string][]byte{name: text})
		}
	}
	o := options(t, dir)
	o.Test, o.Seed = 0.25, 7
	report, ds := imported(t, o)
	draw := random.NewPython(7)
	var want [2]data.Images
	for class := range int32(3) {
		var places []int
		for i, label := range images.Labels {
			if label == class {
				places = append(places, i)
			}
		}
		n := int(math.Round(float64(len(places)) / 4))
		draw.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		for part, chosen := range [][]int{places[n:], places[:n]} {
			slices.Sort(chosen)
			for _, i := range chosen {
				want[part].Labels = append(want[part].Labels, class)
				want[part].Pixels = append(want[part].Pixels, datatest.Slice(images, i, i+1).Pixels...)
			}
		}
	}
	want[0].Size, want[1].Size = 4, 4
	if !reflect.DeepEqual(ds.Train.Images, &want[0]) || !reflect.DeepEqual(ds.Eval[0].Images, &want[1]) {
		t.Error("the images are not those that the seed draws")
	}
	if report.Images.Train+report.Images.Test != 60 {
		t.Errorf("%+v images", report.Images)
	}
	o.Seed, o.Force = 8, true
	if _, again := imported(t, o); reflect.DeepEqual(ds.Train.Images, again.Train.Images) {
		t.Error("another seed draws the same images")
	}
}

// --valid-seed halves the training images, and only the training set is measured.
func TestValid(t *testing.T) {
	train, test := datatest.Synth(41, 8, 3, 1), datatest.Synth(15, 8, 3, 2)
	dir := t.TempDir()
	write(t, dir, collect("npy", train, test))
	o := options(t, dir)
	seed := uint64(1021)
	o.ValidSeed, o.Flip, o.CropPadding = &seed, false, 0
	report, ds := imported(t, o)
	if len(ds.Eval) != 2 || ds.Eval[0].Name != "ori-test" || ds.Eval[1].Name != "x-valid" || ds.Train.Order != data.Subset || ds.Eval[1].Order != data.Subset {
		t.Fatalf("trains in the order %s, evaluates %v", ds.Train.Order, ds.Eval)
	}
	places := slices.Sorted(slices.Values(slices.Concat(ds.Train.Indices, ds.Eval[1].Indices)))
	if len(places) != 41 || places[0] != 0 || len(slices.Compact(places)) != 41 {
		t.Errorf("halves %v and %v", ds.Train.Indices, ds.Eval[1].Indices)
	}
	if report.Images != (Images{Train: 20, Test: 15, Valid: 21}) {
		t.Errorf("%+v images", report.Images)
	}
	var pixels []byte
	for _, i := range ds.Train.Indices {
		pixels = append(pixels, datatest.Slice(train, int(i), int(i)+1).Pixels...)
	}
	if mean, std := moments(pixels); !near(report.Mean, mean) || !near(report.Std, std) {
		t.Errorf("mean %v and deviation %v, want %v and %v", report.Mean, report.Std, mean, std)
	}
	if ds.Augment.Flip || ds.Augment.CropPadding != 0 {
		t.Errorf("augmented by %+v", ds.Augment)
	}
}

// Arrays are found by the words in their names, and notes list those left out.
func TestArrayNames(t *testing.T) {
	train, test := datatest.Synth(12, 4, 3, 1), datatest.Synth(6, 4, 3, 2)
	npys := collect("npy", train, test)
	x, y, xTest, yTest := npys["x_train.npy"], npys["y_train.npy"], npys["x_test.npy"], npys["y_test.npy"]
	for name, c := range map[string]struct {
		files map[string][]byte
		test  float64
		parts Parts
		note  string
		want  string // refusal
	}{
		"MedMNIST":             {map[string][]byte{"train_images": x, "train_labels": y, "val_images": xTest, "val_labels": yTest, "test_images": xTest, "test_labels": yTest}, 0, Parts{"train_images", "test_images"}, "arrays left out: val_images, val_labels", ""},
		"validation tests":     {map[string][]byte{"X_train": x, "y_train": y, "X_valid": xTest, "y_valid": yTest}, 0, Parts{"X_train", "X_valid"}, "", ""},
		"other order":          {map[string][]byte{"images_train": x, "labels_train": y, "images_test": xTest, "labels_test": yTest, "mean": x}, 0, Parts{"images_train", "images_test"}, "arrays left out: mean", ""},
		"no parts":             {map[string][]byte{"data": x, "target": y}, 0.25, Parts{"data", "data"}, "", ""},
		"part without labels":  {map[string][]byte{"x_train": x, "y_train": y, "x_test": xTest}, 0.25, Parts{"x_train", "x_train"}, "arrays left out: x_test", ""},
		"two of images":        {map[string][]byte{"x_train": x, "train_images": x, "y_train": y}, 0.25, Parts{}, "", "each of the arrays train_images, x_train, y_train could be the training set"},
		"test part and --test": {map[string][]byte{"x_train": x, "y_train": y, "x_val": xTest, "y_val": yTest}, 0.25, Parts{"x_train", "x_val"}, "--test 0.25 was ignored: the source has a test set, x_val", ""},
		"unknown":              {map[string][]byte{"a": x, "b": y}, 0.25, Parts{}, "", "its arrays are a, b; name them x_train and y_train"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				write(t, dir, map[string][]byte{name + ".npy": text})
			}
			o := options(t, dir)
			if o.Test = c.test; c.want != "" {
				refused(t, o, c.want)
				return
			}
			report, _ := imported(t, o)
			if report.Parts != c.parts || strings.Join(report.Notes, "; ") != c.note {
				t.Errorf("parts %+v, notes %q", report.Parts, report.Notes)
			}
		})
	}
}

// However images are split, each class must have training images, and a note lists the
// classes that an evaluation set lacks.
func TestSplits(t *testing.T) {
	// labelled are 8x8 images of class 0, and of class 1 at places.
	labelled := func(n int, places ...int) *data.Images {
		images := datatest.Synth(n, 8, 2, 1)
		for i := range images.Labels {
			images.Labels[i] = 0
		}
		for _, i := range places {
			images.Labels[i] = 1
		}
		return images
	}
	both := labelled(20, 0, 2, 4, 6, 8, 10, 12, 14)
	for name, c := range map[string]struct {
		train, test *data.Images // without test, it is drawn
		seed        string       // of x-valid
		want        string       // refusal, or note
	}{
		"sound":                   {both, both, "1", ""},
		"two of a class, halved":  {labelled(20, 3, 4), both, "8", `class "1" has no training images (10 in all): --valid-seed draws all of them for x-valid`},
		"one of a class, to test": {labelled(20, 3), nil, "", `class "1" has no training images (1 in all): --test draws all of them for the test set`},
		"two, one to test":        {labelled(20, 3, 4), nil, "3", `class "1" has no training images (2 in all): --valid-seed`},
		"in the test part alone":  {labelled(20), both, "", `class "1" has no training images (8 in all): the training set needs images of each class`},
		"in the other half too":   {labelled(20), both, "1", `class "1" has no training images (8 in all): the training set`},
		"test part without":       {both, labelled(5), "", "classes without images in ori-test: 1"},
		"x-valid without":         {labelled(20, 3), both, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := collect("npy", c.train, both)
			if c.test == nil {
				delete(files, "x_test.npy")
				delete(files, "y_test.npy")
			} else {
				files = collect("npy", c.train, c.test)
			}
			dir := t.TempDir()
			write(t, dir, files)
			o := options(t, dir)
			if c.test == nil {
				o.Test = 0.2
			}
			if c.seed != "" {
				seed, err := strconv.ParseUint(c.seed, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				o.ValidSeed = &seed
			}
			if strings.HasPrefix(c.want, "class ") {
				refused(t, o, c.want)
				return
			}
			if report, _ := imported(t, o); strings.Join(report.Notes, "; ") != c.want {
				t.Errorf("notes %q, want %q", report.Notes, c.want)
			}
		})
	}
	seed := uint64(1)
	o := options(t, filepath.Join("testdata", "rare-class.npz"))
	o.ValidSeed = &seed
	refused(t, o, `class "1" has no training images (3 in all): --valid-seed draws all of them for x-valid`)
}

// The same source makes the same files, whatever existed before.
func TestDeterminism(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, collect("image-folder", datatest.Synth(40, 8, 3, 1), datatest.Synth(15, 8, 3, 2)))
	o := options(t, dir)
	var made [3][2][]byte
	for i := range made {
		o.Force = i == 1
		if i == 2 {
			o.To = filepath.Join(t.TempDir(), "deeper", "sets")
		}
		report, _ := imported(t, o)
		for k, file := range []string{report.Definition, report.Pixels} {
			var err error
			if made[i][k], err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
		if left, err := filepath.Glob(filepath.Join(o.To, ".*")); err != nil || len(left) > 0 {
			t.Errorf("left: %q, %v", left, err)
		}
	}
	if !reflect.DeepEqual(made[0], made[1]) || !reflect.DeepEqual(made[0], made[2]) {
		t.Error("the same source makes different files")
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	files := collect("image-folder", datatest.ByClass(datatest.Synth(40, 8, 3, 1)), datatest.Synth(15, 8, 3, 2))
	class := slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(name string) bool { return !strings.HasPrefix(name, "train/class_0001/") })
	damaged := class[1:]
	for _, name := range damaged {
		files[name] = files[name][:len(files[name])/2]
	}
	write(t, dir, files)
	if len(damaged) < mostNamed+1 {
		t.Fatalf("only %d pictures are damaged", len(damaged))
	}
	refused(t, options(t, dir), fmt.Sprintf("%d of 55 pictures cannot be read (%s", len(damaged), filepath.Join(dir, damaged[0])),
		fmt.Sprintf("and %d more", len(damaged)-mostNamed), "--skip-unreadable")
	o := options(t, dir)
	o.SkipUnreadable = true
	report, ds := imported(t, o)
	if len(report.Unreadable) != len(damaged) || !strings.Contains(report.Unreadable[1], damaged[1]) || ds.Train.Len() != 40-len(damaged) {
		t.Errorf("left out %q, %d images train", report.Unreadable, ds.Train.Len())
	}
}

func TestErrors(t *testing.T) {
	train, test := datatest.Synth(12, 4, 3, 1), datatest.Synth(12, 4, 3, 2)
	pictures, npys := collect("image-folder", train, test), collect("npy", train, test)
	onlyTrain := map[string][]byte{}
	for name, text := range pictures {
		if strings.HasPrefix(name, "train/") {
			onlyTrain[name] = text
		}
	}
	with := func(files map[string][]byte, changes ...any) map[string][]byte {
		files = maps.Clone(files)
		for i := 0; i < len(changes); i += 2 {
			if text, ok := changes[i+1].([]byte); ok {
				files[changes[i].(string)] = text
			} else {
				delete(files, changes[i].(string))
			}
		}
		return files
	}
	npy := func(dtype string, raw []byte, shape ...int) []byte {
		return datatest.Npy(datatest.Array{DType: dtype, Shape: shape, Bytes: raw})
	}
	doubles := func(v float64) []byte {
		raw := make([]byte, 0, 12*48*8)
		for range 12*48 - 1 {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(0.5))
		}
		return npy("f8", binary.LittleEndian.AppendUint64(raw, math.Float64bits(v)), 12, 4, 4, 3)
	}
	line := "0" + strings.Repeat(",1", 16) + "\n"
	table := func(lines ...string) map[string][]byte {
		return map[string][]byte{"train.csv": []byte(line + strings.Join(lines, "")), "test.csv": []byte(line)}
	}
	grey := slices.Repeat([]byte{9}, 12*48)
	for name, c := range map[string]struct {
		files  map[string][]byte
		source string
		change func(o *Options)
		want   []string
	}{
		"published":      {pictures, "", func(o *Options) { o.Name = "cifar10" }, []string{"published dataset key"}},
		"name":           {pictures, "", func(o *Options) { o.Name = "a/b" }, []string{`"a/b"`}},
		"fraction":       {pictures, "", func(o *Options) { o.Test = 1 }, []string{"fraction between 0 and 1"}},
		"NaN":            {pictures, "", func(o *Options) { o.Test = math.NaN() }, []string{"fraction between 0 and 1"}},
		"size":           {pictures, "", func(o *Options) { o.Size = 30 }, []string{"--size 30: use a multiple of 4 from 4 to 1024"}},
		"padding":        {pictures, "", func(o *Options) { o.CropPadding = 5 }, []string{`"augment.crop_padding" must be from 0 to 4`}},
		"missing source": {pictures, "none", nil, []string{"none does not exist; name a directory or a file of images"}},
		"kind of file":   {pictures, "train/class_0000/" + "x.txt", nil, []string{"x.txt"}},
		"flags":          {pictures, "", func(o *Options) { o.Planes = true }, []string{"--planes are only for CSV files"}},

		"no classes":           {map[string][]byte{"a.txt": nil}, "", func(o *Options) { o.Test = 0.5 }, []string{"contains no class directories"}},
		"one class":            {map[string][]byte{"a/1.png": datatest.PNG(train), "a/2.png": datatest.PNG(train)}, "", func(o *Options) { o.Test = 0.5 }, []string{"the number of classes is 1; use at least 2"}},
		"no test part":         {onlyTrain, "", nil, []string{"has no test set", "--test FRACTION"}},
		"unknown class":        {with(pictures, "test/dog/1.png", datatest.PNG(test)), "", nil, []string{`class "dog" is not among the classes in`}},
		"class without images": {with(pictures, "train/dog/1.gif", []byte{1}), "", nil, []string{`class "dog" has no images`}},
		"class of one":         {map[string][]byte{"a/1.png": datatest.PNG(train), "b/1.png": datatest.PNG(train), "b/2.png": datatest.PNG(train)}, "", func(o *Options) { o.Test = 0.5 }, []string{`class "a" has no training images (1 in all)`}},
		"own size":             {map[string][]byte{"train/a/1.jpg": shot(t, 8, 12, 1), "test/a/1.jpg": shot(t, 8, 12, 1)}, "", nil, []string{"images of 12x8 pixels", "--size"}},
		"nothing readable":     {map[string][]byte{"train/a/1.jpg": {1}, "test/a/1.jpg": {2}}, "", nil, []string{"none of the 2 pictures can be read"}},

		"damaged npz":   {map[string][]byte{"a.npz": {1, 2}}, "a.npz", nil, []string{"a.npz: is not a complete .npz file"}},
		"no labels":     {with(npys, "y_train.npy", nil), "", nil, []string{"; name them x_train and y_train, or "}},
		"arrays alone":  {with(npys, "y_test.npy", nil), "", nil, []string{"has no test set"}},
		"label type":    {with(npys, "y_train.npy", npy("f8", make([]byte, 96), 12)), "", nil, []string{"y_train is an array of float64 of shape [12]"}},
		"label count":   {with(npys, "y_train.npy", npy("u1", make([]byte, 11), 11)), "", nil, []string{"x_train has 12 images, but y_train has 11 labels"}},
		"rank":          {with(npys, "x_train.npy", npy("u1", grey, 12, 48)), "", nil, []string{"x_train has the shape [12 48]"}},
		"channels":      {with(npys, "x_train.npy", npy("u1", grey, 12, 4, 6, 2)), "", nil, []string{"where C is 1 or 3"}},
		"ambiguous":     {with(npys, "x_train.npy", npy("u1", grey, 12, 3, 16, 1)), "", nil, []string{"x_train has the shape [12 3 16 1]"}},
		"shapes":        {with(npys, "x_test.npy", npy("u1", grey, 12, 4, 12)), "", nil, []string{"x_train and x_test have different shapes"}},
		"type":          {with(npys, "x_train.npy", npy("U1", make([]byte, 12*48*4), 12, 4, 4, 3)), "", nil, []string{"x_train is not an array of numbers"}},
		"no pixels":     {with(npys, "x_train.npy", npy("u1", nil, 12, 0, 0), "x_test.npy", npy("u1", nil, 12, 0, 0)), "", nil, []string{"images of 0x0 pixels"}},
		"truncated":     {with(npys, "x_train.npy", npys["x_train.npy"][:200]), "", nil, []string{"x_train has"}},
		"negative":      {with(npys, "x_train.npy", npy("i1", append(slices.Clone(grey[1:]), 255), 12, 4, 4, 3)), "", nil, []string{"image 11 of x_train has the value -1, but must be from 0 to 255"}},
		"not a number":  {with(npys, "x_train.npy", doubles(math.NaN()), "x_test.npy", doubles(0)), "", nil, []string{"image 11 of x_train has the value NaN"}},
		"too bright":    {with(npys, "x_train.npy", doubles(256), "x_test.npy", doubles(2)), "", nil, []string{"image 11 of x_train has the value 256, but must be from 0 to 255"}},
		"test brighter": {with(npys, "x_train.npy", doubles(1), "x_test.npy", doubles(2)), "", nil, []string{"image 11 of x_test has the value 2, but must be from 0 to 1"}},
		"two scales":    {with(npys, "x_test.npy", npy("u1", bytes.Repeat([]byte{0, 1}, len(grey)/2), 12, 4, 4, 3)), "", nil, []string{"x_train has values above 1, but x_test has none; convert them to the same scale"}},
		"test class":    {with(npys, "y_test.npy", npy("u1", slices.Repeat([]byte{9}, 12), 12)), "", nil, []string{`class "9" has no training images (12 in all)`}},
		"no deviation":  {with(npys, "x_train.npy", npy("u1", grey, 12, 4, 4, 3)), "", nil, []string{"red has the same value in all training pixels"}},
		"no test":       {with(npys, "x_test.npy", npy("u1", nil, 0, 4, 4, 3), "y_test.npy", npy("u1", nil, 0)), "", nil, []string{"the test set has no images"}},

		"no train.csv":      {map[string][]byte{"a.csv": []byte(line)}, "", nil, []string{"contains neither train.csv nor train.csv.gz"}},
		"empty CSV":         {map[string][]byte{"a.csv": nil}, "a.csv", func(o *Options) { o.Test = 0.5 }, []string{"a.csv is empty"}},
		"columns":           {map[string][]byte{"a.csv": []byte("1,2,3\n")}, "a.csv", func(o *Options) { o.Test = 0.5 }, []string{"has 3 values"}},
		"two scales in CSV": {map[string][]byte{"train.csv": []byte("0" + strings.Repeat(",9,0", 8) + "\n1" + strings.Repeat(",7,1", 8) + "\n"), "test.csv": []byte("1" + strings.Repeat(",1,0", 8) + "\n")}, "", nil, []string{"train.csv has pixels above 1, but ", "test.csv has none; convert them to the same scale"}},
		"other columns":     {map[string][]byte{"train.csv": []byte(line), "test.csv": []byte("1,2\n")}, "", nil, []string{"has 17 values per line", "has 2;"}},
		"short line":        {table("1,2\n"), "", nil, []string{"train.csv: line 2 has 2 values, but the first has 17"}},
		"label":             {table("cat" + line[1:]), "", nil, []string{`line 2 has the label "cat"`}},
		"pixel":             {table("1" + strings.Repeat(",256", 16) + "\n"), "", nil, []string{`line 2 has the pixel "256", which is not a whole number from 0 to 255`}},
		"quotes":            {table("\"1\n"), "", nil, []string{"cannot read "}},
		"long line":         {table(strings.Repeat("1", maxLine+1)), "", nil, []string{"a line is longer than"}},
		"no gzip":           {map[string][]byte{"a.csv.gz": []byte(line)}, "a.csv.gz", func(o *Options) { o.Test = 0.5 }, []string{"is not a gzip file, or is damaged"}},
		"truncated gzip":    {map[string][]byte{"a.csv.gz": compress(t, []byte(strings.Repeat(line, 20)))[:30]}, "a.csv.gz", func(o *Options) { o.Test = 0.5 }, []string{"a.csv.gz: "}},
		"CSV of one class":  {table(line, line), "", nil, []string{"the number of classes is 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			if name == "kind of file" {
				write(t, dir, map[string][]byte{c.source: nil})
			}
			o := options(t, filepath.Join(dir, c.source))
			if c.change != nil {
				c.change(&o)
			}
			refused(t, o, c.want...)
		})
	}
}

// Existing files are overwritten only with Force, and the source never is.
func TestOverwrite(t *testing.T) {
	images := datatest.Synth(12, 4, 3, 1)
	dir := t.TempDir()
	write(t, dir, collect("npz", images, images))
	write(t, dir, map[string][]byte{"mine.json": {1}})
	o := Options{Source: filepath.Join(dir, datatest.ArchiveName), Name: "mine", To: dir, CropPadding: -1}
	if _, err := Run(t.Context(), o); !usage.Is(err) || !strings.Contains(err.Error(), "mine.json: it already exists") {
		t.Errorf("over a definition: %v", err)
	}
	o.Force = true
	imported(t, o)
	o.Name = "images"
	if _, err := Run(t.Context(), o); !usage.Is(err) || !strings.Contains(err.Error(), ", which this command reads") {
		t.Errorf("over the source: %v", err)
	}
	o.Name, o.To = "other", filepath.Join(dir, "mine.json")
	if _, err := Run(t.Context(), o); !usage.Is(err) || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("into a file: %v", err)
	}
}

// An import that is stopped at any image leaves nothing behind.
func TestStopped(t *testing.T) {
	images := datatest.Synth(12, 4, 3, 1)
	for _, format := range []string{"npy", "image-folder"} {
		dir := t.TempDir()
		write(t, dir, collect(format, images, images))
		for _, at := range []int64{1, 12, 24} {
			ctx, cancel := context.WithCancel(t.Context())
			o := options(t, dir)
			o.Progress = func(done, _ int64, _ string) {
				if done == at {
					cancel()
				}
			}
			if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
				t.Errorf("%s stopped at image %d: %v", format, at, err)
			}
			if _, err := os.Lstat(o.To); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s was left behind", o.To)
			}
			cancel()
		}
	}
}

// numpy opens the pixel store.
func TestNumpy(t *testing.T) {
	python := needs.Python(t)
	train, test := datatest.Synth(300, 8, 257, 1), datatest.Synth(15, 8, 3, 2)
	for i := range train.Labels {
		train.Labels[i] = int32(i % 257)
	}
	dir := t.TempDir()
	write(t, dir, collect("image-folder", train, test))
	report, ds := imported(t, options(t, dir))
	c := exec.Command(python, "-c", `
import hashlib, sys
import numpy as np
with np.load(sys.argv[1], allow_pickle=False) as z:
    for split in "train", "test":
        x, y = z["x_" + split], z["y_" + split]
        print(x.dtype, x.shape, y.dtype, y.shape, x.tobytes().hex(), y.tolist())
    print(z["classes"].tolist())
`, report.Pixels)
	c.Stderr = os.Stderr
	said, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, im := range []*data.Images{ds.Train.Images, ds.Eval[0].Images} {
		text := strings.Join(strings.Fields(fmt.Sprint(im.Labels)), ", ")
		fmt.Fprintf(&want, "uint8 (%d, 8, 8, 3) int64 (%[1]d,) %x %s\n", im.Len(), im.Pixels, text)
	}
	fmt.Fprintf(&want, "['%s']\n", strings.Join(report.Classes, "', '"))
	if string(said) != want.String() {
		t.Errorf("numpy reads %.300q, want %.300q", said, want.String())
	}
}

func FuzzTable(f *testing.F) {
	line := "0" + strings.Repeat(",1", 16) + "\n"
	f.Add([]byte(line + "1" + strings.Repeat(",255", 16) + "\n"))
	f.Add([]byte("label" + strings.Repeat(",p", 48) + "\n1" + strings.Repeat(",\"7\"", 48)))
	f.Add(compress(f, []byte(line)))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		for _, name := range []string{"a.csv", "a.csv.gz"} {
			write(t, dir, map[string][]byte{name: text})
			table, err := new(Options).openTable(filepath.Join(dir, name))
			if err != nil {
				if !usage.Is(err) {
					t.Error(err)
				}
				continue
			}
			table.white = 255
			err = table.read(t.Context(), func(im picture.Image, _ float64) error {
				if im.Width != im.Height || len(im.Pixels) != 3*im.Width*im.Height {
					t.Errorf("an image of %dx%d pixels in %d bytes", im.Width, im.Height, len(im.Pixels))
				}
				return nil
			})
			if err != nil && !usage.Is(err) {
				t.Error(err)
			}
			table.close()
		}
	})
}
