package attempt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
		err := results.Campaign{Dir: campaign}.MakeDir(runningName(t))
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

// runningName is what a campaign has of a trial under way, relative to its directory.
func runningName(t results.Trial) string { return filepath.Join("running", t.Path()) }

// Release lets other processes have the trial, and keeps its checkpoints, if any.
func (c *Claim) Release() error {
	entries, err := os.ReadDir(c.Dir)
	if err == nil && len(entries) <= 1 { // the claim alone
		err = Tidy(c.campaign, c.trial)
	}
	return errors.Join(err, c.lock.Close())
}

// Finish releases the claim on a trial that needs no checkpoint any more.
func (c *Claim) Finish() error { return errors.Join(Tidy(c.campaign, c.trial), c.lock.Close()) }

// Tidy removes what is kept of a trial under way.
func Tidy(campaign string, t results.Trial) error {
	return results.Campaign{Dir: campaign}.Within(func(root atomicfile.Root) error {
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
