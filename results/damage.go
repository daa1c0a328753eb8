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

// ErrDamaged reports a file that is there and cannot be read: it is empty, cut, overwritten,
// or of something else than its name says. A trial whose record is damaged is not done.
var ErrDamaged = errors.New("the file is damaged")

// damaged marks an error as ErrDamaged.
func damaged(err error) error { return usage.Mark(ErrDamaged, err) }

// AsDamaged marks the error of reading a file as ErrDamaged, unless the reason lies outside
// the file: it is not there, or the system does not read it now, or for this user.
func AsDamaged(err error) error {
	if err == nil || transient(err) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return damaged(err)
}

// transient reports whether reading failed for a reason that lies outside the file, so that
// it may be read another time, or by another user.
func transient(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EPERM, syscall.ENOTDIR, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EINTR, syscall.EAGAIN, syscall.ESTALE, syscall.ETIMEDOUT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Done reports whether t is done: its record is there and can be read. An error of a
// record that cannot be read is ErrDamaged.
func (c Campaign) Done(t Trial) (bool, error) {
	_, err := c.Record(t)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(c.RecordPath(t)); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		err = damaged(err) // a link to nowhere
	}
	return err == nil, err
}

// inspectAll is how many records Damaged decodes in any case, which takes a second.
const inspectAll = 8192

// Damaged finds the records of trials that cannot be read, with the reasons: errors that
// are ErrDamaged. Of many trials it holds each record only against its SHA-256, and one of
// before that has none against how records begin and end, unless thorough makes it decode
// all of them. The error is the first of another kind, such as of a record that another
// version wrote; the records after it are looked at all the same.
func (c Campaign) Damaged(ctx context.Context, trials []Trial, thorough bool) (map[Trial]error, error) {
	look := c.glance
	if thorough || len(trials) <= inspectAll {
		look = func(t Trial) error {
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
			err := look(t)
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

// glance looks at a record without decoding it: its SHA-256 fits, or it has none and is an
// object of JSON, and a line.
func (c Campaign) glance(t Trial) error {
	text, err := infile.Read(c.RecordPath(t), infile.MaxText)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it went meanwhile, or it is a link to nowhere
	case err != nil:
		return recordError(err)
	default:
		_, sealed, err := seal.Open(text)
		if err == nil && (sealed || bytes.HasPrefix(text, []byte("{")) && bytes.HasSuffix(text, []byte("}\n"))) {
			return nil
		}
	}
	_, err = c.Done(t) // which says why
	return err
}

// recordError is the error of a record that the system does not read.
func recordError(err error) error {
	return AsDamaged(usage.Errorf("cannot read record: %w", err))
}

// asideSuffix is what the names of damaged files end in, and a number where there are several.
const asideSuffix = ".damaged"

var asideName = regexp.MustCompile(regexp.QuoteMeta(asideSuffix) + `(-\d+)?$`)

// WasSetAside reports whether a file has a name that SetAside gives.
func WasSetAside(name string) bool { return asideName.MatchString(name) }

// SetAside renames the record of t, and its weights, if the record is damaged, so that the
// trial can be trained again and nothing is lost. It returns the record's new path and
// what is wrong with it; without a damaged record it changes nothing and returns "".
func (c Campaign) SetAside(t Trial) (path string, reason, err error) {
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
	return c.setAside(root, t)
}

// setAside is SetAside of a process that holds the lock.
func (c Campaign) setAside(root atomicfile.Root, t Trial) (path string, reason, err error) {
	_, reason = c.Done(t)
	if !errors.Is(reason, ErrDamaged) {
		return "", nil, reason
	}
	record := recordName(t)
	for _, from := range []string{weightsName(t), record} { // the record last: until then it is damaged
		if err := root.CheckLinks(from); err != nil {
			return "", reason, fmt.Errorf("set the damaged record of %v aside: %w", t, err)
		}
		to := from + asideSuffix
		for n := 2; ; n++ {
			if _, err := root.Lstat(to); err != nil { // none there; Rename reports any other error
				break
			}
			to = fmt.Sprintf("%s-%d", from+asideSuffix, n)
		}
		if err := root.Rename(from, to); err != nil && (from == record || !errors.Is(err, fs.ErrNotExist)) {
			return "", reason, fmt.Errorf("set the damaged record of %v aside: %w", t, err)
		}
		path = filepath.Join(c.Dir, to)
	}
	return path, reason, nil
}
