package scheduler

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/results"
)

// RunState is what a run tells of itself while it lives, in
// DIR/running/HOST-PID.json.
type RunState struct {
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
	Trial    results.Trial `json:"trial"`
	Attempts []Attempt     `json:"attempts"`  // those that failed, the oldest first
	SetAside bool          `json:"set_aside"` // it is not tried again
}

// Attempt is an attempt at a trial that failed.
type Attempt struct {
	When   time.Time `json:"when"`
	Host   string    `json:"host"`
	Device string    `json:"device"`
	Kind   Kind      `json:"kind"`
	Reason string    `json:"reason"` // one line
	Log    string    `json:"log"`    // file
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
	return filepath.Join(dir, "running", fmt.Sprintf("%s-%d.json", host, pid))
}

// FailurePath is where the failed attempts at t are told.
func FailurePath(dir string, t results.Trial) string {
	return filepath.Join(dir, "failed", t.Path()+".json")
}

// ReadRunState reads a file of RunStatePath.
func ReadRunState(path string) (RunState, error) { return readState[RunState](path) }

// ReadFailure reads a file of FailurePath. An error of a file that is not there is
// fs.ErrNotExist.
func ReadFailure(path string) (Failure, error) { return readState[Failure](path) }

// SetAside lists the trials of a campaign that were set aside.
func SetAside(dir string) ([]results.Trial, error) {
	paths, err := fs.Glob(os.DirFS(dir), "failed/*/*/*.json")
	if err != nil {
		return nil, err
	}
	var trials []results.Trial
	for _, path := range paths {
		f, err := ReadFailure(filepath.Join(dir, path))
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has succeeded meanwhile
		case err != nil:
			return nil, err
		case f.SetAside:
			trials = append(trials, f.Trial)
		}
	}
	return trials, nil
}

func readState[T any](path string) (T, error) {
	var state T
	text, err := infile.Read(path, infile.MaxText)
	if err == nil {
		err = configs.Decode(path, text, &state)
	}
	return state, err
}

// write makes the file of the failure, on disk.
func (f Failure) write(dir string) error {
	path := FailurePath(dir, f.Trial)
	if err := atomicfile.MkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	text, err := json.Marshal(f, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return atomicfile.Replace(path, func(w io.Writer) error { _, err := w.Write(text); return err })
}

// write makes the file of the state. It need not survive a power loss: it is not
// synced.
func (s RunState) write(dir string) error {
	text, err := json.Marshal(s, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	path := RunStatePath(dir, s.Host, s.PID)
	temp := path + ".tmp"
	if err := os.WriteFile(temp, text, 0o666); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
