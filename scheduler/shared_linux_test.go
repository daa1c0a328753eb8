package scheduler

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nb201/internal/needs"
	"nb201/results"
)

// runAs starts a run with fake workers as another user, in group 2000.
func runAs(t *testing.T, binary, dir string, user uint32, umask, work string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c := exec.Command("sh", "-c", "umask "+umask+`; exec "$0"`, binary)
	c.Env = append(os.Environ(), roleVariable+"=run", dirVariable+"="+dir, workVariable+"="+work)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: 2000}}
	text := new(bytes.Buffer)
	c.Stderr, c.Dir = text, dir
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, text
}

// shared creates a campaign of user 2001 and group 2000, and a copy of this binary that every
// user may run.
func shared(t *testing.T, seeds ...uint32) (binary, dir string, all []results.Trial) {
	t.Helper()
	needs.AsRoot(t)
	dir, all = planned(t, 2, seeds...)
	tmp := t.TempDir()
	binary = filepath.Join(tmp, "run")
	// Another process copies the binary. A test that forks while this process had it open for
	// writing would inherit the descriptor, and the kernel would then refuse to execute it.
	if text, err := exec.Command("cp", os.Args[0], binary).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		if info, err := os.Stat(d); err == nil && info.Mode().Perm()&0o005 != 0o005 {
			err = os.Chmod(d, info.Mode().Perm()|0o055)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	err := errors.Join(os.Chmod(binary, 0o755), os.Chmod(tmp, 0o755), os.Chmod(filepath.Dir(tmp), 0o755))
	err = errors.Join(err, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, 2001, 2000))
	}), os.Chmod(dir, 0o775|os.ModeSetgid))
	if err != nil {
		t.Fatal(err)
	}
	return binary, dir, all
}

// Two users of a group run the same campaign. Its files have the permissions that the umask gives.
func TestSharedByUsers(t *testing.T) {
	t.Parallel()
	binary, dir, all := shared(t, 777, 888, 999, 1000, 1001, 1002)
	first, said := runAs(t, binary, dir, 2001, "002", "100ms")
	second, saidToo := runAs(t, binary, dir, 2002, "002", "100ms")
	if err := errors.Join(first.Wait(), second.Wait()); err != nil {
		t.Fatalf("%v\n%s\n%s", err, said, saidToo)
	}
	by := map[uint32]int{}
	for _, trial := range all {
		info, err := os.Stat(results.Campaign{Dir: dir}.RecordPath(trial))
		if err != nil {
			t.Error(err)
			continue
		}
		by[info.Sys().(*syscall.Stat_t).Uid]++
		if info.Mode().Perm() != 0o664 || info.Sys().(*syscall.Stat_t).Gid != 2000 {
			t.Errorf("%v: rights %v", trial, info.Mode())
		}
	}
	if by[2001] == 0 || by[2002] == 0 {
		t.Errorf("trials of each user: %v", by)
	}
	if info, err := os.Stat(filepath.Join(dir, ".lock")); err != nil || info.Mode().Perm() != 0o664 {
		t.Errorf("the lock: %v (%v)", info.Mode(), err)
	}
}

// Missing permissions are reported before hours of training, and no trial counts as failed.
func TestSharedWithoutRights(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		umask  string
		change func(dir string) error
		says   string
	}{
		"folders of the first are not for the group": {"022", func(string) error { return nil }, "belongs to user 2001, group 2000, and has mode -rwxr-xr-x; its owner can share it with chmod g+w"},
		"the lock of an older version":               {"002", func(dir string) error { return os.Chmod(filepath.Join(dir, ".lock"), 0o600) }, ".lock belongs to user 2001, group 2000, and has mode -rw-------"},
		"failures cannot be noted": {"002", func(dir string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "failed"), 0o755), os.Chmod(filepath.Join(dir, "failed"), 0o755))
		}, "failed belongs to user 0"},
		"a record that only the first may read": {"002", func(dir string) error {
			return os.Chmod(results.Campaign{Dir: dir}.RecordPath(results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 777}), 0o600)
		}, "0002-0777.json: permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			binary, dir, all := shared(t, 777)
			first, said := runAs(t, binary, dir, 2001, c.umask, "1ms")
			if err := first.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			if err := errors.Join(os.Remove(results.Campaign{Dir: dir}.RecordPath(all[0])), os.RemoveAll(filepath.Join(dir, "logs")), c.change(dir)); err != nil {
				t.Fatal(err)
			}
			second, said := runAs(t, binary, dir, 2002, "002", "1ms")
			if err := second.Wait(); err == nil || !strings.Contains(said.String(), c.says) {
				t.Errorf("%v, want %q:\n%s", err, c.says, said)
			}
			for _, trial := range all[1:] {
				if _, err := os.Stat(results.Campaign{Dir: dir}.RecordPath(trial)); err != nil {
					t.Errorf("a finished trial is lost: %v", err)
				}
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "failed", "*", "*", "*")); len(found) > 0 {
				t.Errorf("counted as failed: %q", found)
			}
			logs, _ := filepath.Glob(filepath.Join(dir, "logs", "*"))
			for _, log := range logs {
				if text, err := os.ReadFile(log); err != nil || strings.Contains(string(text), "begins") {
					t.Errorf("training began (%v):\n%s", err, text)
				}
			}
		})
	}
}
