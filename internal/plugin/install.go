package plugin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/gomlx/go-xla/installer"

	"nb201/internal/atomicfile"
	"nb201/internal/lockfile"
	"nb201/internal/plugin/index"
	"nb201/internal/usage"
)

// Options configures [Install].
type Options struct {
	Force bool // install again even if the plugin is installed and undamaged
	// Damaged is called with the reason if a damaged plugin is installed again. It may be nil.
	Damaged func(why error)
	// Progress is called with what is being done, and with how many of the total bytes of the
	// wheels are done. It may be nil. done decreases if a server cannot resume a download, and
	// when all wheels are downloaded and the check of the files starts.
	Progress func(doing string, done, total int64)
}

// Install installs the pinned plugin for a device, or [CUDA13Compiler], and returns it. An
// installed plugin stays if all its files match their SHA-256 (see [Verify]). An installation that
// fails or is cancelled leaves nothing behind. Several processes may install at the same time.
//
// On a platform without a pinned plugin, go-xla's own installer installs its plugin for the CPU.
func Install(ctx context.Context, device string, o Options) (Plugin, error) {
	pin, ok := Pins()[device]
	if !ok {
		return Plugin{}, usage.Errorf("cannot install a plugin for the unknown device %q; use one of %s", device, strings.Join(Devices(), ", "))
	}
	if !pin.fitsPlatform() {
		return installByGoXLA(device, pin)
	}
	root, err := Root()
	if err != nil {
		return Plugin{}, err
	}
	settings, err := index.ReadSettings(os.Getenv)
	if err != nil {
		return Plugin{}, err
	}
	client, err := index.New(settings)
	if err != nil {
		return Plugin{}, err
	}
	return install(ctx, client, root, device, pin, o)
}

// goXLAHome returns the directory that go-xla's installer installs plugins in.
func goXLAHome() (string, error) {
	library, err := installer.DefaultHomeLibPath()
	return filepath.Join(library, "go-xla"), err
}

func installByGoXLA(device string, pin Pin) (Plugin, error) {
	if device != CPU {
		return Plugin{}, usage.Errorf("the plugin for device %s exists only for %s; use the CPU or another machine", device, pin.Platform)
	}
	home, err := goXLAHome()
	if err != nil {
		return Plugin{}, err
	}
	if err := installer.CPUAutoInstall(home, true, installer.Quiet); err != nil {
		return Plugin{}, fmt.Errorf("go-xla's installer failed: %w", err)
	}
	return fromGoXLA(device)
}

func install(ctx context.Context, client *index.Client, root, device string, pin Pin, o Options) (Plugin, error) {
	p := pin.plugin(root, device)
	if err := checkPath(p); err != nil {
		return Plugin{}, err
	}
	dir := filepath.Join(root, pin.Directory(device))
	silent := func(int64) {}
	if !o.Force && pin.verify(ctx, dir, silent) == nil {
		return p, nil
	}
	if err := ctx.Err(); err != nil {
		return Plugin{}, err
	}
	if err := atomicfile.MkdirAll(root); err != nil {
		return Plugin{}, unwritable(root, err)
	}
	// The lock file stays. If it were removed, a third process could lock a new one while a second
	// holds the lock on this one.
	lock := lockfile.New(filepath.Join(root, ".lock"))
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return Plugin{}, unwritable(root, err)
	}
	defer lock.Close()
	if !o.Force {
		fault := pin.verify(ctx, dir, silent)
		switch {
		case fault == nil:
			return p, nil
		case ctx.Err() != nil:
			return Plugin{}, ctx.Err()
		case isDirectory(dir) && o.Damaged != nil:
			o.Damaged(fault)
		}
	}
	if err := removeLeftovers(root); err != nil {
		return Plugin{}, unwritable(root, err)
	}
	if err := replaceDir(dir, func(temp string) error { return installWheels(ctx, client, temp, pin, o) }); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			_, unpacked := pin.Size()
			err = fmt.Errorf("%w: the plugin needs %s", err, humanize.IBytes(uint64(unpacked)))
		}
		return Plugin{}, unwritable(root, fmt.Errorf("cannot install the %s plugin: %w", device, err))
	}
	return p, nil
}

// unwritable adds what to do to an error that is due to the user's directory.
func unwritable(root string, err error) error {
	if atomicfile.Unwritable(err) {
		return usage.Errorf("cannot write to %s: %w; set NB201_HOME to another directory", root, err)
	}
	return err
}

// The suffixes of replaceDir's temporary directories.
const newSuffix, oldSuffix = ".new", ".old"

// removeLeftovers removes temporary directories of replaceDir in processes that were killed. The
// caller must hold the lock.
func removeLeftovers(root string) error {
	entries, err := os.ReadDir(root)
	for _, e := range entries {
		if suffix := filepath.Ext(e.Name()); suffix == newSuffix || suffix == oldSuffix {
			err = errors.Join(err, os.RemoveAll(filepath.Join(root, e.Name())))
		}
	}
	return err
}

// replaceDir atomically replaces the directory dir, which need not exist, by one that fill fills.
func replaceDir(dir string, fill func(temp string) error) (err error) {
	temp, old := dir+newSuffix, dir+oldSuffix
	defer func() { err = errors.Join(err, os.RemoveAll(temp), os.RemoveAll(old)) }()
	if err := os.Mkdir(temp, 0o777); err != nil {
		return err
	}
	if err := fill(temp); err != nil {
		return err
	}
	// Sync everything before the rename, so that a plugin that exists is complete.
	if err := filepath.WalkDir(temp, func(path string, _ fs.DirEntry, err error) error {
		return cmp.Or(err, atomicfile.Sync(path))
	}); err != nil {
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return cmp.Or(os.Rename(temp, dir), atomicfile.Sync(filepath.Dir(dir)))
}

// installWheels downloads the wheels, unpacks them into dir and verifies the files.
func installWheels(ctx context.Context, client *index.Client, dir string, pin Pin, o Options) error {
	total, _ := pin.Size()
	var before int64
	for _, w := range pin.Wheels {
		report := func(doing string, done int64) {
			if o.Progress != nil {
				o.Progress(doing+" "+w.Project, before+done, total)
			}
		}
		if err := fetchAndUnpack(ctx, client, w, dir, report); err != nil {
			return err
		}
		before += w.Size
	}
	_, unpacked := pin.Size()
	return pin.verify(ctx, dir, func(done int64) {
		if o.Progress != nil {
			o.Progress("checking the files", int64(float64(done)/float64(unpacked)*float64(total)), total)
		}
	})
}

func fetchAndUnpack(ctx context.Context, client *index.Client, w Wheel, dir string, report func(doing string, done int64)) (err error) {
	file, err := os.CreateTemp(dir, "*.whl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if err := fetch(ctx, client, w, file, func(done int64) { report("downloading", done) }); err != nil {
		return err
	}
	report("unpacking", w.Size)
	if err := unpack(ctx, file, w, dir); err != nil {
		return fmt.Errorf("%s: %w", w.File, err)
	}
	return nil
}

// fetch downloads the wheel into file, from the first of the index's offers that works.
func fetch(ctx context.Context, client *index.Client, w Wheel, file *os.File, progress func(done int64)) error {
	files, fault := client.Files(ctx, w.Project)
	if errors.Is(fault, index.ErrNone) {
		fault = nil
	}
	const most = 10 // offers to try, since a page could list the file any number of times
	offers := 0
	for _, offer := range files {
		if offer.Name != w.File {
			continue
		}
		if offers++; offers > most {
			fault = fmt.Errorf("%w; the index lists the file more than %d times", fault, most)
			break
		}
		err := offer.Refused
		if err == nil {
			err = fetchOffer(ctx, client, offer, w, file, progress)
		}
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case fault == nil:
			fault = err
		default:
			fault = fmt.Errorf("%w; %w", fault, err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if fault == nil {
		return fmt.Errorf("no package index has %s; set PIP_INDEX_URL to one that does", w.File)
	}
	return fmt.Errorf("cannot download %s: %w; check pip's settings, which nb201 uses (PIP_INDEX_URL, PIP_PROXY, PIP_CERT)", w.File, fault)
}

func fetchOffer(ctx context.Context, client *index.Client, offer index.File, w Wheel, file *os.File, progress func(done int64)) error {
	sum := offer.SHA256
	if sum == "" || sum == w.SHA256 {
		// Do not resume from the bytes of another offer.
		if err := file.Truncate(0); err != nil {
			return err
		}
		hash := sha256.New()
		if err := client.Fetch(ctx, offer.URL, file, w.Size, hash, progress); err != nil {
			return err
		}
		sum = hex.EncodeToString(hash.Sum(nil))
	}
	if sum != w.SHA256 {
		return fmt.Errorf("%s has the SHA-256 %s instead of %s: it is damaged, or not the pinned file", offer.URL.Redacted(), sum, w.SHA256)
	}
	return nil
}
