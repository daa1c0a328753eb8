// Package state defines the published state of a run ([Run]) and the counts of its trials
// ([Totals]). A run writes its state to DIR/running/HOST-PID.json about once a second, where
// status, and any process that shares the campaign, can read it.
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

// Run is the published state of a run. Different versions of the program may share a campaign,
// so readers must skip keys that they do not know.
type Run struct {
	Version  int        `json:"version,omitzero"` // written from 2 on, because the first release refuses unknown keys
	Host     string     `json:"host"`
	PID      int        `json:"pid"`
	Started  time.Time  `json:"started"`
	Chunk    string     `json:"chunk,omitempty"` // I/N; empty for the whole plan
	Workers  []Worker   `json:"workers"`
	Finished int        `json:"finished"`         // trials finished since Started
	Failed   int        `json:"failed"`           // trials that failed since Started
	Paused   string     `json:"paused,omitempty"` // why no trial starts; empty when the run is not paused
	LastHour Throughput `json:"last_hour"`
}

// Worker is the state of a worker.
type Worker struct {
	Device  string         `json:"device"`
	Index   int            `json:"index"`            // among the device's workers, from 0
	Trial   *results.Trial `json:"trial,omitempty"`  // nil when the worker is idle
	Attempt int            `json:"attempt,omitzero"` // from 1
	Stage   string         `json:"stage"`            // a Stage constant, StageTraining or an evaluation set's name
	Epoch   int            `json:"epoch,omitzero"`   // from 0
	Epochs  int            `json:"epochs,omitzero"`
	Since   time.Time      `json:"since"` // when the worker got its trial, or became idle

	ImagesPerSecond float64 `json:"images_per_second,omitzero"`
	Log             string  `json:"log"` // path of the log file

	// The last passes that ended in this attempt at Trial; nil if none has.
	Training   *Pass `json:"last_training,omitzero"`
	Evaluation *Pass `json:"last_evaluation,omitzero"`
	// Curves has a curve for each set of images, in the order of their first passes. [Worker.AddPass]
	// adds to them.
	Curves []Curve `json:"curves,omitempty"`
}

// Pass holds the results of a pass over a set of images, which is not changed later.
type Pass struct {
	Set   string  `json:"set"`   // StageTraining, or the evaluation set's name
	Epoch int     `json:"epoch"` // from 0
	Loss  float64 `json:"loss"`  // mean cross entropy
	Top1  float64 `json:"top1_percent"`
}

// StageTraining is the stage of a worker that trains. In an evaluation, the stage is the set's name.
const StageTraining = "train"

// Stages of a worker outside of epochs.
const (
	StageIdle       = "idle"       // has no trial
	StageStarting   = "starting"   // the process starts and opens its device
	StagePreparing  = "preparing"  // reads the images and compiles
	StagePublishing = "publishing" // publishes the record and the weights
	StageWaiting    = "waiting"    // waits for disk space to publish, or for a process to start
)

// RunPath returns the path of the state file of a run.
func RunPath(dir, host string, pid int) string {
	return filepath.Join(dir, runName(host, pid))
}

// runName returns the path of a state file relative to the campaign's directory.
func runName(host string, pid int) string {
	return filepath.Join("running", fmt.Sprintf("%s-%d.json", host, pid))
}

// ReadRun reads a state file. The error of a file that does not exist is [fs.ErrNotExist].
func ReadRun(path string) (Run, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return Run{}, err
	}
	return DecodeRun(path, text)
}

// DecodeRun decodes and checks the text of the state file at path. Its errors are usage errors.
func DecodeRun(path string, text []byte) (s Run, err error) {
	if err = configs.DecodeKnown(path, text, &s); err == nil {
		err = s.check(path)
	}
	return s, err
}

// check returns an error if s is the state of another run than path names, or has impossible
// values.
func (s Run) check(path string) error {
	if name := filepath.Base(RunPath("", s.Host, s.PID)); name != filepath.Base(path) || s.PID < 1 {
		return usage.Errorf("%s: the file is the state of process %d on host %q, which does not match its name", path, s.PID, s.Host)
	}
	const maxImages = 1e15 // per hour
	if h := s.LastHour; h.Seconds < 0 || h.Trials < 0 || h.Images < 0 || h.Images > maxImages {
		return usage.Errorf("%s: \"last_hour\" is %d trials and %g images in %g seconds, which is impossible", path, h.Trials, h.Images, h.Seconds)
	}
	for _, w := range s.Workers {
		if w.Trial == nil {
			continue
		}
		if err := w.Trial.Check(); err != nil {
			return usage.Errorf("%s: trial of a worker: %w", path, err)
		}
		for _, c := range w.Curves {
			if n := len(c.Epochs); len(c.Loss) != n || len(c.Top1) != n {
				return usage.Errorf("%s: the curve of %q has %d epochs, but %d losses and %d accuracies", path, c.Set, n, len(c.Loss), len(c.Top1))
			}
		}
	}
	return nil
}

// Write writes the state file. It does not sync it, as the file need not survive a power loss.
// When the disk is full, it keeps the previous file and updates its time, which shows that the
// run is alive.
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

// Remove removes the state file when the run ends. It ignores errors: a later run on this host
// removes what is left.
func (s Run) Remove(dir string) {
	_ = results.Campaign{Dir: dir}.Within(func(root atomicfile.Root) error { return root.Remove(runName(s.Host, s.PID)) })
}

// Alive reports whether this host has a process with the given ID.
func Alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
