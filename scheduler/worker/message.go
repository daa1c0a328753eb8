package worker

import (
	"io"

	"github.com/go-json-experiment/json"

	"nb201/results"
	"nb201/scheduler/attempt"
)

// A run and its workers talk in lines of JSON: orders on a worker's stdin, reports on
// its stdout. A worker whose stdin ends leaves.

// Order asks a worker for a trial. It reports how that ends before it is given another.
type Order struct {
	Trial   results.Trial  `json:"trial"`
	Attempt int            `json:"attempt"`        // from 1
	Next    *results.Trial `json:"next,omitempty"` // to prepare for, when there is time
}

// Report is what a worker reports.
type Report struct {
	Event           Event        `json:"event"`
	Stage           string       `json:"stage,omitempty"` // of Progress, as are the next three
	Epoch           int          `json:"epoch,omitzero"`
	Epochs          int          `json:"epochs,omitzero"`
	ImagesPerSecond float64      `json:"images_per_second,omitzero"`
	Kind            attempt.Kind `json:"kind,omitempty"`   // of Failed
	Reason          string       `json:"reason,omitempty"` // of what ended badly, and of waiting progress
	Input           bool         `json:"input,omitzero"`   // the reason lies in what the run was given: a usage error
}

// Event is what a Report is about.
type Event string

const (
	Ready    Event = "ready"    // the worker can take an order
	Progress Event = "progress" // of the trial

	// How a trial ended: see attempt.Ending. Unable may also come in place of Ready.
	Finished = Event(attempt.Finished)
	Done     = Event(attempt.Done)
	Claimed  = Event(attempt.Claimed)
	Failed   = Event(attempt.Failed)
	NoRoom   = Event(attempt.NoRoom)
	Unable   = Event(attempt.Unable)
	Refused  = Event(attempt.Refused)
	Stopped  = Event(attempt.Stopped)
)

// Send writes an order or a report as a line.
func Send(w io.Writer, message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
