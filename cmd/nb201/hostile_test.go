package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/results"
	"nb201/results/resultstest"
)

// hostile is a folder of small published files made to do harm: dataset names that are escape
// sequences or formulas, and accuracies far out of range.
const hostile = "testdata/hostile/"

// csvTables writes the two tables of a benchmark of one trial, with a replacement in each.
func csvTables(t *testing.T, old, new string) (dir string) {
	t.Helper()
	c := resultstest.Fill(t, results.Trial{Arch: 4, Dataset: "digits", Epochs: 2, Seed: 1})
	dir = filepath.Join(t.TempDir(), "tables")
	if _, stderr, code := nb201("export", c.Dir, "--format", "csv", "--to", dir); code != 0 {
		t.Fatal(stderr)
	}
	for _, name := range []string{"trials.csv", "epochs.csv"} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, new)), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestNamesAreNeverObeyed checks that no command prints a control character of a name in a file.
func TestNamesAreNeverObeyed(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{
		hostile + "ansi.pth",
		csvTables(t, "digits", "dig\u202estig"),
		csvTables(t, "ori-test", "ori\x1b[2Jtest"),
		csvTables(t, ",2,", ",2\u009b31m,"), // the schedule, which is not a number
	} {
		for _, args := range [][]string{
			{"query", path, "0"}, {"query", path, "4"}, {"compare", path, path}, {"verify", path},
			{"export", path, "--format", "csv", "--to", filepath.Join(dir, "csv")}, {"export", path, "--format", "parquet", "--to", filepath.Join(dir, "parquet")},
		} {
			stdout, stderr, code := nb201(args...)
			if strings.ContainsAny(stdout+stderr, "\x1b\u009b\u202e\a\r") || strings.Contains(stdout+stderr, "\n  fake line") {
				t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
			}
			if code == 0 {
				t.Errorf("%q takes the names", args)
			}
		}
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("left %v, %v", made, err)
	}

	// Class folders may have any name.
	source := filepath.Join(t.TempDir(), "pictures")
	for _, class := range []string{"c\nrow\x1b[31m", "tabs\tand\u2066marks"} {
		at := filepath.Join(source, class)
		if err := errors.Join(os.MkdirAll(at, 0o777), os.WriteFile(filepath.Join(at, "no\rpicture.png"), []byte("x"), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, code := nb201("data", "import", source, "--name", "own", "--size", "8", "--test", "0.5", "--to", dir)
	if code != 2 || strings.ContainsAny(stdout+stderr, "\x1b\u2066\r\t") || strings.Contains(stdout+stderr, "\nrow") || !strings.Contains(stderr, `row\x1b[31m`) {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for i, class := range []string{"c\nrow\x1b[31m", "tabs\tand\u2066marks"} {
		for k := range 4 {
			var picture bytes.Buffer
			gray := image.NewGray(image.Rect(0, 0, 8, 8))
			gray.SetGray(i, k, color.Gray{200})
			if err := png.Encode(&picture, gray); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(source, class, fmt.Sprintf("%d.png", k)), picture.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	stdout, stderr, code = nb201("data", "import", source, "--name", "own", "--size", "8", "--test", "0.5", "--to", dir, "--skip-unreadable")
	if code != 0 || strings.ContainsAny(stdout+stderr, "\x1b\u2066\r\t") || strings.Contains(stdout+stderr, "\nrow") ||
		!strings.Contains(stdout, `c\nrow\x1b[31m, tabs\tand\u2066marks`) {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// The files of failed attempts and runs contain text from other hosts.
func TestStatusIsNeverObeyed(t *testing.T) {
	c := resultstest.Fill(t, results.Trial{Arch: 4, Dataset: "digits", Epochs: 2, Seed: 1})
	failed := filepath.Join(c.Dir, "failed", "000005", "digits", "0002-0001.json")
	text := `{"trial": {"architecture": 5, "dataset": "digits", "epochs": 2, "seed": 1}, "set_aside": true, "attempts": [
		{"host": "h\u001b[2J", "device": "cpu\u202e", "kind": "f\nfake", "reason": "no\u001b]0;owned\u0007\nline", "log": "l\r", "when": "2026-01-02T03:04:05Z"}]}`
	if err := errors.Join(os.MkdirAll(filepath.Dir(failed), 0o777), os.WriteFile(failed, []byte(text), 0o666)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status", c.Dir}, {"status", c.Dir, "--failed"}} {
		stdout, stderr, code := nb201(args...)
		if code != 0 || strings.ContainsAny(stdout+stderr, "\x1b\a\r\u202e") || strings.Contains(stdout, "\nline") || !strings.Contains(stdout, `no\x1b]0;owned\a`) {
			t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

// TestFormulaCells checks that a spreadsheet computes nothing in an exported table, and that reading the
// table gives the original text.
func TestFormulaCells(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"=1+2", "@SUM(1+9)*cmd|' /C calc'!A0", "''-2+3", "-1", "+1", "'", "'plain", "12"} {
		begins := strings.TrimLeft(name, "'")
		formula := begins != "" && strings.ContainsAny(begins[:1], "=+-@")
		stored := name
		if formula {
			stored = "'" + name
		}
		source := csvTables(t, ",digits,2,", ",digits,"+stored+",")
		for _, raw := range []bool{false, true} {
			to := filepath.Join(dir, fmt.Sprint(i, raw))
			args := []string{"export", source, "--format", "csv", "--to", to}
			cell := name
			if formula && !raw || formula && name[0] == '\'' {
				cell = "'" + name
			}
			if raw {
				args = append(args, "--raw-cells")
			}
			if _, stderr, code := nb201(args...); code != 0 {
				t.Fatal(name, stderr)
			}
			for _, table := range []string{"trials.csv", "epochs.csv"} {
				text, err := os.ReadFile(filepath.Join(to, table))
				if err != nil || !strings.Contains(string(text), ",digits,"+cell+",") {
					t.Errorf("%s, raw %v, %s: %v\n%s", name, raw, table, err, text)
				}
			}
			stdout, stderr, code := nb201("query", to, "4", "--schedule", name)
			if code != 0 || !strings.Contains(stdout, "  "+name+"  ") {
				t.Errorf("%s, raw %v: code %d, stderr %q\n%s", name, raw, code, stderr, stdout)
			}
		}
	}
	for _, format := range []string{"csv", "parquet", "nasbench201"} {
		_, stderr, code := nb201("export", hostile+"formula.pth", "--format", format, "--to", filepath.Join(dir, format))
		if code != 2 || !strings.Contains(stderr, `dataset key "=HYPERLINK(\"http://evil\",\"x\")": use up to 64 letters`) {
			t.Errorf("code %d, stderr %q", code, stderr)
		}
	}
	if _, stderr, code := nb201("export", asked, "--format", "parquet", "--raw-cells", "--to", filepath.Join(dir, "p")); code != 2 || !strings.Contains(stderr, "parquet has no raw cells; only csv has them") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

// TestImpossibleAccuracies checks that drawing a curve ends for any numbers in a file.
func TestImpossibleAccuracies(t *testing.T) {
	dir := t.TempDir()
	sound := csvTables(t, "", "")
	accuracy := func(to string) string {
		text, err := os.ReadFile(filepath.Join(sound, "epochs.csv"))
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Split(strings.Split(strings.TrimSpace(string(text)), "\n")[4], ",") // the last of ori-test
		return csvTables(t, ","+line[7]+",", ","+to+",")
	}
	for i, c := range []struct {
		a, b, arch string
		left       string
	}{
		{hostile + "u0.pth", hostile + "u1.pth", "0", "2 sets"},
		{hostile + "pos.pth", hostile + "pos.pth", "0", "2 sets"},
		{hostile + "u0.pth", hostile + "u0.pth", "0", "2 sets"},
		{accuracy("-1e308"), accuracy("1e308"), "4", "2 sets"},
		{accuracy("9007199254740993"), sound, "4", "1 set "},
		{accuracy("-0.001"), accuracy("NaN"), "4", "2 sets"},
		{accuracy("100.01"), sound, "4", ""},
	} {
		page := filepath.Join(dir, strings.Repeat("r", i+1))
		stdout, stderr, code := nb201("compare", c.a, c.b, "--report", page)
		if want := "left out: " + c.left; code != 0 || strings.Contains(stdout, "left out: ") != (c.left != "") || c.left != "" && !strings.Contains(stdout, want) {
			t.Errorf("%s, %s: code %d, stderr %q, stdout\n%s", c.a, c.b, code, stderr, stdout)
		}
		if info, err := os.Stat(page); err != nil || info.Size() > 2<<20 {
			t.Errorf("%s, %s: %v", c.a, c.b, err)
		}
		for _, path := range []string{c.a, c.b} {
			stdout, stderr, code := nb201("query", path, c.arch)
			for line := range strings.Lines(stdout) {
				if len(line) > 400 {
					t.Errorf("%s: a line of %d characters", path, len(line))
				}
			}
			if code != 0 {
				t.Errorf("%s: code %d, stderr %q", path, code, stderr)
			}
		}
	}
	// A schedule that nobody can have trained fills the memory with its curve.
	if _, stderr, code := nb201("query", csvTables(t, ",digits,2,2,", ",digits,2,4611686018427387904,"), "4"); code != 2 || !strings.Contains(stderr, "the schedule has 4611686018427387904 epochs; at most 100000 are possible") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}
