package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
	"nb201/data/importer"
)

// An import prints a table or JSON, and writes a definition that loads.
func TestDataImport(t *testing.T) {
	t.Chdir(t.TempDir())
	train, test := datatest.ByClass(datatest.Synth(30, 16, 3, 1)), datatest.ByClass(datatest.Synth(9, 16, 3, 2))
	for name, text := range datatest.Files("image-folder", train, test) {
		path := filepath.Join("pictures", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken := filepath.Join("pictures", "train", "class_0000", "zzz.jpg")
	if err := os.WriteFile(broken, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"data", "import", "pictures", "--name", "mine", "--to", "sets", "--size", "8", "--flip=false", "--valid-seed", "0"}
	_, stderr, code := nb201(args...)
	if code != 2 || !strings.Contains(stderr, "1 of 40 pictures cannot be read ("+broken+" ") {
		t.Errorf("an unreadable picture: code %d, stderr %q", code, stderr)
	}
	if _, err := os.Stat("sets"); err == nil {
		t.Error("sets was left behind")
	}
	args = append(args, "--skip-unreadable")
	stdout, stderr, code := nb201(args...)
	if code != 0 || !strings.Contains(stderr, "unreadable: "+broken) || !strings.Contains(stderr, "reading: 40 of 40 pictures") {
		t.Fatalf("code %d, stderr %q", code, stderr)
	}
	for _, line := range []string{
		"unreadable  1 picture, left out",
		"classes     3: class_0000, class_0001, class_0002",
		"train       15 images of train",
		"x-valid     15 images of train",
		"ori-test    9 images of test",
		"size        8x8 pixels",
		"train on it:  nb201 train 0 --dataset sets/mine.json --epochs 12 --seed 777 --out mine",
	} {
		if !strings.Contains(stdout, line+"\n") {
			t.Errorf("stdout lacks %q:\n%s", line, stdout)
		}
	}
	stdout, _, code = nb201(append(args, "--force", "--json")...)
	var report importer.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
		t.Fatalf("code %d, %v: %s", code, err, stdout)
	}
	if report.Images != (importer.Images{Train: 15, Test: 9, Valid: 15}) || len(report.Unreadable) != 1 {
		t.Errorf("%+v", report)
	}
	d, err := data.Find(report.Definition)
	if err != nil {
		t.Fatal(err)
	}
	if d.Mean != report.Mean || d.Std != report.Std || d.Augment != (data.Augment{CropPadding: 1}) {
		t.Errorf("definition %+v of %+v", d, report)
	}
	if ds, err := d.Load(""); err != nil || !reflect.DeepEqual(ds.Eval[0].Images.Labels, test.Labels) {
		t.Errorf("the test images have other labels: %v", err)
	}
}

// For a CSV table, an import reports which header and labels it found, and --label must not contradict
// the header.
func TestDataImportTable(t *testing.T) {
	t.Chdir(t.TempDir())
	text := "a,b,c,d,label\n" + strings.Repeat("1,2,3,4,0\n9,8,7,6,1\n", 4)
	if err := os.WriteFile("points.csv", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"data", "import", "points.csv", "--name", "points", "--to", "sets", "--size", "4", "--test", "0.25"}
	_, stderr, code := nb201(append(args, "--label", "first")...)
	const want = `nb201: points.csv: by its header the labels are in the last column ("label"), but --label puts them in the first; correct one of them` + "\n"
	if code != 2 || stderr != want {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	stdout, stderr, code := nb201(args...)
	const warning = "warning: the largest pixel value is 9 of 255, so the images are nearly black; if it means white, scale pixels to 0..255 and import again\n"
	if !strings.HasSuffix(stderr, "\n"+warning) {
		t.Errorf("stderr %q does not end in %q", stderr, warning)
	}
	for _, line := range []string{
		`table       header: skipped; labels: the last of 5 columns, "label"`,
		"classes     2: 0, 1",
		"train       6 images of points.csv",
		"ori-test    2 images of points.csv",
	} {
		if code != 0 || !strings.Contains(stdout, line+"\n") {
			t.Errorf("code %d, stdout lacks %q:\n%s", code, line, stdout)
		}
	}
}
