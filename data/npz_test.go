package data_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
)

// npyFiles returns the arrays of images, with some of them replaced.
func npyFiles(images *data.Images, changes map[string]datatest.Array) map[string][]byte {
	files := map[string][]byte{}
	for name, text := range datatest.Files("npy", images, images) {
		files[name] = text
	}
	for name, a := range changes {
		files[name+".npy"] = datatest.Npy(a)
	}
	return files
}

// deflated returns an .npz file as numpy.savez_compressed writes it.
func deflated(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, text := range files {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// loadArrays loads the arrays from a directory and from a compressed file.
func loadArrays(t testing.TB, files map[string][]byte) (ofNpy, ofNpz *data.Dataset, errNpy, errNpz error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, "arrays", name), text)
	}
	write(t, filepath.Join(dir, "arrays.npz"), deflated(t, files))
	ofNpy, errNpy = define(t, dir, small(`"cifar10-python"`, `"npy"`, `"cifar-10-batches-py"`, `"arrays"`)).Load("")
	ofNpz, errNpz = define(t, dir, small(`"cifar10-python"`, `"npz"`, `"cifar-10-batches-py"`, `"arrays.npz"`)).Load("")
	return ofNpy, ofNpz, errNpy, errNpz
}

// Grey images get three equal channels; labels may form a column.
func TestArrays(t *testing.T) {
	images := datatest.Synth(30, 4, 10, 1)
	var grey, labels []byte
	for i := 0; i < len(images.Pixels); i += 3 {
		images.Pixels[i+1], images.Pixels[i+2] = images.Pixels[i], images.Pixels[i]
		grey = append(grey, images.Pixels[i])
	}
	for _, l := range images.Labels {
		labels = append(labels, byte(l))
	}
	for _, shape := range [][]int{{30, 4, 4}, {30, 4, 4, 1}} {
		ofNpy, ofNpz, err1, err2 := loadArrays(t, npyFiles(images, map[string]datatest.Array{
			"x_train": {DType: "u1", Shape: shape, Bytes: grey},
			"y_train": {DType: "u1", Shape: []int{30, 1}, Bytes: labels},
		}))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for _, ds := range []*data.Dataset{ofNpy, ofNpz} {
			if !reflect.DeepEqual(ds.Train.Images, images) || !reflect.DeepEqual(ds.Eval[0].Images, images) {
				t.Errorf("shape %v: the images are not those in the files", shape)
			}
		}
		if ofNpy.Files[1].Name != "arrays/y_train.npy" || len(ofNpy.Files) != 4 || len(ofNpz.Files) != 1 {
			t.Errorf("read %v and %v", ofNpy.Files, ofNpz.Files)
		}
	}
}

func TestArrayErrors(t *testing.T) {
	images := datatest.Synth(30, 4, 10, 1)
	array := func(dtype string, size int, shape ...int) datatest.Array {
		for _, n := range shape {
			size *= n
		}
		return datatest.Array{DType: dtype, Shape: shape, Bytes: bytes.Repeat([]byte{1}, size)}
	}
	for _, c := range []struct {
		name string
		a    datatest.Array
		want string
	}{
		{"x_train", array("f4", 4, 30, 4, 4, 3), "x_train is not an array of uint8"},
		{"x_train", array("i1", 1, 30, 4, 4, 3), "x_train is not an array of uint8"},
		{"x_train", array("u1", 1, 30, 48), "x_train has the shape [30 48]; use [N, H, W]"},
		{"x_train", array("u1", 1, 30, 3, 4, 4), "x_train has the shape [30 3 4 4]; use [N, H, W]"},
		{"x_train", array("u1", 1, 30, 8, 8, 3), `x_train has images of 8x8 pixels, but the definition's "size" is 4x4`},
		{"x_train", array("u1", 1, 29, 4, 4, 3), "x_train has 29 images, but y_train has 30 labels"},
		{"x_test", array("u1", 1, 0, 4, 4, 3), "x_test has 0 images, but y_test has 30 labels"},
		{"y_train", array("f4", 4, 30), "y_train is an array of float32 of shape [30], not a list of whole numbers"},
		{"y_train", array("u1", 1, 30, 2), "y_train is an array of uint8 of shape [30 2]"},
		{"y_train", array("u1", 1), "y_train is an array of uint8 of shape []"},
		{"y_test", datatest.Array{DType: "u1", Shape: []int{30}, Bytes: append(make([]byte, 29), 10)}, "y_test: label 29 is 10, but must be from 0 to 9"},
		{"y_test", datatest.Array{DType: "i1", Shape: []int{30}, Bytes: bytes.Repeat([]byte{255}, 30)}, "y_test: label 0 is -1, but must be from 0 to 9"},
	} {
		_, _, err1, err2 := loadArrays(t, npyFiles(images, map[string]datatest.Array{c.name: c.a}))
		refused(t, err1, "arrays: "+c.want)
		refused(t, err2, "arrays.npz: "+c.want)
	}
	for _, name := range []string{"x_train", "y_test"} {
		files := npyFiles(images, nil)
		delete(files, name+".npy")
		_, _, err1, err2 := loadArrays(t, files)
		refused(t, err1, "arrays: "+name+" is missing")
		refused(t, err2, "arrays.npz: "+name+" is missing")
	}
}

// folder writes class directories of pictures and returns their definition.
func folder(t *testing.T, files map[string][]byte) data.Definition {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, "pictures", name), text)
	}
	return define(t, dir, small(`"cifar10-python"`, `"image-folder"`, `"cifar-10-batches-py"`, `"pictures"`, `"classes": 10`, `"classes": 2`))
}

// Class directories are listed as ImageFolder does, and a record has one hash for each
// stored split, that of sha256sum's output.
func TestImageFolder(t *testing.T) {
	images := datatest.Synth(6, 4, 2, 1)
	picture := func(i int) []byte { return datatest.PNG(datatest.Slice(images, i, i+1)) }
	ds, err := folder(t, map[string][]byte{
		"train/b/b/1.png": picture(5), "train/b/b-c/2.png": picture(4), "train/b/z.PNG": picture(3), "train/a/x.png": picture(1), "train/a/X.png": picture(0),
		"train/a/Thumbs.db": {1}, "train/.DS_Store": {1}, "train/.hidden/1.png": {1}, "train/notes.txt": {1}, "train/b/.1.png": {1},
		"test/b/1.png": picture(2),
	}).Load("")
	if err != nil {
		t.Fatal(err)
	}
	want := &data.Images{Size: 4, Labels: []int32{0, 0, 1, 1, 1}}
	for _, i := range []int{0, 1, 3, 5, 4} {
		want.Pixels = append(want.Pixels, datatest.Slice(images, i, i+1).Pixels...)
	}
	if !reflect.DeepEqual(ds.Train.Images, want) {
		t.Errorf("the training images are not in ImageFolder's order: labels %v", ds.Train.Images.Labels)
	}
	if ds.Eval[0].Images.Labels[0] != 1 {
		t.Error("the class b of test has the label of a")
	}
	lines := fmt.Sprintf("%s  b/1.png\n", sha(picture(2)))
	if f := ds.Files[1]; len(ds.Files) != 2 || f.Name != "pictures/test" || f.SHA256 != sha([]byte(lines)) {
		t.Errorf("read %v", ds.Files)
	}
}

func TestImageFolderErrors(t *testing.T) {
	image := datatest.PNG(datatest.Synth(1, 4, 2, 1))
	good := map[string][]byte{"train/a/1.png": image, "train/b/1.png": image, "test/a/1.png": image}
	for _, c := range []struct {
		add, remove string
		text        []byte
		want        string
	}{
		{add: "train/c/1.png", text: image, want: "pictures/train has 3 class directories, but the definition has 2 classes"},
		{add: "test/c/1.png", text: image, want: `pictures/test has the class "c", which the training images lack`},
		{remove: "test/a/1.png", add: "test/a/1.gif", text: image, want: "pictures/test contains no pictures"},
		{remove: "test/a/1.png", want: "pictures/test: no such file or directory"},
		{add: "train/a/2.jpg", text: []byte("no picture"), want: "train/a/2.jpg"},
	} {
		files := map[string][]byte{}
		for name, text := range good {
			if name != c.remove {
				files[name] = text
			}
		}
		if c.add != "" {
			files[c.add] = c.text
		}
		_, err := folder(t, files).Load("")
		refused(t, err, c.want)
	}
	d := folder(t, good)
	for _, link := range []struct{ name, to, want string }{
		{"loop", ".", "is a link to a directory that contains it"},
		{"gone.png", "nowhere", "gone.png: no such file or directory"},
	} {
		where, _, err := d.Where("")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(where, "train", "a", link.name)
		if err := os.Symlink(link.to, path); err != nil {
			t.Fatal(err)
		}
		_, err = d.Load("")
		refused(t, err, link.want)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
