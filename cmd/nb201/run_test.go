package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/data/datatest"
)

func TestParseDevices(t *testing.T) {
	for list, want := range map[string][]string{
		"cpu":                {"cpu"},
		"cuda":               {"cuda:0"},
		"cuda:0,1,3":         {"cuda:0", "cuda:1", "cuda:3"},
		"cuda,2":             {"cuda:0", "cuda:2"},
		"cuda:2,cuda:0":      {"cuda:2", "cuda:0"},
		"cpu,cuda:1":         {"cpu", "cuda:1"},
		"visible":            {"cuda:0", "cuda:1"},
		"visible,cpu":        nil,
		"":                   nil,
		"0":                  nil,
		"cpu,1":              nil,
		"cpu,cpu":            nil,
		"cuda,0":             nil,
		"cuda:0,,1":          nil,
		"cuda:0,1,tpu":       nil,
		"cuda:0,99999999999": nil,
	} {
		got, err := parseDevices(list, func(string) string { return "3,GPU-5" })
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("%q: %q, %v", list, got, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "512": 512, "512B": 512, "1K": 1000, "500MB": 500e6, "1.5GiB": 3 << 29, "2 TiB": 2 << 40, "3G": 3e9,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1e9", "G", "5iB", "1PB", "1 2"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestParseChunk(t *testing.T) {
	if i, n, err := parseChunk("3/16"); i != 3 || n != 16 || err != nil {
		t.Error(i, n, err)
	}
	for _, text := range []string{"3", "/", "0/1", "2/1", "-1/2", "1/2/3", "a/b"} {
		if _, _, err := parseChunk(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestRunReports runs a finished campaign: run prints the totals and exits with code 0.
func TestRunReports(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(campaign)); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201(strings.Fields("plan " + dir + " --archs 4 --datasets digits --epochs 2 --seeds 777 --channels 2 --cells 1 --workers 0")...); code != 0 {
		t.Fatal(code, stderr)
	}
	stdout, stderr, code := nb201("run", dir)
	if code != 0 || stdout != "1 of 1 trial done, 0 failed\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// Images that no worker can read are wrong input, which the workers report: exit code 2.
func TestRunWithDamagedImages(t *testing.T) {
	dir := t.TempDir()
	definition := filepath.Join(dir, "own.json")
	for name, text := range datatest.Files("npy", datatest.Synth(70, 16, 10, 1), datatest.Synth(5, 16, 10, 2)) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(definition, []byte(`{"name": "own", "format": "npy", "path": "`+dir+`", "classes": 10, "size": [16, 16], "mean": [78, 78, 78], "std": [96, 96, 96],
		"augment": {"flip": false, "crop_padding": 0}, "train": {"from": "train", "order": "shuffle"},
		"eval": [{"name": "ori-test", "from": "test", "order": "sequential"}]}`), 0o666); err != nil {
		t.Fatal(err)
	}
	campaign := filepath.Join(dir, "campaign")
	if _, stderr, code := nb201("plan", campaign, "--archs", "4", "--datasets", definition, "--epochs", "1", "--seeds", "1", "--channels", "2", "--cells", "1", "--batch", "35"); code != 0 {
		t.Fatal(stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "x_train.npy"), []byte("not an array"), 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := nb201("run", campaign)
	if code != 2 || !strings.Contains(stderr, "x_train is not a numpy file") || !strings.Contains(stderr, "no worker can start a trial") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
