package attempt

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

// The file of a Failure is read by other versions of the program, which may work the same
// campaign. It carries a version from 2 on: the first version of the program refuses keys
// that it does not know. Whoever reads the file passes over the keys that it does not know;
// whoever changes it keeps them.
const failureVersion = 1

// Failure is what is known of a trial whose attempts failed, in
// DIR/failed/000123/cifar10/0012-0777.json. It is removed when an attempt succeeds.
type Failure struct {
	Version  int             `json:"version,omitzero"` // see failureVersion
	Trial    results.Trial   `json:"trial"`
	Attempts []FailedAttempt `json:"attempts"`  // those that failed, the oldest first
	SetAside bool            `json:"set_aside"` // it is not tried again
	Unknown  jsontext.Value  `json:",embed"`    // keys of a newer version
}

// FailedAttempt is an attempt at a trial that failed.
type FailedAttempt struct {
	When   time.Time `json:"when"`
	Host   string    `json:"host"`
	Device string    `json:"device"`
	Kind   Kind      `json:"kind"`
	Reason string    `json:"reason"` // one line
	Log    string    `json:"log"`    // file; empty: nb201 train, which keeps none

	Unknown jsontext.Value `json:",embed"` // keys of a newer version
}

// Kind says how an attempt at a trial failed.
type Kind string

const (
	Crashed     Kind = "crashed"       // the worker died
	Hung        Kind = "hung"          // the worker made no progress
	OutOfMemory Kind = "out of memory" // of the device or the host
	Diverged    Kind = "diverged"      // the loss or the state is not finite: no other attempt would end better
	Other       Kind = "error"         // the worker reported any other error
)

// failureName is what a campaign has of a trial that failed, relative to its directory.
func failureName(t results.Trial) string { return filepath.Join("failed", t.Path()+".json") }

// FailurePath is the file of the failed attempts at t.
func FailurePath(dir string, t results.Trial) string {
	return filepath.Join(dir, failureName(t))
}

// ReadFailure reads a file of FailurePath. An error of a file that is not there is
// fs.ErrNotExist.
func ReadFailure(path string) (Failure, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return Failure{}, err
	}
	return decodeFailure(path, text)
}

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

// Earlier is what is known of earlier attempts at a trial: nothing when there were none or
// their file cannot be read, as a note costs no more than some attempts. doubt is then, and
// of the file of a newer version, what to warn of. An error is one of IsNoRoom.
func Earlier(dir string, t results.Trial) (f Failure, doubt, err error) {
	path := FailurePath(dir, t)
	f, err = ReadFailure(path)
	switch {
	case IsNoRoom(err):
		return f, nil, err
	case errors.Is(err, fs.ErrNotExist):
		return Failure{Trial: t}, nil, nil
	case err != nil:
		return Failure{Trial: t}, fmt.Errorf("%w; it counts as no failed attempt", err), nil
	case f.Version > failureVersion:
		doubt = fmt.Errorf("%s is from a newer version of nb201: what this version knows of it counts", path)
	}
	return f, doubt, nil
}

// Next is the number of the attempt that follows.
func (f Failure) Next() int { return len(f.Attempts) + 1 }

// Add adds a failed attempt. After as many as most, and when it diverged, the trial is set
// aside.
func (f *Failure) Add(a FailedAttempt, most int) {
	f.Attempts = append(f.Attempts, a)
	f.SetAside = len(f.Attempts) >= most || a.Kind == Diverged
}

// ListSetAside lists the trials of a campaign that were set aside. A file that cannot be read
// sets none aside.
func ListSetAside(dir string) ([]results.Trial, error) {
	paths, err := fs.Glob(os.DirFS(dir), "failed/*/*/*.json")
	if err != nil {
		return nil, err
	}
	var trials []results.Trial
	for _, path := range paths {
		f, err := ReadFailure(filepath.Join(dir, path))
		switch {
		case IsNoRoom(err):
			return nil, err
		case err == nil && f.SetAside:
			trials = append(trials, f.Trial)
		}
	}
	return trials, nil
}

// Write makes the file of the failure, on disk.
func (f Failure) Write(dir string) error {
	text, err := json.Marshal(f, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return results.Campaign{Dir: dir}.Within(func(root atomicfile.Root) error {
		name := failureName(f.Trial)
		if err := root.MkdirAll(filepath.Dir(name)); err != nil {
			return err
		}
		return root.Replace(name, func(w io.Writer) error { _, err := w.Write(text); return err })
	})
}

// Forget removes what is noted of the failed attempts at a trial, if anything.
func Forget(campaign string, t results.Trial) error {
	return results.Campaign{Dir: campaign}.Within(func(root atomicfile.Root) error {
		name := failureName(t)
		if err := root.CheckLinks(name); err != nil {
			return err
		}
		if err := root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// OneLine is err in one line of bounded length, as the reason of a FailedAttempt.
func OneLine(err error) string {
	const limit = 500
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return text
}
