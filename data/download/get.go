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

// Options configures [Archive.Get].
type Options struct {
	Settings fetch.Settings
	Mirror   string // URL (http, https or file) of the directory with the archive; "" means Address
	// Progress is called with the current step and with the bytes of the archive that the
	// step has processed and has to process. It may be nil. done falls when a new step
	// begins or the download starts again.
	Progress func(doing string, done, total int64)
}

// Result is the outcome of [Archive.Get].
type Result struct {
	Key        string `json:"key"`
	Path       string `json:"path"`       // absolute path of the directory with the files
	Downloaded bool   `json:"downloaded"` // false if the files already existed
	Train      int    `json:"train"`      // images in the stored split "train"
	Test       int    `json:"test"`       // images in the stored split "test"
}

// collection is the directory under the data directory (--data) in which the original keeps
// CIFAR and ImageNet16.
const collection = "cifar.python"

// Get downloads and unpacks the archive into root/cifar.python, unless its directory
// already exists there or in root. The directory appears only when it is complete and its
// files load as the dataset. Several processes may call Get for the same archive: one
// downloads it and the others wait. If Get fails, the part that was downloaded stays, for
// the next Get to resume from, unless its checksum is wrong.
//
// If the directory exists but its files do not load, or if root cannot be written, the
// error is a usage error.
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
	result, err := j.findExisting()
	if result.Path != "" {
		_ = os.Remove(j.partial) // left by a process that was killed at the very end
	}
	if result.Path != "" || err != nil {
		return result, err
	}
	result, err = j.get(ctx)
	if atomicfile.Unwritable(err) {
		err = usage.Errorf("cannot write to %s: %w; name another directory with --data, or make %s available there",
			parent, err, humanize.IBytes(uint64(a.Size+maxUnpacked)))
	}
	return result, err
}

// job is one call of Get.
type job struct {
	Archive
	client  *fetch.Client
	from    *url.URL // of the archive
	parent  string   // directory of dir and partial
	dir     string   // directory to make
	other   string   // directory that would do as well
	partial string   // file with the bytes of the archive downloaded so far
	report  func(doing string, done, total int64)
}

func parseMirror(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"http", "https", "file"}, u.Scheme) {
		return nil, usage.Errorf("the mirror is not an http, https or file URL; use the URL of the directory with the archive")
	}
	return u, nil
}

// findExisting looks for the files. The result's Path is empty if there are none.
func (j *job) findExisting() (Result, error) {
	for _, dir := range []string{j.other, j.dir} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := j.load(dir); err != nil {
			return Result{}, usage.Errorf("%s exists, but is not %s: %w; move it away to download it again", dir, j.Dataset.Name, err)
		}
		return j.result(dir, false), nil
	}
	return Result{}, nil
}

func (j *job) result(dir string, downloaded bool) Result {
	return Result{j.Dataset.Name, dir, downloaded, j.Dataset.Images.Train, j.Dataset.Images.Test}
}

// load checks that the files in dir load as the dataset.
func (j *job) load(dir string) error {
	d := j.Dataset
	d.Path = dir
	_, err := d.Load("")
	return err
}

// get makes the directory, unless another process makes it meanwhile.
func (j *job) get(ctx context.Context) (Result, error) {
	if err := atomicfile.MkdirAll(j.parent); err != nil {
		return Result{}, err
	}
	// The lock file stays: if it were removed, a third process could lock a new one.
	lock := lockfile.New(filepath.Join(j.parent, "."+j.Name+".lock"))
	defer lock.Close()
	locked, err := lock.TryLock()
	if err == nil && !locked {
		j.report("waiting for another process that downloads "+j.Name, 0, j.Size)
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return Result{}, err
	}
	result, err := j.findExisting()
	if result.Path != "" || err != nil {
		return result, err
	}
	if err := j.downloadAndUnpack(ctx); err != nil {
		return Result{}, err
	}
	return j.result(j.dir, true), os.Remove(j.partial)
}

// downloadAndUnpack makes the directory from the archive.
func (j *job) downloadAndUnpack(ctx context.Context) (err error) {
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
		return usage.Errorf("%s is not a regular file; move it away", j.partial)
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

// download completes the archive in file. If its checksums are wrong, it empties the file.
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
			return fmt.Errorf("cannot download %s: %w; run the command again to resume, or name another server with --mirror or a proxy with HTTPS_PROXY", j.Name, err)
		}
		wrong := sums.check(j.Archive)
		if wrong == nil {
			return file.Sync()
		}
		if err := file.Truncate(0); err != nil {
			return err
		}
		// If the file had a beginning from an earlier download, that may be at fault: try
		// once more without it.
		if before.Size() == 0 {
			return fmt.Errorf("%s: %w: the archive is damaged or not the published one, and was deleted; try again, or name another server with --mirror",
				j.from.Redacted(), wrong)
		}
	}
}

// sums computes the checksums of a file.
type sums struct{ md5, sha256 hash.Hash }

func (s sums) Write(p []byte) (int, error) {
	s.md5.Write(p) // a hash never fails
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
