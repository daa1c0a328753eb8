package results

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/seal"
	"nb201/internal/usage"
)

// ErrDamaged reports a file that exists but cannot be read: it is empty, cut short,
// overwritten, or contains something other than its name promises. A trial whose record is
// damaged is not finished.
var ErrDamaged = errors.New("the file is damaged")

// damaged marks err as ErrDamaged.
func damaged(err error) error { return usage.Mark(ErrDamaged, err) }

// AsDamaged marks the error of reading a file as [ErrDamaged], unless the cause lies outside
// the file: it does not exist, or the system cannot read it now or for this user.
func AsDamaged(err error) error {
	if err == nil || transient(err) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return damaged(err)
}

// transient reports whether reading failed for a reason outside the file, so that it may
// succeed at another time or for another user.
func transient(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EACCES, syscall.EPERM, syscall.ENOTDIR, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
		syscall.EINTR, syscall.EAGAIN, syscall.ESTALE, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Done reports whether t is finished: its record exists and can be read. If the record is
// damaged, the error is [ErrDamaged].
func (c Campaign) Done(t Trial) (bool, error) {
	err := c.read(t)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(c.RecordPath(t)); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		err = damaged(err) // a dangling link
	}
	return err == nil, err
}

// read reads the record of t, of the campaign's kind, and checks it.
func (c Campaign) read(t Trial) (err error) {
	if c.Kind == Evaluated {
		_, err = c.Evaluation(t)
	} else {
		_, err = c.Record(t)
	}
	return err
}

// inspectAll is the number of records up to which Damaged always decodes them; that takes
// about a second.
const inspectAll = 8192

// Damaged finds the trials whose records are damaged, with the reasons, which are
// [ErrDamaged]. It decodes each record if thorough is set or there are at most 8192 trials.
// Otherwise it only verifies each record's SHA-256, or, where an old record has none, that it
// begins and ends like a record. The returned error is the first of any other kind, such as
// for a record written by another version; the remaining records are checked all the same.
func (c Campaign) Damaged(ctx context.Context, trials []Trial, thorough bool) (map[Trial]error, error) {
	checkRecord := c.checkSeal
	if thorough || len(trials) <= inspectAll {
		checkRecord = func(t Trial) error {
			_, err := c.Done(t)
			return err
		}
	}
	found := map[Trial]error{}
	var mu sync.Mutex
	var readers errgroup.Group
	readers.SetLimit(4 * runtime.GOMAXPROCS(0)) // they wait for the file system
	for _, t := range trials {
		if ctx.Err() != nil {
			break
		}
		readers.Go(func() error {
			err := checkRecord(t)
			if !errors.Is(err, ErrDamaged) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found[t] = err
			return nil
		})
	}
	err := readers.Wait()
	return found, cmp.Or(context.Cause(ctx), err)
}

// checkSeal checks a record without decoding it: its SHA-256 matches, or it has none and
// starts with { and ends with } and a newline.
func (c Campaign) checkSeal(t Trial) error {
	text, err := infile.Read(c.RecordPath(t), infile.MaxText)
	switch {
	case errors.Is(err, fs.ErrNotExist): // removed in the meantime, or a dangling link
	case err != nil:
		return recordError(err)
	default:
		_, sealed, err := seal.Open(text)
		if err == nil && (sealed || bytes.HasPrefix(text, []byte("{")) && bytes.HasSuffix(text, []byte("}\n"))) {
			return nil
		}
	}
	_, err = c.Done(t) // gives the reason
	return err
}

// recordError returns the error for a record that could not be read from disk.
func recordError(err error) error {
	return AsDamaged(usage.Errorf("cannot read record: %w", err))
}

// damagedSuffix ends the names that MoveDamaged gives to damaged files; from the second file on, a
// number follows it.
const damagedSuffix = ".damaged"

var damagedName = regexp.MustCompile(regexp.QuoteMeta(damagedSuffix) + `(-\d+)?$`)

// IsDamagedName reports whether a file has a name that [Campaign.MoveDamaged] gives.
func IsDamagedName(name string) bool { return damagedName.MatchString(name) }

// MoveDamaged renames the record and the weights of t to NAME.damaged if the record is damaged,
// so that the trial can be trained again and nothing is lost. It returns the record's new
// path and the reason why it is damaged. If the record is not damaged, MoveDamaged changes
// nothing and returns "".
func (c Campaign) MoveDamaged(t Trial) (path string, reason, err error) {
	unlock, err := c.lock()
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	root, err := c.Open()
	if err != nil {
		return "", nil, err
	}
	defer root.Close()
	return c.moveDamaged(root, t)
}

// moveDamaged is MoveDamaged for a caller that holds the campaign's lock.
func (c Campaign) moveDamaged(root atomicfile.Root, t Trial) (path string, reason, err error) {
	_, reason = c.Done(t)
	if !errors.Is(reason, ErrDamaged) {
		return "", nil, reason
	}
	path, err = c.moveAside(root, t)
	return path, reason, err
}

// MoveStale renames the record of an evaluation of t to NAME.damaged although it is not damaged, if it is
// stale: it is the evaluation of other weights than the trial has now. It returns the record's new path,
// and "" if the record is not stale.
func (c Campaign) MoveStale(t Trial, isStale func(*EvaluationRecord) bool) (path string, err error) {
	if r, err := c.Evaluation(t); err != nil || !isStale(r) {
		return "", nil // an error is dealt with when the trial is evaluated
	}
	unlock, err := c.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if r, err := c.Evaluation(t); err != nil || !isStale(r) { // another process has renamed it meanwhile
		return "", nil
	}
	err = c.Within(func(root atomicfile.Root) error {
		path, err = c.moveAside(root, t)
		return err
	})
	return path, err
}

// moveAside renames the files of t to NAME.damaged and returns the record's new path.
func (c Campaign) moveAside(root atomicfile.Root, t Trial) (path string, err error) {
	record := recordName(t)
	for _, from := range c.fileNames(t) { // the record last: if this fails, the trial still counts as damaged
		if err := root.CheckLinks(from); err != nil {
			return "", fmt.Errorf("cannot rename the damaged record of %v: %w", t, err)
		}
		to := from + damagedSuffix
		for n := 2; ; n++ {
			if _, err := root.Lstat(to); err != nil { // the name is free; Rename reports any other error
				break
			}
			to = fmt.Sprintf("%s-%d", from+damagedSuffix, n)
		}
		if err := root.Rename(from, to); err != nil && (from == record || !errors.Is(err, fs.ErrNotExist)) {
			return "", fmt.Errorf("cannot rename the damaged record of %v: %w", t, err)
		}
		path = filepath.Join(c.Dir, to)
	}
	return path, nil
}
