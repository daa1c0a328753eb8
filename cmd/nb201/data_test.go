package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/data"
	"nb201/data/datatest"
)

// ownDataset writes a dataset of 4x4 pixels in CIFAR-10's binary version, and its definition with the
// correct mean and deviation.
func ownDataset(t *testing.T) (file string) {
	t.Helper()
	dir := t.TempDir()
	images := datatest.Synth(80, 4, 3, 1)
	for name, text := range datatest.Files("cifar10-binary", images, images) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(dir, "mine.json")
	err := os.WriteFile(file, []byte(`{ "name": "mine", "format": "cifar10-binary", "path": ".", "classes": 3, "size": [4, 4],
  "mean": [123.85, 129.51, 128.68], "std": [76.17, 74.17, 75.26], "augment": { "flip": true, "crop_padding": 1 },
  "train": { "from": "train", "half": "first", "half_seed": 7, "order": "subset" },
  "eval": [ { "name": "x-valid", "from": "train", "half": "second", "half_seed": 7, "order": "subset" } ] }`), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDataList(t *testing.T) {
	mine := ownDataset(t)
	stdout, stderr, code := nb201("data", "list", "--data", t.TempDir(), mine)
	if code != 0 || stderr != "" {
		t.Fatalf("code %d, stderr %q", code, stderr)
	}
	for _, line := range []string{
		"cifar100        100      32x32  50000   10000  cifar100-python  none found\n",
		"digits          10       16x16  -       -      digits           part of this program\n",
		"mine            3        4x4    -       -      cifar10-binary   " + filepath.Dir(mine) + "\n",
		"nb201 data get KEY (ImageNet16-120: see nb201 data get --help)",
	} {
		if !strings.Contains(stdout, line) {
			t.Errorf("%q is not in\n%s", line, stdout)
		}
	}
	empty := t.TempDir()
	stdout, _, code = nb201("data", "list", "--data", empty, mine, "--json")
	var list []listedDataset
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != 0 {
		t.Fatalf("code %d, %v:\n%s", code, err, stdout)
	}
	for i, command := range map[int]string{2: "nb201 data get cifar100", 3: "nb201 data imagenet16 --from DIR"} {
		if want := ", or run `" + command + " --data " + empty + "`"; !strings.HasSuffix(list[i].Problem, want) {
			t.Errorf("%q does not end in %q", list[i].Problem, want)
		}
	}
	if last := list[len(list)-1]; len(list) != 6 || last.Key != "mine" || last.Path != filepath.Dir(mine) ||
		list[0].Problem == "" || !list[4].Embedded {
		t.Errorf("%+v", list)
	}
}

func TestDataCheck(t *testing.T) {
	mine := ownDataset(t)
	stdout, stderr, code := nb201("data", "check", mine)
	if code != 0 || stderr != "" || !strings.HasSuffix(stdout, "\nno faults\n") {
		t.Errorf("code %d, stderr %q:\n%s", code, stderr, stdout)
	}
	for _, want := range []string{"mine  3 classes, 4x4, cifar10-binary\n", "/data_batch_5.bin", "x-valid      40"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}

	text, err := os.ReadFile(mine)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mine, []byte(strings.Replace(string(text), `"mean": [123.85`, `"mean": [100`, 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code = nb201("data", "check", mine)
	if code != 3 || !strings.Contains(stdout, "faults:\n  the mean of red is 12") || !strings.Contains(stderr, "mine does not match its definition: 1 fault") {
		t.Errorf("code %d, stderr %q:\n%s", code, stderr, stdout)
	}
	stdout, _, code = nb201("data", "check", mine, "--json")
	var report data.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 3 || len(report.Faults) != 1 || report.Sets[1].Name != "x-valid" {
		t.Errorf("code %d, %v:\n%s", code, err, stdout)
	}
}

// An error lists each place in which images were looked for once: here the definition's directory is the
// data directory, too.
func TestDataPlaces(t *testing.T) {
	mine := ownDataset(t)
	text, err := os.ReadFile(mine)
	if err == nil {
		err = os.WriteFile(mine, []byte(strings.Replace(string(text), `"path": "."`, `"path": "moved"`, 1)), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(mine)
	_, stderr, code := nb201("data", "check", mine, "--data", dir)
	if want := dir + ", " + filepath.Join(dir, "cifar.python"); code != 2 || strings.Count(stderr, dir) != 2 || !strings.Contains(stderr, want) {
		t.Errorf("code %d, stderr %q lacks %q", code, stderr, want)
	}
}

// Every command that uses a definition warns if its means and deviations are on a scale of 0 to 1.
func TestUnits(t *testing.T) {
	definition := filepath.Join("testdata", "units", "unit.json")
	dir := t.TempDir()
	const warning = "warning: dataset unit: all means and deviations are at most 1, but their scale is 0 to 255; multiply them by 255 if they were computed on pixels from 0 to 1\n"
	for _, c := range []struct {
		code int
		args []string
	}{
		{0, []string{"train", "0", "--dataset", definition, "--cells", "1", "--channels", "2", "--batch", "16", "--epochs", "1",
			"--seed", "1", "--out", filepath.Join(dir, "trained")}},
		{0, []string{"plan", filepath.Join(dir, "planned"), "--archs", "0", "--datasets", "digits," + definition, "--epochs", "1", "--seeds", "1", "--batch", "16"}},
		{0, []string{"plan", filepath.Join(dir, "planned")}},
		{3, []string{"data", "check", definition}},
	} {
		_, stderr, code := nb201(c.args...)
		if code != c.code || !strings.HasPrefix(stderr, warning) || strings.Count(stderr, "warning") != 1 {
			t.Errorf("nb201 %q: code %d, stderr %q", c.args, code, stderr)
		}
	}
}
