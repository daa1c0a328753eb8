// Package state holds what a run of a campaign says of itself while it works: the file
// DIR/running/HOST-PID.json, which any process that shares the campaign may read, and the
// totals of its trials.
package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/usage"
	"nb201/results"
)

// Run is what a run reports of itself while it lives. Its file is read by other versions of
// the program, which may work the same campaign: whoever reads it passes over the keys that
// it does not know.
type Run struct {
	Version  int        `json:"version,omitzero"` // from 2 on: the first version of the program refuses unknown keys
	Host     string     `json:"host"`
	PID      int        `json:"pid"`
	Started  time.Time  `json:"started"`
	Chunk    string     `json:"chunk,omitempty"` // I/N; empty: the whole plan
	Workers  []Worker   `json:"workers"`
	Finished int        `json:"finished"`         // trials, since Started
	Failed   int        `json:"failed"`           // trials set aside, since Started
	Paused   string     `json:"paused,omitempty"` // why no trial begins
	LastHour Throughput `json:"last_hour"`
}

// Worker is what a worker is at.
type Worker struct {
	Device  string         `json:"device"`
	Index   int            `json:"index"` // of the device's workers, from 0
	Trial   *results.Trial `json:"trial,omitempty"`
	Attempt int            `json:"attempt,omitzero"` // from 1
	Stage   string         `json:"stage"`            // a Stage constant, "train" or an evaluation set's name
	Epoch   int            `json:"epoch,omitzero"`   // from 0
	Epochs  int            `json:"epochs,omitzero"`
	Since   time.Time      `json:"since"` // when the trial was given to the worker, or the worker was idle

	ImagesPerSecond float64 `json:"images_per_second,omitzero"`
	Log             string  `json:"log"` // file
}

// What a worker is at when it is not in an epoch.
const (
	StageIdle       = "idle"       // has no trial
	StageStarting   = "starting"   // the process opens its device
	StagePreparing  = "preparing"  // reads the images and compiles
	StagePublishing = "publishing" // the record and the weights
	StageWaiting    = "waiting"    // for room on the disk, to publish
)

// RunPath is where a run on this host writes its state.
func RunPath(dir, host string, pid int) string {
	return filepath.Join(dir, runName(host, pid))
}

func runName(host string, pid int) string {
	return filepath.Join("running", fmt.Sprintf("%s-%d.json", host, pid))
}

// ReadRun reads a file of RunPath. An error of a file that is not there is fs.ErrNotExist.
func ReadRun(path string) (Run, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return Run{}, err
	}
	return DecodeRun(path, text)
}

// DecodeRun reads the text of a file of RunPath.
func DecodeRun(path string, text []byte) (s Run, err error) {
	if err = configs.DecodeKnown(path, text, &s); err == nil {
		err = s.check(path)
	}
	return s, err
}

// check refuses the state of another run, and one that no run has.
func (s Run) check(path string) error {
	if name := filepath.Base(RunPath("", s.Host, s.PID)); name != filepath.Base(path) || s.PID < 1 {
		return usage.Errorf("%s is not the state of the run that its name says, but of process %d on %q", path, s.PID, s.Host)
	}
	const mostImages = 1e15 // in an hour
	if h := s.LastHour; h.Seconds < 0 || h.Trials < 0 || h.Images < 0 || h.Images > mostImages {
		return usage.Errorf("%s: no run does %d trials and %g images in %g seconds", path, h.Trials, h.Images, h.Seconds)
	}
	for _, w := range s.Workers {
		if w.Trial == nil {
			continue
		}
		if err := w.Trial.Check(); err != nil {
			return usage.Errorf("%s: the trial of a worker: %w", path, err)
		}
	}
	return nil
}

// Write makes the file of the state. It need not survive a power loss: it is not
// synced. Where there is no room for it the last state stays, dated anew: the run lives.
func (s Run) Write(dir string) error {
	text, err := json.Marshal(s, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return results.Campaign{Dir: dir}.Within(func(root atomicfile.Root) error {
		name := runName(s.Host, s.PID)
		temp := name + ".tmp"
		if err := errors.Join(root.CheckLink(temp), root.CheckLink(name)); err != nil {
			return err
		}
		err := root.WriteFile(temp, text, 0o666)
		if err == nil {
			return root.Rename(temp, name)
		}
		now := time.Now()
		return errors.Join(err, root.Remove(temp), root.Chtimes(name, now, now))
	})
}

// Remove removes the file of the state, which its run does when it ends.
func (s Run) Remove(dir string) {
	_ = results.Campaign{Dir: dir}.Within(func(root atomicfile.Root) error { return root.Remove(runName(s.Host, s.PID)) }) // a later run will
}

// Alive reports whether a process of this host lives.
func Alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
