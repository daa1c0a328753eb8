package download

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"nb201/internal/atomicfile"
	"nb201/internal/fetch"
	"nb201/internal/lockfile"
	"nb201/internal/usage"
)

// Options say how Get works.
type Options struct {
	Settings fetch.Settings
	Mirror   string // URL (http, https or file) of the directory with the archive; "": Address
	// Progress is told what is being done and how many bytes of the archive are done, of
	// how many. It may be nil. The number falls when another thing is being done or the
	// download begins anew.
	Progress func(doing string, done, total int64)
}

// Result says what Get did.
type Result struct {
	Key        string `json:"key"`
	Path       string `json:"path"`       // of the directory with the files, absolute
	Downloaded bool   `json:"downloaded"` // or else it was there already
	Train      int    `json:"train"`      // images in the stored splits
	Test       int    `json:"test"`
}

// collection is the directory that the original keeps CIFAR and ImageNet16 in, under the
// data directory (--data).
const collection = "cifar.python"

// Get has the archive's directory in root/cifar.python, unless root or root/cifar.python
// has it already. It is there whole or not at all, and only if its files load as the data
// set. Several processes may get the same archive at the same time: one does, the others
// wait. What was downloaded stays, for the next Get, unless it turns out wrong.
//
// Damaged files in the place and a place that cannot be written are usage errors.
func (a Archive) Get(ctx context.Context, root string, o Options) (Result, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return Result{}, err
	}
	from, err := parseMirror(cmp.Or(o.Mirror, Address))
	if err != nil {
		return Result{}, err
	}
	from = o.Settings.Strip(from)
	client, err := fetch.New(o.Settings)
	if err != nil {
		return Result{}, err
	}
	parent := filepath.Join(root, collection)
	j := job{
		Archive: a,
		client:  client,
		from:    from.JoinPath(a.Name),
		parent:  parent,
		dir:     filepath.Join(parent, a.Directory),
		other:   filepath.Join(root, a.Directory),
		partial: filepath.Join(parent, a.Name+".partial"),
		report:  o.Progress,
	}
	if j.report == nil {
		j.report = func(string, int64, int64) {}
	}
	result, err := j.present()
	if result.Path != "" {
		_ = os.Remove(j.partial) // which a process left that was killed at the very end
	}
	if result.Path != "" || err != nil {
		return result, err
	}
	result, err = j.get(ctx)
	if atomicfile.Unwritable(err) {
		err = usage.Errorf("cannot write to %s: %w: name another directory with --data, or make room for %s there", parent, err, humanize.IBytes(uint64(a.Size+maxUnpacked)))
	}
	return result, err
}

// job is a Get at work.
type job struct {
	Archive
	client  *fetch.Client
	from    *url.URL // the archive
	parent  string   // directory of the others
	dir     string   // that is to be made
	other   string   // that would do as well
	partial string   // file with as much of the archive as is there
	report  func(doing string, done, total int64)
}

func parseMirror(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"http", "https", "file"}, u.Scheme) {
		return nil, usage.Errorf("the mirror is not a URL that begins with http, https or file: give that of the directory with the archive")
	}
	return u, nil
}

// present looks for the files. The Path is empty if they are not there.
func (j *job) present() (Result, error) {
	for _, dir := range []string{j.other, j.dir} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := j.load(dir); err != nil {
			return Result{}, usage.Errorf("%s is there, but is not %s: %w: move it away to get it anew", dir, j.Dataset.Name, err)
		}
		return j.result(dir, false), nil
	}
	return Result{}, nil
}

func (j *job) result(dir string, downloaded bool) Result {
	return Result{j.Dataset.Name, dir, downloaded, j.Dataset.Images.Train, j.Dataset.Images.Test}
}

// load checks that the files in dir are the data set.
func (j *job) load(dir string) error {
	d := j.Dataset
	d.Path = dir
	_, err := d.Load("")
	return err
}

// get makes the directory, unless another process does so meanwhile.
func (j *job) get(ctx context.Context) (Result, error) {
	if err := atomicfile.MkdirAll(j.parent); err != nil {
		return Result{}, err
	}
	// The lock file stays: removing it would let a third process lock another one.
	lock := lockfile.New(filepath.Join(j.parent, "."+j.Name+".lock"))
	defer lock.Close()
	locked, err := lock.TryLock()
	if err == nil && !locked {
		j.report("waiting for another process that gets "+j.Name, 0, j.Size)
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return Result{}, err
	}
	result, err := j.present()
	if result.Path != "" || err != nil {
		return result, err
	}
	if err := j.fill(ctx); err != nil {
		return Result{}, err
	}
	return j.result(j.dir, true), os.Remove(j.partial)
}

// fill downloads the archive and unpacks it.
func (j *job) fill(ctx context.Context) (err error) {
	if err := atomicfile.RemoveTemps(j.dir); err != nil {
		return err
	}
	file, err := os.OpenFile(j.partial, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if info, err := file.Stat(); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return usage.Errorf("%s is not a regular file: move it away", j.partial)
	}
	if err := j.download(ctx, file); err != nil {
		if info, statErr := file.Stat(); statErr == nil && info.Size() == 0 {
			err = errors.Join(err, os.Remove(j.partial))
		}
		return err
	}
	return atomicfile.CreateDir(j.dir, func(temp string) error {
		if err := j.unpack(ctx, file, temp); err != nil {
			return fmt.Errorf("cannot unpack %s: %w", j.Name, err)
		}
		if err := j.load(temp); err != nil {
			return fmt.Errorf("the files in %s are not %s: %w", j.Name, j.Dataset.Name, err)
		}
		return nil
	})
}

// download has the archive whole in file, or empties it where what came is something
// else.
func (j *job) download(ctx context.Context, file *os.File) error {
	sums := sums{md5.New(), sha256.New()}
	for {
		before, err := file.Stat()
		if err != nil {
			return err
		}
		err = j.client.Fetch(ctx, j.from, file, j.Size, sums, func(done int64) { j.report("downloading "+j.Name, done, j.Size) })
		if ctx.Err() != nil || atomicfile.Unwritable(err) {
			return err
		}
		if err != nil {
			return fmt.Errorf("cannot download %s: %w (run it again to go on where it stopped; --mirror names another place, HTTPS_PROXY a proxy)", j.Name, err)
		}
		wrong := sums.check(j.Archive)
		if wrong == nil {
			return file.Sync()
		}
		if err := file.Truncate(0); err != nil {
			return err
		}
		// The beginning from an earlier time may be damaged, or of another file.
		if before.Size() == 0 {
			return fmt.Errorf("%s: %w: it is damaged or not the published one and was thrown away: try again, or name another place with --mirror", j.from.Redacted(), wrong)
		}
	}
}

// sums are the checksums of a file.
type sums struct{ md5, sha256 hash.Hash }

func (s sums) Write(p []byte) (int, error) {
	s.md5.Write(p) // never fails
	return s.sha256.Write(p)
}

func (s sums) Reset() {
	s.md5.Reset()
	s.sha256.Reset()
}

// check compares the checksums with the archive's.
func (s sums) check(a Archive) error {
	for _, c := range []struct {
		name string
		hash hash.Hash
		want string
	}{{"SHA-256", s.sha256, a.SHA256}, {"MD5", s.md5, a.MD5}} {
		if got := hex.EncodeToString(c.hash.Sum(nil)); got != c.want {
			return fmt.Errorf("the %s is %s instead of %s", c.name, got, c.want)
		}
	}
	return nil
}
