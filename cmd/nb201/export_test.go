package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The campaign in testdata holds one trial, made by
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
	if code != 0 || stdout != want || !strings.Contains(stderr, "warning: 1 trials have no weights") {
		t.Errorf("code %d, stderr\n%s\nstdout\n%s", code, stderr, stdout)
	}
	files, err := filepath.Glob(filepath.Join(archive, "*"))
	if err != nil || !slices.Equal(files, []string{filepath.Join(archive, "000004-FULL.pth"), filepath.Join(archive, "000004-SIMPLE.pth")}) {
		t.Errorf("the archive holds %q (%v)", files, err)
	}

	merged := filepath.Join(dir, "merged.pth")
	stdout, _, code = nb201("export", campaign, "--format", "nasbench201", "--to", merged, "--less", "12", "--full", "2", "--json")
	if got := compact(t, stdout); code != 0 || !strings.HasPrefix(got, `{"path":"`+merged+`","architectures":1,"trials":1,"slots":[`) {
		t.Errorf("code %d, report %s", code, got)
	}
	if _, err := os.Stat(merged); err != nil {
		t.Error(err)
	}
}
