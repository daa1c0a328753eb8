package scheduler

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nb201/internal/atomicfile"
	"nb201/results"
	"nb201/scheduler/attempt"
)

// victim creates a directory outside the campaign and a file in it that a link in the campaign
// would reach. It returns both.
func victim(t *testing.T, below ...string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, filepath.Join(below...))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte("{}"), 0o666)); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func link(t *testing.T, to string, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.RemoveAll(name), os.Symlink(to, name)); err != nil {
		t.Fatal(err)
	}
}

// A campaign may come from somebody else's archive. Running it removes nothing behind symbolic
// links, even if the trials look done, and nothing whose name is not a trial's.
func TestRunRemovesNothingThroughLinks(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 2, 777)
	if _, err := Run(t.Context(), options(dir)); err != nil {
		t.Fatal(err)
	}
	trial := all[0] // done
	inOther := trial
	inOther.Arch = 1
	records, _ := filepath.Glob(filepath.Join(dir, "trials", "*", "*", "*.json"))
	if len(records) != len(all) {
		t.Fatal(records)
	}
	for name, plant := range map[string]func(t *testing.T) string{
		"running is a link": func(t *testing.T) string {
			to, file := victim(t, trial.Path(), "thesis")
			link(t, to, dir, "running")
			return file
		},
		"an architecture in running is a link": func(t *testing.T) string {
			to, file := victim(t, trial.Dataset, filepath.Base(trial.Path()), "thesis")
			link(t, to, dir, "running", "000000")
			return file
		},
		"a trial in running is a link": func(t *testing.T) string {
			to, file := victim(t, "thesis")
			link(t, to, dir, "running", trial.Path())
			return file
		},
		"a dataset in failed is a link": func(t *testing.T) string {
			to, file := victim(t, filepath.Base(trial.Path())+".json")
			link(t, to, dir, "failed", "000000", trial.Dataset)
			return file
		},
		"failed is a link to the records": func(t *testing.T) string {
			link(t, "trials", dir, "failed")
			return records[0]
		},
		"an architecture in failed is a link to another's records": func(t *testing.T) string {
			link(t, "../trials/000001", dir, "failed", "000000")
			return filepath.Join(dir, "trials", inOther.Path()+".json")
		},
		"a name that no trial has, whose record is a lie": func(t *testing.T) string {
			file := filepath.Join(dir, "running", "x", "Documents", "thesis", "t")
			lie := filepath.Join(dir, "trials", "x", "Documents", "thesis.json")
			for _, file := range []string{file, lie} {
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte("{}"), 0o666)); err != nil {
					t.Fatal(err)
				}
			}
			return file
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := plant(t)
			defer os.RemoveAll(filepath.Join(dir, "running"))
			defer os.RemoveAll(filepath.Join(dir, "failed"))
			_, err := Run(t.Context(), options(dir))
			t.Log(err)
			if _, err := os.Stat(file); err != nil {
				t.Errorf("removed: %v", err)
			}
			for _, record := range records {
				if _, err := os.Stat(record); err != nil {
					t.Errorf("removed: %v", err)
				}
			}
		})
	}
}

// A run does not write through symbolic links either, and reports them before it trains.
func TestRunWritesNothingThroughLinks(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"trials", "weights", "failed", "running", "logs", "trials/000000", "weights/000000/digits", "failed/000000/digits", "running/000000"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dir, _ := planned(t, 1, 777)
			outside := t.TempDir()
			link(t, outside, dir, at)
			o := options(dir)
			var lines strings.Builder
			o.Log = &lines
			totals, err := Run(t.Context(), o)
			if text := lines.String() + " " + errorText(err); err == nil && totals.Failed == 0 || !strings.Contains(text, filepath.Join(dir, at)+" is a symbolic link") {
				t.Errorf("%v\n%s", err, lines.String())
			}
			_ = filepath.WalkDir(outside, func(path string, e os.DirEntry, err error) error {
				if err != nil || path != outside {
					t.Errorf("created outside the campaign: %s (%v)", path, err)
				}
				return nil
			})
			logs, _ := filepath.Glob(filepath.Join(dir, "logs", "*"))
			for _, log := range logs {
				if text, err := os.ReadFile(log); err != nil || strings.Contains(string(text), "begins") {
					t.Errorf("training began (%v):\n%s", err, text)
				}
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Odd files in a campaign do not block a run, and affect only the trials of their folder.
func TestRunPassesObstacles(t *testing.T) {
	t.Parallel()
	pipe := func(path string) error { return syscall.Mkfifo(path, 0o666) }
	file := func(path string) error { return os.WriteFile(path, nil, 0o666) }
	zeros := func(path string) error { return os.Symlink("/dev/zero", path) }
	for _, c := range []struct {
		at    string
		plant func(path string) error
		left  int // trials that are skipped, of 4; -1: the run refuses to start
	}{
		{"trials/000001", pipe, 2}, {"trials/000001", file, 2}, {"trials/000001", zeros, 2},
		{"trials/000000/digits", pipe, 2}, {"weights/000001", file, 2}, {"weights/000001/digits", pipe, 2},
		{"running/000001", pipe, 2}, {"running/zz", pipe, 0}, {"running/X-1.lock", pipe, 0}, {"running/X-1.json", pipe, 0},
		{"failed/000001", pipe, 2}, {"failed", pipe, -1}, {"weights", file, -1}, {"logs", pipe, -1}, {"running", file, -1}, {".lock", zeros, -1},
	} {
		t.Run(c.at, func(t *testing.T) {
			t.Parallel()
			dir, all := planned(t, 2, 777)
			path := filepath.Join(dir, c.at)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), c.plant(path)); err != nil {
				t.Fatal(err)
			}
			o := options(dir)
			var lines strings.Builder
			o.Log = &lines
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			totals, err := Run(ctx, o)
			if c.left < 0 {
				if err == nil || ctx.Err() != nil || totals.Done > 0 {
					t.Errorf("%+v, %v", totals, err)
				}
				return
			}
			if err != nil || totals.Failed != c.left || totals.Done != len(all)-c.left || strings.Count(lines.String(), ": skipped in this run, ") != c.left {
				t.Errorf("%+v, %v, want %d skipped\n%s", totals, err, c.left, lines.String())
			}
		})
	}
}

// TakeClaim follows no symbolic link, not even one that stays inside the campaign.
func TestClaimThroughLink(t *testing.T) {
	dir, all := planned(t, 1, 777)
	link(t, "../trials", dir, "running", "000000")
	var link *atomicfile.LinkError
	if _, err := attempt.TakeClaim(dir, all[0]); !errors.As(err, &link) {
		t.Errorf("%v", err)
	}
	// The campaign's directory itself may be a link.
	linked := filepath.Join(t.TempDir(), "campaign")
	if err := errors.Join(os.Remove(filepath.Join(dir, "running", "000000")), os.Symlink(dir, linked)); err != nil {
		t.Fatal(err)
	}
	c, err := attempt.TakeClaim(linked, all[0])
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	if err := c.Finish(); err != nil {
		t.Error(err)
	}
	if err := (results.Campaign{Dir: linked}).Check(all[0]); err != nil {
		t.Error(err)
	}
}
