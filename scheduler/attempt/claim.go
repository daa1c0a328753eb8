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

	"nb201/internal/atomicfile"
	"nb201/internal/lockfile"
	"nb201/results"
)

// Claim is the right to train a trial, held by a process as long as it lives: a lock
// on DIR/running/000123/cifar10/0012-0777/claim. That directory also holds the trial's
// checkpoints.
type Claim struct {
	Dir      string
	campaign string
	trial    results.Trial
	lock     *flock.Flock
}

// TakeClaim takes the claim on t; nil when another process has it. Where the file
// system has no locks every process has it: of two that train the same trial, the
// first to publish it wins. An error that names a file or a link is one that no other
// attempt mends.
func TakeClaim(campaign string, t results.Trial) (*Claim, error) {
	dir := filepath.Join(campaign, runningName(t))
	for {
		err := makeDir(campaign, runningName(t))
		if err == nil {
			lock := lockfile.New(filepath.Join(dir, "claim"))
			var taken bool
			taken, err = lock.TryLock()
			switch {
			case taken, lockfile.Unsupported(err):
				return &Claim{dir, campaign, t, lock}, nil
			case err == nil:
				return nil, lock.Close()
			}
		}
		if !errors.Is(err, fs.ErrNotExist) { // another process tidied up between two steps
			return nil, fmt.Errorf("claim %v: %w%s", t, err, atomicfile.Rights(err))
		}
	}
}

// makeDir makes a directory in a campaign, and the campaign.
func makeDir(campaign, name string) error {
	if err := atomicfile.MkdirAll(campaign); err != nil {
		return err
	}
	return in(campaign, func(root atomicfile.Root) error { return root.MkdirAll(name) })
}

// in calls do with a campaign's directory.
func in(campaign string, do func(atomicfile.Root) error) error {
	root, err := results.Campaign{Dir: campaign}.Open()
	if err != nil {
		return err
	}
	return errors.Join(do(root), root.Close())
}

// runningName and failureName are what a campaign has of a trial under way and of one
// that failed, relative to its directory.
func runningName(t results.Trial) string { return filepath.Join("running", t.Path()) }
func failureName(t results.Trial) string { return filepath.Join("failed", t.Path()+".json") }

// Release lets other processes have the trial, and keeps its checkpoints, if any.
func (c *Claim) Release() error {
	entries, err := os.ReadDir(c.Dir)
	if err == nil && len(entries) <= 1 { // the claim alone
		err = tidy(c.campaign, c.trial)
	}
	return errors.Join(err, c.lock.Close())
}

// Finish releases the claim on a trial that needs no checkpoint any more.
func (c *Claim) Finish() error { return errors.Join(tidy(c.campaign, c.trial), c.lock.Close()) }

// tidy removes what is kept of a trial under way.
func tidy(campaign string, t results.Trial) error {
	return in(campaign, func(root atomicfile.Root) error {
		name := runningName(t)
		if err := root.CheckLinks(name); err != nil {
			return err
		}
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		// The folders above it go with the last trial in them.
		for range 2 {
			name = filepath.Dir(name)
			if root.Remove(name) != nil {
				break
			}
		}
		return nil
	})
}

// ForgetFailure removes what is noted of the failed attempts at a trial, if anything.
func ForgetFailure(campaign string, t results.Trial) error {
	return in(campaign, func(root atomicfile.Root) error {
		name := failureName(t)
		if err := root.CheckLinks(name); err != nil {
			return err
		}
		if err := root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// sweep removes what killed processes left of trials that are done, and the states of
// runs on this host that are no more. Whatever else lies there stays: a name that no
// trial has, and what is behind a link.
func sweep(campaign, host string) error {
	remove := map[string]func(string, results.Trial) error{"running/*/*/*": tidy, "failed/*/*/*.json": ForgetFailure}
	return in(campaign, func(root atomicfile.Root) error {
		for glob, remove := range remove {
			// os.DirFS opens directories alone: it does not wait at a named pipe, as root.FS does.
			places, err := fs.Glob(os.DirFS(campaign), glob)
			if err != nil {
				return err
			}
			for _, place := range places {
				_, name, _ := strings.Cut(strings.TrimSuffix(place, ".json"), "/")
				t, ok := results.ParsePath(name)
				if !ok || root.CheckLinks(place) != nil {
					continue
				}
				if done, _ := (results.Campaign{Dir: campaign}).Done(t); !done {
					continue
				}
				if err := remove(campaign, t); err != nil {
					return err
				}
			}
		}
		return sweepStates(root, campaign, host)
	})
}

// sweepStates removes the states of this host's runs that are no more.
func sweepStates(root atomicfile.Root, campaign, host string) error {
	states, err := fs.Glob(os.DirFS(campaign), "running/*.json*") // whole ones, and one that was being written
	if err != nil {
		return err
	}
	for _, name := range states {
		of, ours := strings.CutPrefix(name, "running/"+host+"-")
		var pid int
		if _, err := fmt.Sscanf(of, "%d.json", &pid); !ours || err != nil || root.CheckLinks(name) != nil || alive(pid) {
			continue
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// alive reports whether a process of this host lives.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
