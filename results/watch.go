package results

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"nb201/cell"
)

// Watcher finds the architectures of a campaign whose records change, or the records of their
// evaluations on further datasets. It reads directories only where
// their times have changed, so that even a campaign of all architectures costs little. A record that
// is changed in place, as no program does, goes unnoticed.
type Watcher struct {
	campaign Campaign
	dir      os.FileInfo // of the campaign's directory, when Changed last succeeded
	space    cell.Name   // of the architectures seen last
	seed     maphash.Seed
	archs    map[int]archRecords
	further  map[string]*Watcher // of the evaluations on further datasets, by key
	// evaluated has the architectures whose evaluations have changed since the last call that succeeded.
	evaluated map[int]bool
}

// archRecords holds what a Watcher knows of the records of an architecture.
type archRecords struct {
	dirs    []dirTime // the architecture's directory, and those in it
	settled bool      // no directory can change without its time changing
	sum     uint64    // of the names, sizes and times of the files
}

// dirTime is when a directory last changed.
type dirTime struct {
	path     string
	modified time.Time
}

// Watch returns a Watcher of the campaign, which has seen nothing yet.
func (c Campaign) Watch() *Watcher {
	return &Watcher{campaign: c, seed: maphash.MakeSeed(), archs: map[int]archRecords{}, further: map[string]*Watcher{}, evaluated: map[int]bool{}}
}

// Changed returns the architectures whose records have appeared, changed or gone since the last call
// that succeeded, and those that have records now, both in ascending order. A campaign in which no
// trial has finished yet has none; without the campaign's directory, the error is [fs.ErrNotExist], and with
// architectures of two search spaces it is a usage error.
func (w *Watcher) Changed(ctx context.Context) (changed, archs []int, err error) {
	dir, err := w.stat()
	if err != nil {
		return nil, nil, err
	}
	folders, err := entryNames(w.campaign.Dir, "trials")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	now := make(map[int]archRecords, len(folders))
	for _, folder := range folders {
		t, ok := parseFolder(folder)
		if !ok {
			continue
		}
		arch := t.Arch
		if len(now) > 0 && t.Space != w.space {
			return nil, nil, w.campaign.CheckSpace(w.Space())
		}
		w.space = t.Space
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		before := w.archs[arch]
		if before.settled && before.unchanged() {
			now[arch] = before
			continue
		}
		read, err := w.read(filepath.Join(w.campaign.Dir, "trials", folder))
		if isAbsent(err) { // it has just been removed, or is not a directory
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		now[arch] = read
		if read.sum != before.sum {
			changed = append(changed, arch)
		}
	}
	for arch := range w.archs {
		if _, ok := now[arch]; !ok {
			changed = append(changed, arch)
		}
	}
	if err := w.readEvaluations(ctx); err != nil {
		return nil, nil, err
	}
	for arch := range w.evaluated {
		if _, ok := now[arch]; ok {
			changed = append(changed, arch)
		}
	}
	if err := w.checkIs(dir); err != nil { // directories that it found no more have gone with the campaign
		return nil, nil, err
	}
	w.dir, w.archs = dir, now
	clear(w.evaluated)
	slices.Sort(changed)
	return slices.Compact(changed), slices.Sorted(maps.Keys(now)), nil
}

// CheckSame returns an error if the campaign's directory has gone, or is not the one that Changed saw when
// it last succeeded. Records that were not found since may then exist elsewhere.
func (w *Watcher) CheckSame() error { return w.checkIs(w.dir) }

// checkIs returns an error if the campaign's directory is not dir.
func (w *Watcher) checkIs(dir os.FileInfo) error {
	now, err := w.stat()
	if err == nil && !os.SameFile(now, dir) {
		err = fmt.Errorf("%s was replaced while it was read", w.campaign.Dir)
	}
	return err
}

// stat returns what the system knows of the campaign's directory.
func (w *Watcher) stat() (os.FileInfo, error) {
	info, err := os.Stat(w.campaign.Dir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: w.campaign.Dir, Err: syscall.ENOTDIR}
	}
	return info, err
}

// Space returns the search space of the architectures: the default if none has been seen.
func (w *Watcher) Space() cell.Space { return w.space.Space() }

// ChangedEvaluations returns the architectures whose evaluations on further datasets have appeared, changed
// or gone since the last call that succeeded, in ascending order. It is for a directory with evaluations
// alone, without records of trials.
func (w *Watcher) ChangedEvaluations(ctx context.Context) ([]int, error) {
	if err := w.readEvaluations(ctx); err != nil {
		return nil, err
	}
	changed := slices.Sorted(maps.Keys(w.evaluated))
	clear(w.evaluated)
	return changed, nil
}

// readEvaluations adds to w.evaluated the architectures whose evaluations on further datasets have
// appeared, changed or gone.
func (w *Watcher) readEvaluations(ctx context.Context) error {
	keys, err := ListEvaluations(w.campaign.Dir)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if w.further[key] == nil {
			w.further[key] = EvaluationsOn(w.campaign.Dir, key).Watch()
		}
	}
	for key, further := range w.further {
		archs := slices.Collect(maps.Keys(further.archs))
		if slices.Contains(keys, key) {
			archs, _, err = further.Changed(ctx)
			if isAbsent(err) { // it has just been removed, or is not a directory
				continue
			}
			if err != nil {
				return err
			}
		} else {
			delete(w.further, key)
		}
		for _, arch := range archs {
			w.evaluated[arch] = true
		}
	}
	return nil
}

// unchanged reports whether the directories have the times that they had.
func (r archRecords) unchanged() bool {
	for _, d := range r.dirs {
		info, err := os.Stat(d.path)
		if err != nil || !info.ModTime().Equal(d.modified) {
			return false
		}
	}
	return true
}

// isAbsent reports whether a path leads nowhere: it does not exist, what is in the way is not a
// directory, or links lead in circles.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// settleTime is how old a directory's time must be before its next change is sure to change it. File systems
// round times, some to seconds.
const settleTime = 3 * time.Second

// read reads the directory of an architecture, and those in it.
func (w *Watcher) read(dir string) (archRecords, error) {
	r := archRecords{settled: true}
	var sum maphash.Hash
	sum.SetSeed(w.seed)
	list := func(dir string) ([]os.DirEntry, error) {
		info, err := os.Stat(dir) // before the entries are read: a later change then has another time
		if err != nil {
			return nil, err
		}
		r.dirs = append(r.dirs, dirTime{dir, info.ModTime()})
		r.settled = r.settled && time.Since(info.ModTime()) > settleTime
		return os.ReadDir(dir)
	}
	datasets, err := list(dir)
	if err != nil {
		return r, err
	}
	for _, d := range datasets {
		name := filepath.Join(dir, d.Name())
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			continue
		}
		records, err := list(name)
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return r, err
		}
		for _, e := range records {
			info, err := os.Stat(filepath.Join(name, e.Name()))
			if isAbsent(err) {
				continue
			}
			if err != nil {
				return r, err
			}
			for _, text := range []string{
				d.Name(), e.Name(), strconv.FormatInt(info.Size(), 10), strconv.FormatInt(info.ModTime().UnixNano(), 10),
			} {
				sum.WriteString(text)
				sum.WriteByte(0)
			}
		}
	}
	r.sum = sum.Sum64()
	return r, nil
}
