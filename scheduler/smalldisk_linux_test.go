package scheduler

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nb201/internal/needs"
	"nb201/results"
	"nb201/scheduler/state"
)

// TestSmallDisk runs a campaign on a disk that is full at first, and again whenever a trial is to
// be published. Each time the run resumes when there is room, and no training is lost.
func TestSmallDisk(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 2, 777, fillsDisk)
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o777); err != nil {
		t.Fatal(err)
	}
	needs.Root(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m,nr_inodes=2000"))
	defer syscall.Unmount(disk, 0)
	if err := os.CopyFS(disk, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")
	if err := fill(ballast); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	o := options(disk)
	o.PerDevice = 1
	var lines strings.Builder
	o.Log = &lines
	waited := 0
	o.Show = func(s state.Run, _ state.Totals) {
		if s.Paused == "" {
			return
		}
		if s.Workers[0].Stage == state.StageWaiting {
			waited++
		}
		_ = os.Remove(ballast)
	}
	totals, err := Run(t.Context(), o)
	if err != nil || totals.Done != len(all) || waited < 4 || strings.Count(lines.String(), "no space left") < 5 {
		t.Errorf("%+v, %v, waited %d times\n%s", totals, err, waited, lines.String())
	}
	wantDone(t, disk, all)
	for r, err := range (results.Campaign{Dir: disk}).Records() {
		if err != nil || r.Attempts != 1 {
			t.Errorf("%v: %d attempts (%v)", r.Trial, r.Attempts, err)
		}
	}
}
