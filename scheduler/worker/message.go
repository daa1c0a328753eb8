package worker

import (
	"io"

	"github.com/go-json-experiment/json"

	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/state"
)

// A run and its workers exchange lines of JSON: the run writes orders to a worker's stdin, and
// the worker writes reports to its stdout. A worker exits when its stdin ends.

// Order asks a worker to train a trial. The run sends the next order only after the report of
// how this trial ended.
type Order struct {
	Trial   results.Trial  `json:"trial"`
	Attempt int            `json:"attempt"`        // from 1
	Next    *results.Trial `json:"next,omitempty"` // to prepare for meanwhile
}

// Report is a message from a worker.
type Report struct {
	Event           Event        `json:"event"`
	Stage           string       `json:"stage,omitempty"` // this and the next four are set for Progress
	Epoch           int          `json:"epoch,omitzero"`
	Epochs          int          `json:"epochs,omitzero"`
	ImagesPerSecond float64      `json:"images_per_second,omitzero"`
	Pass            *state.Pass  `json:"pass,omitzero"`    // that has just ended
	Kind            attempt.Kind `json:"kind,omitempty"`   // for Failed
	Reason          string       `json:"reason,omitempty"` // error of a bad ending, or why a trial waits
	Input           bool         `json:"input,omitzero"`   // whether Reason is a usage error
}

// Event is the type of a Report.
type Event string

// The types of reports.
const (
	Ready    Event = "ready"    // the worker is ready for an order
	Progress Event = "progress" // the trial is in progress

	// These say how a trial ended: see [attempt.Ending]. Unable may also come instead of Ready.

	FinishedHere    = Event(attempt.FinishedHere)
	AlreadyFinished = Event(attempt.AlreadyFinished)
	Claimed         = Event(attempt.Claimed)
	Failed          = Event(attempt.Failed)
	NoRoom          = Event(attempt.NoRoom)
	Unable          = Event(attempt.Unable)
	Refused         = Event(attempt.Refused)
	Stopped         = Event(attempt.Stopped)
)

// SendMessage writes an order or a report to w as one line of JSON.
func SendMessage(w io.Writer, message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
