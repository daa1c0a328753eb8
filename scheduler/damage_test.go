package scheduler

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/seal"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/status"
)

// damages maps names to ways of damaging a record.
var damages = map[string]func(path string, text []byte) error{
	"empty":     func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o666) },
	"cut":       func(path string, text []byte) error { return os.WriteFile(path, text[:len(text)/2], 0o666) },
	"last byte": func(path string, text []byte) error { return os.WriteFile(path, text[:len(text)-2], 0o666) },
	"zeros":     func(path string, text []byte) error { return os.WriteFile(path, make([]byte, len(text)), 0o666) },
	"zeros at the end": func(path string, text []byte) error {
		return os.WriteFile(path, append(text[:len(text)-100], make([]byte, 100)...), 0o666)
	},
	"overwritten": func(path string, text []byte) error {
		copy(text[len(text)/2:], "\xff\xfe\x00garbage")
		return os.WriteFile(path, text, 0o666)
	},
	"a bit": func(path string, text []byte) error {
		text[len(text)/3] ^= 4
		return os.WriteFile(path, text, 0o666)
	},
	"the hash": func(path string, text []byte) error {
		return os.WriteFile(path, bytes.Replace(text, []byte(`"sha256": `), []byte(`"sha25v": `), 1), 0o666)
	},
	"a value": func(path string, text []byte) error {
		return os.WriteFile(path, bytes.Replace(text, []byte(`"batch": 256`), []byte(`"batch": -56`), 1), 0o666)
	},
	"another trial's": func(path string, text []byte) error {
		object, _, _ := seal.Open(text)
		return os.WriteFile(path, seal.Seal(bytes.Replace(object, []byte(`"seed": `), []byte(`"seed": 4`), 1)), 0o666)
	},
	"a directory": func(path string, _ []byte) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Mkdir(path, 0o777)
	},
	"a link to nowhere": func(path string, _ []byte) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Symlink("nowhere", path)
	},
}

// A trial with a damaged record is not done: status counts it separately, and a run renames the
// record, logs that, and trains the trial again.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	var seeds []uint32
	for range damages {
		seeds = append(seeds, uint32(777+len(seeds)))
	}
	dir, all := planned(t, 1, seeds...)
	if _, err := Run(t.Context(), options(dir)); err != nil {
		t.Fatal(err)
	}
	c := results.Campaign{Dir: dir}
	all = slices.DeleteFunc(all, func(of results.Trial) bool { return of.Dataset != all[0].Dataset })
	var paths []string
	for name, damage := range damages {
		path := c.RecordPath(all[len(paths)])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(path, text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		paths = append(paths, path)
	}

	s, err := status.Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	n, whole := len(damages), s.Totals.Planned
	if s.Totals.Damaged != n || s.Totals.Done != whole-n || s.Totals.Left != 0 || len(s.Damaged) != n || len(s.Problems) != 0 {
		t.Errorf("totals %+v, damaged %q, problems %q", s.Totals, s.Damaged, s.Problems)
	}

	o := options(dir)
	var log strings.Builder
	o.Log = &log
	totals, err := Run(t.Context(), o)
	if err != nil || totals.Done != whole || totals.Failed != 0 {
		t.Fatalf("%+v, %v", totals, err)
	}
	for _, path := range paths {
		if _, err := os.Lstat(path + ".damaged"); err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), "renamed to "+path+".damaged, and the trial is trained again\n") {
			t.Errorf("%s is not mentioned in\n%s", path, &log)
		}
	}
	if s, err := status.Read(t.Context(), dir); err != nil || s.Totals.Damaged != 0 || s.Totals.Done != whole {
		t.Errorf("afterwards: %+v, %v", s.Totals, err)
	}
}

// A record written by another version is not damaged: it is kept, and nothing is trained.
func TestRecordsOfAnotherVersion(t *testing.T) {
	t.Parallel()
	for _, change := range [][2]string{
		{`"format_version": 2`, `"format_version": 3`},
		{`"genotype"`, `"comment": "of later days", "genotype"`},
	} {
		dir, all := planned(t, 1, 777)
		if _, err := Run(t.Context(), options(dir)); err != nil {
			t.Fatal(err)
		}
		path := results.Campaign{Dir: dir}.RecordPath(all[0])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		object, _, _ := seal.Open(text)
		text = seal.Seal(bytes.Replace(object, []byte(change[0]), []byte(change[1]), 1))
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		if s, err := status.Read(t.Context(), dir); err != nil || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "another version") || s.Totals.Damaged != 0 {
			t.Errorf("%v: status: %v, problems %q", change, err, s.Problems)
		}
		_, err = Run(t.Context(), options(dir))
		if !usage.Is(err) || !strings.Contains(err.Error(), path+" was written by another version") {
			t.Errorf("%v: error %v", change, err)
		}
		if left, _ := filepath.Glob(path + "?*"); len(left) > 0 {
			t.Errorf("created %q", left)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, text) {
			t.Errorf("the record was changed: %v", err)
		}
	}
}

// The run of a whole plan also renames damaged records of trials that are not in the plan.
func TestDamagedOutsideThePlan(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 1, 777)
	outside := results.Campaign{Dir: dir}.RecordPath(results.Trial{Arch: 9, Dataset: all[0].Dataset, Epochs: 2, Seed: 1})
	if err := os.MkdirAll(filepath.Dir(outside), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	var log strings.Builder
	o.Log = &log
	if totals, err := Run(t.Context(), o); err != nil || totals.Done != len(all) || totals.Planned != len(all) {
		t.Fatalf("%+v, %v", totals, err)
	}
	if !strings.Contains(log.String(), "renamed to "+outside+".damaged, and the trial is not trained again, because the plan does not name it\n") {
		t.Errorf("log %s", &log)
	}
	if _, err := os.Lstat(outside + ".damaged"); err != nil {
		t.Error(err)
	}
}
