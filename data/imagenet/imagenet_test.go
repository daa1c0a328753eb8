package imagenet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
	"nb201/data/picture"
	"nb201/internal/needs"
	"nb201/internal/usage"
)

func TestClasses(t *testing.T) {
	all := classes()
	if len(all) != 120 {
		t.Fatalf("%d classes", len(all))
	}
	if all[0] != (class{"n02119789", "kit_fox"}) || all[119] != (class{"n02397096", "warthog"}) {
		t.Errorf("from %v to %v", all[0], all[119])
	}
	line := regexp.MustCompile(`(?m)^n\d{8} (\d+) \S+$`)
	seen := map[string]bool{}
	for i, m := range line.FindAllStringSubmatch(classList, -1) {
		if m[1] != fmt.Sprint(i+1) || seen[all[i].synset] {
			t.Errorf("class %d: %s", i+1, m[0])
		}
		seen[all[i].synset] = true
	}
	if len(seen) != 120 {
		t.Errorf("%d lines", len(seen))
	}
}

// The order is that of CPython's random.Random(0).shuffle(list(range(12))).
func TestShuffled(t *testing.T) {
	if got, want := shuffled(12), []int32{1, 9, 8, 5, 10, 2, 3, 7, 4, 0, 11, 6}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

// painted returns a different picture for each n.
func painted(n int) image.Image {
	im := image.NewNRGBA(image.Rect(0, 0, 9+n%31, 8+n%23))
	for y := range im.Rect.Dy() {
		for x := range im.Rect.Dx() {
			im.SetNRGBA(x, y, color.NRGBA{byte(n*7 + x*5), byte(n*13 + y*9), byte(n + x*y), 255})
		}
	}
	return im
}

// writePicture writes the picture painted(n), in a format that depends on n.
func writePicture(t *testing.T, path string, n int) {
	t.Helper()
	var text bytes.Buffer
	var err error
	switch n % 5 {
	case 0:
		var cmyk []byte
		cmyk, err = os.ReadFile(filepath.Join("..", "picture", "testdata", "cmyk.jpg"))
		text.Write(cmyk)
	case 1, 2:
		err = png.Encode(&text, painted(n)) // the name says JPEG
	default:
		err = jpeg.Encode(&text, painted(n), nil)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o777)
	}
	if err == nil {
		err = os.WriteFile(path, text.Bytes(), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writeFolder makes an ImageNet folder with one to three training pictures and two
// validation pictures per class, and a directory of another class.
func writeFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	n := 0
	for label, c := range classes() {
		for i := range 1 + label%3 {
			writePicture(t, filepath.Join(dir, "train", c.synset, fmt.Sprintf("%s_%d.JPEG", c.synset, i)), n)
			n++
		}
		for i := range 2 {
			number := 1 + (label*37+i*500)%1000 // so that the numbers are not in the order of labels
			writePicture(t, filepath.Join(dir, "val", c.synset, fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", number)), n)
			n++
		}
	}
	writePicture(t, filepath.Join(dir, "train", "n01440764", "n01440764_1.JPEG"), n)
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, "train", classes()[0].synset, name), []byte("no picture"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(".hidden.JPEG")
	write("readme.txt")
	return dir
}

// stored reads the files as the dataset key's reader does.
func stored(t *testing.T, dir string) (train, validation *data.Images) {
	t.Helper()
	train, validation, err := readBatches(dir)
	if err != nil {
		t.Fatal(err)
	}
	return train, validation
}

// made calls Make with a new directory.
func made(t *testing.T, o Options) (Result, string) {
	t.Helper()
	o.To = filepath.Join(t.TempDir(), "cifar.python", "ImageNet16")
	o.AnyCount = true
	r, err := Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r, o.To
}

// squeezed returns the pixels of a picture as the files should store them.
func squeezed(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	im, err := picture.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return im.Square(16)
}

func TestFolder(t *testing.T) {
	dir := writeFolder(t)
	var last, total int64
	r, to := made(t, Options{From: dir, Progress: func(_ string, n, of int64) { last, total = n, of }})
	if r.Source != Folder || r.Train != 240 || r.Validation != 240 || len(r.Unreadable) != 0 || r.Loads || r.Path != to {
		t.Errorf("%+v", r)
	}
	if last != 480 || total != 480 {
		t.Errorf("the progress ends with %d of %d pictures", last, total)
	}
	train, validation := stored(t, to)

	var files []string
	var labels []int32
	for label, c := range classes() {
		names, err := filepath.Glob(filepath.Join(dir, "train", c.synset, "n*.JPEG"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			files, labels = append(files, name), append(labels, int32(label))
		}
	}
	for i, place := range shuffled(len(files)) {
		if train.Labels[i] != labels[place] || !bytes.Equal(train.Pixels[i*768:][:768], squeezed(t, files[place])) {
			t.Errorf("image %d is not %s", i, files[place])
		}
	}

	paths, err := filepath.Glob(filepath.Join(dir, "val", "*", "*.JPEG"))
	if err != nil || len(paths) != validation.Len() {
		t.Fatal(len(paths), err)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	for i, path := range paths {
		synset := filepath.Base(filepath.Dir(path))
		if classes()[validation.Labels[i]].synset != synset || !bytes.Equal(validation.Pixels[i*768:][:768], squeezed(t, path)) {
			t.Errorf("image %d of validation is not %s", i, path)
		}
	}
}

// flatten moves the validation pictures into one directory, adds pictures of other classes,
// and returns the text of the labels.
func flatten(t *testing.T, dir string) string {
	t.Helper()
	labels := make([]int, 1000)
	for i := range labels {
		labels[i] = 121 + i%880
	}
	for label, c := range classes() {
		paths, err := filepath.Glob(filepath.Join(dir, "val", c.synset, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			var number int
			if _, err := fmt.Sscanf(filepath.Base(path), "ILSVRC2012_val_%d.JPEG", &number); err != nil {
				t.Fatal(err)
			}
			labels[number-1] = label + 1
			if err := os.Rename(path, filepath.Join(dir, "val", filepath.Base(path))); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "val", c.synset)); err != nil {
			t.Fatal(err)
		}
	}
	other := slices.Index(labels, 500)
	writePicture(t, filepath.Join(dir, "val", fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", other+1)), 1)
	return strings.Trim(fmt.Sprint(labels), "[]")
}

// Validation pictures in one directory, with labels, yield the same files as in class
// directories.
func TestFlatValidation(t *testing.T) {
	dir := writeFolder(t)
	_, classed := made(t, Options{From: dir})
	labels := strings.ReplaceAll(flatten(t, dir), " ", "\n") + "\n"
	apart := filepath.Join(t.TempDir(), "labels.txt")
	kit := filepath.Join(dir, "ILSVRC2012_devkit_t12", "data")
	if err := os.MkdirAll(kit, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{apart, filepath.Join(kit, groundTruth)} {
		if err := os.WriteFile(path, []byte(labels), 0o666); err != nil {
			t.Fatal(err)
		}
		labels = "\xef\xbb\xbf" + labels // once with a byte order mark
	}
	for _, o := range []Options{{From: dir}, {From: dir, Labels: apart}} {
		_, flat := made(t, o)
		for _, name := range []string{"val_data", "train_data_batch_3"} {
			want, err := os.ReadFile(filepath.Join(classed, name))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(flat, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s differs (%v)", name, err)
			}
		}
	}
}

// writeBatches writes files of downsampled ImageNet to a new directory.
func writeBatches(t *testing.T, train, validation *data.Images) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range datatest.Files("imagenet16", train, validation) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// firstClasses returns the images of the first 120 classes.
func firstClasses(images *data.Images) *data.Images {
	kept := &data.Images{Size: images.Size}
	for i, label := range images.Labels {
		if label < 120 {
			kept.Labels = append(kept.Labels, label)
			kept.Pixels = append(kept.Pixels, images.Pixels[i*768:][:768]...)
		}
	}
	return kept
}

func TestBatches(t *testing.T) {
	train, validation := datatest.Synth(20000, 16, 1000, 1), datatest.Synth(900, 16, 1000, 2)
	r, to := made(t, Options{From: writeBatches(t, train, validation)})
	wantTrain, wantValidation := firstClasses(train), firstClasses(validation)
	if r.Source != Batches || r.Train != wantTrain.Len() || r.Validation != wantValidation.Len() || r.Loads {
		t.Errorf("%+v", r)
	}
	gotTrain, gotValidation := stored(t, to)
	for _, pair := range [][2]*data.Images{{gotTrain, wantTrain}, {gotValidation, wantValidation}} {
		if !slices.Equal(pair[0].Labels, pair[1].Labels) || !bytes.Equal(pair[0].Pixels, pair[1].Pixels) {
			t.Error("other images or another order")
		}
	}
}

// With the published numbers of images, the dataset key loads the files.
func TestPublishedCounts(t *testing.T) {
	needs.Long(t, "makes 157,700 images")
	from := writeBatches(t, datatest.Synth(151700, 16, 120, 1), datatest.Synth(6000, 16, 120, 2))
	root := t.TempDir()
	r, err := Make(t.Context(), Options{From: from, To: filepath.Join(root, "cifar.python", "ImageNet16")})
	if err != nil || !r.Loads {
		t.Fatalf("%+v %v", r, err)
	}
	d, err := data.Published(Key)
	if err != nil {
		t.Fatal(err)
	}
	ds, err := d.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if ds.Train.Len() != 151700 || ds.Eval[0].Len() != 6000 {
		t.Errorf("%d and %d images", ds.Train.Len(), ds.Eval[0].Len())
	}
}

func TestWrongInput(t *testing.T) {
	whole := writeFolder(t)
	lacking := writeFolder(t)
	for _, c := range classes()[3:7] {
		if err := os.RemoveAll(filepath.Join(lacking, "train", c.synset)); err != nil {
			t.Fatal(err)
		}
	}
	validation := writeFolder(t)
	if err := os.RemoveAll(filepath.Join(validation, "val", "n02100735")); err != nil {
		t.Fatal(err)
	}
	trainOnly := writeFolder(t)
	if err := os.RemoveAll(filepath.Join(trainOnly, "val")); err != nil {
		t.Fatal(err)
	}
	flat := writeFolder(t)
	labels := flatten(t, flat)
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "labels")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	damaged := writeBatches(t, datatest.Synth(3000, 16, 120, 1), datatest.Synth(100, 16, 120, 2))
	if err := os.Truncate(filepath.Join(damaged, "train_data_batch_4"), 5000); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"no directory", Options{From: "nowhere"}, "nowhere is not a directory; name an ImageNet folder"},
		{"neither", Options{From: t.TempDir()}, "contains neither train, a directory of an ImageNet folder, nor train_data_batch_1, a file of downsampled ImageNet"},
		{"there", Options{From: whole, To: t.TempDir()}, "already exists; name another directory"},
		{"in a file", Options{From: whole, To: filepath.Join(file(""), "a", "b")}, "cannot write"},
		{"classes", Options{From: lacking, AnyCount: true}, "train has no pictures of 4 of the 120 classes: n02096294 (Australian_terrier), n02102040 (English_springer), n02066245 (grey_whale) and 1 more"},
		{"classes of validation", Options{From: validation, AnyCount: true}, "val has no pictures of 1 of the 120 classes: n02100735 (English_setter)"},
		{"no validation", Options{From: trainOnly, AnyCount: true}, "has no directory val"},
		{"counts", Options{From: whole}, "has 240 training images and 240 validation images of the 120 classes, but ImageNet16-120 has 151700 and 6000; add the missing ones, or accept these numbers with --any-count"},
		{"no labels", Options{From: flat, AnyCount: true}, "does not contain ILSVRC2012_validation_ground_truth.txt"},
		{"missing labels", Options{From: flat, AnyCount: true, Labels: "nowhere"}, "cannot read the labels"},
		{"few labels", Options{From: flat, AnyCount: true, Labels: file("1 2 3")}, "its name must end in a number from 1 to 3, that of its label in"},
		{"large label", Options{From: flat, AnyCount: true, Labels: file(strings.Replace(labels, "1", "1001", 1))}, `label 1 is "1001`},
		{"label of letters", Options{From: flat, AnyCount: true, Labels: file("n02100735" + labels)}, `label 1 is "n02100735`},
		{"damaged batch", Options{From: damaged, AnyCount: true}, "train_data_batch_4: "},
	}
	for _, test := range tests {
		made := test.o.To == ""
		if made {
			test.o.To = filepath.Join(t.TempDir(), "made", "here")
		}
		_, err := Make(t.Context(), test.o)
		if err == nil || !usage.Is(err) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, not %q", test.name, err, test.want)
		}
		if made {
			if left, err := filepath.Glob(filepath.Join(test.o.To, "..", "..", "*")); err != nil || len(left) != 0 {
				t.Errorf("%s: left %v", test.name, left)
			}
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir := writeFolder(t)
	broken := []string{
		filepath.Join(dir, "train", "n02397096", "n02397096_0.JPEG"),
		filepath.Join(dir, "train", "n02397096", "n02397096_9.JPEG"),
		filepath.Join(dir, "val", "n02397096", "ILSVRC2012_val_00009999.JPEG"),
	}
	for i, text := range []string{"", "no picture", "\xff\xd8"} {
		if err := os.WriteFile(broken[i], []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{From: dir, To: filepath.Join(t.TempDir(), "made"), AnyCount: true}
	r, err := Make(t.Context(), o)
	if want := "3 of the 482 pictures in " + dir + " cannot be read: " + broken[0] + " is neither"; err == nil || !usage.Is(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, not %q", err, want)
	}
	if _, err := os.Stat(o.To); err == nil {
		t.Error("files were made")
	}
	o.SkipUnreadable = true
	skipped, err := Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Result{r, skipped} {
		if len(r.Unreadable) != 3 || !slices.EqualFunc(r.Unreadable, broken, strings.HasPrefix) {
			t.Errorf("unreadable: %q", r.Unreadable)
		}
	}
	train, validation := stored(t, o.To)
	if skipped.Train != 239 || train.Len() != 239 || skipped.Validation != 240 || validation.Len() != 240 {
		t.Errorf("%d and %d images, reported as %d and %d", train.Len(), validation.Len(), skipped.Train, skipped.Validation)
	}
}

func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{From: writeFolder(t), To: filepath.Join(t.TempDir(), "made"), AnyCount: true, Progress: func(_ string, n, _ int64) {
		if n == 20 {
			cancel()
		}
	}}
	if _, err := Make(ctx, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(o.To)); err != nil || len(left) != 0 {
		t.Errorf("left %v", left)
	}
	order := inOrder(20)
	images := datatest.Synth(20, 16, 120, 1)
	if err := writeFiles(ctx, t.TempDir(), images, order, images); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The original's reader reads the files, and the pixels of lossless pictures are those of
// Pillow's box filter.
func TestPython(t *testing.T) {
	python := needs.Python(t)
	dir := writeFolder(t)
	_, to := made(t, Options{From: dir})
	script := filepath.Join(t.TempDir(), "check.py")
	if err := os.WriteFile(script, []byte(check), 0o666); err != nil {
		t.Fatal(err)
	}
	synsets := []string{script, dir, to}
	for _, c := range classes() {
		synsets = append(synsets, c.synset)
	}
	out, err := exec.Command(python, synsets...).CombinedOutput()
	if want := "240 240 119\n1 True\nequal 96 of 96, near 144 of 144\nmean True\n"; err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

const check = `
import glob, importlib.util, os, pickle, random, sys
import numpy as np
from PIL import Image
# The package around this module wants torchvision.
root = importlib.util.find_spec("xautodl").submodule_search_locations[0]
spec = importlib.util.spec_from_file_location("original", root + "/datasets/DownsampledImageNet.py")
original = importlib.util.module_from_spec(spec)
spec.loader.exec_module(original)
ImageNet16 = original.ImageNet16
folder, made, synsets = sys.argv[1], sys.argv[2], sys.argv[3:]
ImageNet16._check_integrity = lambda self: True  # the files are not the published ones
train, val = ImageNet16(made, True, None, 120), ImageNet16(made, False, None, 119)
print(len(train), len(val) + 2, max(val.targets))
entry = pickle.load(open(made + "/val_data", "rb"), encoding="latin1")
print(min(entry["labels"]), set(map(type, entry["labels"])) == {int} and "mean" not in entry)
files = [f for s in synsets for f in sorted(glob.glob(folder + "/train/" + s + "/n*.JPEG"))]
random.Random(0).shuffle(files)
equal = near = exact = 0
for file, pixels, label in zip(files, train.data, train.targets):
    assert synsets[label - 1] == os.path.basename(os.path.dirname(file))
    im = Image.open(file)
    lossless = im.format == "PNG"
    want = np.asarray(im.convert("RGB").resize((16, im.height), Image.BOX).resize((16, 16), Image.BOX)).astype(int)
    exact += lossless
    equal += lossless and (want == pixels).all()
    near += not lossless and abs(want - pixels).max() <= 3
print("equal %d of %d, near %d of %d" % (equal, exact, near, len(files) - exact))
raw = [pickle.load(open("%s/train_data_batch_%d" % (made, i), "rb"), encoding="latin1") for i in range(1, 11)]
assert all(len(r["labels"]) == 24 and r["data"].shape == (24, 768) and r["data"].dtype == np.uint8 for r in raw)
mean = np.mean(np.concatenate([r["data"] for r in raw]), axis=0)
print("mean", all(r["mean"].dtype == np.float64 and (r["mean"] == mean).all() for r in raw))
`
