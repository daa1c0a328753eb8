package data_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/needs"
)

// The suite that the reader of every format passes. The files are written by datatest,
// the pixels that training sees are computed by reference: neither shares code with
// the readers. TestDigits tests the digits, which are embedded.

// stored is a dataset in the files of a format.
type stored struct {
	format      string
	classes     int
	train, test *data.Images // as a reader must return them
	files       map[string][]byte
	dir         string // of the files
	definition  data.Definition
}

// formatsOfFiles lists the formats to test.
func formatsOfFiles() []string {
	return slices.DeleteFunc(data.Formats(), func(f string) bool { return f == "digits" })
}

// store writes a dataset with at least one image of every class.
func store(t testing.TB, format string, size, classes int) *stored {
	t.Helper()
	s := &stored{
		format: format, classes: classes, files: map[string][]byte{}, dir: filepath.Join(t.TempDir(), "images"),
		train: datatest.Synth(3*classes+60, size, classes, 1), test: datatest.Synth(classes+2, size, classes, 2),
	}
	for i := range classes {
		s.train.Labels[i], s.test.Labels[i] = int32(i), int32(i)
	}
	for name, text := range datatest.Files(format, s.train, s.test) {
		s.files[name] = text
		write(t, filepath.Join(s.dir, name), text)
	}
	path := "images"
	switch format {
	case "npz":
		path = "images/" + datatest.ArchiveName
	case "image-folder":
		s.train, s.test = datatest.ByClass(s.train), datatest.ByClass(s.test)
	}
	s.definition = define(t, filepath.Dir(s.dir), fmt.Appendf(nil, `{ "name": "conforming", "format": %q, "path": %q,
  "classes": %d, "images": { "train": %d, "test": %d }, "size": [%d, %d],
  "mean": [125.3, 123.0, 113.9], "std": [63.0, 62.1, 66.7],
  "augment": { "flip": true, "crop_padding": %d },
  "train": { "from": "train", "order": "shuffle" },
  "eval": [ { "name": "ori-test", "from": "test", "order": "sequential" } ] }`,
		format, path, classes, s.train.Len(), s.test.Len(), size, size, size/8))
	return s
}

func (s *stored) load(t testing.TB) *data.Dataset {
	t.Helper()
	ds, err := s.definition.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func TestConformance(t *testing.T) {
	for _, format := range formatsOfFiles() {
		for _, c := range []struct{ size, classes int }{{4, 2}, {16, 120}, {20, 7}, {32, 10}, {64, 3}} {
			s := store(t, format, c.size, c.classes)
			name := fmt.Sprintf("%s-%d", format, c.size)
			t.Run(name+"/reads", s.reads)
			t.Run(name+"/augments", s.augments)
			t.Run(name+"/counts", s.counts)
			t.Run(name+"/memory", s.memory)
			t.Run(name+"/finds", s.finds)
		}
		s := store(t, format, 8, 4)
		t.Run(format+"/labels", s.labels)
		t.Run(format+"/missing", s.missing)
		t.Run(format+"/truncated", s.truncated)
		t.Run(format+"/bytes", s.bytes)
	}
}

// reads: the images and labels are those of the files, in order.
func (s *stored) reads(t *testing.T) {
	ds := s.load(t)
	if !reflect.DeepEqual(ds.Train.Images, s.train) || !reflect.DeepEqual(ds.Eval[0].Images, s.test) {
		t.Error("the images are not those in the files")
	}
	if len(ds.Files) == 0 {
		t.Error("no files for the record")
	}
	if again := s.load(t); !slices.Equal(again.Files, ds.Files) {
		t.Errorf("the same files are described by %v and %v", ds.Files, again.Files)
	}
}

// augments: two epochs of batches are right, pixel by pixel.
func (s *stored) augments(t *testing.T) {
	const batch = 5
	ds := s.load(t)
	streams := data.NewStreams(7, profile(t, "2019"))
	n := 3 * ds.Size * ds.Size
	pixels, labels := make([]float32, batch*n), make([]int32, batch)
	for range 2 {
		for _, pass := range []struct {
			split  *data.Split
			images *data.Images
			epoch  data.Epoch
		}{
			{&ds.Train, s.train, ds.TrainEpoch(streams, ds.Augment, 2, batch)},
			{&ds.Eval[0], s.test, ds.EvalEpoch(streams, 0)},
		} {
			seen := slices.Sorted(slices.Values(pass.epoch.Order))
			for i, v := range seen {
				if int(v) != i || len(seen) != pass.images.Len() {
					t.Fatalf("the epoch goes through %v, not every image once", seen)
				}
			}
			for from, to := range datatest.Batches(&pass.epoch, batch) {
				datatest.Fill(ds, pixels, labels, pass.split, &pass.epoch, from, to)
				for k, place := range pass.epoch.Order[from:to] {
					crop, padding := data.Crop{}, 0
					if pass.epoch.Crops != nil {
						crop, padding = pass.epoch.Crops[from+k], s.definition.Augment.CropPadding
					}
					image := datatest.Slice(pass.images, int(place), int(place)+1)
					if labels[k] != image.Labels[0] || !slices.Equal(pixels[k*n:][:n], reference(image, crop, padding)) {
						t.Fatalf("image %d of %s differs from the result of its transforms", place, pass.split.Name)
					}
				}
			}
		}
	}
}

// counts: numbers of images that differ from the definition's are refused.
func (s *stored) counts(t *testing.T) {
	d := s.definition
	d.Images.Train++
	_, err := d.Load("")
	refused(t, err, "conforming", fmt.Sprint(s.train.Len()), fmt.Sprint(s.train.Len()+1))
	d.Images = data.Counts{Test: s.test.Len() - 1}
	_, err = d.Load("")
	refused(t, err, "conforming", fmt.Sprint(s.test.Len()), fmt.Sprint(s.test.Len()-1))
}

// memory: reading allocates little beyond the files and the pixels.
func (s *stored) memory(t *testing.T) {
	size := uint64(len(s.train.Pixels) + len(s.test.Pixels))
	for _, text := range s.files {
		size += uint64(len(text))
	}
	// A decoder of pictures also allocates tables, 50 kB a picture.
	most := 4<<20 + 8*size + 50<<10*uint64(len(s.files))
	if used := allocated(func() { s.load(t) }); used > most {
		t.Errorf("allocated %d bytes for %d, more than %d", used, size, most)
	}
}

// allocated returns the number of bytes that f allocates in total.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// finds: FindFiles describes the files that Load reads, including lists of indices, and
// reports missing files.
func (s *stored) finds(t *testing.T) {
	d := s.definition
	for name, text := range map[string]string{"some.json": "[0, 1, 2]", "others.json": "[1, 2]"} {
		write(t, filepath.Join(filepath.Dir(s.dir), name), []byte(text))
		for _, from := range []string{"train", "test"} {
			d.Eval = append(d.Eval, data.SplitDefinition{Name: from + "-" + name, From: from, Indices: name, Order: data.Subset})
		}
	}
	wantFound(t, d, "")
	for name, text := range s.files {
		path := filepath.Join(s.dir, name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if s.format != "image-folder" { // which then has one picture less
			_, err := d.FindFiles("")
			refused(t, err)
		}
		write(t, path, text)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(s.dir), "some.json")); err != nil {
		t.Fatal(err)
	}
	_, err := d.FindFiles("")
	refused(t, err, "some.json")
}

// wantFound makes sure that FindFiles and Load describe the same files.
func wantFound(t *testing.T, d data.Definition, root string) {
	t.Helper()
	ds, err := d.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	found, err := d.FindFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := found.Describe(t.Context()); err != nil || !slices.Equal(got, ds.Files) {
		t.Errorf("found %v, %v; Load reads %v", got, err, ds.Files)
	}
}

// FindFiles also describes the digits and published splits, which are embedded.
func TestFindEmbedded(t *testing.T) {
	digits, err := data.Published("digits")
	if err != nil {
		t.Fatal(err)
	}
	wantFound(t, digits, "")
}

// labels: classes beyond the definition's are refused, except in ImageNet's files, of which
// only the first classes are read.
func (s *stored) labels(t *testing.T) {
	d := s.definition
	d.Classes--
	_, err := d.Load("")
	if s.format != "imagenet16" {
		refused(t, err, s.dir)
		return
	}
	refused(t, err, "conforming", "training images") // the count differs
	d.Images = data.Counts{}
	ds, err := d.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if slices.Max(ds.Train.Images.Labels) != int32(s.classes)-2 {
		t.Errorf("labels up to %d of %d classes", slices.Max(ds.Train.Images.Labels), s.classes-1)
	}
}

// missing: the dataset is refused if a file is missing or is a directory.
func (s *stored) missing(t *testing.T) {
	for name, text := range s.files {
		path := filepath.Join(s.dir, name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, err := s.definition.Load("")
		refused(t, err)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err = s.definition.Load("")
		refused(t, err)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, path, text)
	}
	s.load(t)
}

// truncated: a file that is cut short anywhere is refused by name.
func (s *stored) truncated(t *testing.T) {
	for name, text := range s.files {
		path := filepath.Join(s.dir, name)
		cuts := []int{0, 1, 2, len(text) - 1}
		for k := range 8 {
			cuts = append(cuts, k*len(text)/8)
		}
		for _, n := range cuts {
			write(t, path, text[:n])
			_, err := s.definition.Load("")
			if err == nil {
				t.Errorf("%s: the first %d of %d bytes pass", name, n, len(text))
				continue
			}
			refused(t, err, s.dir)
		}
		write(t, path, text)
	}
	s.load(t)
}

// bytes: if any byte changes, the dataset is refused in one sentence, or read with all its
// images and with labels within the classes.
func (s *stored) bytes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, text := range s.files {
		path := filepath.Join(s.dir, name)
		for range max(3, 120/len(s.files)) {
			changed := bytes.Clone(text)
			changed[random.IntN(len(changed))] ^= 1 << random.IntN(8)
			write(t, path, changed)
			var ds *data.Dataset
			var err error
			if used := allocated(func() { ds, err = s.definition.Load("") }); used > 64<<20 {
				t.Fatalf("%s: allocated %d bytes for %d", name, used, len(text))
			}
			if err != nil {
				refused(t, err)
				continue
			}
			labels := slices.Concat(ds.Train.Images.Labels, ds.Eval[0].Images.Labels)
			if len(labels) != s.train.Len()+s.test.Len() || slices.Min(labels) < 0 || int(slices.Max(labels)) >= s.classes {
				t.Fatalf("%s: read %d images with labels %v", name, len(labels), labels)
			}
		}
		write(t, path, text)
	}
	s.load(t)
}

// The published definitions on files of full size.
func TestConformanceFullSize(t *testing.T) {
	needs.Long(t, "writes files of full size")
	for key := range publishedSplits {
		t.Run(key, func(t *testing.T) { checkFullSize(t, key) })
	}
}

// checkFullSize writes files of full size for a published key, in the format of its definition, and
// checks that its definition reads the same images from them.
func checkFullSize(t *testing.T, key string) {
	t.Helper()
	sizes := publishedSplits[key]
	d, err := data.Published(key)
	if err != nil {
		t.Fatal(err)
	}
	train, test := datatest.Synth(sizes.train, sizes.size, sizes.classes, 1), datatest.Synth(sizes.test, sizes.size, sizes.classes, 2)
	root := t.TempDir()
	dir := filepath.Join(root, "cifar.python", d.Path)
	writeFiles(t, dir, d.Format, train, test)
	var ds *data.Dataset
	used := allocated(func() { ds, err = d.Load(root) })
	if err != nil {
		t.Fatal(err)
	}
	if most := 8 * uint64(len(train.Pixels)+len(test.Pixels)); used > most {
		t.Errorf("%s: allocated %d bytes, more than %d", key, used, most)
	}
	if found, err := d.FindFiles(root); err != nil {
		t.Error(err)
	} else if files, err := found.Describe(t.Context()); err != nil || !slices.Equal(files, ds.Files) {
		t.Errorf("found %v, %v; Load reads %v", files, err, ds.Files)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	stored := map[string]*data.Images{"train": ds.Train.Images, "test": ds.Eval[0].Images}
	if ds.Eval[0].Name != "ori-test" || !reflect.DeepEqual(stored, map[string]*data.Images{"train": train, "test": test}) {
		t.Errorf("%s: the images are not those in the files", key)
	}
}

// Python reads the same pixels with numpy, pickle and Pillow, as the original program and
// torchvision do.
func TestConformancePython(t *testing.T) {
	python := needs.Python(t)
	type question struct {
		Format  string `json:"format"`
		Dir     string `json:"dir"`
		Size    int    `json:"size"`
		Classes int    `json:"classes"`
	}
	var questions []question
	var sets []*data.Dataset
	for _, format := range formatsOfFiles() {
		for _, size := range []int{16, 32} {
			s := store(t, format, size, 10)
			if format == "imagenet16" { // files of more classes
				s.classes, s.definition.Classes, s.definition.Images = 7, 7, data.Counts{}
			}
			sets = append(sets, s.load(t))
			questions = append(questions, question{format, s.dir, size, s.classes})
		}
	}
	asked, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(python, filepath.Join("testdata", "read_images.py"))
	c.Stdin, c.Stderr = bytes.NewReader(asked), os.Stderr
	said, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	type digests struct{ Pixels, Labels string }
	var answers []map[string]digests
	if err := json.Unmarshal(said, &answers); err != nil || len(answers) != len(sets) {
		t.Fatalf("%d answers to %d questions: %v", len(answers), len(sets), err)
	}
	for i, ds := range sets {
		for split, images := range map[string]*data.Images{"train": ds.Train.Images, "test": ds.Eval[0].Images} {
			if got := (digests{sha(images.Pixels), sha(images.Labels)}); got != answers[i][split] {
				t.Errorf("%s, %d pixels a side: %s is not what Python reads", questions[i].Format, ds.Size, split)
			}
		}
	}
}
