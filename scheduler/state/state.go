package scheduler

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/usage"
	"nb201/results"
)

// The files of RunState and Failure are read by other versions of the program, which may
// work the same campaign. They carry a version from 2 on: the first version of the program
// refuses keys that it does not know. Whoever reads a file passes over the keys that it does
// not know; whoever changes one keeps them.
const stateVersion = 1

// RunState is what a run tells of itself while it lives, in
// DIR/running/HOST-PID.json.
type RunState struct {
	Version  int           `json:"version,omitzero"` // see stateVersion
	Host     string        `json:"host"`
	PID      int           `json:"pid"`
	Started  time.Time     `json:"started"`
	Chunk    string        `json:"chunk,omitempty"` // I/N; empty: the whole plan
	Workers  []WorkerState `json:"workers"`
	Finished int           `json:"finished"`         // trials, since Started
	Failed   int           `json:"failed"`           // trials set aside, since Started
	Paused   string        `json:"paused,omitempty"` // why no trial begins
	LastHour Throughput    `json:"last_hour"`
}

// WorkerState is what a worker is at.
type WorkerState struct {
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

// Failure is what is known of a trial whose attempts failed, in
// DIR/failed/000123/cifar10/0012-0777.json. It is removed when an attempt succeeds.
type Failure struct {
	Version  int            `json:"version,omitzero"` // see stateVersion
	Trial    results.Trial  `json:"trial"`
	Attempts []Attempt      `json:"attempts"`  // those that failed, the oldest first
	SetAside bool           `json:"set_aside"` // it is not tried again
	Unknown  jsontext.Value `json:",embed"`    // keys of a newer version
}

// Attempt is an attempt at a trial that failed.
type Attempt struct {
	When   time.Time `json:"when"`
	Host   string    `json:"host"`
	Device string    `json:"device"`
	Kind   Kind      `json:"kind"`
	Reason string    `json:"reason"` // one line
	Log    string    `json:"log"`    // file

	Unknown jsontext.Value `json:",embed"` // keys of a newer version
}

// Kind says how an attempt at a trial failed.
type Kind string

const (
	Crashed     Kind = "crashed"       // the worker died
	Hung        Kind = "hung"          // the worker made no progress
	OutOfMemory Kind = "out of memory" // of the device or the host
	Diverged    Kind = "diverged"      // the loss or the state is not finite: no other attempt would end better
	Failed      Kind = "error"         // the worker reported any other error
)

// RunStatePath is where a run on this host tells its state.
func RunStatePath(dir, host string, pid int) string {
	return filepath.Join(dir, runStateName(host, pid))
}

func runStateName(host string, pid int) string {
	return filepath.Join("running", fmt.Sprintf("%s-%d.json", host, pid))
}

// FailurePath is where the failed attempts at t are told.
func FailurePath(dir string, t results.Trial) string {
	return filepath.Join(dir, failureName(t))
}

// ReadRunState reads a file of RunStatePath. An error of a file that is not there is
// fs.ErrNotExist.
func ReadRunState(path string) (RunState, error) { return readState(path, decodeRunState) }

func decodeRunState(path string, text []byte) (s RunState, err error) {
	if err = configs.DecodeKnown(path, text, &s); err == nil {
		err = s.check(path)
	}
	return s, err
}

// check refuses the state of another run, and one that no run has.
func (s RunState) check(path string) error {
	if name := filepath.Base(RunStatePath("", s.Host, s.PID)); name != filepath.Base(path) || s.PID < 1 {
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

// ReadFailure reads a file of FailurePath. An error of a file that is not there is
// fs.ErrNotExist.
func ReadFailure(path string) (Failure, error) { return readState(path, decodeFailure) }

func decodeFailure(path string, text []byte) (f Failure, err error) {
	if err := configs.DecodeKnown(path, text, &f); err != nil {
		return f, err
	}
	if err := f.Trial.Check(); err != nil {
		return f, usage.Errorf("%s: %w", path, err)
	}
	if own := filepath.Join("/", path); !strings.HasSuffix(own, FailurePath("/", f.Trial)) {
		return f, usage.Errorf("%s is about another trial: %v", path, f.Trial)
	}
	return f, nil
}

// SetAside lists the trials of a campaign that were set aside. A file that cannot be read
// sets none aside.
func SetAside(dir string) ([]results.Trial, error) {
	paths, err := fs.Glob(os.DirFS(dir), "failed/*/*/*.json")
	if err != nil {
		return nil, err
	}
	var trials []results.Trial
	for _, path := range paths {
		f, err := ReadFailure(filepath.Join(dir, path))
		switch {
		case isNoRoom(err):
			return nil, err
		case err == nil && f.SetAside:
			trials = append(trials, f.Trial)
		}
	}
	return trials, nil
}

func readState[T any](path string, decode func(path string, text []byte) (T, error)) (T, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		var none T
		return none, err
	}
	return decode(path, text)
}

// write makes the file of the failure, on disk.
func (f Failure) write(dir string) error {
	text, err := json.Marshal(f, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return in(dir, func(root atomicfile.Root) error {
		name := failureName(f.Trial)
		if err := root.MkdirAll(filepath.Dir(name)); err != nil {
			return err
		}
		return root.Replace(name, func(w io.Writer) error { _, err := w.Write(text); return err })
	})
}

// write makes the file of the state. It need not survive a power loss: it is not
// synced. Where there is no room for it the last state stays, dated anew: the run lives.
func (s RunState) write(dir string) error {
	text, err := json.Marshal(s, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return in(dir, func(root atomicfile.Root) error {
		name := runStateName(s.Host, s.PID)
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

// remove removes the file of the state, which its run does when it ends.
func (s RunState) remove(dir string) {
	_ = in(dir, func(root atomicfile.Root) error { return root.Remove(runStateName(s.Host, s.PID)) }) // a later run will
}

// appendTo opens a file in a campaign, which is made if it is not there, to write at its
// end.
func appendTo(dir, path string) (f *os.File, err error) {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return nil, err
	}
	err = in(dir, func(root atomicfile.Root) error {
		if err := root.CheckLink(name); err != nil {
			return err
		}
		f, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
		return err
	})
	return f, err
}
