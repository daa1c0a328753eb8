package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// campaign is a campaign with one trial, made by
//
//	nb201 train 4 --dataset digits --epochs 2 --channels 2 --cells 1 --seed 777 \
//		--workers 0 --weights drop --out testdata/campaign
const campaign = "testdata/campaign"

func TestExport(t *testing.T) {
	dir := t.TempDir()
	archive := filepath.Join(dir, "archive")
	stdout, stderr, code := nb201("export", campaign, "--format", "archive", "--to", archive, "--less", "2")
	want := `architectures  1
trials         1

  slot  epochs  dataset  seed  architectures
  less       2   digits   777              1

export  ` + archive + "\n"
	if code != 0 || stdout != want || !strings.Contains(stderr, "warning: no weights of 1 trial, ") {
		t.Errorf("code %d, stderr\n%s\nstdout\n%s", code, stderr, stdout)
	}
	files, err := filepath.Glob(filepath.Join(archive, "*"))
	if err != nil || !slices.Equal(files, []string{filepath.Join(archive, "000004-FULL.pth"), filepath.Join(archive, "000004-SIMPLE.pth")}) {
		t.Errorf("the archive holds %q (%v)", files, err)
	}

	merged := filepath.Join(dir, "merged.pth")
	stdout, _, code = nb201("export", campaign, "--format", "nasbench201", "--to", merged, "--less", "12", "--full", "2", "--json")
	if got := compact(t, stdout); code != 0 || !strings.HasPrefix(got, `{"path":"`+merged+`","format":"nasbench201","architectures":1,"trials":1,"slots":[`) {
		t.Errorf("code %d, report %s", code, got)
	}
	if _, err := os.Stat(merged); err != nil {
		t.Error(err)
	}

	// A file of another format can be exported, too.
	tables := filepath.Join(dir, "tables")
	if _, stderr, code := nb201("export", campaign, "--format", "csv", "--to", tables); code != 0 {
		t.Fatal(stderr)
	}
	again := filepath.Join(dir, "again.pth")
	if _, stderr, code := nb201("export", tables, "--format", "nasbench201", "--to", again, "--full", "2"); code != 0 {
		t.Fatal(stderr)
	}
	want1, err1 := os.ReadFile(merged)
	got, err2 := os.ReadFile(again)
	if err1 != nil || err2 != nil || string(got) != string(want1) {
		t.Errorf("from tables the merged file is another one (%v, %v)", err1, err2)
	}
	// Only after reading the source can export see that it is empty.
	_, stderr, code = nb201("export", campaign, "--format", "archive", "--to", filepath.Join(dir, "none"))
	if code != 2 || !strings.HasSuffix(stderr, campaign+" has no trials of 12 or 200 epochs to export; it has trials of 2 epochs: select them with --less and --full\n") {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
	if _, stderr, code := nb201("export", tables, "--format", "runs", "--to", filepath.Join(dir, "runs"), "--less", "2"); code != 2 || !strings.Contains(stderr, "can only be exported from a campaign") {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
}

// The flags that choose architectures, names and trials reach the export.
func TestExportChoices(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	export := func(args ...string) (stderr string, code int) {
		t.Helper()
		_, stderr, code = nb201(append([]string{"export", campaign}, args...)...)
		return stderr, code
	}
	for _, x := range []struct {
		args []string
		made string
	}{
		{[]string{"--format", "nats", "--to", in("some"), "--archs", "4,3-4"}, ""}, // refused: it lacks 3
		{[]string{"--format", "nats", "--to", in("some"), "--archs", "4", "--listed", "held"}, "some"},
		{[]string{"--format", "nats", "--to", in("plain.pickle")}, "plain.pickle"},
		{[]string{"--format", "archive", "--to", dir, "--as-published", "--full", "2"}, "NAS-Bench-201-v1_1-archive"},
		{[]string{"--format", "naslib", "--to", in("curves"), "--full", "2", "--seed", "777"}, "curves"},
	} {
		stderr, code := export(x.args...)
		if x.made == "" {
			if code != 2 || !strings.Contains(stderr, campaign+" does not hold architecture 3; name only") {
				t.Errorf("%q: code %d, %s", x.args, code, stderr)
			}
			continue
		}
		if _, err := os.Stat(in(x.made)); err != nil || code != 0 {
			t.Errorf("%q: code %d, %s (%v)", x.args, code, stderr, err)
			continue
		}
		if stdout, stderr, code := nb201("query", in(x.made), "4", "--json"); code != 0 || !strings.Contains(stdout, `"digits"`) {
			t.Errorf("query of %s: code %d, %s", x.made, code, stderr)
		}
		if _, stderr, code := nb201("verify", in(x.made)); code != 0 {
			t.Errorf("verify of %s: code %d, %s", x.made, code, stderr)
		}
	}
	for want, args := range map[string][]string{
		"separate":  {"--format", "csv", "--to", in("none"), "--archs", "4,,5"},
		"naslib":    {"--format", "csv", "--to", in("none"), "--seed", "1"},
		"SEED":      {"--format", "naslib", "--to", in("none"), "--seed", "-1"},
		"listing":   {"--format", "nats", "--to", in("none"), "--listed", "some"},
		"published": {"--format", "parquet", "--to", dir, "--as-published"},
		"existing":  {"--format", "nats", "--to", in("none"), "--as-published"},
		"--seed":    {"--format", "naslib", "--to", in("none"), "--full", "2", "--seed", "3"},
	} {
		if stderr, code := export(args...); code != 2 || !strings.Contains(strings.ToLower(stderr), strings.ToLower(want)) {
			t.Errorf("%q: code %d, %s; want %q", args, code, stderr, want)
		}
	}
}
