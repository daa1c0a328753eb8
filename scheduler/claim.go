package scheduler

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gofrs/flock"

	"nb201/results"
)

// Claim is the right to train a trial, held by a process as long as it lives: a lock
// on DIR/running/000123/cifar10/0012-0777/claim. That directory is also the place of
// the trial's checkpoints.
type Claim struct {
	Dir  string
	lock *flock.Flock
}

// TakeClaim takes the claim on t; nil when another process has it. Where the file
// system has no locks every process has it: of two that train the same trial, the
// first to publish it wins.
func TakeClaim(campaign string, t results.Trial) (*Claim, error) {
	dir := runningPath(campaign, t)
	for {
		err := os.MkdirAll(dir, 0o777)
		if err == nil {
			lock := flock.New(filepath.Join(dir, "claim"))
			var taken bool
			taken, err = lock.TryLock()
			switch {
			case taken, errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.ENOLCK):
				return &Claim{dir, lock}, nil
			case err == nil:
				return nil, lock.Close()
			}
		}
		if !errors.Is(err, fs.ErrNotExist) { // another process tidied up between two steps
			return nil, err
		}
	}
}

// runningPath is the directory of a trial under way.
func runningPath(campaign string, t results.Trial) string {
	return filepath.Join(campaign, "running", t.Path())
}

// Release lets other processes have the trial, and keeps its checkpoints, if any.
func (c *Claim) Release() error {
	entries, err := os.ReadDir(c.Dir)
	if err == nil && len(entries) <= 1 { // the claim alone
		err = tidy(c.Dir)
	}
	return errors.Join(err, c.lock.Close())
}

// Finish releases the claim on a trial that needs no checkpoint any more.
func (c *Claim) Finish() error { return errors.Join(tidy(c.Dir), c.lock.Close()) }

// tidy removes what is kept of a trial under way.
func tidy(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	// The folders above it go with the last trial in them.
	for range 2 {
		dir = filepath.Dir(dir)
		if os.Remove(dir) != nil {
			break
		}
	}
	return nil
}

// sweep removes what killed processes left of trials that are done, and the states of
// runs on this host that are no more.
func sweep(campaign, host string) error {
	left := os.DirFS(campaign)
	remove := map[string]func(path string) error{"running/*/*/*": tidy, "failed/*/*/*.json": os.Remove}
	for glob, remove := range remove {
		places, err := fs.Glob(left, glob)
		if err != nil {
			return err
		}
		for _, place := range places {
			_, trial, _ := strings.Cut(strings.TrimSuffix(place, ".json"), "/")
			if _, err := fs.Stat(left, "trials/"+trial+".json"); err != nil {
				continue
			}
			if err := remove(filepath.Join(campaign, place)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	states, err := fs.Glob(left, "running/*.json*") // whole ones, and one that was being written
	if err != nil {
		return err
	}
	for _, name := range states {
		of, ours := strings.CutPrefix(name, "running/"+host+"-")
		var pid int
		if _, err := fmt.Sscanf(of, "%d.json", &pid); !ours || err != nil || alive(pid) {
			continue
		}
		if err := os.Remove(filepath.Join(campaign, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// alive tells whether a process of this host lives.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
