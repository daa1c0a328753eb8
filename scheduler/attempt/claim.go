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

// Claim is the exclusive right to train a trial: a lock on
// DIR/running/000123/cifar10/0012-0777/claim, which the kernel releases when its process dies.
type Claim struct {
	Dir      string // the directory of the claim file, and of the trial's checkpoints
	campaign string
	trial    results.Trial
	lock     *flock.Flock
}

// TakeClaim takes the claim on t. It returns nil without an error when another process has it.
// On a file system without locks every process gets the claim: of two that train the same
// trial, the first to publish it wins. An error that names a file or a link is permanent.
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
		if !errors.Is(err, fs.ErrNotExist) { // else another process removed the directory meanwhile
			return nil, fmt.Errorf("cannot claim %v: %w%s", t, err, atomicfile.Rights(err))
		}
	}
}

// runningName returns the directory of a trial in progress, relative to the campaign's.
func runningName(t results.Trial) string { return filepath.Join("running", t.Path()) }

// Release gives up the claim and keeps the trial's checkpoints, if any.
func (c *Claim) Release() error {
	entries, err := os.ReadDir(c.Dir)
	if err == nil && len(entries) <= 1 { // only the claim file
		err = Tidy(c.campaign, c.trial)
	}
	return errors.Join(err, c.lock.Close())
}

// Finish gives up the claim on a finished trial and removes its checkpoints.
func (c *Claim) Finish() error { return errors.Join(Tidy(c.campaign, c.trial), c.lock.Close()) }

// Tidy removes the claim file and the checkpoints of a trial. Their absence is not an error.
func Tidy(campaign string, t results.Trial) error {
	return results.Campaign{Dir: campaign}.Within(func(root atomicfile.Root) error {
		name := runningName(t)
		if err := root.CheckLinks(name); err != nil {
			return err
		}
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		// Remove the two folders above it, too, if they are empty.
		for range 2 {
			name = filepath.Dir(name)
			if root.Remove(name) != nil {
				break
			}
		}
		return nil
	})
}
