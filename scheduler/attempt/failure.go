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

// failureVersion is the version of the failure files that this program writes. Files of version
// 1 have no version key, because the first release refuses keys that it does not know. Different
// versions of the program may share a campaign, so readers must skip keys that they do not know,
// and writers must keep them.
const failureVersion = 1

// Failure records the failed attempts at a trial, in the file
// DIR/failed/000123/cifar10/0012-0777.json. The file is removed when an attempt succeeds.
type Failure struct {
	Version     int             `json:"version,omitzero"` // see failureVersion
	Trial       results.Trial   `json:"trial"`
	Attempts    []FailedAttempt `json:"attempts"`  // oldest first
	TrialFailed bool            `json:"set_aside"` // the trial has failed: runs do not retry it
	Unknown     jsontext.Value  `json:",embed"`    // keys of a newer version
}

// FailedAttempt describes one failed attempt at a trial.
type FailedAttempt struct {
	When   time.Time `json:"when"`
	Host   string    `json:"host"`
	Device string    `json:"device"`
	Kind   Kind      `json:"kind"`
	Reason string    `json:"reason"` // one line
	Log    string    `json:"log"`    // path of the worker's log; empty for nb201 train, which has none

	Unknown jsontext.Value `json:",embed"` // keys of a newer version
}

// Kind says why an attempt at a trial failed.
type Kind string

// The kinds of failure.
const (
	Crashed     Kind = "crashed"       // the worker died
	Hung        Kind = "hung"          // the worker made no progress
	OutOfMemory Kind = "out of memory" // on the device or the host
	Diverged    Kind = "diverged"      // the loss or the state is not finite; retrying would give the same
	OtherError  Kind = "error"         // the worker reported another error
)

// failureName returns the path of a trial's failure file, relative to the campaign's directory.
func failureName(t results.Trial) string { return filepath.Join("failed", t.Path()+".json") }

// FailurePath returns the path of the failure file of t in the campaign at dir.
func FailurePath(dir string, t results.Trial) string {
	return filepath.Join(dir, failureName(t))
}

// ReadFailure reads a failure file. The error of a file that does not exist is
// [fs.ErrNotExist].
func ReadFailure(path string) (Failure, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return Failure{}, err
	}
	return decodeFailure(path, text)
}

// decodeFailure decodes and checks the text of the failure file at path.
func decodeFailure(path string, text []byte) (f Failure, err error) {
	if err := configs.DecodeKnown(path, text, &f); err != nil {
		return f, err
	}
	if err := f.Trial.Check(); err != nil {
		return f, usage.Errorf("%s: %w", path, err)
	}
	if own := filepath.Join("/", path); !strings.HasSuffix(own, FailurePath("/", f.Trial)) {
		return f, usage.Errorf("%s: \"trial\" is %v, which does not match the file's path", path, f.Trial)
	}
	return f, nil
}

// EarlierFailures returns the failed attempts at a trial so far. A failure file that cannot be read
// counts as none, because all that is lost is a few attempts; doubt then says what is wrong with
// it. doubt is also set for a file of a newer version. err is set only if [IsNoRoom].
func EarlierFailures(dir string, t results.Trial) (f Failure, doubt, err error) {
	path := FailurePath(dir, t)
	f, err = ReadFailure(path)
	switch {
	case IsNoRoom(err):
		return f, nil, err
	case errors.Is(err, fs.ErrNotExist):
		return Failure{Trial: t}, nil, nil
	case err != nil:
		return Failure{Trial: t}, fmt.Errorf("%w; so the trial counts as having no failed attempts", err), nil
	case f.Version > failureVersion:
		doubt = fmt.Errorf("%s is from a newer version of nb201; keys that this version does not know are ignored", path)
	}
	return f, doubt, nil
}

// Next returns the number of the next attempt, from 1.
func (f Failure) Next() int { return len(f.Attempts) + 1 }

// Add adds a failed attempt. The trial has failed once it has most failed attempts, or when the
// attempt diverged.
func (f *Failure) Add(a FailedAttempt, most int) {
	f.Attempts = append(f.Attempts, a)
	f.TrialFailed = len(f.Attempts) >= most || a.Kind == Diverged
}

// ListFailed returns the failed trials of a campaign: those whose attempts are used up. It skips
// failure files that cannot be read, unless [IsNoRoom].
func ListFailed(dir string) ([]results.Trial, error) {
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
		case err == nil && f.TrialFailed:
			trials = append(trials, f.Trial)
		}
	}
	return trials, nil
}

// Write writes the failure to its file in the campaign at dir and syncs it to disk.
func (f Failure) Write(dir string) error {
	text, err := json.Marshal(f, json.Deterministic(true), jsontext.WithIndent("  "))
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

// Forget removes the failure file of a trial, if it exists.
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

// OneLine returns the text of err as one line of about 500 bytes at most, for
// [FailedAttempt.Reason].
func OneLine(err error) string {
	const limit = 500
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return text
}
