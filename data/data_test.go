package data_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/needs"
	"nb201/internal/random"
	"nb201/internal/usage"
)

// write writes a file, and makes its directory.
func write(t testing.TB, path string, text []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writeFiles writes the files of a format that hold train and test.
func writeFiles(t testing.TB, dir, format string, train, test *data.Images) {
	t.Helper()
	for name, text := range datatest.Files(format, train, test) {
		write(t, filepath.Join(dir, name), text)
	}
}

// small returns a definition file for images of 4x4 pixels; replace changes parts of it.
func small(replace ...string) []byte {
	text := `{ "name": "small", "format": "cifar10-python", "path": "cifar-10-batches-py",
  "classes": 10, "size": [4, 4],
  "mean": [125.3, 123.0, 113.9], "std": [63.0, 62.1, 66.7],
  "augment": { "flip": true, "crop_padding": 1 },
  "train": { "from": "train", "order": "shuffle" },
  "eval": [ { "name": "ori-test", "from": "test", "order": "sequential" } ]
}`
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			panic(replace[i])
		}
		text = strings.Replace(text, replace[i], replace[i+1], 1)
	}
	return []byte(text)
}

func define(t testing.TB, dir string, text []byte) data.Definition {
	t.Helper()
	file := filepath.Join(dir, "small.json")
	write(t, file, text)
	d, err := data.Find(file)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// refused checks that err is a usage error of one line that contains every part.
func refused(t *testing.T, err error, parts ...string) {
	t.Helper()
	if !usage.Is(err) {
		t.Errorf("error %v, want a usage error with %q", err, parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if len(err.Error()) > 500 || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is not a sentence: %.600q", err)
	}
}

func TestLoadFiles(t *testing.T) {
	for _, c := range []struct {
		format, dir string // that the definition names
		at          string // where the files are
		read        string // format that is read
		files       int
	}{
		{"cifar10-python", "cifar-10-batches-py", "data/cifar-10-batches-py", "cifar10-python", 6},
		{"cifar10-python", "cifar-10-batches-py", "data/cifar.python/cifar-10-batches-py", "cifar10-python", 6},
		{"cifar10-python", "cifar-10-batches-py", "home/cifar-10-batches-py", "cifar10-python", 6},
		{"cifar10-python", "cifar-10-batches-py", "data/cifar-10-batches-bin", "cifar10-binary", 6},
		{"cifar10-python", "cifar-10-batches-py", "data/cifar.python/cifar-10-batches-bin", "cifar10-binary", 6},
		{"cifar10-binary", "mine", "data/mine", "cifar10-binary", 6},
		{"cifar100-python", "cifar-100-python", "data/cifar.python/cifar-100-python", "cifar100-python", 2},
		{"cifar100-python", "cifar-100-python", "data/cifar-100-binary", "cifar100-binary", 2},
		{"cifar100-binary", "mine", "home/mine", "cifar100-binary", 2},
		{"imagenet16", "ImageNet16", "data/cifar.python/ImageNet16", "imagenet16", 11},
	} {
		t.Run(c.format+" in "+c.at, func(t *testing.T) {
			const classes = 30
			train, test := datatest.Synth(200, 4, classes, 1), datatest.Synth(7, 4, classes, 2)
			top := t.TempDir()
			writeFiles(t, filepath.Join(top, c.at), c.read, train, test)
			text := small(`"cifar10-python"`, strconv.Quote(c.format), `"cifar-10-batches-py"`, strconv.Quote(c.dir), `"classes": 10`, `"classes": 30`)
			ds, err := define(t, filepath.Join(top, "home"), text).Load(filepath.Join(top, "data"))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(ds.Train.Images, train) {
				t.Error("the training images are not those in the files")
			}
			if len(ds.Eval) != 1 || ds.Eval[0].Name != "ori-test" || !reflect.DeepEqual(ds.Eval[0].Images, test) {
				t.Error("the test images are not those in the files")
			}
			var want []data.File
			for name, text := range datatest.Files(c.read, train, test) {
				want = append(want, data.File{Name: filepath.Base(c.at) + "/" + name, SHA256: sha(text)})
			}
			if len(want) != c.files || !slices.Equal(ds.Files, want) {
				t.Errorf("read %v, want the %d files %v", ds.Files, c.files, want)
			}
		})
	}
}

// From files of ImageNet's 1,000 classes, the first classes are kept in file order,
// whichever Python wrote the files.
func TestImageNetClasses(t *testing.T) {
	const classes = 120
	whole := datatest.Synth(500, 4, 1000, 1)
	copy(whole.Labels, []int32{classes - 1, classes, 0, 999})
	want := &data.Images{Size: 4}
	for i, label := range whole.Labels {
		if label < classes {
			want.Labels = append(want.Labels, label)
			want.Pixels = append(want.Pixels, datatest.Slice(whole, i, i+1).Pixels...)
		}
	}
	for _, style := range []datatest.Style{datatest.Python2, datatest.Python3, datatest.Python3For2} {
		root := t.TempDir()
		for name := range datatest.Files("imagenet16", whole, whole) {
			write(t, filepath.Join(root, "ImageNet16", name), datatest.ImageNetBatch(style, whole))
		}
		ds, err := define(t, root, small(`"cifar10-python"`, `"imagenet16"`, `"cifar-10-batches-py"`, `"ImageNet16"`, `"classes": 10`, `"classes": 120`)).Load(root)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(ds.Eval[0].Images, want) {
			t.Errorf("style %d: the images kept are not those of the first %d classes", style, classes)
		}
		if n := want.Len(); ds.Train.Len() != 10*n || !slices.Equal(ds.Train.Images.Labels[9*n:], want.Labels) {
			t.Errorf("style %d: %d images to train", style, ds.Train.Len())
		}
	}
}

// Labels may be a numpy array instead of a list.
func TestLabelArray(t *testing.T) {
	images := datatest.Synth(60, 4, 10, 1)
	var labels []byte
	for _, l := range images.Labels {
		labels = binary.LittleEndian.AppendUint64(labels, uint64(l+1))
	}
	text := datatest.Pickle(datatest.Python3,
		datatest.Item{Key: "data", Value: datatest.Array{DType: "u1", Shape: []int{60, 48}, Bytes: datatest.Planes(images)}},
		datatest.Item{Key: "labels", Value: datatest.Array{DType: "i8", Shape: []int{60}, Bytes: labels}})
	root := t.TempDir()
	for name := range datatest.Files("imagenet16", images, images) {
		write(t, filepath.Join(root, "ImageNet16", name), text)
	}
	ds, err := define(t, root, small(`"cifar10-python"`, `"imagenet16"`, `"cifar-10-batches-py"`, `"ImageNet16"`)).Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(ds.Eval[0].Images, images) {
		t.Error("the images are not those in the files")
	}
}

// The definitions of published keys accept only the published number of images. A user's
// definition accepts any, unless it states a number.
func TestCounts(t *testing.T) {
	root := t.TempDir()
	train, test := datatest.Synth(51, 32, 10, 1), datatest.Synth(3, 32, 10, 2)
	dir := filepath.Join(root, "cifar-10-batches-py")
	writeFiles(t, dir, "cifar10-python", train, test)
	d, err := data.Find("cifar10-valid")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Load(root)
	refused(t, err, dir, "cifar10-valid has 50000 training images, but these files hold 51")
	d.Images.Train = 51
	_, err = d.Load(root)
	refused(t, err, dir, "cifar10-valid has 10000 test images, but these files hold 3")
	d.Images.Test = 0
	ds, err := d.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	both := slices.Concat(ds.Train.Indices, ds.Eval[1].Indices)
	slices.Sort(both)
	for i, v := range both {
		if int(v) != i {
			t.Fatalf("the halves are %v and %v, not all of 0..50 once", ds.Train.Indices, ds.Eval[1].Indices)
		}
	}
	if ds.Train.Len() != 25 || ds.Eval[1].Len() != 26 || ds.Eval[0].Len() != 3 {
		t.Errorf("%d, %d and %d images, want 25, 26 and 3", ds.Train.Len(), ds.Eval[1].Len(), ds.Eval[0].Len())
	}
}

// Load reads pickles that Python 3 wrote with numpy 1.26 and 2: pickle.dumps of a dict with
// str keys (bytes in numpy2-protocol5-readonly) and the first three images of synth.
func TestPython3Pickles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "pickles", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pickles: %v", err)
	}
	want := datatest.Synth(3, 4, 10, 1)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			root := t.TempDir()
			for name := range datatest.Files("cifar10-python", want, want) {
				write(t, filepath.Join(root, "cifar-10-batches-py", name), text)
			}
			ds, err := define(t, root, small()).Load(root)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(ds.Eval[0].Images, want) || ds.Train.Len() != 15 {
				t.Errorf("read %v", ds.Eval[0].Images)
			}
		})
	}
}

func TestDamagedFiles(t *testing.T) {
	images := datatest.Synth(5, 4, 10, 1)
	labels := slices.Clone(images.Labels)
	pixels := datatest.Array{DType: "u1", Shape: []int{5, 48}, Bytes: datatest.Planes(images)}
	// pickled returns a batch with the given pixels and labels.
	pickled := func(data datatest.Array, key string, labels any) []byte {
		return datatest.Pickle(datatest.Python2, datatest.Item{Key: "data", Value: data}, datatest.Item{Key: key, Value: labels})
	}
	labelled := func(first int32) []int32 { return append([]int32{first}, labels[1:]...) }
	array := func(dtype string, shape ...int) datatest.Array {
		return datatest.Array{DType: dtype, Shape: shape, Bytes: pixels.Bytes}
	}
	for _, python := range []struct {
		format, file, key string
		tooLow, tooHigh   int32
		outside           string
	}{
		{"cifar10-python", "data_batch_3", "labels", -1, 10, "but must be from 0 to 9"},
		{"cifar100-python", "train", "fine_labels", -1, 10, "but must be from 0 to 9"},
		{"imagenet16", "train_data_batch_3", "labels", 0, 1001, "but must be from 1 to 1000"},
	} {
		sound := pickled(pixels, python.key, []int32{1, 2, 3, 4, 5})
		label := python.file + ": the label of image 0" // counted in each file
		for _, c := range []struct {
			name string
			text []byte // of the file; nil: missing
			want string
		}{
			{"missing", nil, "no such file"},
			{"empty", []byte{}, "truncated"},
			{"truncated", sound[:len(sound)-1], "truncated"},
			{"cut in the pixels", sound[:200], "truncated"},
			{"oversized", append(slices.Clone(sound), 0, 0), fmt.Sprintf("ends after %d of %d bytes", len(sound), len(sound)+2)},
			{"no images", pickled(datatest.Array{DType: "u1", Shape: []int{0, 48}}, python.key, []int32{}), "contains no images"},
			{"text", []byte("not a pickle"), "opcode"},
			{"not a dict", []byte("\x80\x02]."), "not of a dict"},
			{"no arrays", []byte("\x80\x02}."), `it has no key "data"`},
			{"no labels", pickled(pixels, "label", labels), fmt.Sprintf(`it has no key "%s"`, python.key)},
			{"labels of another kind", pickled(pixels, python.key, "1, 2, 3, 4, 5"), fmt.Sprintf(`"%s" is the string "1, 2, 3, 4, 5", not a list`, python.key)},
			{"labels of text", pickled(pixels, python.key, []string{"a"}), fmt.Sprintf(`"%s" is not a whole number at index 0`, python.key)},
			{"labels of another type", pickled(pixels, python.key, datatest.Array{DType: "f8", Shape: []int{5}, Bytes: make([]byte, 40)}), fmt.Sprintf(`"%s" is neither a list nor an array of int64`, python.key)},
			{"binary", make([]byte, 98), "opcode"},
			{"label too low", pickled(pixels, python.key, labelled(python.tooLow)), fmt.Sprintf("%s is %d, %s", label, python.tooLow, python.outside)},
			{"label too high", pickled(pixels, python.key, labelled(python.tooHigh)), fmt.Sprintf("%s is %d, %s", label, python.tooHigh, python.outside)},
			{"too few labels", pickled(pixels, python.key, labels[:3]), "5 images but 3 labels"},
			{"too many labels", pickled(pixels, python.key, append(labels, 1)), "5 images but 6 labels"},
			{"signed pixels", pickled(array("i1", 5, 48), python.key, labels), `"data" is of numpy type "i1", not uint8`},
			{"images of another size", pickled(array("u1", 1, 240), python.key, labels), "has the shape [1 240], not [N, 48]: the images have another size"},
			{"another shape", pickled(array("u1", 5, 3, 16), python.key, labels), "has the shape [5 3 16], not [N, 48]"},
			{"too few pixels", pickled(array("u1", 6, 48), python.key, labels), "240 bytes, which does not match its shape"},
			{"other code", bytes.Replace(sound, []byte("numpy\ndtype"), []byte("os\nsystem__"), 1), `"os.system__"`},
		} {
			t.Run(python.format+"/"+c.name, func(t *testing.T) { damaged(t, python.format, python.file, c.text, c.want) })
		}
	}
	for _, plain := range []struct {
		format, file string
		record       int
	}{
		{"cifar10-binary", "data_batch_3.bin", 49},
		{"cifar100-binary", "train.bin", 50},
	} {
		mislabelled := make([]byte, 2*plain.record)
		mislabelled[2*plain.record-49] = 10 // the label of the second image, before its 48 pixels
		for _, c := range []struct {
			name string
			text []byte
			want string
		}{
			{"missing", nil, "no such file"},
			{"empty", []byte{}, "contains no images"},
			{"truncated", mislabelled[1:], fmt.Sprintf("%d bytes is not a multiple of %d", 2*plain.record-1, plain.record)},
			{"mislabelled", mislabelled, plain.file + ": the label of image 1 is 10, but must be from 0 to 9"},
		} {
			t.Run(plain.format+"/"+c.name, func(t *testing.T) { damaged(t, plain.format, plain.file, c.text, c.want) })
		}
	}
}

// damaged checks that a dataset is refused with text as the contents of one of its files.
func damaged(t *testing.T, format, file string, text []byte, want string) {
	root := t.TempDir()
	for name, sound := range datatest.Files(format, datatest.Synth(60, 4, 10, 1), datatest.Synth(5, 4, 10, 2)) {
		switch path := filepath.Join(root, "images", name); {
		case name != file:
			write(t, path, sound)
		case text != nil:
			write(t, path, text)
		}
	}
	_, err := define(t, root, small(`"cifar10-python"`, strconv.Quote(format), `"cifar-10-batches-py"`, `"images"`)).Load(root)
	refused(t, err, filepath.Join(root, "images", file), want)
}

func TestNoData(t *testing.T) {
	root := t.TempDir()
	d, err := data.Published("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Load(root)
	refused(t, err, "cifar-10-batches-py", root, "--data")

	// A directory instead of a file.
	if err := os.MkdirAll(filepath.Join(root, "cifar-10-batches-py", "data_batch_1"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = d.Load(root)
	refused(t, err, "data_batch_1", "regular file")
}

func TestIndices(t *testing.T) {
	root := t.TempDir()
	images := datatest.Synth(5, 4, 10, 1)
	writeFiles(t, filepath.Join(root, "cifar-10-batches-bin"), "cifar10-binary", datatest.Synth(50, 4, 10, 2), images)
	text := small(`"from": "test", "order": "sequential"`, `"from": "test", "indices": "lists/odd.json", "order": "sequential"`)
	d := define(t, root, text)
	list := filepath.Join(root, "lists", "odd.json")
	for _, c := range []struct{ text, want string }{
		{`[3, 5]`, `entry 1 is 5, but the indices of "test" are 0 to 4`},
		{`[-1]`, "entry 0 is -1"},
		{`[]`, "no images"},
		{`[1, "2"]`, `"1" must be a whole number`},
		{`{"a": 1}`, "must be a list"},
		{`[1, 2`, "not JSON"},
	} {
		write(t, list, []byte(c.text))
		_, err := d.Load(root)
		refused(t, err, c.want)
	}
	write(t, list, []byte(`[3, 1, 3]`))
	ds, err := d.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	e := ds.EvalEpoch(data.NewStreams(1, random.Profiles()[0]), 0)
	if !slices.Equal(e.Order, []int32{3, 1, 3}) {
		t.Errorf("order %v, want the indices", e.Order)
	}
	if last := ds.Files[len(ds.Files)-1]; last != (data.File{Name: "lists/odd.json", SHA256: sha([]byte(`[3, 1, 3]`))}) {
		t.Errorf("last file %v, want the indices", last)
	}
}

func TestDefinitionErrors(t *testing.T) {
	for _, c := range []struct {
		replace []string
		want    []string
	}{
		{[]string{`"classes"`, `"clases"`}, []string{`unknown key "clases"`}},
		{[]string{`"classes"`, `"Classes"`}, []string{`unknown key "Classes"`}},
		{[]string{`"flip"`, `"cutout": 1, "flip"`}, []string{`unknown key "augment.cutout"`}},
		{[]string{`"classes": 10,`, `"classes": 10, "classes": 10,`}, []string{`duplicate key "classes"`}},
		{[]string{`10, `, `10 `}, []string{"not JSON at byte", "; nb201 data import writes a definition, and docs/formats.md describes it"}},
		{[]string{`"small"`, `"a/b"`}, []string{`"name"`, `"a/b"`}},
		{[]string{`"small"`, `""`}, []string{`"name"`}},
		{[]string{`"small"`, `"` + strings.Repeat("a", 65) + `"`}, []string{`"name"`, "up to 64"}},
		{[]string{`"small"`, `"cifar10"`}, []string{`"name"`, "published"}},
		{[]string{`"small"`, `"ImageNet16-120"`}, []string{`"name"`, "published"}},
		{[]string{`"cifar10-python"`, `"jpeg"`}, []string{`"format"`, `"jpeg"`, "cifar10-binary, cifar10-python, cifar100-binary, cifar100-python, digits, image-folder, imagenet16, npy, npz"}},
		{[]string{`"format": "cifar10-python",`, ``}, []string{`key "format" is missing; use one of cifar10-binary, `}},
		{[]string{`"cifar-10-batches-py"`, `""`}, []string{`"path"`}},
		{[]string{`"cifar10-python"`, `"digits"`}, []string{`"path"`}},
		{[]string{`"classes": 10`, `"classes": 1`}, []string{`"classes"`, "not 1"}},
		{[]string{`"classes": 10`, `"classes": "10"`}, []string{`"classes"`, "whole number"}},
		{[]string{`[4, 4]`, `[4]`}, []string{`"size"`, "list of 2"}},
		{[]string{`[4, 4]`, `[4, 8]`}, []string{`"size"`, "4x8"}},
		{[]string{`[4, 4]`, `[6, 6]`}, []string{`"size"`, "not 6"}},
		{[]string{`[4, 4]`, `[0, 0]`}, []string{`"size"`, "not 0"}},
		{[]string{`"size": [4, 4],`, ``}, []string{`"size"`, "not 0"}},
		{[]string{`113.9]`, `1139]`}, []string{`"mean"`, "1139"}},
		{[]string{`, 113.9]`, `]`}, []string{`"mean"`, "list of 3"}},
		{[]string{`66.7]`, `0]`}, []string{`"std"`}},
		{[]string{`"crop_padding": 1`, `"crop_padding": -1`}, []string{`"augment.crop_padding"`, "-1"}},
		{[]string{`"crop_padding": 1`, `"crop_padding": 5`}, []string{`"augment.crop_padding"`, "from 0 to 4"}},
		{[]string{`"from": "train"`, `"from": "all"`}, []string{`"train.from"`, `"all"`}},
		{[]string{`"from": "train"`, `"name": "x", "from": "train"`}, []string{`"train.name"`}},
		{[]string{`"shuffle"`, `"random"`}, []string{`"train.order"`, `"random"`}},
		{[]string{`"shuffle"`, `"subset"`}, []string{`"train.order"`, "indices, split or half"}},
		{[]string{`"shuffle"`, `"shuffle", "half": "first"`}, []string{`"train.half_seed"`}},
		{[]string{`"shuffle"`, `"shuffle", "half_seed": 1`}, []string{`"train.half_seed"`}},
		{[]string{`"shuffle"`, `"shuffle", "half": "third", "half_seed": 1`}, []string{`"train.half"`, `"third"`}},
		{[]string{`"shuffle"`, `"shuffle", "half": "first", "half_seed": -1`}, []string{`"train.half_seed"`, "whole number"}},
		{[]string{`"shuffle"`, `"shuffle", "half": "first", "half_seed": 1, "indices": "a.json"`}, []string{`"train.indices"`}},
		{[]string{`"shuffle"`, `"subset", "split": "cifar100-test-split"`}, []string{`"train.split"`, "cifar100-test-split/xvalid, cifar100-test-split/xtest, imagenet"}},
		{[]string{`"shuffle"`, `"subset", "split": "cifar100-test-split/xtest", "indices": "a.json"`}, []string{`"train.split"`, "half or indices"}},
		{[]string{`"size"`, `"images": {"train": -1}, "size"`}, []string{`"images.train"`, "not -1"}},
		{[]string{`"size"`, `"images": {"train": 9223372036854775807}, "size"`}, []string{`"images.train"`, "must be from 0 to 100000000, not 9223372036854775807"}},
		{[]string{`"size"`, `"images": {"test": -2}, "size"`}, []string{`"images.test"`, "not -2"}},
		{[]string{`"size"`, `"images": {"valid": 2}, "size"`}, []string{`unknown key "images.valid"`}},
		{[]string{`"ori-test"`, `"train"`}, []string{`"eval.0.name"`, "taken"}},
		{[]string{`"ori-test"`, `"valid"`}, []string{`"eval.0.name"`, "taken"}},
		{[]string{`"ori-test"`, `"a@b"`}, []string{`"eval.0.name"`, "a@b"}},
		{[]string{`"from": "test"`, `"from": "valid"`}, []string{`"eval.0.from"`, "valid"}},
		{[]string{`"sequential" }`, `"sequential" }, { "name": "ori-test", "from": "test", "order": "sequential" }`}, []string{`"eval.1.name"`, "taken"}},
		{[]string{`{ "name": "ori-test", "from": "test", "order": "sequential" }`, ``}, []string{`"eval"`, "at least one"}},
	} {
		file := filepath.Join(t.TempDir(), "mine.json")
		write(t, file, small(c.replace...))
		_, err := data.Find(file)
		refused(t, err, append(c.want, file)...)
	}
	_, err := data.Find(filepath.Join(t.TempDir(), "none.json"))
	refused(t, err, "none.json")
}

// Means and deviations on a scale of 0 to 1 cause a warning, and no others do.
func TestDefinitionWarning(t *testing.T) {
	for _, c := range []struct {
		mean, std [3]float64
		warned    bool
	}{
		{[3]float64{0.4914, 0.4822, 0.4465}, [3]float64{0.247, 0.2435, 0.2616}, true}, // of CIFAR-10 as torchvision's users write them
		{[3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}, true},
		{[3]float64{0, 0, 0}, [3]float64{1, 1, 1}, true},
		{[3]float64{0, 0, 0}, [3]float64{255, 255, 255}, false},
		{[3]float64{0.4, 0.4, 0.4}, [3]float64{0.2, 1.01, 0.2}, false},
		{[3]float64{0.9, 0.9, 1.2}, [3]float64{0.2, 0.2, 0.2}, false}, // a nearly black set
		{[3]float64{125.3, 123, 113.9}, [3]float64{63, 62.1, 66.7}, false},
	} {
		d := data.Definition{Name: "mine", Mean: c.mean, Std: c.std}
		if warning := d.Warning(); strings.HasPrefix(warning, "dataset mine: all means and deviations are at most 1") != c.warned || !c.warned && warning != "" {
			t.Errorf("%v and %v: %q", c.mean, c.std, warning)
		}
	}
	for _, key := range configs.Datasets() {
		if d, err := data.Find(key); err != nil || d.Warning() != "" {
			t.Errorf("%s: %q, %v", key, d.Warning(), err)
		}
	}
}

func TestFind(t *testing.T) {
	for _, key := range configs.Datasets() {
		if d, err := data.Find(key); err != nil || d.Name != key {
			t.Errorf("%s: %q, %v", key, d.Name, err)
		}
	}
	_, err := data.Find("cifar11")
	refused(t, err, `"cifar11"`, "cifar10-valid, cifar10, cifar100, ImageNet16-120, digits")
}

func TestTimeline(t *testing.T) {
	for key, want := range map[string]string{"cifar10-valid": "x-valid", "cifar10": "ori-test", "cifar100": "ori-test", "ImageNet16-120": "ori-test", "digits": "ori-test"} {
		d, err := data.Published(key)
		if err != nil {
			t.Fatal(err)
		}
		if all := d.ForTimeline(configs.Dec2019); !reflect.DeepEqual(all, d) {
			t.Errorf("%s: dec2019 evaluates %v", key, all.Eval)
		}
		if one := d.ForTimeline(configs.Nov2019); len(one.Eval) != 1 || one.Eval[0].Name != want {
			t.Errorf("%s: nov2019 evaluates %v, want %s", key, one.Eval, want)
		}
	}
	for _, name := range []string{"dec2019", "nov2019"} {
		if timeline, err := configs.ParseTimeline(name); err != nil || string(timeline) != name {
			t.Errorf("%s: %q, %v", name, timeline, err)
		}
	}
	_, err := configs.ParseTimeline("2019")
	refused(t, err, `"2019"`, "dec2019 or nov2019")
}

func TestDefaultRoot(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"a":                          {"NB201_DATA": "a", "TORCH_HOME": "b", "HOME": "c"},
		"b":                          {"TORCH_HOME": "b", "HOME": "c"},
		filepath.Join("c", ".torch"): {"HOME": "c"},
	} {
		if got := data.DefaultRoot(func(name string) string { return env[name] }); got != want {
			t.Errorf("%v: %q, want %q", env, got, want)
		}
	}
}

func loadDigits(t testing.TB) *data.Dataset {
	t.Helper()
	d, err := data.Published("digits")
	if err != nil {
		t.Fatal(err)
	}
	ds, err := d.Load("nowhere")
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func TestDigits(t *testing.T) {
	ds := loadDigits(t)
	if ds.Train.Len() != 1347 || ds.Eval[0].Len() != 450 || ds.Size != 16 || len(ds.Files) != 1 {
		t.Fatalf("%d and %d images of %d pixels from %v", ds.Train.Len(), ds.Eval[0].Len(), ds.Size, ds.Files)
	}
	// The first line begins 0,0,5,13 and is a 0.
	if got := ds.Train.Images.Pixels[3*3 : 8*3]; !bytes.Equal(got, []byte{0, 0, 0, 80, 80, 80, 80, 80, 80, 207, 207, 207, 207, 207, 207}) {
		t.Errorf("the first image's first row has %v at columns 3..7", got)
	}
	if got, row := ds.Train.Images.Pixels, 3*16; !bytes.Equal(got[:row], got[row:2*row]) || ds.Train.Images.Labels[0] != 0 {
		t.Error("the first image is not enlarged, or not a 0")
	}

	// The definition's mean and standard deviation are those of the training images.
	sum, squares, n := 0.0, 0.0, float64(len(ds.Train.Images.Pixels))
	for _, v := range ds.Train.Images.Pixels {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	mean := sum / n
	std := math.Sqrt(squares/n - mean*mean)
	d, err := data.Published("digits")
	if err != nil {
		t.Fatal(err)
	}
	for c := range 3 {
		if math.Abs(d.Mean[c]-mean) > 0.005 || math.Abs(d.Std[c]-std) > 0.005 {
			t.Errorf("channel %d: defined %v and %v, measured %v and %v", c, d.Mean[c], d.Std[c], mean, std)
		}
	}

	file := filepath.Join(t.TempDir(), "mine.json")
	write(t, file, small(`"cifar10-python", "path": "cifar-10-batches-py"`, `"digits"`))
	mine, err := data.Find(file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = mine.Load("nowhere")
	refused(t, err, "small", `"size" [16, 16]`)
}

// newDataset returns a dataset that trains and evaluates on n random images.
func newDataset(t testing.TB, n, size int, augment data.Augment) *data.Dataset {
	t.Helper()
	images := datatest.Synth(n, size, 10, 3)
	ds, err := data.New(data.Definition{
		Name: "random", Classes: 10, Size: [2]int{size, size}, Augment: augment,
		Mean: [3]float64{125.3, 123.0, 113.9}, Std: [3]float64{63.0, 62.1, 66.7},
		Train: data.SplitDefinition{From: "train", Order: data.Shuffle},
		Eval:  []data.SplitDefinition{{Name: "ori-test", From: "test", Order: data.Sequential}},
	}, map[string]*data.Images{"train": images, "test": images})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// Every crop equals the result of the transforms one after another, pixel by pixel.
func TestFillReference(t *testing.T) {
	for _, c := range []struct{ size, padding int }{{32, 4}, {16, 2}, {8, 0}, {4, 4}} {
		ds := newDataset(t, 3, c.size, data.Augment{Flip: true, CropPadding: c.padding})
		e := data.Epoch{Order: []int32{}, Crops: []data.Crop{}}
		for row := range 2*c.padding + 1 {
			for column := range 2*c.padding + 1 {
				for _, flip := range []bool{false, true} {
					e.Order = append(e.Order, int32(len(e.Order)%3))
					e.Crops = append(e.Crops, data.Crop{Flip: flip, Row: int16(row), Column: int16(column)})
				}
			}
		}
		n := 3 * c.size * c.size
		got, labels := make([]float32, len(e.Order)*n), make([]int32, len(e.Order))
		for from, to := range datatest.Batches(&e, 7) {
			datatest.Fill(ds, got[from*n:to*n], labels[from:to], &ds.Train, &e, from, to)
		}
		for k, index := range e.Order {
			image := datatest.Slice(ds.Train.Images, int(index), int(index)+1)
			if labels[k] != image.Labels[0] {
				t.Fatalf("size %d: image %d has label %d, want %d", c.size, k, labels[k], image.Labels[0])
			}
			if want := reference(image, e.Crops[k], c.padding); !slices.Equal(got[k*n:(k+1)*n], want) {
				t.Fatalf("size %d: crop %+v is wrong", c.size, e.Crops[k])
			}
		}

		e.Crops = nil
		datatest.Fill(ds, got, labels, &ds.Eval[0], &e, 0, len(e.Order))
		for k, index := range e.Order {
			centre := data.Crop{Row: int16(c.padding), Column: int16(c.padding)}
			want := reference(datatest.Slice(ds.Train.Images, int(index), int(index)+1), centre, c.padding)
			if !slices.Equal(got[k*n:(k+1)*n], want) {
				t.Fatalf("size %d: image %d without a crop is wrong", c.size, index)
			}
		}
	}
}

func reference(image *data.Images, crop data.Crop, padding int) []float32 {
	size := image.Size
	mirrored := make([][][3]byte, size)
	for y := range mirrored {
		for x := range size {
			from := x
			if crop.Flip {
				from = size - 1 - x
			}
			mirrored[y] = append(mirrored[y], [3]byte(image.Pixels[3*(y*size+from):]))
		}
	}
	padded := make([][][3]byte, size+2*padding)
	for y := range padded {
		padded[y] = make([][3]byte, size+2*padding)
		if y >= padding && y < padding+size {
			copy(padded[y][padding:], mirrored[y-padding])
		}
	}
	mean := [3]float32{float32(125.3 / 255.0), float32(123.0 / 255.0), float32(113.9 / 255.0)}
	std := [3]float32{float32(63.0 / 255.0), float32(62.1 / 255.0), float32(66.7 / 255.0)}
	var out []float32
	for y := range size {
		for x := range size {
			for c, v := range padded[int(crop.Row)+y][int(crop.Column)+x] {
				tensor := float32(v) / 255
				out = append(out, (tensor-mean[c])/std[c])
			}
		}
	}
	return out
}

func profile(t testing.TB, name string) random.Profile {
	t.Helper()
	p, err := random.ProfileByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A transform that is absent draws nothing.
func TestAugmentDraws(t *testing.T) {
	const n = 10
	for _, c := range []struct {
		augment data.Augment
		draws   int // torch words per image under modern
	}{
		{data.Augment{}, 0},
		{data.Augment{Flip: true}, 1},
		{data.Augment{CropPadding: 2}, 2},
		{data.Augment{Flip: true, CropPadding: 2}, 3},
	} {
		ds := newDataset(t, n, 4, c.augment)
		s := data.NewStreams(7, profile(t, "modern"))
		e := ds.TrainEpoch(s, ds.Augment, 0, 4)
		if (e.Crops == nil) != (c.draws == 0) {
			t.Errorf("%+v: %d crops", c.augment, len(e.Crops))
		}
		main := random.NewTorch(7)
		main.Skip(2 + 2 + n*c.draws) // base seed, shuffle's seed
		if got, want := s.Torch.Uint32(), main.Uint32(); got != want {
			t.Errorf("%+v: the main stream has another state after the epoch", c.augment)
		}
		for _, crop := range e.Crops {
			if !c.augment.Flip && crop.Flip || c.augment.CropPadding == 0 && (crop.Row != 0 || crop.Column != 0) {
				t.Errorf("%+v: crop %+v", c.augment, crop)
			}
		}
	}
}

// Profile 1.7 draws a seed, drops it and permutes on the main generator; its crops
// come from torch.
func TestShuffleAfterSeed(t *testing.T) {
	ds := newDataset(t, 20, 4, data.Augment{Flip: true, CropPadding: 1})
	e := ds.TrainEpoch(data.NewStreams(7, profile(t, "1.7")), ds.Augment, 1, 8)
	main := random.NewTorch(7)
	base := main.Int63()
	main.Int63()
	if want := main.Perm(20); e.BaseSeed != base || !slices.Equal(e.Order, want) {
		t.Errorf("base seed %d, order %v, want %d, %v", e.BaseSeed, e.Order, base, want)
	}
	worker := random.NewTorch(uint64(base))
	for k, crop := range e.Crops {
		want := data.Crop{Flip: worker.Float32() < 0.5, Row: int16(worker.Intn(3)), Column: int16(worker.Intn(3))}
		if crop != want {
			t.Fatalf("crop %d is %+v, want %+v", k, crop, want)
		}
	}
}

// Workers beyond the number of batches change nothing.
func TestIdleWorkers(t *testing.T) {
	ds := newDataset(t, 20, 4, data.Augment{Flip: true, CropPadding: 1})
	want := ds.TrainEpoch(data.NewStreams(7, profile(t, "2019")), ds.Augment, 3, 8)
	if got := ds.TrainEpoch(data.NewStreams(7, profile(t, "2019")), ds.Augment, math.MaxInt, 8); !reflect.DeepEqual(got, want) {
		t.Error("the crops depend on workers that load nothing")
	}
}

func TestBatches(t *testing.T) {
	for _, c := range []struct{ n, batch, last int }{{25000, 256, 168}, {50000, 256, 80}, {151700, 256, 148}, {10000, 256, 16}, {512, 256, 256}, {3, 4, 3}} {
		split := data.Split{Images: unseen(c.n, 4)}
		e := data.Epoch{Order: make([]int32, c.n)}
		next, count, last := 0, 0, 0
		for from, to := range datatest.Batches(&e, c.batch) {
			if from != next {
				t.Fatalf("%d images: a batch starts at %d, want %d", c.n, from, next)
			}
			next, last = to, to-from
			count++
		}
		if next != c.n || last != c.last || count != split.Batches(c.batch) {
			t.Errorf("%d images: %d batches up to %d, the last of %d; Split.Batches says %d", c.n, count, next, last, split.Batches(c.batch))
		}
	}
}

func TestCheckBatch(t *testing.T) {
	ds := newDataset(t, 20, 4, data.Augment{})
	if err := ds.CheckBatch(20); err != nil {
		t.Error(err)
	}
	refused(t, ds.CheckBatch(21), "batch of 21 images is larger than the data", "random", "20 training images")
}

func TestUnreadable(t *testing.T) {
	root := t.TempDir()
	images := datatest.Synth(50, 4, 10, 1)
	dir := filepath.Join(root, "cifar-10-batches-py")
	writeFiles(t, dir, "cifar10-python", images, images)
	file := filepath.Join(dir, "data_batch_1")
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	needs.User(t)
	_, err := define(t, root, small()).Load(root)
	refused(t, err, file, fs.ErrPermission.Error())
}

// Real photographs: NB201_PHOTOS names a directory that holds CIFAR-10, or part of
// it, in both versions.
func TestPhotographs(t *testing.T) {
	root := needs.Photos(t)
	d := definitionOfCIFAR10(t)
	d.Images = data.Counts{}
	python, err := d.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	d.Format, d.Path = "cifar10-binary", "cifar-10-batches-bin"
	binaries, err := d.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(python.Train.Images, binaries.Train.Images) || !reflect.DeepEqual(python.Eval[0].Images, binaries.Eval[0].Images) {
		t.Error("the two versions differ")
	}
	t.Logf("%d and %d images", python.Train.Len(), python.Eval[0].Len())
}

func BenchmarkTrainEpoch(b *testing.B) {
	ds, err := data.New(definitionOfCIFAR10(b), map[string]*data.Images{"train": unseen(50000, 32), "test": unseen(10000, 32)})
	if err != nil {
		b.Fatal(err)
	}
	s := data.NewStreams(7, random.Profiles()[0])
	for b.Loop() {
		ds.TrainEpoch(s, ds.Augment, 4, 256)
	}
}

func BenchmarkLoad(b *testing.B) {
	for key, classes := range map[string]int{"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120} {
		b.Run(key, func(b *testing.B) {
			d, err := data.Published(key)
			if err != nil {
				b.Fatal(err)
			}
			d.Images, d.Eval = data.Counts{}, d.Eval[:1]
			train, test := datatest.Synth(5000, d.Size[0], classes, 1), datatest.Synth(1000, d.Size[0], classes, 2)
			root := b.TempDir()
			writeFiles(b, filepath.Join(root, d.Path), d.Format, train, test)
			b.SetBytes(int64(len(train.Pixels) + len(test.Pixels)))
			for b.Loop() {
				if _, err := d.Load(root); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func definitionOfCIFAR10(t testing.TB) data.Definition {
	t.Helper()
	d, err := data.Published("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	return d
}
