package main

import (
	"os"
	"slices"
	"strings"
	"testing"
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

// TestRunReports has run end as trials do: a campaign that is done is exit 0.
func TestRunReports(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(campaign)); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201(strings.Fields("plan " + dir + " --archs 4 --datasets digits --epochs 2 --seeds 777 --channels 2 --cells 1 --workers 0")...); code != 0 {
		t.Fatal(code, stderr)
	}
	stdout, stderr, code := nb201("run", dir)
	if code != 0 || stdout != "1 of 1 trials done, 0 set aside\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
