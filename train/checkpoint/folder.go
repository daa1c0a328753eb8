package checkpoint

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/results"
)

// suffix ends the name of a checkpoint file, IDENTITY.NUMBER-RANDOM.ckpt: the hash of the
// identity, an increasing number, and random text that keeps two processes from writing the same
// file.
const suffix = ".ckpt"

// Options sets where and how often a trial writes checkpoints: at the end of an epoch, when it
// is stopped, and at its end.
type Options struct {
	Dir   string        // of this trial; created when needed. The caller removes it when the trial has finished
	Every time.Duration // minimum time between checkpoints at the end of an epoch; 0: after every epoch
	// Versions of the software that trains, or zero. Checkpoints of other versions are not used.
	Versions results.Versions
	// Warn is called, from the goroutine that trains, if a checkpoint is skipped or cannot be
	// written, and why. Neither ends a trial. It may be nil.
	Warn func(string)
}

// Folder reads and writes the checkpoints of one trial. All methods of a nil Folder do nothing.
type Folder struct {
	options Options
	trial   Trial

	written time.Time // when the last checkpoint was written, or the Folder made
	last    Position  // of the last undamaged checkpoint
	sound   string    // its file name
}

// NewFolder returns the folder of a trial, or nil if o is nil. It does not touch any file.
func NewFolder(o *Options, t Trial) *Folder {
	if o == nil {
		return nil
	}
	return &Folder{options: *o, trial: t, written: time.Now()}
}

func (f *Folder) warn(format string, args ...any) {
	if f.options.Warn != nil {
		f.options.Warn(fmt.Sprintf(format, args...))
	}
}

func (f *Folder) path(name string) string { return filepath.Join(f.options.Dir, name) }

// prefix returns the start of the names of the trial's checkpoints.
func (f *Folder) prefix() string {
	sum := sha256.Sum256(f.trial.Identity)
	return hex.EncodeToString(sum[:8])
}

// list lists the trial's checkpoints, oldest first, and those with another identity.
func (f *Folder) list() (own, others []string, err error) {
	entries, err := os.ReadDir(f.options.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, ".") || !strings.HasSuffix(name, suffix):
		case strings.HasPrefix(name, f.prefix()+"."):
			own = append(own, name)
		default:
			others = append(others, name)
		}
	}
	return own, others, err
}

// Newest reads the trial's newest undamaged checkpoint. It returns nil if there is none.
func (f *Folder) Newest() *Checkpoint {
	if f == nil {
		return nil
	}
	own, others, err := f.list()
	if err == nil { // files of a process that was killed while writing
		err = atomicfile.RemoveTemps(f.path(f.prefix()))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.warn("cannot look for checkpoints: %v", err)
	}
	for _, name := range others {
		f.warn("checkpoint %s is not used: it belongs to another trial, or was written with other settings, data or versions", f.path(name))
	}
	for _, name := range slices.Backward(own) {
		c, err := f.read(name)
		if err != nil {
			f.warn("checkpoint skipped: %v", err)
			continue
		}
		f.last, f.sound = c.Cursor.Position, name
		return c
	}
	return nil
}

func (f *Folder) read(name string) (*Checkpoint, error) {
	file, err := infile.Open(f.path(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	c, err := f.trial.read(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(name), err)
	}
	return c, nil
}

// Due reports whether Options.Every has passed since the last checkpoint.
func (f *Folder) Due() bool { return f != nil && time.Since(f.written) >= f.options.Every }

// Leave writes a checkpoint, unless the last one has the same position, and then removes all
// older ones except the last undamaged one.
func (f *Folder) Leave(c *Checkpoint) {
	if f == nil || c.Cursor.Position == f.last {
		return
	}
	f.written = time.Now()
	name, err := f.write(c)
	if err != nil {
		f.warn("cannot write a checkpoint: %v", err)
		return
	}
	before := f.sound
	f.last, f.sound = c.Cursor.Position, name
	own, _, err := f.list()
	for _, old := range own {
		if old < name && old != before { // another process may have written a newer one
			err = cmp.Or(err, os.Remove(f.path(old)))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.warn("cannot remove old checkpoints: %v", err)
	}
}

func (f *Folder) write(c *Checkpoint) (name string, err error) {
	if err := atomicfile.MkdirAll(f.options.Dir); err != nil {
		return "", err
	}
	own, _, err := f.list()
	if err != nil {
		return "", err
	}
	number := 0
	if len(own) > 0 {
		// The number is 0 if the name is not one that this program makes.
		fmt.Sscanf(strings.TrimPrefix(own[len(own)-1], f.prefix()), ".%d-", &number)
	}
	name = fmt.Sprintf("%s.%08d-%s%s", f.prefix(), number+1, rand.Text()[:8], suffix)
	return name, atomicfile.Create(f.path(name), func(w io.Writer) error { return f.trial.write(w, c) })
}
